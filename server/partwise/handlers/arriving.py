"""The requests whose bodies are arriving now, so that a server that must stop can end them with an answer."""

from __future__ import annotations

import asyncio

from aiohttp import web

from partwise.errors import Depends, Failure

#: Seconds that uploads get to write their last words, once they were told to stop.
_LAST_WORDS = 5.0


# Timeouts, because aiohttp takes one quietly where it drains what a handler has left of a body, and logs all else as a fault.
class Stopping(TimeoutError):
    """The server stops; the rest of the body is not read."""


class Cancelled(TimeoutError):
    """Somebody cancelled the batch; the rest of the body is not read."""


def cancelled() -> Failure:
    """What every item is told that was not judged before."""
    return Depends("The upload was cancelled; what was stored before stays.")


class Arriving:
    """All bodies in progress in this process."""

    def __init__(self) -> None:
        # By identity: aiohttp's requests are mappings, which have no hash.
        self._requests: dict[int, web.Request] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def begin(self, request: web.Request) -> None:
        self._requests[id(request)] = request
        self._empty.clear()

    def end(self, request: web.Request) -> None:
        self._requests.pop(id(request), None)
        if not self._requests:
            self._empty.set()

    async def stop(self, grace: float) -> None:
        """Let bodies arrive for ``grace`` seconds more, then end those that are left."""
        if await self._done(grace):
            return
        for request in list(self._requests.values()):
            request.content.set_exception(Stopping())
        await self._done(_LAST_WORDS)

    async def _done(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
