"""What ``partwise push`` has not heard of but the server has stored is read from the batch resource, not sent again."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import re
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from tests.faults.batched import open_archive, standing
from tests.faults.forking import Ask, forking
from tests.test_workers import children, get, port_of, until, worker_of

from partwise.cli import main
from partwise.client import pacing
from partwise.client import upload as uploading

FILES = 200
#: Parts that the server is given before the connection is lost; all of them.
SOME, ALL = 120, FILES


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with forking() as asking:
        yield asking


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files of one batch, in many blocks."""
    chance = random.Random(7)
    for number in range(FILES):
        path = tmp_path / "source" / f"d{number % 3}" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(8000)))
    return tmp_path / "source"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_FIRST_PAUSE", 0.01)


class Server:
    """``partwise serve`` in a process of its own, that may be killed and started again on its port."""

    def __init__(self, ask: Ask, folder: Path, workers: int = 1) -> None:
        self._ask, self._folder, self._workers = ask, folder, workers
        self.port = 0
        self.start()

    def start(self) -> None:
        more = ["--port", str(self.port), "--workers", str(self._workers)]
        said = self._ask(serve=str(self._folder), more=more)
        self.process, self.port = said["pid"], port_of(said["says"])

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        assert self._ask(end=self.process) == -signal.SIGKILL

    def stop(self) -> None:
        os.kill(self.process, signal.SIGTERM)
        assert self._ask(end=self.process) == 0

    async def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port))

    def dial_worker(self, wanted: int) -> socket.socket:
        """A connection to this process."""
        found: list[socket.socket] = []

        def look() -> bool:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
                assert get(connection, "/-/")[0] < 500
                if worker_of(connection, {wanted}) == wanted:
                    found.append(connection.sock.dup())
            return bool(found)

        until(look)
        return found[0]


Dial = Callable[[], Awaitable[socket.socket]]


class DeafLine:
    """Passes connections on. Of the first upload the server is given the first ``parts`` parts, and whoever sends it hears
    nothing. When the server has told what became of them (after ``b"summary"``, if these are all), the line is cut.

    ``dial`` connects to the server; ``lost`` is called at the moment of the cut, and says how to connect from then on.
    ``half``: the server does not notice the cut.
    """

    def __init__(self, dial: Dial, parts: int, lost: Callable[[], Awaitable[Dial]], *, half: bool = False) -> None:
        self._dial, self._parts, self._lost, self._half = dial, parts, lost, half
        self.uploads = 0
        #: Somebody could not be connected.
        self.refused = asyncio.Event()
        self.asked: list[bytes] = []
        self._told = b""
        self._enough = asyncio.Event()
        self._near: set[asyncio.StreamWriter] = set()
        self._far: set[asyncio.StreamWriter] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(sock=await self._dial())
        except OSError:
            self.refused.set()
            writer.transport.abort()
            return
        self._near.add(writer)
        self._far.add(far_writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                deaf = asyncio.Event()
                back = tasks.create_task(self._back(far_reader, writer, deaf))
                await self._forward(reader, far_writer, deaf)
                back.cancel()
        except* ConnectionError:
            pass
        finally:
            writer.transport.abort()
            if not self._half or self.uploads > 1:
                far_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await reader.read(1 << 16):
            self.asked.append(data.partition(b"\r\n")[0])
            if data.startswith(b"POST "):
                self.uploads += 1
                if self.uploads == 1:
                    deaf.set()
                    await self._give(data, reader, writer)
                    return
            writer.write(data)
            await writer.drain()

    async def _give(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The parts that the server is to have, and the cut."""
        while b"\r\n\r\n" not in data:
            data += await reader.read(1 << 16)
        boundary = re.search(rb"boundary=([^\r\n]+)", data)
        assert boundary is not None
        delimiter = re.compile(rb"\r\n--" + re.escape(boundary[1]))
        # The delimiter after the last of the parts shows where that ends.
        while len(found := list(delimiter.finditer(data))) <= self._parts or (
            self._parts == ALL and not data.endswith(b"\r\n0\r\n\r\n")
        ):
            more = await reader.read(1 << 16)
            assert more
            data += more
        writer.write(data if self._parts == ALL else data[: found[self._parts].end() + 40])
        await self._enough.wait()
        self._dial = await self._lost()
        for each in self._near:
            each.transport.abort()
        if not self._half:
            await self.end()

    async def end(self) -> None:
        for each in self._far:
            # Reset: a server that has answered early would wait for the rest of a body.
            connection = each.get_extra_info("socket")
            if not each.is_closing():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.transport.abort()
        for each in self._far:
            with suppress(ConnectionError):
                await each.wait_closed()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await reader.read(1 << 16):
            if not deaf.is_set():
                writer.write(data)
                await writer.drain()
                continue
            self._told += data
            if self._told.count(b'"index":') >= self._parts and (self._parts < ALL or b'"summary"' in self._told):
                self._enough.set()
        writer.close()


@asynccontextmanager
async def deaf_line(
    dial: Dial, parts: int, lost: Callable[[], Awaitable[Dial]], *, half: bool = False
) -> AsyncIterator[tuple[DeafLine, int]]:
    """A line, and the port at which it begins."""
    line = DeafLine(dial, parts, lost, half=half)
    async with await asyncio.start_server(line.connect, "127.0.0.1", 0) as server:
        yield line, server.sockets[0].getsockname()[1]
    await line.end()


async def push(source: Path, port: int, *options: str) -> int:
    return await asyncio.to_thread(main, ["push", *options, f"{source}/", f"http://127.0.0.1:{port}/c/"])


def check_stored_once(folder: Path, source: Path, port: int) -> None:
    """All is there; each file has one row that says that it was stored, and is still what was stored then."""
    assert standing(folder / "c") == standing(source)
    archive = open_archive(str(folder))
    stored: list[tuple[str, int, str | None]] = []
    for path in folder.glob(".partwise/reports/*.ndjson"):
        reader = archive.find(path.stem, None)
        assert reader is not None
        with closing(reader):
            assert reader.summary.state in ("complete", "aborted")
            start = 1
            while found := reader.rows(start):
                stored += [(row.href, row.status, row.etag) for row in found if row.status < 300]
                start = found[-1].index + 1
    assert {status for _, status, _ in stored} == {201}
    hrefs = [href for href, _, _ in stored]
    assert sorted(hrefs) == sorted(f"/c/{path.relative_to(source)}" for path in source.rglob("*") if path.is_file())
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        for href, _, etag in stored:
            connection.request("HEAD", href)
            response = connection.getresponse()
            response.read()
            assert response.headers["ETag"] == etag, href


# Of a whole batch nothing is told before its end.
@pytest.mark.parametrize(
    ("parts", "options"), [(SOME, []), (ALL, []), (ALL, ["--atomic"])], ids=["some", "all", "whole"]
)
async def test_a_line_that_swallows_the_report(
    ask: Ask, folder: Path, source: Path, parts: int, options: list[str]
) -> None:
    server = Server(ask, folder)

    async def lost() -> Dial:
        return server.dial

    try:
        async with deaf_line(server.dial, parts, lost) as (line, port):
            assert await push(source, port, *options) == 0
            assert line.uploads == (1 if parts == ALL else 2)
        check_stored_once(folder, source, server.port)
    finally:
        server.stop()


@pytest.mark.parametrize("parts", [SOME, ALL], ids=["some", "all"])
async def test_a_server_killed_before_it_was_heard(ask: Ask, folder: Path, source: Path, parts: int) -> None:
    server = Server(ask, folder)

    async def lost() -> Dial:
        server.kill()
        return server.dial

    try:
        async with deaf_line(server.dial, parts, lost) as (line, port):
            pushing = asyncio.create_task(push(source, port))
            await line.refused.wait()
            server.start()
            assert await pushing == 0
            assert line.uploads == (1 if parts == ALL else 2)
        check_stored_once(folder, source, server.port)
    finally:
        server.stop()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("how", ["cut", "half", "killed"])
async def test_another_worker_is_asked(
    ask: Ask, folder: Path, source: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker has the upload, and everything after it goes to the other, even while the first still waits (``half``)."""
    monkeypatch.setattr(uploading, "ORPHANED", 0.3)
    server = Server(ask, folder, workers=2)
    one, other = sorted(children(server.process))

    def to(worker: int) -> Dial:
        return lambda: asyncio.to_thread(server.dial_worker, worker)

    async def lost() -> Dial:
        if how == "killed":
            os.kill(one, signal.SIGKILL)
        return to(other)

    try:
        async with deaf_line(to(one), SOME, lost, half=how == "half") as (line, port):
            assert await push(source, port) == 0
            assert line.uploads == 2
            assert any(line.startswith(b"DELETE /-/batches/") for line in line.asked) == (how == "half")
        check_stored_once(folder, source, server.port)
    finally:
        server.stop()
