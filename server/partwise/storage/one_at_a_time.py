"""Threads that run much Python take turns, as long as nobody has to wait for it.

The interpreter runs one thread at a time. Of two busy threads each loses it at every system call, to the other one, and has
to get it back: an upload whose items are staged by one thread and published by another takes a third longer than one whose
threads take turns at the pieces of their work.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

#: Seconds after which a thread goes on all the same. So nothing can wait for ever, and nobody waits for who waits for a disk.
_PATIENCE = 0.02


class OneAtATime:
    """Advice, no lock: it is faster to hold the turn, and correct without it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """For a piece of work of some milliseconds."""
        mine = self._lock.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            if mine:
                self._lock.release()
