"""The one way from the event loop to a thread.

Work that belongs to one upload goes to a *lane*, a single thread, because parsers of validators must never be used from
two threads. There are few lanes, since two busy threads already slow every small request down. Walks through a tree have
lanes of their own, so that no upload waits for a listing of a million files. What is short and only
reads goes to the readers. What changes names and state in one step goes to the writers: it may wait for its turn among all
writers of the store, or copy a large tree for minutes, and who reads or uploads must not wait with it. A hop is shielded: a
cancelled caller still waits for the running step, so that nothing is abandoned inside a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


#: Uploads after which an idle lane gets a fresh thread: lxml keeps the names it has seen as long as their thread lives.
_SERVED = 1000


class Lane:
    """One thread, for everything that one upload does, or one walk."""

    def __init__(self, name: str) -> None:
        self._name = f"partwise-{name}"
        self._executor = self._thread()
        self._served = 0
        #: Uploads pinned to this lane now.
        self.pinned = 0

    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix=self._name)

    def __enter__(self) -> Lane:
        self.pinned += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.pinned -= 1
        self._served += 1
        if self._served >= _SERVED and not self.pinned:
            self._executor.shutdown(wait=False)
            self._executor, self._served = self._thread(), 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _hop(self._executor, function, *args, **kwargs)

    def close(self) -> None:
        self._executor.shutdown()


class Hop:
    """The threads of one process. ``lanes`` for uploads, as many for walks; ``readers`` and ``writers`` as above."""

    def __init__(self, lanes: int = 2, readers: int = 8, writers: int = 8) -> None:
        self._lanes = [Lane(f"lane-{number}") for number in range(lanes)]
        self._walks = [Lane(f"walk-{number}") for number in range(lanes)]
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="partwise-reader")
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="partwise-writer")

    def lane(self) -> Lane:
        """The lane with the fewest uploads. Use it in a ``with`` statement, for the life of the upload."""
        return min(self._lanes, key=lambda lane: lane.pinned)

    def walk(self) -> Lane:
        """As :meth:`lane`, for a walk through a tree."""
        return min(self._walks, key=lambda lane: lane.pinned)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _hop(self._readers, function, *args, **kwargs)

    async def run_writing(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`run`, for what may have to wait."""
        return await _hop(self._writers, function, *args, **kwargs)

    def close(self) -> None:
        for lane in (*self._lanes, *self._walks):
            lane.close()
        self._readers.shutdown()
        self._writers.shutdown()


async def _hop(executor: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    step = asyncio.get_running_loop().run_in_executor(executor, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        while not step.done():
            try:
                await asyncio.wait([step])
            except asyncio.CancelledError:
                continue
        raise
