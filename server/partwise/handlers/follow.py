"""Following a report: from its log to a response, row by row. Never the other way round: nobody waits for this."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from aiohttp import web

from partwise.batch.archive import Archive
from partwise.batch.forms import Form
from partwise.batch.outcome import Outcome, Summary
from partwise.batch.reader import Reader
from partwise.batch.report import Report
from partwise.handlers.hop import Hop

#: Seconds without a row after which an idle connection is kept alive by bytes that mean nothing.
KEEP_ALIVE = 15.0
#: Rows that are read at once.
_ROWS = 128
#: Rows that are rendered at once, and the bytes after which no more are: 64 KiB together, rows being 8 KiB at most.
_FEW, _ENOUGH = 4, 32 * 1024
#: Seconds between two looks at a report that another process writes, when it grows and when it does not.
_SOON, _LATER = 0.1, 1.0
#: Seconds to gather rows before a look at a report that this process writes.
_GATHER = 0.05


class Source(Protocol):
    """What can be followed."""

    summary: Summary

    def rows(self, start: int, limit: int) -> list[Outcome]: ...


class Waiting(Protocol):
    async def wait(self, seconds: float) -> bool:
        """Has there been news since the last call, or within so many ``seconds``? (News may turn out to be none.)"""


class Signal:
    """Tells the event loop that a batch was cancelled, and for ``rows`` that its report has grown; set from any thread."""

    def __init__(self, report: Report, *, rows: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._report = report
        report.listen(self.wake, rows=rows)

    def wake(self) -> None:
        """It has grown, or something else is to be looked at."""
        if self._event.is_set():
            return  # who is told looks after it was cleared
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Has it grown since the last call, or within so many ``seconds``?"""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def close(self) -> None:
        """Nobody waits any more."""
        self._report.unlisten(self.wake)


class Growth:
    """Tells that the file of a report has grown: by looking, and woken where this process writes it. To be closed."""

    def __init__(self, reader: Reader, archive: Archive, hop: Hop) -> None:
        self._reader = reader
        self._hop = hop
        self._seen: Summary | None = None
        report = archive.running(reader.batch)
        self._signal = None if report is None else Signal(report)

    async def wait(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + seconds, _SOON
        # Others who share the reader may have looked before.
        while self._reader.summary == self._seen:
            left = until - loop.time()
            if left <= 0:
                return False
            await self._doze(min(pause, left))
            await self._hop.run(self._reader.refresh)
            pause = min(2 * pause, _LATER)
        self._seen = self._reader.summary
        return True

    async def _doze(self, seconds: float) -> None:
        if self._signal is None:
            await asyncio.sleep(seconds)
        elif await self._signal.wait(seconds):
            await asyncio.sleep(_GATHER)

    def close(self) -> None:
        if self._signal is not None:
            self._signal.close()


async def follow(
    source: Source,
    form: Form,
    response: web.StreamResponse,
    hop: Hop,
    *,
    minimal: bool,
    start: int = 1,
    waiting: Waiting | None = None,
    seconds: float | None = None,
) -> None:
    """Write the rows of a report from ``start`` on to a prepared response until it has ended, then its summary.

    ``minimal``: only items that failed. ``waiting`` tells of news; a Report tells of its own. After ``seconds`` the document
    ends with what is there by then. Swallows the loss of its own connection: a reader that goes away never ends the upload.
    """
    if waiting is None:
        assert isinstance(source, Report)
        with contextlib.closing(Signal(source)) as signal:
            await follow(source, form, response, hop, minimal=minimal, start=start, waiting=signal, seconds=seconds)
        return
    clock = asyncio.get_running_loop().time
    until = float("inf") if seconds is None else clock() + seconds
    position, last = start, None
    with contextlib.suppress(ConnectionError):
        while True:
            # One look at both, so that rows settled in between are not missed.
            summary = last or source.summary
            if clock() >= until:
                last = summary
            if position <= summary.items:
                block, position = await hop.run(_render, source, form, position, summary.items, minimal)
                if block:
                    await response.write(block)
            elif summary.state != "running" or last is not None:
                await response.write(form.end(summary))
                return
            elif not await waiting.wait(min(KEEP_ALIVE, until - clock())) and clock() < until:
                await response.write(form.keep_alive)


def _render(source: Source, form: Form, position: int, last: int, minimal: bool) -> tuple[bytes, int]:
    """A block of whole rows, and the index of the row after it."""
    block = bytearray()
    rows = source.rows(position, min(_ROWS, last - position + 1))
    for first in range(0, len(rows), _FEW):
        few = rows[first : first + _FEW]
        position = few[-1].index + 1
        shown = [row for row in few if not (minimal and row.good)]
        if shown:
            block += form.rows(shown)
        if len(block) >= _ENOUGH:
            break
    return bytes(block), position if rows else last + 1
