"""How much there may be at once: connections, bodies, batches, bytes; who is over is told so before any body is read."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.handlers.test_authentication import ANN, LINES, ZOE
from tests.handlers.test_post import files
from tests.handlers.test_wire import request
from tests.harness import Answer, Client, form_part, multipart, read_head, read_response

from partwise.handlers import connections, wire
from partwise.handlers.context import SERVICES

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"


def put(name: str, length: int, *fields: str) -> bytes:
    lines = [f"PUT /{name} HTTP/1.1", "Host: a", f"Content-Length: {length}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@asynccontextmanager
async def opened(client: Client, count: int) -> AsyncIterator[list[Pair]]:
    async with AsyncExitStack() as stack:
        pairs = []
        for _ in range(count):
            pairs.append(await asyncio.open_connection("127.0.0.1", client.port))
            stack.callback(pairs[-1][1].close)
        yield pairs


async def asked(pair: Pair, data: bytes = GET) -> Answer:
    pair[1].write(data)
    return await asyncio.wait_for(read_response(pair[0]), 20)


def refused(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.error == ("try-again" if status == 503 else None)
    assert answer.xml.tag == "{DAV:}error"


def staged(client: Client) -> int:
    return client.server.app[SERVICES].store.staged()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


# -- connections


async def test_too_many_connections(serve: Serve) -> None:
    client = await serve(max_connections=3)
    async with opened(client, 5) as pairs:
        for pair in pairs[:3]:
            assert (await asked(pair)).status == 404
        for pair in pairs[3:]:
            answer = await asked(pair)
            refused(answer, 503)
            assert answer.headers["Connection"] == "close"
            assert await pair[0].read() == b""
        for pair in pairs[:3]:
            assert (await asked(pair)).status == 404


async def test_a_body_that_follows_does_not_cost_the_answer(serve: Serve) -> None:
    client = await serve(max_connections=1)
    async with opened(client, 2) as pairs:
        assert (await asked(pairs[0])).status == 404
        refused(await asked(pairs[1], put("x", 1 << 20) + bytes(1 << 20)), 503)


async def test_idle_connections_give_way(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_SPARE", 0.05)
    monkeypatch.setattr(connections, "_LOOK", 0.02)
    client = await serve(max_connections=3)
    async with opened(client, 2) as idle:
        for pair in idle:
            assert (await asked(pair)).status == 404
        async with opened(client, 1) as [busy]:
            busy[1].write(put("busy", 2) + b"x")
            await asyncio.sleep(0.2)
            async with opened(client, 3) as new:
                assert [(await asked(pair)).status for pair in new] == [404, 404, 503]
                for pair in idle:
                    assert await pair[0].read() == b""
                assert (await asked(busy, b"x")).status == 201


async def test_too_many_connections_of_one_address(serve: Serve) -> None:
    client = await serve(max_address_connections=2)
    async with opened(client, 3) as pairs:
        for pair in pairs[:2]:
            assert (await asked(pair)).status == 404
        refused(await asked(pairs[2]), 429)
        pairs[0][1].close()
        for _ in range(1000):
            async with opened(client, 1) as [pair]:
                answer = await asked(pair)
            if answer.status != 429:
                break
        assert answer.status == 404


async def test_the_system_grants_less(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from partwise import Config

    monkeypatch.setattr(connections.resource, "getrlimit", lambda which: (1024, 1024))
    assert connections._room(Config(directory=folder)) == 512
    assert connections._room(Config(directory=folder, max_connections=100)) == 100


# -- bodies


async def test_too_many_uploads(serve: Serve) -> None:
    client = await serve(max_uploads=2)
    async with opened(client, 3) as pairs:
        for number, (_, writer) in enumerate(pairs[:2]):
            writer.write(put(f"slow{number}", 2) + b"x")
        await until(lambda: len(client.server.app[SERVICES].arriving) == 2)
        # Refused before its body is asked for.
        pairs[2][1].write(put("x", 2, "Expect: 100-continue"))
        line = await pairs[2][0].readline()
        assert line.startswith(b"HTTP/1.1 503 ")
        async with opened(client, 2) as [batch, small]:
            refused(await asked(batch, request(multipart([form_part("b", b"1")]))[:-30]), 503)
            # What is all there holds nothing up.
            assert (await asked(small, put("small", 1) + b"x")).status == 201
            small[1].write(b"PROPFIND / HTTP/1.1\r\nHost: a\r\nDepth: 0\r\n\r\n")
            assert (await read_response(small[0])).status == 207
        for pair in pairs[:2]:
            assert (await asked(pair, b"y")).status == 201
    assert set(files(client.folder)) == {"small", "slow0", "slow1"}


async def test_an_upload_that_waits_for_its_client_holds_no_bytes(client: Client) -> None:
    count, half = 30, bytes(2 << 20)
    async with opened(client, count) as pairs:
        tracemalloc.start()
        try:
            for number, (_, writer) in enumerate(pairs):
                writer.write(put(f"slow{number}", 2 * len(half)) + half)
            await until(lambda: staged(client) == count * len(half))
            await asyncio.sleep(0.1)
            assert tracemalloc.get_traced_memory()[0] < count * 128 * 1024
        finally:
            tracemalloc.stop()
        for pair in pairs:
            assert (await asked(pair, half)).status == 201


async def test_little_is_read_of_an_upload_that_waits_for_the_server(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, go_on = bytes(4 << 20), threading.Event()
    paused: list[wire._Protocol] = []
    pause = wire._Protocol.pause_reading

    def noted(self: wire._Protocol) -> None:
        pause(self)
        paused.append(self)

    monkeypatch.setattr(wire._Protocol, "pause_reading", noted)
    services = client.server.app[SERVICES]
    lanes = [asyncio.ensure_future(lane.run(go_on.wait, 20)) for lane in services.hop._lanes]
    async with opened(client, 5) as pairs:
        try:
            for number, (_, writer) in enumerate(pairs):
                writer.write(put(f"f{number}", len(body)) + body)
            await until(lambda: len(paused) == len(pairs))
            await asyncio.sleep(0.1)
            assert len(paused) == len(pairs)
            for connection in paused:
                assert connection.content is not None and connection.content.total_bytes <= 320 * 1024
        finally:
            go_on.set()
            await asyncio.gather(*lanes)
        for reader, _ in pairs:
            assert (await asyncio.wait_for(read_response(reader), 20)).status == 201


async def began(pair: Pair, name: str, **headers: str) -> None:
    """A batch of which one item is stored and told."""
    pair[1].write(request(multipart([form_part(name, b"1"), form_part("later", b"2")]), **headers)[:-60])
    status, _ = await read_head(pair[0])
    assert status == 207


async def test_too_many_batches(serve: Serve) -> None:
    client = await serve(max_batches=2, early="always")
    async with opened(client, 2) as pairs:
        await began(pairs[0], "a")
        await began(pairs[1], "b")
        refused(await client.post("/", [form_part("c", b"1")]), 503)
        assert (await client.request("PUT", "/d", b"1")).status == 201
    for _ in range(100):
        if (answer := await client.post("/", [form_part("c", b"1")])).status == 207:
            break
    assert answer.statuses == [201]


async def test_too_many_batches_of_one_user(serve: Serve, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("".join(LINES))
    client = await serve(max_user_batches=1, max_batches=2, early="always", htpasswd=users, anonymous="write")
    async with opened(client, 1) as [pair]:
        await began(pair, "a", Authorization=ANN)
        refused(await client.post("/", [form_part("c", b"1")], Authorization=ANN), 429)
        assert (await client.post("/", [form_part("c", b"1")], Authorization=ZOE)).statuses == [201]
        # Nobody in particular has no limit of their own.
        async with opened(client, 1) as [anybody]:
            await began(anybody, "b")
            refused(await client.post("/", [form_part("e", b"1")]), 503)
            refused(await client.post("/", [form_part("e", b"1")], Authorization=ZOE), 503)


async def test_a_batch_that_fails_at_once_leaves_its_place(serve: Serve) -> None:
    client = await serve(max_batches=1)
    for _ in range(3):
        assert (await client.request("POST", "/", b"x", Content_Type="multipart/form-data; boundary=b")).status == 400
        assert (await client.post("/", [form_part("c", b"1")])).status == 207


# -- bytes

MIB = 1 << 20


async def test_too_many_bytes(serve: Serve) -> None:
    client = await serve(max_staging=3 * MIB)
    async with opened(client, 3) as [first, second, third]:
        first[1].write(put("first", 2 * MIB) + bytes(MIB))
        await until(lambda: staged(client) == MIB)
        # One has come and one is promised.
        second[1].write(put("second", 2 * MIB, "Expect: 100-continue"))
        assert (await second[0].readline()).startswith(b"HTTP/1.1 503 ")
        assert (await asked(third, put("third", MIB) + bytes(MIB))).status == 201
        assert (await asked(first, bytes(MIB))).status == 201
    assert (await client.request("PUT", "/fourth", io.BytesIO(bytes(3 * MIB)))).status == 201
    # There will never be room for it.
    assert (await client.request("PUT", "/fifth", io.BytesIO(bytes(3 * MIB + 1)))).status == 413
    assert staged(client) == 0
    assert set(files(client.folder)) == {"first", "third", "fourth"}


def chunked(name: str, total: int) -> bytes:
    head = f"PUT /{name} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{total:x}\r\n"
    return head.encode() + bytes(total) + b"\r\n0\r\n\r\n"


async def posted(client: Client, parts: list[bytes]) -> Answer:
    return await client.raw(request(multipart(parts)))


async def test_an_upload_that_meets_the_limit(serve: Serve) -> None:
    """It did not say how much it would be; it waits for others, and for nobody in vain."""
    client = await serve(max_staging=MIB, body_timeout=0.2)
    async with opened(client, 1) as [other]:
        other[1].write(put("other", MIB // 2) + bytes(10))
        await until(lambda: staged(client) == 10)
        refused(await client.raw(chunked("x", MIB * 3 // 4)), 503)
    # A batch is stored as it arrives: all of it may be more.
    answer = await posted(client, [form_part(f"i{number}", bytes(MIB // 4)) for number in range(16)])
    assert answer.statuses == [201] * 16
    assert staged(client) == 0


@pytest.fixture
async def impatient(serve: Serve) -> Client:
    """Who waits here in vain waits for a minute, which a test does not last."""
    return await serve(max_staging=MIB, body_timeout=60)


async def test_what_is_larger_than_the_limit_is_refused_at_once(impatient: Client) -> None:
    """Whether it says how large it is, or turns out to be."""
    async with asyncio.timeout(20):
        declared = await impatient.request("PUT", "/x", io.BytesIO(bytes(MIB + 1)))
        exceeding = await impatient.raw(chunked("x", MIB + 1))
        assert [(answer.status, answer.error) for answer in (declared, exceeding)] == [(413, "too-large")] * 2
        assert (await impatient.raw(chunked("y", MIB))).status == 201
        parts = [form_part("a", b"1"), form_part("b", bytes(2 * MIB)), form_part("c", bytes(MIB))]
        answer = await posted(impatient, parts)
        assert (answer.statuses, answer.summary["state"]) == ([201, 413, 201], "complete")
        assert staged(impatient) == 0


async def test_what_may_still_fit_waits_for_others(impatient: Client) -> None:
    async with opened(impatient, 1) as [other]:
        other[1].write(put("other", MIB) + b"x")
        await until(lambda: staged(impatient) == 1)
        large = asyncio.create_task(impatient.raw(chunked("x", 2 * MIB)))
        await asyncio.sleep(0.2)
        assert not large.done()
        assert (await asked(other, bytes(MIB - 1))).status == 201
        assert (await asyncio.wait_for(large, 20)).status == 413


async def test_a_whole_that_is_larger_than_the_limit(impatient: Client) -> None:
    async with asyncio.timeout(20):
        parts = [form_part(f"i{number}", bytes(MIB // 4)) for number in range(16)]
        answer = await impatient.raw(request(multipart(parts)).replace(b"POST / ", b"POST /?atomic=1 ", 1))
        assert answer.summary["state"] == "aborted" and 413 in answer.statuses and 201 not in answer.statuses
        assert (await impatient.post("/?atomic=1", parts[:3])).statuses == [201] * 3
    assert staged(impatient) == 0


@pytest.mark.parametrize(("size", "status"), [(MIB // 4, 204), (MIB // 2, 413)])
async def test_a_part_whose_file_gets_larger_than_the_limit(impatient: Client, size: int, status: int) -> None:
    (impatient.folder / "f").write_bytes(bytes(MIB * 3 // 4))
    fields = {"Content_Type": "application/x-sabredav-partialupdate", "X_Update_Range": "append"}
    async with asyncio.timeout(20):
        assert (await impatient.request("PATCH", "/f", bytes(size), **fields)).status == status
    assert staged(impatient) == 0


async def test_the_limit_is_told_as_that_of_an_item(serve: Serve) -> None:
    for values, largest in (({}, MIB), ({"max_item_size": 5}, 5), ({"max_item_size": 2 * MIB}, MIB)):
        answer = await (await serve(max_staging=MIB, **values)).request("OPTIONS", "/", Accept="application/json")
        assert json.loads(answer.body)["maxItemSize"] == largest


async def test_an_upload_waits_for_room(serve: Serve) -> None:
    client = await serve(max_staging=3 * MIB)
    async with opened(client, 1) as [first]:
        first[1].write(put("first", 2 * MIB) + bytes(MIB))
        await until(lambda: staged(client) == MIB)
        waiting = asyncio.create_task(client.raw(chunked("second", 2 * MIB)))
        await until(lambda: staged(client) > MIB)
        assert (await asked(first, bytes(MIB))).status == 201
        assert (await waiting).status == 201
