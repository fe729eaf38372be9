"""The one way from the event loop to a thread.

Work that belongs to one upload goes to a *lane*, a single thread, because parsers of validators must never be used from
two threads. There are few lanes, since two busy threads already slow every small request down. Walks through a tree have
lanes of their own, so that no upload waits for a listing of a million files. What is short and only
reads goes to the readers. What changes names and state in one step goes to the writers: it may wait for its turn among all
writers of the store, or copy a large tree for minutes, and who reads or uploads must not wait with it. A cancelled caller
still waits for the running step, so that nothing is abandoned inside a commit.

These are no executors of the standard library: for a small request those cost more than the work in the thread. Here a step
is one entry in a queue on its way out, and on its way back all steps that are done wake the loop once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


#: Uploads after which an idle lane gets a fresh thread: lxml keeps the names it has seen as long as their thread lives.
_SERVED = 1000


class Step(asyncio.Future[T]):
    """What a thread is doing. A caller that is cancelled meanwhile learns of it when the step is over."""

    def cancel(self, msg: Any | None = None) -> bool:
        return False


class Bell:
    """Brings results from any thread into the event loop; what comes while the loop is being woken comes along."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[tuple[Step[Any], Any, BaseException | None]] = deque()
        self._rung = False

    def put(self, step: Step[T], result: T) -> None:
        """The step is over; its caller goes on after the next :meth:`ring`."""
        self._done.append((step, result, None))

    def fail(self, step: Step[Any], error: BaseException) -> None:
        """As :meth:`put`; its caller gets the error."""
        self._done.append((step, None, error))

    def ring(self) -> None:
        # Taken back before the loop looks: so nothing is put between its last look and the next ring unheard.
        if self._rung or not self._done:
            return
        self._rung = True
        # A thread may end its work after the loop: then nobody waits for it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._rung = False
        done = self._done
        while done:
            step, result, error = done.popleft()
            if error is None:
                step.set_result(result)
            elif isinstance(error, StopIteration):
                # No future takes it.
                step.set_exception(RuntimeError("a step raised StopIteration"))
            else:
                step.set_exception(error)


class _Threads:
    """At most so many threads, started when there is work for them, that take it from one queue."""

    def __init__(self, bell: Bell, name: str, most: int = 1) -> None:
        self._bell, self._name, self._most = bell, name, most
        #: ``None`` in place of a step: the function sees to its end itself. ``None`` in place of both ends a thread.
        self._queue: SimpleQueue[tuple[Step[Any] | None, Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running = 0

    async def run(self, function: Callable[[], T]) -> T:
        step: Step[T] = Step()
        return await self._over(step, (step, function))

    async def run_until(self, function: Callable[[Callable[[T], None]], None]) -> T:
        step: Step[T] = Step()
        return await self._over(step, (None, partial(self._begin, function, step)))

    def _begin(self, function: Callable[[Callable[[T], None]], None], step: Step[T]) -> None:
        try:
            function(partial(self._bell.put, step))
        except BaseException as error:
            self._bell.fail(step, error)

    async def _over(self, step: Step[T], work: tuple[Step[Any] | None, Callable[[], Any]]) -> T:
        if self._running >= len(self._threads) and len(self._threads) < self._most:
            self._begin_thread()
        self._running += 1
        self._queue.put(work)
        try:
            return await step
        finally:
            self._running -= 1

    def _begin_thread(self) -> None:
        """Raises RuntimeError if the system has no thread for us, and there is none yet that could do the work."""
        # A daemon, should nobody close us; whoever does waits for what has begun.
        thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return
        self._threads.append(thread)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            self._do(*work)
            # Nothing of it may live on while the thread waits for more.
            del work
            self._bell.ring()

    def _do(self, step: Step[Any] | None, function: Callable[[], Any]) -> None:
        if step is None:
            function()
            return
        try:
            self._bell.put(step, function())
        except BaseException as error:
            self._bell.fail(step, error)

    def close(self, *, wait: bool = True) -> None:
        """Do what was asked for, then end."""
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


class Lane:
    """One thread, for everything that one upload does, or one walk."""

    def __init__(self, bell: Bell, name: str) -> None:
        self._bell, self._name = bell, f"partwise-{name}"
        self._thread = _Threads(bell, self._name)
        self._served = 0
        #: Uploads pinned to this lane now.
        self.pinned = 0

    def __enter__(self) -> Lane:
        self.pinned += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.pinned -= 1
        self._served += 1
        if self._served >= _SERVED and not self.pinned:
            self._thread.close(wait=False)
            self._thread, self._served = _Threads(self._bell, self._name), 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._thread.run(partial(function, *args, **kwargs))

    async def run_until(self, function: Callable[[Callable[[T], None]], None]) -> T:
        """As :meth:`run`; it is over when ``function`` has raised, or what it is given has been called with the result.

        That may be later, in another thread, which rings the bell then.
        """
        return await self._thread.run_until(function)

    def close(self) -> None:
        self._thread.close()


class Hop:
    """The threads of one process. ``lanes`` for uploads, as many for walks; ``readers`` and ``writers`` as above.

    Made and used in one event loop.
    """

    def __init__(self, lanes: int = 2, readers: int = 8, writers: int = 8) -> None:
        #: Of all that is brought back from a thread.
        self.bell = bell = Bell(asyncio.get_running_loop())
        self._lanes = [Lane(bell, f"lane-{number}") for number in range(lanes)]
        self._walks = [Lane(bell, f"walk-{number}") for number in range(lanes)]
        self._readers = _Threads(bell, "partwise-reader", readers)
        self._writers = _Threads(bell, "partwise-writer", writers)

    def lane(self) -> Lane:
        """The lane with the fewest uploads. Use it in a ``with`` statement, for the life of the upload."""
        return min(self._lanes, key=lambda lane: lane.pinned)

    def walk(self) -> Lane:
        """As :meth:`lane`, for a walk through a tree."""
        return min(self._walks, key=lambda lane: lane.pinned)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._readers.run(partial(function, *args, **kwargs))

    async def run_writing(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`run`, for what may have to wait."""
        return await self._writers.run(partial(function, *args, **kwargs))

    def close(self) -> None:
        for lane in (*self._lanes, *self._walks):
            lane.close()
        self._readers.close()
        self._writers.close()
