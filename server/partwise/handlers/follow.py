"""Following a report: from its log to a response, row by row. Never the other way round: nobody waits for this."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from partwise.batch.forms import Form
from partwise.batch.outcome import Outcome
from partwise.batch.report import Report
from partwise.handlers.hop import Hop

#: Seconds without a row after which an idle connection is kept alive by bytes that mean nothing.
KEEP_ALIVE = 15.0


class Signal:
    """Tells the event loop that a report has grown; set from any thread."""

    def __init__(self, report: Report) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        report.listen(self._wake)

    def _wake(self) -> None:
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


async def follow(report: Report, form: Form, response: web.StreamResponse, hop: Hop, *, minimal: bool) -> None:
    """Write the rows of a report to a prepared response until it has ended, then its summary.

    ``minimal``: only items that failed. Swallows the loss of its own connection: a reader that goes away never ends the
    upload.
    """
    signal = Signal(report)
    with contextlib.suppress(ConnectionError):
        position = 1
        while True:
            # Looked at before the rows, so that rows settled in between are not missed.
            ended, count = report.ended, report.count
            if position <= count:
                block, position = await hop.run(_render, report, form, position, minimal)
                if block:
                    await response.write(block)
            elif ended:
                await response.write(form.end(report.summary))
                return
            elif not await signal.wait(KEEP_ALIVE):
                await response.write(form.keep_alive)


def _render(report: Report, form: Form, position: int, minimal: bool) -> tuple[bytes, int]:
    rows = report.rows(position)
    shown: list[Outcome] = [row for row in rows if not (minimal and row.good)]
    return form.rows(shown) if shown else b"", position + len(rows)
