"""One worker's way in, over real sockets: who comes, who is passed on, and what happens at the end."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness import read_response

from partwise import Config, make_app
from partwise.handlers import connections as looking
from partwise.handlers import shared_site, wire
from partwise.handlers.context import SERVICES
from partwise.handlers.exchange import Exchange, Seat
from partwise.handlers.load import Load
from partwise.handlers.shared_site import SharedSite
from partwise.handlers.wire import Runner, make_runner

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Worker:
    seat: Seat
    #: Whose seat nobody sits at: what is given there stays in the queue.
    other: Seat
    load: Load
    port: int
    runner: Runner


@asynccontextmanager
async def working(folder: Path, **settings: object) -> AsyncIterator[Worker]:
    """A worker with the first of two seats; the other one is closed."""
    config = Config(directory=folder, port=0, **{"grace": 1.0, **settings})  # type: ignore[arg-type]
    app = make_app(config)
    runner = make_runner(app, config)
    await runner.setup()
    with closing(Exchange(2)) as exchange:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        try:
            seat = exchange.seat(0)
            await SharedSite(runner, [listening], seat, burst=8).start()
            yield Worker(seat, exchange.seat(1), app[SERVICES].load, listening.getsockname()[1], runner)
        finally:
            await runner.cleanup()


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    writer.write(GET)
    return (await asyncio.wait_for(read_response(reader), 20)).status


async def connections(seat: Seat, count: int) -> None:
    """Until the worker has so many."""
    async with asyncio.timeout(20):
        while seat.load[0] != count:
            await asyncio.sleep(0.005)


async def test_who_comes_is_served_and_counted(folder: Path) -> None:
    async with working(folder) as worker:
        pairs = [await asyncio.open_connection("127.0.0.1", worker.port) for _ in range(20)]
        for pair in pairs:
            assert await answered(*pair) == 404
        assert worker.seat.load[0] == 20
        for _, writer in pairs:
            writer.close()
        await connections(worker.seat, 0)


async def test_who_is_turned_away_is_not_counted(folder: Path) -> None:
    async with working(folder, max_connections=1) as worker:
        pairs = [await asyncio.open_connection("127.0.0.1", worker.port) for _ in range(3)]
        assert sorted([await answered(*pair) for pair in pairs]) == [404, 503, 503]
        assert worker.seat.load[0] == 1
        for _, writer in pairs:
            writer.close()
        await connections(worker.seat, 0)


async def test_who_rests_is_counted_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_SPARE", 0.05)
    monkeypatch.setattr(looking, "_LOOK", 0.02)
    async with working(folder) as worker:
        resting = await asyncio.open_connection("127.0.0.1", worker.port)
        assert await answered(*resting) == 404
        async with asyncio.timeout(20):
            while worker.seat.load[1] != 1:
                await asyncio.sleep(0.005)
        assert worker.other.least_busy() == 1
        load = Load()
        load.came()
        load.show(worker.other.load)
        assert worker.other.least_busy() == 0
        resting[1].close()


async def test_the_next_one_goes_to_who_is_less_busy(folder: Path) -> None:
    async with working(folder) as worker:
        worker.other.open()
        kept = await asyncio.open_connection("127.0.0.1", worker.port)
        assert await answered(*kept) == 404
        _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        writer.write(b"untouched")
        await writer.drain()
        found: list[socket.socket] = []
        async with asyncio.timeout(20):
            while not found:
                await asyncio.sleep(0.005)
                found = list(worker.other.take())
        with found[0] as passed:
            passed.settimeout(20)
            assert passed.recv(100) == b"untouched"
        assert worker.seat.load[0] == 1
        kept[1].close()
        writer.close()


async def test_who_is_passed_on_is_served(folder: Path) -> None:
    async with working(folder) as worker:
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            reader, writer = await asyncio.open_connection(*elsewhere.getsockname())
            connection, _ = elsewhere.accept()
        assert worker.other.give(connection, 0)
        assert await answered(reader, writer) == 404
        [transport] = worker.runner.server._connections.values()  # type: ignore[union-attr]
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        writer.close()
        await connections(worker.seat, 0)


async def test_who_is_on_the_way_at_the_end_gets_in(folder: Path) -> None:
    """Its request is answered, or it is closed before one began, as any other."""
    async with working(folder) as worker:
        [site] = worker.runner.sites
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            reader, writer = await asyncio.open_connection(*elsewhere.getsockname())
            connection, _ = elsewhere.accept()
        assert worker.other.give(connection, 0)
        await site.stop()
        assert worker.other.least_busy() == 1, "the worker is closed"
        assert await answered(reader, writer) == 404
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", worker.port)
        await worker.runner.cleanup()
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null") as file:
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno(), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_it_waits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_site, "_PAUSE", 0.05)

    def said() -> int:
        return [each.message for each in caplog.records].count(
            "no connection can be accepted for 0.05 s: Too many open files"
        )

    async with working(folder) as worker:
        client = socket.socket()
        client.setblocking(False)
        with no_more_descriptors(), caplog.at_level(logging.ERROR):
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", worker.port))
            async with asyncio.timeout(20):
                while said() < 2:
                    await asyncio.sleep(0.005)
        reader, writer = await asyncio.open_connection(sock=client)
        assert await answered(reader, writer) == 404
        writer.close()


async def test_what_cannot_be_taken_is_closed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with working(folder) as worker:
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            reader, writer = await asyncio.open_connection(*elsewhere.getsockname())
            connection, _ = elsewhere.accept()
        assert worker.seat.give(connection, 1)
        with no_more_descriptors():
            assert list(worker.other.take()) == []
        assert "a connection is lost: there are no descriptors left" in caplog.text
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_a_pause_ends_with_the_site(folder: Path) -> None:
    async with working(folder) as worker:
        client = socket.socket()
        client.setblocking(False)
        with client, no_more_descriptors():
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", worker.port))
            [site] = worker.runner.sites
            assert isinstance(site, SharedSite)
            async with asyncio.timeout(20):
                while not site._paused:
                    await asyncio.sleep(0.005)
            [pause] = site._paused.values()
            await site.stop()
            assert pause.cancelled()
