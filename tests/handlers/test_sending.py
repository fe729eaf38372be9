"""Files that are larger than what a socket takes at once: whole, in parts, cut short by hand, left by their reader."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from pathlib import Path

import pytest
from tests.harness import Client, read_head, read_response

#: More than the buffers of both ends hold, and than one step sends.
SIZE = 20_000_003
NEXT = b"OPTIONS / HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture
def data(folder: Path) -> bytes:
    found = random.Random(6).randbytes(SIZE)
    (folder / "a").write_bytes(found)
    return found


async def opened(client: Client, *fields: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose reader holds little, and on which the file has been asked for."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", client.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=65_536)
    writer.write("\r\n".join(["GET /a HTTP/1.1", "Host: test", *fields, "", ""]).encode() + NEXT)
    return reader, writer


async def test_whole(client: Client, data: bytes) -> None:
    reader, writer = await opened(client)
    status, headers = await read_head(reader)
    assert (status, headers["Content-Length"]) == (200, str(SIZE))
    assert await reader.readexactly(SIZE) == data
    assert (await read_response(reader)).status == 200, "the connection goes on"
    writer.close()


async def test_parts(client: Client, data: bytes) -> None:
    """Small ones and large ones."""
    ranges = ((5, 5), (100, 1_000_000), (3_000_000, SIZE - 2))
    answer = await client.request("GET", "/a", Range="bytes=" + ",".join(f"{start}-{stop}" for start, stop in ranges))
    assert answer.status == 206
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    first, *parts, last = answer.body.split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [data[start : stop + 1] for start, stop in ranges]
    one = await client.request("GET", "/a", Range=f"bytes=7-{SIZE - 9}")
    assert one.body == data[7 : SIZE - 8]


async def test_cut_short_by_hand(client: Client, folder: Path, data: bytes) -> None:
    """The end of the connection tells it."""
    reader, writer = await opened(client)
    await read_head(reader)
    # At the end of a page: nothing copies what is on its way, so the rest of a page would be seen to become zeros.
    os.truncate(folder / "a", 65_536)
    received = await reader.read(-1)
    assert len(received) < SIZE
    assert data.startswith(received)
    writer.close()


async def test_left_by_its_reader(client: Client, folder: Path, data: bytes) -> None:
    def held() -> bool:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return os.fspath(folder / "a") in {os.readlink(link) for link in links if os.path.lexists(link)}

    reader, writer = await opened(client)
    await read_head(reader)
    assert held()
    writer.transport.abort()
    async with asyncio.timeout(10):
        while held():
            await asyncio.sleep(0.01)
    assert (await client.request("GET", "/a", Range="bytes=0-9")).body == data[:10]
