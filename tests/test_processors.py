"""Where the threads of a process run: staying, roaming, and moving out of a crowd."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping

import pytest

from partwise import processors
from partwise.processors import Home, better_place, busy_and_idle, roam, roaming

#: proc(5): user nice system idle iowait irq softirq steal guest guest_nice, in ticks.
STATUS = """cpu  600 0 60 1300 20 0 4 10 0 0
cpu0 100 10 20 1000 20 0 4 6 0 0
cpu1 500 0 40 300 0 0 0 4 0 0
intr 1 2 3
"""


def test_the_times_of_each_processor() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    assert busy_and_idle(STATUS) == {0: (140 / tick, 1020 / tick), 1: (544 / tick, 300 / tick)}


# here, seconds busy and idle of each, ours, seconds, where to
PLACES: list[tuple[int, Mapping[int, tuple[float, float]], float, float, int | None]] = [
    (0, {0: (1.0, 0.0), 1: (0.0, 1.0)}, 1.0, 1.0, None),  # all of it is ours
    (0, {0: (1.0, 0.0), 1: (0.0, 1.0)}, 0.5, 1.0, 1),  # half of it is somebody else's
    (0, {0: (1.0, 0.0), 1: (0.9, 0.1)}, 0.5, 1.0, None),  # but it is no better there
    (0, {0: (1.0, 0.0), 1: (0.4, 0.6), 2: (0.1, 0.9)}, 0.5, 1.0, 2),
    (0, {0: (1.0, 0.0), 1: (0.0, 1.0)}, 0.05, 1.0, None),  # we do nothing
    (0, {0: (1.0, 0.0), 1: (0.0, 1.0)}, 1.8, 1.0, None),  # also with threads that roam
    (3, {0: (1.0, 0.0), 1: (0.0, 1.0)}, 0.5, 1.0, None),  # our processor is gone
    (0, {0: (10.0, 0.0), 1: (0.0, 10.0)}, 5.0, 10.0, 1),
]


@pytest.mark.parametrize(("here", "shares", "ours", "seconds", "there"), PLACES)
def test_where_to_go(
    here: int, shares: Mapping[int, tuple[float, float]], ours: float, seconds: float, there: int | None
) -> None:
    assert better_place(here, shares, ours, seconds) == there


@pytest.fixture
def _as_before() -> Iterator[None]:
    """What the test does to this process ends with it."""
    allowed, everywhere = os.sched_getaffinity(0), processors._everywhere
    yield
    processors._everywhere = everywhere
    processors._roaming.clear()
    for name in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(name), allowed)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor only")
@pytest.mark.usefixtures("_as_before")
def test_threads_stay_and_roam() -> None:
    allowed, seen = os.sched_getaffinity(0), list[set[int]]()
    home = Home()
    home.look()  # not before it has settled
    assert os.sched_getaffinity(0) == allowed
    home.settle()
    assert os.sched_getaffinity(0) == {home.processor}

    def look() -> None:
        seen.append(os.sched_getaffinity(0))
        with roaming():
            seen.append(os.sched_getaffinity(0))
        seen.append(os.sched_getaffinity(0))
        roam()
        seen.append(os.sched_getaffinity(0))
        home._go()  # those that roam are left alone
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(10)
    assert seen == [{home.processor}, allowed, {home.processor}, allowed, allowed]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor only")
@pytest.mark.usefixtures("_as_before")
def test_moving_out_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    home = Home(clock=lambda: now[0])
    home.settle()
    first = home.processor
    assert first is not None
    tick = os.sysconf("SC_CLK_TCK")

    class Status:
        """Our processor is busy, all others are idle."""

        def read_text(self) -> str:
            ticks = int(now[0] * tick)
            busy, idle = f"{ticks} 0 0 0 0 0 0 0", f"0 0 0 {ticks} 0 0 0 0"
            return "\n".join(f"cpu{number} {busy if number == first else idle}" for number in home._allowed)

    ours = iter((0.0, 0.9, 1.4))
    monkeypatch.setattr(processors, "_STATUS", Status())
    monkeypatch.setattr(processors.os, "times", lambda: (next(ours), 0.0, 0.0, 0.0, 0.0))
    for now[0], stays in ((1.0, True), (2.0, True), (3.0, False)):
        home.look()
        assert (home.processor == first) is stays
        assert os.sched_getaffinity(0) == {home.processor}


def test_workers_begin_on_different_processors() -> None:
    allowed = len(os.sched_getaffinity(0))
    assert len({Home(number).processor for number in range(allowed)}) == allowed
