"""LOCK and UNLOCK on the wire (RFC 4918 §6, §9.10, §9.11, §10.5, §10.7, §14, §15.8, §15.10).

Reads ``Timeout``, ``Lock-Token`` and the body of LOCK; writes ``lockdiscovery`` and ``supportedlock``. What is written
uses the prefix ``D`` for DAV: and leaves its declaration to the document.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lxml import etree

from partwise.errors import DAV_NS, Issue, Malformed, SchemaInvalid, TooLarge
from partwise.protocol.multistatus import DECLARATION, text
from partwise.protocol.quirks import bare_token
from partwise.protocol.xml_bodies import parse_body, standalone

__all__ = [
    "MAX_OWNER",
    "NO_LOCK",
    "SUPPORTED_LOCK",
    "LockInfo",
    "active_lock",
    "lock_document",
    "parse_lock_token",
    "parse_lockinfo",
    "parse_timeout",
]

#: The state token that no lock has (RFC 4918 §10.4.8).
NO_LOCK = "DAV:no-lock"

#: Bytes of an owner element: it is kept with the lock and told in every lockdiscovery; names and addresses need far less.
MAX_OWNER = 4096

# RFC 4918 §10.7: "The timeout value for TimeType 'Second' MUST NOT be greater than 2^32-1". Ten digits hold that.
# A lock of no seconds is none, and some mean "never ends" by it: Second-0 is passed over like what is not understood.
_SECONDS = re.compile(r"(?i:second)-0*+([0-9]++)")
_MOST_DIGITS = 10

_LOCK_TOKEN = re.compile(r"<([A-Za-z][A-Za-z0-9+.\-]*+:[^<>\x00-\x20\x7f]++)>")

_LOCKINFO = f"{{{DAV_NS}}}lockinfo"
_LOCKSCOPE = f"{{{DAV_NS}}}lockscope"
_LOCKTYPE = f"{{{DAV_NS}}}locktype"
_EXCLUSIVE = f"{{{DAV_NS}}}exclusive"
_SHARED = f"{{{DAV_NS}}}shared"
_WRITE = f"{{{DAV_NS}}}write"
_OWNER = f"{{{DAV_NS}}}owner"

#: What stands in ``D:supportedlock`` of every resource (§15.10).
SUPPORTED_LOCK = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)


@dataclass(frozen=True, slots=True)
class LockInfo:
    """The write lock that a LOCK asks for.

    ``owner`` is the client's whole ``DAV:owner`` element as text that can be put into any document, empty if it sent none.
    """

    exclusive: bool
    owner: str


def parse_timeout(value: str | None, *, default: float, longest: float) -> float:
    """The seconds granted for a ``Timeout`` header; ``None`` is an absent one.

    The client's alternatives stand in the order it prefers them, and any of them can be granted, ``Infinite`` and what is
    longer than ``longest`` as ``longest``: so the first that is understood counts. Never raises: §10.7 leaves the time to
    the server, and a lock that ends too early is noticed, while one refused for a header that nobody sees is not.
    """
    for item in (value or "").split(","):
        wanted = item.strip(" \t")
        if wanted.lower() == "infinite":
            return longest
        found = _SECONDS.fullmatch(wanted)
        if found is not None:
            return min(float(found[1]), longest) if len(found[1]) <= _MOST_DIGITS else longest
    return default


def parse_lock_token(value: str | None) -> str:
    """The token in a ``Lock-Token`` request header; ``None`` is an absent one.

    Raises ``Malformed``. Source: RFC 4918 §10.5: Coded-URL.
    """
    # §9.11: "UNLOCK requests MUST include a Lock-Token header"; §9.11.1: 400 "No lock token was provided".
    if value is None:
        raise Malformed("UNLOCK needs a Lock-Token header with the token that LOCK gave, like <urn:uuid:…>.")
    if (bare := bare_token(value)) is not None:
        return bare
    found = _LOCK_TOKEN.fullmatch(value.strip(" \t"))
    if found is None:
        raise Malformed("The Lock-Token header must hold one lock token in angle brackets, like <urn:uuid:…>.")
    return found[1]


def parse_lockinfo(body: bytes) -> LockInfo:
    """What the body of a LOCK asks for; a LOCK without a body refreshes, and has no lockinfo (RFC 4918 §9.10.2).

    Raises what :func:`~partwise.protocol.xml_bodies.parse_body` raises; ``SchemaInvalid`` if the root is not
    ``DAV:lockinfo``, if it does not hold exactly one ``lockscope`` with exactly one of ``exclusive`` and ``shared`` and
    exactly one ``locktype`` with ``write``, or holds two owners; ``TooLarge`` for an owner of more than ``MAX_OWNER``
    bytes. Elements that are not expected are ignored (§17). Source: RFC 4918 §14.11.
    """
    root = parse_body(body)
    if root.tag != _LOCKINFO:
        raise _invalid("the root element must be lockinfo in the namespace DAV:", root)
    scope = _only(root, "lockscope", _LOCKSCOPE)
    asked = list(scope.iterchildren(_EXCLUSIVE, _SHARED))
    if len(asked) != 1:
        raise _invalid("lockscope must hold exactly one of exclusive and shared", scope)
    kind = _only(root, "locktype", _LOCKTYPE)
    if next(kind.iterchildren(_WRITE), None) is None:
        raise _invalid("locktype must hold write, the only type of lock there is", kind)
    owners = list(root.iterchildren(_OWNER))
    if len(owners) > 1:
        raise _invalid("lockinfo may hold only one owner", owners[1])
    return LockInfo(asked[0].tag == _EXCLUSIVE, _owner(owners[0]) if owners else "")


def _only(parent: etree._Element, name: str, tag: str) -> etree._Element:
    found = list(parent.iterchildren(tag))
    if len(found) != 1:
        raise _invalid(f"lockinfo must hold exactly one {name}", parent)
    return found[0]


def _owner(element: etree._Element) -> str:
    """The element as text that means the same wherever it is put. Raises TooLarge."""
    serialised = standalone(element)
    if len(serialised.encode()) > MAX_OWNER:
        raise TooLarge(
            f"The owner of the lock is longer than {MAX_OWNER} bytes; send a name or an address only.", limit=MAX_OWNER
        )
    return serialised


def _invalid(what: str, where: etree._Element) -> SchemaInvalid:
    issue = Issue(what, line=where.sourceline)
    return SchemaInvalid(f"The LOCK body is wrong: {what}; see RFC 4918, section 14.11.", issues=(issue,))


def active_lock(*, exclusive: bool, infinite: bool, owner: str, remaining: float, token: str, root: str) -> str:
    """One ``D:activelock``, its children in the order of §14.1.

    ``owner`` is the text of a whole element, as in :class:`LockInfo`, or empty; ``remaining`` are seconds, told in whole
    ones; ``token`` is a URI; ``root`` an href, percent-encoded.
    """
    return (
        f"<D:activelock><D:lockscope><D:{'exclusive' if exclusive else 'shared'}/></D:lockscope>"
        f"<D:locktype><D:write/></D:locktype><D:depth>{'infinity' if infinite else '0'}</D:depth>{owner}"
        f"<D:timeout>Second-{max(0, math.ceil(remaining))}</D:timeout>"
        f"<D:locktoken><D:href>{text(token)}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{text(root)}</D:href></D:lockroot></D:activelock>"
    )


def lock_document(inner: str) -> str:
    """The body of an answer to LOCK: ``D:prop`` with ``D:lockdiscovery``, which holds ``inner`` (RFC 4918 §9.10.1)."""
    return f'{DECLARATION}<D:prop xmlns:D="{DAV_NS}"><D:lockdiscovery>{inner}</D:lockdiscovery></D:prop>\n'
