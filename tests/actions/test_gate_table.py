"""The gate as a table: state before × request → status, condition, and what has changed. Judged by RFC 4918 §6, §7, §9, §10.4.

Every row has a collection of its own on one real server. Its four columns:

*before*, steps with ``;`` between: ``file x``, ``coll d``; ``T1 x`` locks x exclusively with depth 0 for alice and calls the
token T1, with ``inf`` for depth infinity, ``shared`` and ``bob``; ``expire T1`` lets its time go by.

*request*, or several with ``;`` between: ``[principal] VERB target [destination]``, then header fields with ``|`` between.
``LOCK`` is exclusive, ``SHARE`` shared, both of depth infinity if nothing is said, ``REFRESH`` a LOCK without a body;
``ADD`` posts one new member named x, ``POST`` the items named after ``Items:``, with an ``If`` of their own after a ``/``;
``Body:`` is a body, ``XMKCOL`` is extended MKCOL, ``BADPROPS`` a PROPPATCH and ``BADMKCOL`` an extended MKCOL of a
protected property.
In values T1 is that token and T0 one that nobody gave out, ``@x`` the absolute path of x and ``@@x`` its URL, ``E(x)``
its entity tag and ``W(x)`` that made weak.

*answer*, one for each request: the status, the condition in ``DAV:error`` and the resource that it names; of a 207 the rows.

*changed*: ``+x`` made, ``-x`` gone, ``~x`` has other contents, ``p:x`` has other dead properties, ``+L:x`` a new lock with the
root x, ``-T1`` ended, ``^T1`` has a later end. Nothing else differs: where the column is empty, nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from tests.harness import BOUNDARY, Answer, mixed_part, multipart
from tests.model.served import PASSWORDS, Server, Shown, server

#: before, request, answer, changed
ROWS: list[tuple[str, str, str, str]] = [
    # ---- PUT of a file: §7, §10.4
    ("file x", "PUT x", "204", "~x"),
    ("", "PUT x", "201", "+x"),
    ("file x; T1 x", "PUT x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PUT x If: (<T1>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: <@x> (<T1>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: <@@x> (<T1>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: (<T0>)", "412", ""),
    ("file x; T1 x", "PUT x If: (Not <T0>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PUT x If: (<T0>) (<T1>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: (<T0>) (Not <DAV:no-lock>)", "423 lock-token-submitted x", ""),
    # §10.4.8: a list that always holds, beside a token that is submitted all the same.
    ("file x; T1 x", "PUT x If: (<T1>) (Not <DAV:no-lock>)", "204", "~x"),
    ("file x", "PUT x If: (<DAV:no-lock>)", "412", ""),
    ("file x", "PUT x If: (Not <DAV:no-lock>)", "204", "~x"),
    # §10.4.1: the mere fact that a token appears means that it is submitted; the header is judged for itself.
    ("file x; T1 x", "PUT x If: (Not <T1>) (Not <T0>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: (Not <T1>)", "412", ""),
    ("file x; file y; T1 x", "PUT x If: <@y> (<T1>)", "412", ""),
    ("file x; file y; T1 x", "PUT x If: <@y> (<T1>) <@x> (Not <T0>)", "204", "~x"),
    ("file x; file y; T1 x", "PUT x If: <@y> (Not <T1>)", "204", "~x"),
    ("file x; file y; T1 x; T2 y", "PUT x If: <@y> (<T2>)", "423 lock-token-submitted x", ""),
    ("file x; file y; T1 x; T2 y", "PUT x If: <@y> (<T2>) <@x> (<T1>)", "204", "~x"),
    # A lock of depth infinity covers members that are there and that come (§6.1), one of depth 0 their names (§7.4).
    ("coll d; file d/x; T1 d inf", "PUT d/x", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d inf", "PUT d/x If: (<T1>)", "204", "~d/x"),
    ("coll d; file d/x; T1 d inf", "PUT d/x If: <@d> (<T1>)", "204", "~d/x"),
    ("coll d; file d/x; T1 d inf", "PUT d/x If: <@d/> (<T1>)", "204", "~d/x"),
    ("coll d; T1 d inf", "PUT d/new", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "PUT d/new If: <@d> (<T1>)", "201", "+d/new"),
    ("coll d; T1 d inf", "PUT d/new If: (<T1>)", "201", "+d/new"),
    ("coll d; file d/x; T1 d", "PUT d/x", "204", "~d/x"),
    ("coll d; T1 d", "PUT d/new", "423 lock-token-submitted d", ""),
    ("coll d; T1 d", "PUT d/new If: <@d> (<T1>)", "201", "+d/new"),
    ("coll d; T1 d", "PUT d/new If: (<T1>)", "412", ""),
    ("coll d; coll d/e; T1 d", "PUT d/e/new", "201", "+d/e/new"),
    ("coll d; coll d/e; T1 d inf", "PUT d/e/new", "423 lock-token-submitted d", ""),
    ("file x; file y; T1 y", "PUT x", "204", "~x"),
    # Somebody else's token (§6.4), shared locks (§6.2).
    ("file x; T1 x", "bob PUT x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x bob", "PUT x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x bob", "bob PUT x If: (<T1>)", "204", "~x"),
    ("file x; T1 x shared; T2 x shared bob", "PUT x", "423 lock-token-submitted x", ""),
    ("file x; T1 x shared; T2 x shared bob", "PUT x If: (<T1>)", "204", "~x"),
    ("file x; T1 x shared; T2 x shared bob", "bob PUT x If: (<T2>)", "204", "~x"),
    ("file x; T1 x shared; T2 x shared bob", "bob PUT x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x shared; T2 x shared bob", "PUT x If: (<T1> <T2>)", "204", "~x"),
    ("coll d; file d/x; T1 d inf shared; T2 d/x shared bob", "PUT d/x If: (<T1>)", "204", "~d/x"),
    ("coll d; file d/x; T1 d inf shared; T2 d/x shared bob", "bob PUT d/x If: (<T2>)", "204", "~d/x"),
    # A lock whose time is over protects nothing, and its token matches nothing.
    ("file x; T1 x; expire T1", "PUT x", "204", "~x -T1"),
    ("file x; T1 x; expire T1", "bob PUT x", "204", "~x -T1"),
    ("file x; T1 x; expire T1", "PUT x If: (<T1>)", "412", "-T1"),
    ("file x; T1 x; expire T1", "PUT x If: (Not <T1>)", "204", "~x -T1"),
    # Entity tags in If.
    ("file x", "PUT x If: ([E(x)])", "204", "~x"),
    ("file x", 'PUT x If: (["other"])', "412", ""),
    ("file x", 'PUT x If: (Not ["other"])', "204", "~x"),
    ("file x", "PUT x If: (Not [E(x)])", "412", ""),
    ("file x", "PUT x If: ([W(x)])", "412", ""),
    ("file x; T1 x", "PUT x If: (<T1> [E(x)])", "204", "~x"),
    ("file x; T1 x", 'PUT x If: (<T1> ["other"])', "412", ""),
    ("file x; T1 x", 'PUT x If: (<T1> ["other"]) ([E(x)])', "204", "~x"),
    ("file x; T1 x", "PUT x If: ([E(x)])", "423 lock-token-submitted x", ""),
    ("file x; file y", "PUT x If: <@y> ([E(y)])", "204", "~x"),
    ("file x; file y", "PUT x If: <@y> ([E(x)])", "412", ""),
    ("file x; coll d", 'PUT x If: <@d> (["other"])', "412", ""),
    ("file x", 'PUT x If: <@none> (["other"])', "412", ""),
    ("file x", 'PUT x If: <@none> (Not ["other"])', "204", "~x"),
    ("", 'PUT x If: (["other"])', "412", ""),
    ("", "PUT x If: (<T0>)", "412", ""),
    # Resources elsewhere are in no state that is known.
    ("file x", "PUT x If: <http://elsewhere.example/x> (<T0>)", "412", ""),
    ("file x", "PUT x If: <http://elsewhere.example/x> (Not <T0>)", "204", "~x"),
    ("file x; T1 x", "PUT x If: <http://elsewhere.example/x> (<T1>)", "412", ""),
    ("file x; T1 x", "PUT x If: <http://elsewhere.example/x> (<T1>) <@x> (<T1>)", "204", "~x"),
    ("file x", "PUT x If: </-@x> ([E(x)])", "412", ""),
    # ---- the order of judgement
    ("file x; T1 x", "nobody PUT x If: (<T1>)", "401", ""),
    ("file x; T1 x", "eve PUT x If: (<T1>)", "403 need-privileges", ""),
    ("file x; T1 x", "eve PUT x If: (", "403 need-privileges", ""),
    ("file x; T1 x", "PUT x If: (", "400 malformed", ""),
    ("file x; T1 x", "PUT x If: ()", "400 malformed", ""),
    ("file x; T1 x", "PUT x If: (<T1>) <@x> (<T1>)", "400 malformed", ""),
    ("coll d; T1 d", "PUT d If: (", "400 malformed", ""),
    ("coll d; T1 d", "PUT d If: (<T0>)", "405", ""),
    ("coll d; T1 d", "PUT d", "405", ""),
    ("file x; T1 x", "PUT x/y", "409 parent-missing", ""),
    ("coll d; T1 d inf", "PUT d/no/y", "409 parent-missing", ""),
    ("coll d; T1 d inf", "PUT d/no/y If: (<T0>)", "409 parent-missing", ""),
    ("file x; T1 x", "PUT x Content-Encoding: gzip", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PUT x If: (<T1>) | Content-Encoding: gzip", "415 unsupported-type", ""),
    ("file x", "PUT x If: (<T0>) | Content-Encoding: gzip", "412", ""),
    ("file x; T1 x", "BIG x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "BIG x If: (<T1>)", "413 too-large", ""),
    ("file x", "BIG x Content-Encoding: gzip", "415 unsupported-type", ""),
    ("file x", 'BIG x If-Match: "other"', "413 too-large", ""),
    ("file x; T1 x", 'PUT x If-Match: "other"', "423 lock-token-submitted x", ""),
    ("file x; T1 x", 'PUT x If: (<T1>) | If-Match: "other"', "412", ""),
    ("file x; T1 x", "PUT x If: (<T1>) | If-Match: E(x)", "204", "~x"),
    ("file x", "PUT x If-Match: W(x)", "412", ""),
    ("file x", "PUT x If-None-Match: *", "412", ""),
    ("", "PUT x If-None-Match: *", "201", "+x"),
    ("", "PUT x If-Match: *", "412", ""),
    ("file x", 'PUT x If-Match: "other" | Content-Type: application/json', "412", ""),
    ("file x", "PUT x Content-Type: application/json", "400 not-well-formed", ""),
    ("file x; T1 x", "PUT x Content-Type: application/json", "423 lock-token-submitted x", ""),
    ("file x", "PUT x Overwrite: F", "412", ""),
    ("file x; T1 x", "PUT x Overwrite: F", "423 lock-token-submitted x", ""),
    # ---- reading is never hindered by locks; If fails for every method
    ("file x; T1 x", "bob GET x", "200", ""),
    ("coll d; file d/x; T1 d inf", "bob PROPFIND d/x", "207 d/x=200", ""),
    ("file x; T1 x", "bob GET x If: (<T1>)", "200", ""),
    ("file x; T1 x", "GET x If: (<T0>)", "412", ""),
    ("file x; T1 x", "PROPFIND x If: (<T0>)", "412", ""),
    ("", "GET x If: (<T0>)", "404", ""),
    # ---- PATCH
    ("file x", "PATCH x", "204", "~x"),
    ("file x; T1 x", "PATCH x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PATCH x If: (<T1>)", "204", "~x"),
    ("file x; T1 x", "bob PATCH x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("coll d; file d/x; T1 d inf", "PATCH d/x", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d", "PATCH d/x", "204", "~d/x"),
    ("file x; T1 x", "PATCH x If: (<T0>)", "412", ""),
    ("", "PATCH x If: (<T0>)", "404", ""),
    ("file x", "PATCH x If: ([E(x)])", "204", "~x"),
    ("file x", 'PATCH x If-Match: "other"', "412", ""),
    ("file x; T1 x", "PATCH x Content-Type: text/plain", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PATCH x If: (<T1>) | Content-Type: text/plain", "415 unsupported-type", ""),
    # ---- MKCOL
    ("", "MKCOL d", "201", "+d"),
    ("coll d; T1 d", "MKCOL d/e", "423 lock-token-submitted d", ""),
    ("coll d; T1 d", "MKCOL d/e If: <@d> (<T1>)", "201", "+d/e"),
    ("coll d; T1 d", "bob MKCOL d/e If: <@d> (<T1>)", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "MKCOL d/e", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "MKCOL d/e If: <@d> (<T1>)", "201", "+d/e"),
    ("coll d; coll d/e; T1 d", "MKCOL d/e/f", "201", "+d/e/f"),
    ("file x; T1 x", "MKCOL x", "405", ""),
    ("file x; T1 x", "MKCOL x If: (<T0>)", "405", ""),
    ("", "MKCOL d/e If: (<T0>)", "409 parent-missing", ""),
    ("", "MKCOL d If: (<T0>)", "412", ""),
    ("", "MKCOL d If-Match: *", "412", ""),
    ("coll d; T1 d", "MKCOL d/e If-Match: *", "423 lock-token-submitted d", ""),
    ("", "XMKCOL d", "201", "+d"),
    ("coll d; T1 d", "XMKCOL d/e", "423 lock-token-submitted d", ""),
    ("", "MKCOL d Content-Type: text/plain | Body: x", "415 unsupported-type", ""),
    ("file x", "MKCOL x Content-Type: text/plain | Body: x", "405", ""),
    ("coll d; T1 d", "MKCOL d/e Content-Type: text/plain | Body: x", "423 lock-token-submitted d", ""),
    ("", "BADMKCOL d", "424", ""),
    ("coll d; T1 d", "BADMKCOL d/e", "423 lock-token-submitted d", ""),
    ("file x", "BADMKCOL x", "405", ""),
    ("", "BADMKCOL d If: (<T0>)", "412", ""),
    # ---- DELETE: §7.4, §9.6
    ("file x; T1 x", "DELETE x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "DELETE x If: (<T1>); PUT x", "204; 201", "~x -T1"),
    ("file x; T1 x", "DELETE x If: (<T0>)", "412", ""),
    ("file x; T1 x", "bob DELETE x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("coll d; file d/x; T1 d", "DELETE d/x", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d", "DELETE d/x If: <@d> (<T1>)", "204", "-d/x"),
    ("coll d; file d/x; T1 d inf", "DELETE d/x", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d inf", "DELETE d/x If: (<T1>)", "204", "-d/x"),
    # Both: the lock of the member, and that of the collection which loses it.
    ("coll d; file d/x; T1 d; T2 d/x", "DELETE d/x If: (<T2>)", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d; T2 d/x", "DELETE d/x If: <@d> (<T1>)", "423 lock-token-submitted d/x", ""),
    ("coll d; file d/x; T1 d; T2 d/x", "DELETE d/x If: <@d> (<T1>) <@d/x> (<T2>)", "204", "-d/x -T2"),
    ("coll d; T1 d", "DELETE d", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d inf", "DELETE d If: (<T1>)", "204", "-d -d/x -T1"),
    ("coll d; file d/x; T1 d/x", "DELETE d", "207 d/x=423:lock-token-submitted", ""),
    ("coll d; file d/x; T1 d/x", "DELETE d If: (<T1>)", "412", ""),
    ("coll d; file d/x; T1 d/x", "DELETE d If: <@d/x> (<T1>)", "204", "-d -d/x -T1"),
    ("coll d; file d/x; T1 d/x", "bob DELETE d If: <@d/x> (<T1>)", "207 d/x=423:lock-token-submitted", ""),
    (
        "coll d; file d/x; file d/y; T1 d/x; T2 d/y",
        "DELETE d",
        "207 d/x=423:lock-token-submitted d/y=423:lock-token-submitted",
        "",
    ),
    (
        "coll d; file d/x; file d/y; T1 d/x; T2 d/y",
        "DELETE d If: <@d/y> (<T2>)",
        "207 d/x=423:lock-token-submitted",
        "",
    ),
    ("coll d; coll d/e; file d/e/x; T1 d/e", "DELETE d", "207 d/e=423:lock-token-submitted", ""),
    # Of shared locks one token is enough, also for a member.
    (
        "coll d; file d/x; T1 d/x shared; T2 d/x shared bob",
        "DELETE d If: <@d/x> (<T1>)",
        "204",
        "-d -d/x -T1 -T2",
    ),
    ("coll d; file d/x; T1 d inf shared; T2 d/x shared bob", "DELETE d If: (<T1>)", "204", "-d -d/x -T1 -T2"),
    # But that of a lock of depth 0 does not reach the members.
    (
        "coll d; file d/x; T1 d shared; T2 d inf shared bob",
        "DELETE d If: (<T1>)",
        "207 d/x=423:lock-token-submitted",
        "",
    ),
    ("coll d; T1 d shared; T2 d inf shared bob", "DELETE d If: (<T1>)", "204", "-d -T1 -T2"),
    ("", "DELETE x If: (<T0>)", "404", ""),
    ("file x", 'DELETE x If-Match: "other"', "412", ""),
    ("file x; T1 x", 'DELETE x If-Match: "other"', "423 lock-token-submitted x", ""),
    ("file x", "DELETE x If: ([E(x)]) | If-Match: E(x)", "204", "-x"),
    ("file x; T1 x", "eve DELETE x If: (<T1>)", "403 need-privileges", ""),
    ("coll d; file d/x; T1 d/x; expire T1", "bob DELETE d", "204", "-d -d/x -T1"),
    # Locks go with what they were on: a new resource of the name is free.
    ("coll d; file d/x; T1 d inf", "DELETE d If: (<T1>); MKCOL d; bob PUT d/x", "204; 201; 201", "~d/x -T1"),
    ("coll d; file d/x; T1 d/x", "DELETE d If: <@d/x> (<T1>); MKCOL d; PUT d/x", "204; 201; 201", "~d/x -T1"),
    # ---- PROPPATCH
    ("file x", "PROPPATCH x", "207 x=200", "p:x"),
    ("file x; T1 x", "PROPPATCH x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PROPPATCH x If: (<T1>)", "207 x=200", "p:x"),
    ("file x; T1 x", "bob PROPPATCH x If: (<T1>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "PROPPATCH x If: (<T0>)", "412", ""),
    ("coll d; T1 d", "PROPPATCH d", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d", "PROPPATCH d/x", "207 d/x=200", "p:d/x"),
    ("coll d; file d/x; T1 d inf", "PROPPATCH d/x", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d/x", "PROPPATCH d", "207 d=200", "p:d"),
    ("", "PROPPATCH x If: (<T0>)", "404", ""),
    ("file x; T1 x", "BADPROPS x", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "BADPROPS x If: (<T0>)", "412", ""),
    ("file x; T1 x", "BADPROPS x If: (<T1>)", "207 x=403", ""),
    ("file x", 'PROPPATCH x If-Match: "other"', "412", ""),
    # ---- COPY: §9.8; the source may be locked, the copy has no lock (§7.6)
    ("file x", "COPY x y", "201", "+y"),
    ("file x; T1 x", "bob COPY x y; bob PUT y", "201; 204", "+y"),
    ("file x; file y; T1 y", "COPY x y", "423 lock-token-submitted y", ""),
    ("file x; file y; T1 x; T2 y", "COPY x y If: <@y> (<T2>)", "204", "~y"),
    ("file x; file y; T1 y", "bob COPY x y If: <@y> (<T1>)", "423 lock-token-submitted y", ""),
    ("file x; file y; T1 y", "COPY x y If: (<T1>)", "412", ""),
    ("file x; coll d; T1 d", "COPY x d/y", "423 lock-token-submitted d", ""),
    ("file x; coll d; T1 d", "COPY x d/y If: <@d> (<T1>)", "201", "+d/y"),
    ("file x; coll d; T1 d inf", "COPY x d/y", "423 lock-token-submitted d", ""),
    ("file x; coll d; T1 d inf", "COPY x d/y If: <@d> (<T1>)", "201", "+d/y"),
    ("coll d; file d/x; T1 d", "bob COPY d/x y", "201", "+y"),
    ("coll d; file d/x; T1 d/x; T2 d shared", "bob COPY d e; bob PUT e/x", "201; 204", "+e +e/x"),
    ("coll d; coll e; file e/x; T1 e/x", "COPY d e", "207 e/x=423:lock-token-submitted", ""),
    ("coll d; coll e; file e/x; T1 e/x", "COPY d e If: <@e/x> (<T1>)", "204", "-e/x -T1"),
    ("coll d; coll e; file e/x; T1 e/x", "COPY d e Overwrite: F", "412", ""),
    ("file x; file y", "COPY x y Overwrite: F", "412", ""),
    ("file x; file y; T1 y", "COPY x y Overwrite: F", "423 lock-token-submitted y", ""),
    ("file x", "COPY x y Overwrite: F", "201", "+y"),
    ("file x; file y; T1 y", "COPY x y Overwrite: maybe", "400 malformed", ""),
    ("file x; file y; T1 y", "COPY x y If: (<T0>)", "412", ""),
    ("file y; T1 y", "COPY x y If: (<T0>)", "404", ""),
    ("file x", "COPY x no/y If: (<T0>)", "409 parent-missing", ""),
    ("file x", 'COPY x y If-Match: "other"', "412", ""),
    ("file x; file y", "COPY x y If: <@y> ([E(y)])", "204", "~y"),
    ("file x", "COPY x x", "403 overlapping", ""),
    ("file x", "COPY x Destination: http://elsewhere.example/y", "502", ""),
    ("file x; file y; T1 y", "COPY x y If: <@y> (<T1>); PUT y", "204; 423", "~y"),
    # ---- MOVE: §9.9; locks stay behind, and a destination's own lock holds what comes (§7.6)
    ("file x; T1 x", "MOVE x y", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "MOVE x y If: (<T1>); bob PUT y; bob PUT x", "201; 204; 201", "+y ~x -T1"),
    ("file x; T1 x", "bob MOVE x y If: (<T1>)", "423 lock-token-submitted x", ""),
    ("file x; T1 x", "MOVE x y If: (<T0>)", "412", ""),
    ("file x; file y; T1 y", "MOVE x y", "423 lock-token-submitted y", ""),
    ("file x; file y; T1 y", "MOVE x y If: <@y> (<T1>)", "204", "-x ~y"),
    ("file x; file y; T1 y", "bob MOVE x y If: <@y> (<T1>)", "423 lock-token-submitted y", ""),
    ("file x; file y; T1 x; T2 y", "MOVE x y If: <@x> (<T1>) <@y> (<T2>)", "204", "-x ~y -T1"),
    ("file x; file y; T1 x; T2 y", "MOVE x y If: (<T1>)", "423 lock-token-submitted y", ""),
    ("coll d; file d/x; T1 d", "MOVE d/x y", "423 lock-token-submitted d", ""),
    ("coll d; file d/x; T1 d", "MOVE d/x y If: <@d> (<T1>)", "201", "-d/x +y"),
    ("coll d; file d/x; T1 d", "MOVE d/x d/y", "423 lock-token-submitted d", ""),
    ("file x; coll d; T1 d", "MOVE x d/y", "423 lock-token-submitted d", ""),
    ("file x; coll d; T1 d", "MOVE x d/y If: <@d> (<T1>)", "201", "-x +d/y"),
    ("file x; coll d; T1 d inf", "MOVE x d/y If: <@d> (<T1>); PUT d/y", "201; 423", "-x +d/y"),
    ("coll d; file d/x; T1 d inf", "MOVE d/x y If: <@d> (<T1>); bob PUT y", "201; 204", "-d/x +y"),
    ("coll d; file d/x; T1 d/x", "MOVE d e", "207 d/x=423:lock-token-submitted", ""),
    ("coll d; file d/x; T1 d/x", "MOVE d e If: <@d/x> (<T1>)", "201", "-d -d/x +e +e/x -T1"),
    ("coll d; coll e; file e/x; T1 e/x", "MOVE d e", "207 e/x=423:lock-token-submitted", ""),
    ("coll d; coll e; file e/x; T1 e/x", "MOVE d e If: <@e/x> (<T1>)", "204", "-d -e/x -T1"),
    (
        "coll d; file d/x; T1 d/x shared; T2 d/x shared bob",
        "MOVE d e If: <@d/x> (<T1>)",
        "201",
        "-d -d/x +e +e/x -T1 -T2",
    ),
    ("coll d; coll e; T1 e", "MOVE d e If: <@e> (<T1>); PUT e/x", "204; 423", "-d"),
    ("file x; file y; T1 y", "MOVE x y Overwrite: F", "423 lock-token-submitted y", ""),
    ("file x; file y", "MOVE x y Overwrite: F", "412", ""),
    ("file x; T1 x", "MOVE x no/y If: (<T0>)", "409 parent-missing", ""),
    ("file y; T1 y", "MOVE x y If: (<T0>)", "404", ""),
    ("file x; T1 x; expire T1", "bob MOVE x y", "201", "-x +y -T1"),
    ("file x; T1 x", "nobody MOVE x y If: (<T1>)", "401", ""),
    # ---- LOCK: §9.10, the table of §9.10.5
    ("file x", "LOCK x", "200", "+L:x"),
    ("", "LOCK x", "201", "+x +L:x"),
    ("file x; T1 x", "LOCK x", "423 no-conflicting-lock x", ""),
    ("file x; T1 x", "LOCK x If: (<T1>)", "423 no-conflicting-lock x", ""),
    ("file x; T1 x", "bob LOCK x", "423 no-conflicting-lock x", ""),
    ("file x; T1 x", "SHARE x", "423 no-conflicting-lock x", ""),
    ("file x; T1 x shared", "LOCK x", "423 no-conflicting-lock x", ""),
    ("file x; T1 x shared", "bob SHARE x", "200", "+L:x"),
    ("coll d; file d/x; T1 d inf", "LOCK d/x", "423 no-conflicting-lock d", ""),
    ("coll d; file d/x; T1 d inf shared", "bob SHARE d/x", "200", "+L:d/x"),
    ("coll d; file d/x; T1 d", "bob LOCK d/x", "200", "+L:d/x"),
    ("coll d; T1 d", "LOCK d/new", "423 lock-token-submitted d", ""),
    ("coll d; T1 d", "LOCK d/new If: <@d> (<T1>)", "201", "+d/new +L:d/new"),
    ("coll d; T1 d inf shared", "bob SHARE d/new", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf shared", "SHARE d/new If: <@d> (<T1>)", "201", "+d/new +L:d/new"),
    ("coll d; file d/x; T1 d/x", "LOCK d", "207 d/x=423:no-conflicting-lock d=424", ""),
    ("coll d; file d/x; T1 d/x", "LOCK d If: <@d/x> (<T1>)", "207 d/x=423:no-conflicting-lock d=424", ""),
    ("coll d; file d/x; T1 d/x shared", "SHARE d", "200", "+L:d"),
    ("coll d; file d/x; T1 d/x shared", "LOCK d", "207 d/x=423:no-conflicting-lock d=424", ""),
    ("coll d; file d/x; T1 d/x", "LOCK d Depth: 0", "200", "+L:d"),
    ("coll d; file d/x; T1 d/x; expire T1", "LOCK d", "200", "+L:d -T1"),
    ("file x; T1 x; expire T1", "bob LOCK x", "200", "+L:x -T1"),
    ("file x", "LOCK x Depth: 1", "400 malformed", ""),
    ("file x", "LOCK x If: (<T0>)", "412", ""),
    ("file x; T1 x", "LOCK x If: (<T0>)", "412", ""),
    ("file x", "LOCK x If: ([E(x)])", "200", "+L:x"),
    ("file x", "LOCK x If-None-Match: *", "412", ""),
    ("", "LOCK no/x If: (<T0>)", "409 parent-missing", ""),
    ("file x", "nobody LOCK x", "401", ""),
    ("file x", "eve LOCK x", "403 need-privileges", ""),
    # ---- refresh: §9.10.2
    ("file x; T1 x", "REFRESH x If: (<T1>)", "200", "^T1"),
    ("coll d; file d/x; T1 d inf", "REFRESH d/x If: (<T1>)", "200", "^T1"),
    ("coll d; file d/x; T1 d", "REFRESH d/x If: (<T1>)", "412 lock-token-matches-request-uri", ""),
    ("coll d; T1 d inf", "REFRESH d/none If: (<T1>)", "412 lock-token-matches-request-uri", ""),
    ("file x; file y; T1 x", "REFRESH y If: (<T1>)", "412 lock-token-matches-request-uri", ""),
    ("file x; file y; T1 x", "REFRESH y If: <@x> (<T1>)", "412 lock-token-matches-request-uri", ""),
    ("file x; T1 x", "bob REFRESH x If: (<T1>)", "403 need-privileges", ""),
    ("file x; T1 x", "REFRESH x If: (<T0>)", "412 lock-token-matches-request-uri", ""),
    ("file x; T1 x", "REFRESH x", "400 malformed", ""),
    ("file x; T1 x shared; T2 x shared", "REFRESH x If: (<T1>) (<T2>)", "400 malformed", ""),
    ("file x; T1 x shared; T2 x shared bob", "REFRESH x If: (<T1>)", "200", "^T1"),
    ("file x; T1 x; expire T1", "REFRESH x If: (<T1>)", "412 lock-token-matches-request-uri", "-T1"),
    ("file x; T1 x", 'REFRESH x If: (<T1> ["other"])', "412", ""),
    # "A server MUST ignore the Depth header on a LOCK refresh."
    ("coll d; T1 d inf", "REFRESH d If: (<T1>) | Depth: 0", "200", "^T1"),
    ("coll d; T1 d inf", "REFRESH d If: (<T1>) | Depth: 1", "200", "^T1"),
    # ---- UNLOCK: §9.11
    ("file x; T1 x", "UNLOCK x Lock-Token: <T1>", "204", "-T1"),
    ("file x; T1 x", "UNLOCK x Lock-Token: <T1>; bob PUT x", "204; 204", "~x -T1"),
    ("coll d; file d/x; T1 d inf", "UNLOCK d/x Lock-Token: <T1>", "204", "-T1"),
    ("coll d; file d/x; T1 d", "UNLOCK d/x Lock-Token: <T1>", "409 lock-token-matches-request-uri", ""),
    ("file x; file y; T1 x", "UNLOCK y Lock-Token: <T1>", "409 lock-token-matches-request-uri", ""),
    ("file x; T1 x", "UNLOCK x Lock-Token: <T0>", "409 lock-token-matches-request-uri", ""),
    ("file x; T1 x", "bob UNLOCK x Lock-Token: <T1>", "403 need-privileges", ""),
    ("file x; T1 x", "eve UNLOCK x Lock-Token: <T1>", "403 need-privileges", ""),
    ("file x; T1 x", "UNLOCK x", "400 malformed", ""),
    ("file x; T1 x", "UNLOCK x If: (<T1>)", "400 malformed", ""),
    ("file x; T1 x", "UNLOCK x Lock-Token: T1 T1", "400 malformed", ""),
    ("file x; T1 x", "UNLOCK x Lock-Token: <T1> | If: (<T0>)", "412", ""),
    ("file x; T1 x shared; T2 x shared bob", "UNLOCK x Lock-Token: <T1>", "204", "-T1"),
    ("file x; T1 x; expire T1", "UNLOCK x Lock-Token: <T1>", "409 lock-token-matches-request-uri", "-T1"),
    ("", "UNLOCK x Lock-Token: <T0>", "404", ""),
    ("file x", "UNLOCK x/y Lock-Token: <T0>", "404", ""),
    ("coll d; T1 d inf", "UNLOCK d/none Lock-Token: <T1>", "404", ""),
    # A name that was locked before it was used is an empty file, which stays (§7.3, §9.10.4).
    ("T1 x", "GET x; UNLOCK x Lock-Token: <T1>; GET x", "200; 204; 200", "-T1"),
    ("T1 x", "PUT x; PUT x If: (<T1>)", "423; 204", "~x"),
    ("T1 x", "DELETE x If: (<T1>)", "204", "-x -T1"),
    ("T1 x", "MKCOL x If: (<T1>)", "405", ""),
    # ---- items of a batch: each as a PUT of the same bytes
    ("", "POST . Items: x y", "207 x=201 y=201", "+x +y"),
    ("file x; T1 x", "POST . Items: x y", "207 x=423:lock-token-submitted y=201", "+y"),
    ("file x; T1 x", "POST . Items: x/(<T1>) y", "207 x=204 y=201", "~x +y"),
    ("file x; T1 x", "POST . Items: x y/(<T0>)", "207 x=423:lock-token-submitted y=412", ""),
    ("file x; T1 x", "POST . Items: x | If: <@x> (<T1>)", "207 x=204", "~x"),
    ("file x; T1 x", "bob POST . Items: x/(<T1>) | If: <@x> (<T1>)", "207 x=423:lock-token-submitted", ""),
    ("file x; T1 x", "POST . Items: x | If: (<T1>)", "412", ""),
    ("coll d; file d/x; T1 d", "POST d Items: d/x d/new", "207 d/x=204 d/new=423:lock-token-submitted", "~d/x"),
    ("coll d; file d/x; T1 d", "POST d Items: d/x d/new | If: (<T1>)", "207 d/x=204 d/new=201", "~d/x +d/new"),
    ("coll d; T1 d", "POST . Items: d/e/x y", "207 d/e/x=423:lock-token-submitted y=201", "+y"),
    ("coll d; T1 d", "POST . Items: d/e/x | If: <@d> (<T1>)", "207 d/e/x=201", "+d/e +d/e/x"),
    ("coll d; T1 d inf", "POST d Items: d/x | If: (<T1>)", "207 d/x=201", "+d/x"),
    ("coll d; T1 d inf", "POST d Items: d/x", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "bob POST d Items: d/x | If: (<T1>)", "207 d/x=423:lock-token-submitted", ""),
    ("coll d; T1 d inf", "POST d Items: d/x/(<T1>)", "423 lock-token-submitted d", ""),
    # ---- one new member by POST (RFC 5995)
    ("", "ADD .", "201", "+x"),
    ("coll d; T1 d", "ADD d", "423 lock-token-submitted d", ""),
    ("coll d; T1 d", "ADD d If: (<T1>)", "201", "+d/x"),
    ("coll d; T1 d", "bob ADD d If: (<T1>)", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "ADD d", "423 lock-token-submitted d", ""),
    ("coll d; T1 d inf", "ADD d If: (<T0>)", "412", ""),
    ("", "ADD none If: (<T0>)", "404", ""),
]

_LOCKINFO = '<lockinfo xmlns="DAV:"><lockscope><{}/></lockscope><locktype><write/></locktype></lockinfo>'
_SET = '<{} xmlns="DAV:"><set><prop>{}</prop></set></{}>'
_OURS, _PROTECTED = '<p xmlns="urn:t">v</p>', "<getetag>v</getetag>"
_XML = {"Content-Type": "application/xml"}

#: Method, headers and body of what the table calls a verb.
VERBS: Mapping[str, tuple[str, dict[str, str], str]] = {
    "PUT": ("PUT", {}, "new"),
    "BIG": ("PUT", {}, "x" * 1001),
    "PATCH": ("PATCH", {"Content-Type": "application/x-sabredav-partialupdate", "X-Update-Range": "append"}, "new"),
    "XMKCOL": ("MKCOL", _XML, _SET.format("mkcol", _OURS.replace("p", "q"), "mkcol")),
    "BADMKCOL": ("MKCOL", _XML, _SET.format("mkcol", _PROTECTED, "mkcol")),
    "PROPPATCH": ("PROPPATCH", _XML, _SET.format("propertyupdate", _OURS, "propertyupdate")),
    "BADPROPS": ("PROPPATCH", _XML, _SET.format("propertyupdate", _PROTECTED, "propertyupdate")),
    "PROPFIND": ("PROPFIND", {"Depth": "0", **_XML}, '<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'),
    "LOCK": ("LOCK", {"Timeout": "Second-600", **_XML}, _LOCKINFO.format("exclusive")),
    "SHARE": ("LOCK", {"Timeout": "Second-600", **_XML}, _LOCKINFO.format("shared")),
    "REFRESH": ("LOCK", {"Timeout": "Second-7200"}, ""),
    "ADD": ("POST", {"Slug": "x"}, "new"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("gate")) as found:
        yield found


@dataclass
class Table:
    """The collection of one row, and the names that its cells use."""

    server: Server
    base: str
    tokens: dict[str, str] = field(default_factory=lambda: {"T0": "urn:uuid:00000000-0000-4000-8000-000000000000"})

    def prepare(self, before: str) -> None:
        for words in (step.split() for step in before.split(";") if step.strip()):
            match words:
                case ["file", name]:
                    assert self._send("alice", "PUT", self._href(name), {}, b"old").status == 201
                case ["coll", name]:
                    assert self._send("alice", "MKCOL", self._href(name), {}).status == 201
                case ["expire", token]:
                    self.server.expire(self.tokens[token])
                case [token, name, *options]:
                    self._lock(token, name, options)

    def _lock(self, token: str, name: str, options: list[str]) -> None:
        method, headers, body = VERBS["SHARE" if "shared" in options else "LOCK"]
        headers = {**headers, "Depth": "infinity" if "inf" in options else "0"}
        principal = "bob" if "bob" in options else "alice"
        answer = self._send(principal, method, self._href(name), headers, body.encode())
        assert answer.status in (200, 201), answer.body
        self.tokens[token] = answer.headers["Lock-Token"].strip("<>")

    def ask(self, request: str) -> str:
        """The answer as the table writes it."""
        words = request.split()
        principal = words.pop(0) if words[0] in (*PASSWORDS, "nobody") else "alice"
        verb, name = words.pop(0), words.pop(0)
        to = words.pop(0) if words and not words[0].endswith(":") else None
        fields = dict(cell.strip().split(": ", 1) for cell in " ".join(words).split("|") if cell.strip())
        method, headers, text = VERBS.get(verb, (verb, {}, ""))
        body, items = fields.pop("Body", text).encode(), fields.pop("Items", None)
        headers = {**headers, **{key: self._value(value) for key, value in fields.items()}}
        target = self._href(name) + ("?add-member" if verb == "ADD" else "")
        if to is not None:
            headers["Destination"] = f"http://{self.server.authority}{self._href(to)}"
        if items is not None:
            headers["Content-Type"] = f"multipart/mixed; boundary={BOUNDARY}"
            body = multipart(self._item(item) for item in items.split())
        return self._told(self._send(principal, method, target, headers, body))

    def _item(self, item: str) -> bytes:
        name, opening, condition = item.partition("/(")
        own = {"If": self._value(opening[1:] + condition)} if opening else {}
        return mixed_part(self._href(name), b"new", **own)

    def _send(self, principal: str, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        return self.server.request(principal, method, target, headers, body)

    def _href(self, name: str) -> str:
        return f"{self.base}/" if name == "." else f"{self.base}/{name}"

    def _value(self, cell: str) -> str:
        cell = re.sub(r"\bT[0-9]\b", lambda found: self.tokens[found[0]], cell)
        cell = re.sub(r"([EW])\(([a-z/]+)\)", lambda found: self._etag(*found.groups()), cell)
        cell = re.sub(r"@@([a-z/]+)", lambda found: f"http://{self.server.authority}{self._href(found[1])}", cell)
        return re.sub(r"@([a-z/]+)", lambda found: self._href(found[1]), cell)

    def _etag(self, kind: str, name: str) -> str:
        etag = self._send("alice", "HEAD", self._href(name), {}).headers["ETag"]
        return f"W/{etag}" if kind == "W" else etag

    def _told(self, answer: Answer) -> str:
        if answer.status == 207:
            rows = ((self._name(row.href), row.status, row.error) for row in answer.rows)
            return " ".join(["207", *(f"{name}={code}" + (f":{error}" if error else "") for name, code, error in rows)])
        if answer.status < 400 or answer.status == 424:
            return str(answer.status)
        href = answer.xml.findtext(".//{DAV:}href")
        return " ".join(word for word in (str(answer.status), answer.error, href and self._name(href)) if word)

    def _name(self, href: str) -> str:
        assert href.startswith(self.base), href
        return href.removeprefix(self.base).strip("/") or "."

    def changes(self, before: Mapping[str, Shown], after: Mapping[str, Shown]) -> set[str]:
        found = {f"+{name}" for name in after.keys() - before.keys()}
        found |= {f"-{name}" for name in before.keys() - after.keys()}
        for name in before.keys() & after.keys():
            was, now = before[name], after[name]
            found |= {f"~{name}"} if (was.collection, was.etag) != (now.collection, now.etag) else set()
            found |= {f"p:{name}"} if was.dead != now.dead else set()
        return found | self._lock_changes(before, after)

    def _lock_changes(self, before: Mapping[str, Shown], after: Mapping[str, Shown]) -> set[str]:
        names = {token: name for name, token in self.tokens.items()}
        locks = {token: root for shown in after.values() for token, root in shown.locks.items()}
        ends = {token: seconds for shown in after.values() for token, seconds in shown.timeouts.items()}
        found = {f"+L:{root}" for token, root in locks.items() if token not in names}
        found |= {f"-{name}" for token, name in names.items() if token not in locks and name != "T0"}
        return found | {f"^{names[token]}" for token, seconds in ends.items() if token in names and seconds > 1000}


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row[1]} | {row[0]}" for row in ROWS])
def test_gate(shared: Server, number: int) -> None:
    before, requests, answers, changed = ROWS[number]
    base = f"/{number}"
    assert shared.request("alice", "MKCOL", base).status == 201
    table = Table(shared, base)
    table.prepare(before)
    standing = shared.tree(base + "/")
    single = ";" not in requests
    told = [table.ask(request.strip()) for request in requests.split(";")]
    # Of several requests only the statuses are written down.
    assert "; ".join(told if single else (answer.split()[0] for answer in told)) == answers
    assert table.changes(standing, shared.tree(base + "/")) == set(changed.split())


def test_the_table_is_whole() -> None:
    """Every verb that writes stands in rows of success, of 412 and of 423, and none stands there twice."""
    assert len(ROWS) >= 150
    assert len({(row[0], row[1]) for row in ROWS}) == len(ROWS)
    statuses: dict[str, set[str]] = {}
    for _, request, answer, _ in ROWS:
        words = request.split(";")[0].split()
        verb = words[1] if words[0] in (*PASSWORDS, "nobody") else words[0]
        statuses.setdefault(verb, set()).add(answer.split(";")[0].split()[0])
    for verb in ("PUT", "PATCH", "MKCOL", "DELETE", "PROPPATCH", "COPY", "MOVE", "LOCK", "ADD"):
        assert {"412", "423"} < statuses[verb], verb
