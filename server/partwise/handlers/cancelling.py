"""Cancelling an upload from outside: somebody asked for it, in this process or in another one."""

from __future__ import annotations

import contextlib

from aiohttp import web

from partwise.batch.report import Report
from partwise.handlers.arriving import Cancelled
from partwise.handlers.follow import KEEP_ALIVE, Signal


async def watch(report: Report, request: web.Request) -> None:
    """End the arrival of the request's body once its batch is cancelled."""
    with contextlib.closing(Signal(report, rows=False)) as signal:
        while not report.cancelled:
            await signal.wait(KEEP_ALIVE)
    request.content.set_exception(Cancelled())
