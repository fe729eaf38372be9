"""A connection to a server that can be cut at any byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


class Wires:
    """Passes connections on to ``upstream``; the first uploads are cut after so many bytes of theirs each (``cuts``).

    ``uploads`` counts the connections that carried a POST.
    """

    def __init__(self, upstream: int, cuts: Iterable[int]) -> None:
        self.upstream = upstream
        self._cuts = list(cuts)
        self.uploads = 0
        self.port = 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(self._pass(far_reader, writer))
                await self._forward(reader, far_writer)
                back.cancel()
        except* ConnectionError:
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        while data := await reader.read(65536):
            if data.startswith(b"POST "):
                self.uploads += 1
                left = self._cuts.pop(0) if self._cuts else None
            if left is not None:
                data, left = data[:left], left - len(data)
            writer.write(data)
            await writer.drain()
            if left is not None and left <= 0:
                return

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def wires(upstream: int, cuts: Iterable[int] = ()) -> AsyncIterator[Wires]:
    found = Wires(upstream, cuts)
    async with await asyncio.start_server(found.connect, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found
