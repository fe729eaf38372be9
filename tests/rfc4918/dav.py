"""Requests of RFC 4918 as one line each, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lxml import etree
from tests.harness import Answer, Client

D = "{DAV:}"
X = "{urn:x}"


class Locked(NamedTuple):
    """An answer to LOCK that granted one; ``header`` submits its token."""

    answer: Answer
    token: str

    @property
    def header(self) -> str:
        return f"(<{self.token}>)"


def lockinfo(scope: str = "exclusive", owner: str = "") -> bytes:
    kind = "<D:locktype><D:write/></D:locktype>"
    return f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>{kind}{owner}</D:lockinfo>'.encode()


async def lock(client: Client, target: str, scope: str = "exclusive", owner: str = "", **headers: str) -> Locked:
    """A lock that must be granted; of depth 0 unless said otherwise."""
    answer = await client.request("LOCK", target, lockinfo(scope, owner), **{"Depth": "0", **headers})
    assert answer.status in (200, 201), answer.body
    return Locked(answer, answer.headers["Lock-Token"].strip("<>"))


async def put(client: Client, target: str, body: bytes = b"contents", **headers: str) -> Answer:
    answer = await client.request("PUT", target, body, **headers)
    assert answer.status in (201, 204), answer.body
    return answer


async def mkcol(client: Client, *targets: str) -> None:
    for target in targets:
        assert (await client.request("MKCOL", target)).status == 201, target


def update(*instructions: str) -> bytes:
    """A propertyupdate; in the instructions the prefix ``x`` is ``urn:x``."""
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">{"".join(instructions)}</D:propertyupdate>'.encode()


def setting(element: str) -> str:
    return f"<D:set><D:prop>{element}</D:prop></D:set>"


def removing(element: str) -> str:
    return f"<D:remove><D:prop>{element}</D:prop></D:remove>"


async def proppatch(client: Client, target: str, *instructions: str, **headers: str) -> Answer:
    return await client.request("PROPPATCH", target, update(*instructions), **headers)


async def set_x(client: Client, target: str, value: str = "kept", **headers: str) -> None:
    """Give a dead property ``{urn:x}a`` to a resource."""
    answer = await proppatch(client, target, setting(f"<x:a>{value}</x:a>"), **headers)
    assert outcomes(answer) == {f"{X}a": 200}


def asking(inner: str) -> bytes:
    return f'<D:propfind xmlns:D="DAV:" xmlns:x="urn:x">{inner}</D:propfind>'.encode()


async def propfind(client: Client, target: str, inner: str = "", **headers: str) -> Answer:
    """``inner`` stands in the propfind element; none for an empty body. Depth 0 unless said otherwise."""
    body = asking(inner) if inner else None
    return await client.request("PROPFIND", target, body, **{"Depth": "0", **headers})


async def properties(client: Client, target: str, inner: str) -> Mapping[str, etree._Element]:
    """The properties that one resource has, of those named."""
    answer = await propfind(client, target, f"<D:prop>{inner}</D:prop>")
    [row] = answer.rows
    return of_status(row.element, 200)


async def x_of(client: Client, target: str) -> str | None:
    """What :func:`set_x` set."""
    found = (await properties(client, target, "<x:a/>")).get(f"{X}a")
    return None if found is None else found.text


def of_status(row: etree._Element, status: int) -> Mapping[str, etree._Element]:
    """The properties in the propstat of this status."""
    return {
        str(element.tag): element
        for propstat in row.iterfind(f"{D}propstat")
        if f" {status} " in (propstat.findtext(f"{D}status") or "")
        for element in propstat.iterfind(f"{D}prop/*")
    }


def outcomes(answer: Answer) -> Mapping[str, int]:
    """What became of each property in an answer about one resource."""
    assert answer.status == 207, answer.body
    [row] = answer.rows
    return {
        str(element.tag): int((propstat.findtext(f"{D}status") or "").split()[1])
        for propstat in row.element.iterfind(f"{D}propstat")
        for element in propstat.iterfind(f"{D}prop/*")
    }


async def locks_of(client: Client, target: str) -> list[str]:
    """The tokens in the lockdiscovery of a resource."""
    found = (await properties(client, target, "<D:lockdiscovery/>"))[f"{D}lockdiscovery"]
    return [href.text or "" for href in found.iterfind(f"{D}activelock/{D}locktoken/{D}href")]


async def hrefs(client: Client, target: str, depth: str = "infinity") -> set[str]:
    return {row.href for row in (await propfind(client, target, Depth=depth)).rows}


async def status(client: Client, method: str, target: str, **headers: str) -> int:
    return (await client.request(method, target, **headers)).status
