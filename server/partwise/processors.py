"""The threads of one interpreter stay on one processor.

Only one of them runs Python at a time, so that a second processor makes none of it faster. But each time the interpreter goes
from a thread on one processor to a thread on another, the other one has to be woken and to fetch everything that it touches
from the first one's caches: uploads of small files run at half the speed that way. What runs beside the interpreter – hashing,
copying between files and sockets, waiting for the disk – roams over all processors.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

#: Of the time since the last look: what others took of our processor, and what is idle on another one, before we move there.
_CROWDED, _IDLE = 0.25, 0.5
#: Of it: what we need to have used ourselves. Who has nothing to do need not move.
_BUSY = 0.1

_STATUS = Path("/proc/stat")
_THREADS = "/proc/self/task"
_CAN = hasattr(os, "sched_setaffinity") and _STATUS.exists()

#: All that this process may use, once its threads were told to stay on one of them.
_everywhere: Set[int] | None = None
#: Threads that roam.
_roaming: set[int] = set()


def roam() -> None:
    """From here on this thread runs beside the interpreter."""
    _roaming.add(threading.get_native_id())
    if _everywhere is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, _everywhere)


@contextlib.contextmanager
def roaming() -> Iterator[None]:
    """The block copies much, or takes long for another reason that is none of the interpreter's."""
    if _everywhere is None:
        yield
        return
    before = os.sched_getaffinity(0)
    mine = threading.get_native_id()
    _roaming.add(mine)
    try:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, _everywhere)
        yield
    finally:
        _roaming.discard(mine)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


class Home:
    """The processor of this process. :meth:`settle` once, before there are threads; then :meth:`look` now and then."""

    def __init__(self, number: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """``number`` is that of the worker: several begin on different processors."""
        self._clock = clock
        allowed = sorted(os.sched_getaffinity(0)) if _CAN else []
        # The system's own work is mostly on the first one.
        self.processor = allowed[-1 - number % len(allowed)] if len(allowed) > 1 else None
        self._allowed = frozenset(allowed)
        self._seen: tuple[float, float, Mapping[int, tuple[float, float]]] | None = None

    def settle(self) -> None:
        """Stay here, with all threads that are begun later but for those that roam."""
        global _everywhere
        if self.processor is None:
            return
        _everywhere = self._allowed
        self._go()

    def look(self) -> None:
        """Move, if others are at work on our processor while another one is idle."""
        if self.processor is None or _everywhere is None:
            return
        try:
            now = self._clock(), sum(os.times()[:2]), busy_and_idle(_STATUS.read_text())
        except (OSError, ValueError):
            return
        before, self._seen = self._seen, now
        if before is None:
            return
        shares = {
            number: (now[2][number][0] - before[2][number][0], now[2][number][1] - before[2][number][1])
            for number in self._allowed & now[2].keys() & before[2].keys()
        }
        better = better_place(self.processor, shares, now[1] - before[1], now[0] - before[0])
        if better is not None:
            self.processor = better
            self._go()

    def _go(self) -> None:
        assert self.processor is not None
        for name in os.listdir(_THREADS):
            # One that roams just now comes back to where it was, and is fetched with the next move.
            if int(name) not in _roaming:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(name), {self.processor})


def busy_and_idle(status: str) -> dict[int, tuple[float, float]]:
    """Seconds by processor, from the text of ``/proc/stat`` (proc(5))."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for line in status.splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, idle, waiting, *others = map(int, numbers[:8])
            found[int(name[3:])] = (user + nice + system + sum(others)) / tick, (idle + waiting) / tick
    return found


def better_place(here: int, shares: Mapping[int, tuple[float, float]], ours: float, seconds: float) -> int | None:
    """Where to go, ``None`` to stay. ``shares``: seconds busy and idle, ``ours``: that we have used, since the last look."""
    if here not in shares or ours < _BUSY * seconds:
        return None
    others = shares[here][0] - min(ours, seconds)
    if others < _CROWDED * seconds:
        return None
    place = max(shares, key=lambda number: shares[number][1])
    return place if place != here and shares[place][1] > _IDLE * seconds else None
