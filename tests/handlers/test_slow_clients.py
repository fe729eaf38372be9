"""Clients that are slow, stall or never stop, over a real socket: they are ended, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
import time

import pytest
from tests.conftest import Serve
from tests.handlers.test_post import files
from tests.handlers.test_wire import request
from tests.harness import Answer, Client, form_part, multipart, read_head, read_response

from partwise import Candidate, Validator
from partwise.handlers import wire

PUT = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
#: Seconds in which everything here ends by far.
PATIENCE = 20


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    return await asyncio.wait_for(reader.read(), PATIENCE)


async def last_answer(reader: asyncio.StreamReader) -> Answer:
    answer = await asyncio.wait_for(read_response(reader), PATIENCE)
    assert await ended(reader) == b""
    return answer


async def refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """A dribble is answered with 408, and ended."""

    async def dribble() -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)

    dribbling = asyncio.create_task(dribble())
    try:
        # What was sent when the server had closed meets a reset, which may pass the answer.
        with contextlib.suppress(ConnectionResetError):
            assert (await last_answer(reader)).status == 408
    finally:
        assert not dribbling.done()
        dribbling.cancel()
        writer.close()


async def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    client = await serve(header_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    assert await ended(reader) == b""
    writer.close()


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    client = await serve(keep_alive=0.1, header_timeout=PATIENCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    # An empty line before a request is no beginning of one.
    writer.write(GET + b"\r\n")
    assert (await read_response(reader)).status == 404
    assert await ended(reader) == b""
    writer.close()


@pytest.mark.parametrize("before", [b"", GET])
async def test_a_head_that_stops(serve: Serve, before: bytes) -> None:
    client = await serve(header_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    if before:
        writer.write(before)
        assert (await read_response(reader)).status == 404
    writer.write(GET[:-10])
    answer = await last_answer(reader)
    assert answer.status == 408 and b"head of the request" in answer.body
    writer.close()


async def test_a_head_that_dribbles(serve: Serve) -> None:
    client = await serve(header_timeout=0.1, body_timeout=PATIENCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    await refused(reader, writer, b"GET /" + b"x" * 10_000)


async def test_a_body_that_stops(serve: Serve) -> None:
    client = await serve(body_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(PUT + b"x" * 500)
    answer = await last_answer(reader)
    assert (answer.status, answer.headers["Connection"]) == (408, "close")
    assert files(client.folder) == {}
    writer.close()


@pytest.mark.parametrize("verb", ["PUT", "PROPFIND"])
async def test_a_body_that_dribbles(serve: Serve, verb: str) -> None:
    client = await serve(min_rate=10_000, rate_window=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(PUT.replace(b"PUT", verb.encode()))
    await refused(reader, writer, b"x" * 900)
    assert files(client.folder) == {}


@pytest.mark.parametrize("early", ["always", "never"])
async def test_a_batch_that_stops(serve: Serve, early: str) -> None:
    client = await serve(body_timeout=0.15, early=early)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(request(multipart([form_part("a", b"1"), form_part("b", b"x" * 100)]))[:-50])
    answer = await asyncio.wait_for(read_response(reader), PATIENCE)
    assert (answer.statuses, answer.summary["state"]) == ([201, 408], "aborted")
    assert await ended(reader) == b""
    assert files(client.folder) == {"a": b"1"}
    writer.close()


async def stalled_reader(client: Client, request: bytes) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", client.port))
    await loop.sock_sendall(connection, request)
    return connection


RANGES = b"GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=0-30000000, 30000002-64000000\r\n\r\n"


@pytest.mark.parametrize("asked", [GET, RANGES])
async def test_a_reader_that_stalls(serve: Serve, asked: bytes) -> None:
    client = await serve(send_timeout=0.1)
    with open(client.folder / "x", "wb") as file:
        file.truncate(64 << 20)
    before = len(os.listdir("/proc/self/fd"))
    with await stalled_reader(client, asked) as connection:
        async with asyncio.timeout(PATIENCE):
            while len(os.listdir("/proc/self/fd")) < before + 2:  # not accepted yet
                await asyncio.sleep(0)
            while len(os.listdir("/proc/self/fd")) > before + 1:  # more than that of this side
                await asyncio.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            while connection.recv(1 << 20):
                pass
    assert (await client.request("GET", "/x", Range="bytes=0-0")).status == 206


async def test_a_reader_that_sips(serve: Serve) -> None:
    client = await serve(min_rate=1 << 30, rate_window=0.1)
    with open(client.folder / "x", "wb") as file:
        file.truncate(64 << 20)
    with await stalled_reader(client, GET) as connection, pytest.raises(ConnectionResetError):
        for sip in itertools.count():
            await asyncio.sleep(0.005)
            with contextlib.suppress(BlockingIOError):
                # What had come before is read first.
                connection.recv(10 if sip < 40 else 1 << 20)
            assert sip < 4000


async def test_a_reader_that_stalls_ends_no_upload(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simple clients read nothing before they have sent all."""
    monkeypatch.setattr(wire, "delivered", lambda transport: (0, True))
    client = await serve(send_timeout=0.05, early="always")
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = request(multipart([form_part("a", b"1"), form_part("b", b"2")]))
    writer.write(body[:-60])
    while not (client.folder / "a").exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    writer.write(body[-60:])
    while not (client.folder / "b").exists():
        await asyncio.sleep(0.01)
    writer.close()


async def test_who_waits_for_rows_is_no_slow_reader(serve: Serve) -> None:
    client = await serve(send_timeout=0.05, keep_alive=0.05, early="always")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = request(multipart([form_part("a", b"1"), form_part("b", b"2")]))
    writer.write(body[:-60])
    _, headers = await read_head(reader)
    place = headers["Link"].partition(">")[0][1:]
    following = asyncio.create_task(client.request("GET", place))
    await asyncio.sleep(0.2)
    writer.write(body[-60:])
    assert (await asyncio.wait_for(following, PATIENCE)).statuses == [201, 201]
    writer.close()


class Slow:
    """A validator that takes its time."""

    def __call__(self, candidate: Candidate) -> Validator:
        return self

    def feed(self, data: bytes) -> None:
        time.sleep(0.1)

    def finish(self) -> None:
        time.sleep(0.1)


async def test_the_server_s_own_time_is_not_counted(serve: Serve) -> None:
    timeouts = dict.fromkeys(["header_timeout", "keep_alive", "body_timeout", "send_timeout"], 0.05)
    client = await serve((Slow(),), **timeouts, min_rate=1_000_000, rate_window=0.05)
    assert (await client.request("PUT", "/x", b"x" * 100_000)).status == 201


async def test_a_refused_body_is_not_read_for_ever(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_LINGER", 1 << 20)
    client = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"PUT /none/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
    assert (await read_response(reader)).status == 409
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
    assert time.monotonic() - start < 5  # aiohttp reads for 10 s
    writer.close()


async def test_a_cancelled_upload_whose_client_says_goodbye(serve: Serve) -> None:
    client = await serve(early="always")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(request(multipart([form_part("a", b"1"), form_part("b", b"x" * 100)]))[:-50])
    _, headers = await read_head(reader)
    place = headers["Link"].partition(">")[0][1:]
    assert (await client.request("DELETE", place)).status == 204
    await reader.readuntil(b"0\r\n\r\n")
    start = time.monotonic()
    writer.write_eof()
    assert await ended(reader) == b""
    assert time.monotonic() - start < 5
    writer.close()


async def test_others_go_on(serve: Serve) -> None:
    """Beside a hundred idle connections and forty slow ones of each kind."""
    client = await serve()
    with open(client.folder / "x", "wb") as file:
        file.truncate(16 << 20)
    crowd = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(180)]
    for number, (_, writer) in enumerate(crowd):
        if number < 40:
            writer.write(b"GET / HT")
        elif number < 80:
            writer.write(b"PUT /slow-%d HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" % number)
    readers = [await stalled_reader(client, GET) for _ in range(40)]
    for number in range(20):
        for _, writer in crowd[:80]:
            writer.write(b"P")
        assert (await client.request("PUT", f"/n{number}", b"1")).status == 201
        assert (await client.request("GET", f"/n{number}")).body == b"1"
    assert (await client.post("/", [form_part(f"b{n}", b"2") for n in range(300)])).statuses == [201] * 300
    for _, writer in crowd:
        writer.transport.abort()
    for connection in readers:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
