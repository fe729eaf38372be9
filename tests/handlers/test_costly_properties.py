"""Properties that cost much: sync-tokens of large trees, and lockdiscovery where many locks cover a resource."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client
from tests.rfc4918.dav import D, lock, lockinfo, mkcol, put

from partwise.actions.expand import MAX_TOKENS, expand
from partwise.actions.lock import MAX_COVERING
from partwise.actions.properties import Findings, View
from partwise.actions.propfind import propfind
from partwise.errors import DAV_NS
from partwise.protocol.limits import Limits
from partwise.protocol.paths import Mount
from partwise.protocol.preferences import Depth
from partwise.protocol.propfind import AllProp, Prop
from partwise.protocol.reports import Expand, ExpandProperty
from partwise.storage.local.store import LocalStore

TOKEN = Prop((f"{{{DAV_NS}}}sync-token",))
REFERS = "{urn:x}refers"
LIMITS = Limits(1, 1, None, None, (), (), (), ())


# -- sync-tokens


@pytest.fixture
def view(folder: Path) -> Iterator[View]:
    """Of a tree with twelve collections of 257 files, which take at least two steps each to compare."""
    for number in range(12):
        (folder / f"c{number}").mkdir()
        for name in range(257):
            (folder / f"c{number}" / f"{name}").touch()
    store = LocalStore(os.fspath(folder))
    yield View(store, Mount(), None, lambda: 0.0, LIMITS)
    store.close()


def made(blocks: Iterator[bytes]) -> tuple[bytes, int]:
    """A document, and after how many steps it was complete."""
    found = list(blocks)
    return b"".join(found), found.count(b"")


@pytest.mark.parametrize(("depth", "tokens"), [(Depth.ZERO, 1), (Depth.ONE, 13), (Depth.INFINITY, 0)])
def test_others_may_use_the_thread_between_two_steps(view: View, depth: Depth, tokens: int) -> None:
    document, steps = made(propfind(view, (), depth, TOKEN))
    assert document.count(b"urn:partwise:sync:") == tokens
    assert steps >= (24 if tokens else 0)
    assert not view.findings.compared, "memory grows with the collections"


def test_a_token_that_allprop_is_to_include(view: View) -> None:
    assert made(propfind(view, (), Depth.ZERO, AllProp(TOKEN.names)))[0].count(b"urn:partwise:sync:") == 1


def expanded(view: View, *references: str) -> tuple[bytes, int]:
    element = "".join(f"<D:href>{reference}</D:href>" for reference in references)
    element = f'<x:refers xmlns:x="urn:x" xmlns:D="DAV:">{element}</x:refers>'
    view.store.set_properties((), {REFERS: element}, lambda _: None)
    asked = ExpandProperty((Expand(REFERS, (Expand(TOKEN.names[0], ()),)),))
    return made(expand(view, (), asked, lambda reference: view.mount.locate(reference, ())))


def test_a_tree_is_compared_once_however_often_it_is_referred_to(view: View) -> None:
    made(propfind(view, (), Depth.ZERO, TOKEN))  # what is new takes steps of its own
    _, once = expanded(replace(view, findings=Findings()), "/c0/")
    document, steps = expanded(replace(view, findings=Findings()), *["/c0/"] * 50)
    assert once
    assert (document.count(b"urn:partwise:sync:"), steps) == (50, once)


def test_few_trees_are_compared_for_one_answer(view: View) -> None:
    document, _ = expanded(view, *(f"/c{number}/" for number in range(12)))
    assert document.count(b"urn:partwise:sync:") == MAX_TOKENS
    assert document.count(b"<D:sync-token/>") == 12 - MAX_TOKENS


SYNC = (
    '<sync-collection xmlns="DAV:"><sync-token>{}</sync-token><sync-level>{}</sync-level><prop><sync-token/></prop>{}'
)


@pytest.mark.parametrize("level", ["1", "infinite"])
async def test_tokens_of_collections_that_have_changed(client: Client, level: str) -> None:
    await mkcol(client, "/c/", "/c/d/")
    answer = await client.request("REPORT", "/", SYNC.format("", level, "</sync-collection>").encode())
    tokens = {row.href: row.element.findtext(f".//{D}sync-token") for row in answer.rows}
    assert set(tokens) == ({"/c/", "/c/d/"} if level == "infinite" else {"/c/"})
    await put(client, "/c/d/e")
    for href, token in tokens.items():
        again = await client.request("REPORT", href, SYNC.format(token, "infinite", "</sync-collection>").encode())
        assert [row.href for row in again.rows if not row.href.endswith("/")] == ["/c/d/e"]


async def test_a_client_that_does_not_wait(folder: Path, serve: Serve) -> None:
    """What is computed for somebody who has gone is given up, so that the server can end."""
    for number in range(60):
        (folder / f"c{number}").mkdir()
    client = await serve()
    body = b'<propfind xmlns="DAV:"><prop><sync-token/></prop></propfind>'
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"PROPFIND / HTTP/1.1\r\nHost: 127.0.0.1\r\nDepth: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.transport.abort()
    await put(client, "/a")


# -- locks


async def refused(client: Client, target: str, **headers: str) -> Answer:
    answer = await client.request("LOCK", target, lockinfo("shared"), **headers)
    assert (answer.status, answer.error) == (423, "no-conflicting-lock"), answer.body
    return answer


async def test_shared_locks_have_a_bound(client: Client) -> None:
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    half = MAX_COVERING // 2
    for _ in range(half):
        await lock(client, "/c/", "shared", Depth="infinity")
    locks = [await lock(client, "/c/a", "shared") for _ in range(MAX_COVERING - half)]
    await refused(client, "/c/a", Depth="0")
    # One for the collection would be one too many for its member.
    answer = await refused(client, "/c/", Depth="infinity")
    assert b"<D:href>/c/</D:href>" in answer.body
    await refused(client, "/", Depth="infinity")
    await lock(client, "/c/", "shared", Depth="0")
    unlocked = await client.request("UNLOCK", "/c/a", Lock_Token=f"<{locks[0].token}>")
    assert unlocked.status == 204
    await lock(client, "/c/", "shared", Depth="infinity")


async def test_each_member_is_told_its_own_locks(client: Client) -> None:
    await mkcol(client, "/c/")
    for name in "abcd":
        await put(client, f"/c/{name}")
    whole = await lock(client, "/c/", "shared", Depth="infinity")
    own = {name: await lock(client, f"/c/{name}", "shared") for name in "bd"}
    body = b'<propfind xmlns="DAV:"><prop><lockdiscovery/></prop></propfind>'
    for row in (await client.request("PROPFIND", "/c/", body, Depth="1")).rows:
        tokens = [found.text for found in row.element.iterfind(f".//{D}locktoken/{D}href")]
        name = row.href.removeprefix("/c/")
        assert tokens == [whole.token, *([own[name].token] if name in own else [])], row.href
