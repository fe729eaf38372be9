"""Batches of random items, sent over sockets that may be lost at any moment, and what must be true of them afterwards."""

from __future__ import annotations

import asyncio
import io
import json
import random
import socket
import struct
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.faults.batched import standing
from tests.harness import BOUNDARY, form_part, mixed_part, multipart, read_chunk, read_head

#: Bytes that are sent at once.
_PIECE = 16 * 1024
Row = dict[str, Any]


def _tar(items: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in items.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def _zip(items: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in items.items():
            archive.writestr(name, data)
    return file.getvalue()


_MULTIPART = f"multipart/{{}}; boundary={BOUNDARY}"
_KINDS: tuple[tuple[str, Callable[[dict[str, bytes]], bytes]], ...] = (
    (_MULTIPART.format("form-data"), lambda items: multipart(form_part(*item) for item in items.items())),
    (_MULTIPART.format("mixed"), lambda items: multipart(mixed_part(*item) for item in items.items())),
    ("application/x-tar", _tar),
    ("application/zip", _zip),
)


@dataclass
class Upload:
    """A batch named ``name`` for the collection of that name, where ``before`` stands. ``told``: rows that a client read."""

    name: str
    kind: str
    items: dict[str, bytes]
    before: dict[str, bytes]
    atomic: bool
    body: bytes
    told: list[Row] = field(default_factory=list)

    @classmethod
    def random(cls, name: str, chance: random.Random, folder: Path, *, atomic: float = 0.3) -> Upload:
        """Its collection is made in ``folder``. ``atomic``: the probability that it is a whole."""
        items = {
            f"{'deep/' * chance.randrange(2)}{number}": chance.randbytes(chance.randrange(6000))
            for number in range(chance.randrange(4, 40))
        }
        items["large"] = chance.randbytes(300_000)
        before = {each: b"before " + name.encode() for each in list(items)[:3]} | {"other": b"other"}
        # A file is in the way, so this one is refused; not in a whole.
        whole = chance.random() < atomic
        if not whole:
            items["other/x"] = b"refused"
        for each, data in before.items():
            path = folder / name / each
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        order = list(items)
        chance.shuffle(order)
        items = {each: items[each] for each in order}
        kind, packed = chance.choice(_KINDS)
        return cls(name, kind, items, before, whole, packed(items))

    def head(self, *fields: str) -> bytes:
        query = "?atomic=1" if self.atomic else ""
        lines = (
            f"POST /{self.name}/{query} HTTP/1.1",
            "Host: localhost",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            f"Idempotency-Key: {self.name}",
            "Accept: application/x-ndjson",
            *fields,
        )
        return "\r\n".join((*lines, "", "")).encode()

    @property
    def after(self) -> dict[str, bytes]:
        return self.before | {name: data for name, data in self.items.items() if name != "other/x"}

    def good(self, rows: list[Row]) -> set[str]:
        """The names that were stored."""
        return {unquote(row["href"]).removeprefix(f"/{self.name}/") for row in rows if row["status"] in (201, 204)}

    def check(self, folder: Path, rows: list[Row], state: str | None) -> None:
        """What the report says is true of the folder, and what the client was told is in the report."""
        assert rows[: len(self.told)] == self.told
        assert state in ("aborted", "complete") or not self.told
        now = {name: held for name, held in standing(folder / self.name).items() if isinstance(held, bytes)}
        for name in self.good(rows):
            assert now[name] == self.items[name], f"{name} was told to be stored"
        for name in {*now, *self.before, *self.after}:
            assert now.get(name) in (self.before.get(name), self.after.get(name)), name
        if self.atomic:
            assert now in (self.before, self.after)
        if state == "complete":
            assert now == self.after
            assert len(rows) == len(self.items)

    def check_sent_again(self, folder: Path, before: list[Row], rows: list[Row]) -> None:
        """All is there, and what was stored before was not stored again."""
        replayed = {row["href"]: row["etag"] for row in rows if row.get("replayed")}
        assert replayed == {row["href"]: row["etag"] for row in before if row["status"] in (201, 204)}
        assert self.good(rows) == self.items.keys() - {"other/x"}
        self.told = []
        self.check(folder, rows, "complete")


# -- over a socket

Count = Callable[[int], None]


def _nobody(_: int) -> None:
    """Who does not count."""


async def send(
    upload: Upload,
    port: int,
    *,
    sent: Count = _nobody,
    read: Count = _nobody,
    cut: int | None = None,
    reset: bool = False,
    dawdle: bool = False,
) -> str | None:
    """Send it, and read rows as they come until the connection ends; gives the state that the report ended with.

    ``sent`` and ``read`` are told bytes and rows; either may end the server. ``cut``: the connection is closed, or reset,
    after so many bytes of the body, which the server has asked for;
    ``dawdle``: not before it has had the time to look at them.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    found = _Rows(upload, read)
    reading = None
    try:
        if cut is None:
            writer.write(upload.head())
        else:
            writer.write(upload.head("Expect: 100-continue"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        reading = asyncio.create_task(found.follow(reader))
        body = upload.body[:cut]
        for start in range(0, len(body), _PIECE):
            writer.write(body[start : start + _PIECE])
            await writer.drain()
            sent(min(_PIECE, len(body) - start))
        for _ in range(3 if dawdle else 0):
            await report(port, upload.name, wait=False)
        if cut is None:
            await reading
    except ConnectionError:
        pass
    finally:
        if reset:
            # Unread and unsent bytes are thrown away.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        if reading is not None:
            # What has come by now was read; the rest never will be.
            reader.feed_eof()
            await reading
    return found.state


class _Rows:
    def __init__(self, upload: Upload, read: Count) -> None:
        self._upload, self._read = upload, read
        self.state: str | None = None

    async def follow(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        try:
            status, headers = await read_head(reader)
            assert status == 207, status
            assert headers["Transfer-Encoding"] == "chunked"
            while data := await read_chunk(reader):
                *lines, rest = (rest + data).split(b"\n")
                self._take(lines)
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            return  # it ends where it was cut

    def _take(self, lines: list[bytes]) -> None:
        for line in filter(bytes.strip, lines):
            row = json.loads(line)
            if "summary" in row:
                self.state = row["summary"]["state"]
            else:
                self._upload.told.append(row)
                self._read(1)


async def report(port: int, name: str, *, wait: bool = True) -> tuple[list[Row], str | None]:
    """The rows of the batch of that name, read to its end, and its state; ``None`` if there is no such batch.

    Without ``wait``: as far as it has come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    rows: list[Row] = []
    try:
        lines = (
            f"GET /-/batches/{name} HTTP/1.1",
            "Host: localhost",
            "Accept: application/x-ndjson",
            "Connection: close",
            *([] if wait else ["Prefer: wait=0"]),
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        status, headers = await read_head(reader)
        if status == 404:
            return rows, None
        assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
        body = b""
        while data := await read_chunk(reader):
            body += data
    finally:
        writer.close()
    *rows, last = (json.loads(line) for line in body.splitlines() if line.strip())
    return rows, last["summary"]["state"]


# -- through a line that is bad


class Line:
    """Passes connections on to a server; the first uploads are cut after so many bytes of theirs (``cuts``).

    Of an upload that will be cut the client hears nothing more from some moment before on.
    """

    def __init__(self, upstream: int, cuts: list[int], chance: random.Random) -> None:
        self._upstream, self._cuts, self._chance = upstream, cuts, chance
        self.uploads = 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        deaf = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(_pass_back(far_reader, writer, deaf))
                await self._forward(reader, far_writer, deaf)
                back.cancel()
        except* ConnectionError:
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        left = heard = 1 << 60
        while data := await reader.read(_PIECE):
            if data.startswith(b"POST "):
                self.uploads += 1
                if self._cuts:
                    left = self._cuts.pop(0)
                    heard = left - self._chance.randrange(left + 1)
            data = data[:left]
            left, heard = left - len(data), heard - len(data)
            if heard <= 0:
                deaf.set()
            writer.write(data)
            await writer.drain()
            if left <= 0:
                return


async def _pass_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
    while data := await reader.read(_PIECE):
        if not deaf.is_set():
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def bad_line(upstream: int, cuts: list[int], chance: random.Random) -> AsyncIterator[tuple[Line, int]]:
    """A line, and the port at which it begins."""
    line = Line(upstream, cuts, chance)
    async with await asyncio.start_server(line.connect, "127.0.0.1", 0) as server:
        yield line, server.sockets[0].getsockname()[1]
