"""PROPFIND over a real socket."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import struct
import threading
from pathlib import Path

import pytest
from lxml import etree
from tests.conftest import Serve
from tests.harness import Client

from partwise.handlers.context import SERVICES

D = "{DAV:}"


@pytest.fixture
def tree(folder: Path) -> Path:
    (folder / "c" / "d").mkdir(parents=True)
    (folder / "a&b.txt").write_bytes(b"0123456789")
    (folder / "c" / "d" / "e").write_bytes(b"")
    return folder


def properties(row: etree._Element, status: int = 200) -> dict[str, str | None]:
    for propstat in row.iterfind(f"{D}propstat"):
        if f" {status} " in (propstat.findtext(f"{D}status") or ""):
            found = propstat.find(f"{D}prop")
            assert found is not None
            return {str(child.tag): child.text for child in found}
    return {}


@pytest.mark.parametrize(
    ("depth", "hrefs"),
    [
        ("0", {"/"}),
        ("1", {"/", "/a%26b.txt", "/c/"}),
        ("infinity", {"/", "/a%26b.txt", "/c/", "/c/d/", "/c/d/e"}),
        (None, {"/", "/a%26b.txt", "/c/", "/c/d/", "/c/d/e"}),
    ],
)
async def test_depth(tree: Path, client: Client, depth: str | None, hrefs: set[str]) -> None:
    answer = await client.request("PROPFIND", "/", **({} if depth is None else {"Depth": depth}))
    assert answer.status == 207
    assert {row.href for row in answer.rows} == hrefs


async def test_allprop(tree: Path, client: Client) -> None:
    answer = await client.request("PROPFIND", "/", Depth="1")
    rows = {row.href: row.element for row in answer.rows}
    found = properties(rows["/a%26b.txt"])
    head = await client.request("HEAD", "/a%26b.txt")
    assert found[f"{D}getcontentlength"] == "10"
    assert found[f"{D}getetag"] == head.headers["ETag"]
    assert found[f"{D}getlastmodified"] == head.headers["Last-Modified"]
    assert found[f"{D}getcontenttype"] == "text/plain"
    assert f"{D}getetag" not in properties(rows["/c/"])
    assert rows["/c/"].find(f".//{D}resourcetype/{D}collection") is not None


async def test_prop(tree: Path, client: Client) -> None:
    body = (
        '<D:propfind xmlns:D="DAV:" xmlns:x="urn:x&amp;y"><D:prop><D:getetag/><x:other/><none xmlns=""/>'
        "<D:nosuch/><D:getcontentlength/></D:prop></D:propfind>"
    )
    answer = await client.request("PROPFIND", "/c/", body.encode(), Depth="0")
    [row] = answer.rows
    assert properties(row.element) == {}
    assert set(properties(row.element, 404)) == {
        f"{D}getetag",
        f"{D}getcontentlength",
        f"{D}nosuch",
        "{urn:x&y}other",
        "none",
    }
    [row] = (await client.request("PROPFIND", "/c/d/e", body.encode(), Depth="0")).rows
    assert set(properties(row.element)) == {f"{D}getetag", f"{D}getcontentlength"}


async def test_propname_and_include(tree: Path, client: Client) -> None:
    body = b'<propfind xmlns="DAV:"><propname/></propfind>'
    [row] = (await client.request("PROPFIND", "/c/d/e", body, Depth="0")).rows
    names = properties(row.element)
    assert f"{D}getetag" in names and set(names.values()) == {None}
    body = b'<propfind xmlns="DAV:"><allprop/><include><x xmlns="urn:x"/><getetag/></include></propfind>'
    [row] = (await client.request("PROPFIND", "/c/d/e", body, Depth="0")).rows
    assert f"{D}getetag" in properties(row.element) and set(properties(row.element, 404)) == {"{urn:x}x"}


@pytest.mark.parametrize(
    ("body", "depth", "status", "error"),
    [
        (b"<propfind", "0", 400, "not-well-formed"),
        (b'<propfind xmlns="DAV:"><prop><bar:foo xmlns:bar=""/></prop></propfind>', "0", 400, "not-well-formed"),
        (b"<x/>", "0", 422, "schema-invalid"),
        (
            b'<!DOCTYPE x [<!ENTITY a "b">]><propfind xmlns="DAV:"><allprop/></propfind>',
            "0",
            403,
            "no-external-entities",
        ),
        (b"", "2", 400, "malformed"),
        (b" " * 1_100_000, "0", 413, "too-large"),
    ],
)
async def test_refused(client: Client, body: bytes, depth: str, status: int, error: str) -> None:
    answer = await client.request("PROPFIND", "/", io.BytesIO(body), Depth=depth)
    assert (answer.status, answer.error) == (status, error)


async def test_a_document_type_is_not_even_looked_at(client: Client, tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would hang."""
    os.mkfifo(tmp_path / "pipe")
    body = f'<!DOCTYPE propfind SYSTEM "{tmp_path}/pipe"><propfind xmlns="DAV:"><allprop/></propfind>'
    answer = await asyncio.wait_for(client.request("PROPFIND", "/", body.encode(), Depth="0"), 20)
    assert (answer.status, answer.error) == (403, "no-external-entities")


async def test_infinity_may_be_forbidden(tree: Path, serve: Serve) -> None:
    client = await serve(infinite_depth=False)
    for headers in ({"Depth": "infinity"}, {}):
        answer = await client.request("PROPFIND", "/", **headers)
        assert (answer.status, answer.error) == (403, "propfind-finite-depth")
    assert (await client.request("PROPFIND", "/", Depth="1")).status == 207


async def test_names_that_xml_cannot_hold(tree: Path, client: Client) -> None:
    with open(str(tree).encode() + b"/\xff\x01<>", "wb"):
        pass
    answer = await client.request("PROPFIND", "/", Depth="1")
    hrefs = [row.href for row in answer.rows]
    assert "/%FF%01%3C%3E" in hrefs
    assert (await client.request("GET", "/%FF%01%3C%3E")).status == 200
    assert (await client.request("DELETE", "/%FF%01%3C%3E")).status == 204


async def test_readers_that_stall_in_the_middle_of_a_listing(folder: Path, client: Client) -> None:
    """They hold no thread, so that others go on; and when they are gone nothing stays open."""
    for number in range(8000):
        (folder / f"{'ü' * 100}{number}").touch()
    assert (await client.request("PROPFIND", "/", Depth="0")).status == 207
    before = len(os.listdir("/proc/self/fd"))
    stalled = [socket.socket() for _ in range(3)]
    for connection in stalled:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", client.port))
        connection.send(b"PROPFIND / HTTP/1.1\r\nHost: a\r\nDepth: infinity\r\n\r\n")
    answer = await asyncio.wait_for(client.request("PROPFIND", "/", Depth="1"), 20)
    assert len(answer.rows) == 8001
    assert len(os.listdir("/proc/self/fd")) > before + 2 * len(stalled)
    for connection in stalled:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    async with asyncio.timeout(20):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.01)


async def test_one_resource_waits_for_no_walk(tree: Path, client: Client) -> None:
    assert client.server is not None
    hop, go_on = client.server.app[SERVICES].hop, threading.Event()
    walks = [asyncio.create_task(lane.run(go_on.wait)) for lane in hop._walks]
    try:
        await asyncio.sleep(0)
        answer = await asyncio.wait_for(client.request("PROPFIND", "/c/", Depth="0"), 20)
        assert [row.href for row in answer.rows] == ["/c/"]
    finally:
        go_on.set()
    await asyncio.gather(*walks)
