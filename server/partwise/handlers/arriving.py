"""The requests whose bodies are arriving now, so that a server that must stop can end them with an answer."""

from __future__ import annotations

import asyncio

from aiohttp import web

#: Seconds that uploads get to write their last words, once they were told to stop.
_LAST_WORDS = 5.0


class Stopping(Exception):
    """The server stops; the rest of the body is not read."""


class Cancelled(Exception):
    """Somebody cancelled the batch; the rest of the body is not read."""


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
