"""Whose turn it is: what would only disturb each other waits for each other instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from partwise.protocol.paths import Path


class Turns:
    """One at a time for each path, in the order of asking. Of this process only: whoever has a turn may still be disturbed."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, path: Path) -> AsyncIterator[None]:
        turn = self._turns.get(path)
        if turn is None:
            turn = self._turns[path] = asyncio.Lock()
        async with turn:
            yield
