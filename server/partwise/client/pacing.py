"""How long to wait: between two tries, and for a connection that says nothing."""

from __future__ import annotations

import asyncio
import secrets
from types import TracebackType

__all__ = ["Pause", "Watch"]

#: Seconds before the second try, and at most between later ones.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 3.0


class Pause:
    """Longer and longer waits, until ``patience`` seconds have passed since the last :meth:`reset`."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.reset()

    def reset(self) -> None:
        self._since: float | None = None
        self._length = _FIRST_PAUSE

    def next(self, asked: float | None = None) -> float | None:
        """Seconds to wait now; ``None``: it has been long enough. ``asked``: what the server asked for."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        length, self._length = self._length, min(self._length * 2, _LONGEST_PAUSE)
        # Uploads that were cut off together should not come back together.
        length = max(asked or 0.0, length * (1 + secrets.randbelow(1000) / 2000))
        return length if now + length - self._since <= self._patience else None


class Watch:
    """Raises TimeoutError in the block that it guards when nothing was :meth:`touch`-ed for so many seconds."""

    def __init__(self, seconds: float, *, any_byte: bool = True) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)
        self._open = False
        #: Does every byte count, or rows only?
        self.any_byte = any_byte

    async def __aenter__(self) -> Watch:
        await self._timeout.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        await self._timeout.__aexit__(kind, error, traceback)

    def touch(self) -> None:
        if self._open and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)
