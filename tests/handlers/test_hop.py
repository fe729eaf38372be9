"""The way to a thread and back: what a caller is promised."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from partwise.handlers.hop import Hop, Step


@pytest.fixture
async def hop():
    made = Hop(lanes=2, readers=3, writers=2)
    yield made
    made.close()


async def test_result_and_error(hop: Hop):
    def broken() -> None:
        raise LookupError("nothing there")

    assert await hop.run(pow, 2, 5) == 32
    assert await hop.run_writing(int, "12", base=8) == 10
    with pytest.raises(LookupError, match="nothing there"):
        await hop.run(broken)


async def test_step_that_raises_stop_iteration(hop: Hop):
    with pytest.raises(RuntimeError):
        await hop.run(next, iter(()))


async def test_not_in_the_thread_of_the_loop(hop: Hop):
    with hop.lane() as lane:
        first, second = await lane.run(threading.get_ident), await lane.run(threading.get_ident)
        with hop.lane() as other:
            third = await other.run(threading.get_ident)
    assert first == second
    assert len({first, third, threading.get_ident()}) == 3


async def test_cancelled_caller_waits_for_the_step(hop: Hop):
    begun, may_end, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(10)
        ended.set()

    caller = asyncio.create_task(hop.run(slow))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_timeout_waits_for_the_step_too(hop: Hop):
    ended = threading.Event()
    gate = threading.Event()

    def slow() -> None:
        gate.wait(10)
        ended.set()

    asyncio.get_running_loop().call_later(0.05, gate.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await hop.run(slow)
    assert ended.is_set()


async def test_as_many_at_once_as_there_are_threads(hop: Hop):
    together = threading.Barrier(3)
    await asyncio.gather(*(hop.run(together.wait, 10) for _ in range(3)))


async def test_many_steps(hop: Hop):
    assert await asyncio.gather(*(hop.run(abs, -number) for number in range(2000))) == list(range(2000))


async def test_step_that_another_thread_ends(hop: Hop):
    waiting: list[Callable[[str], None]] = []
    there = threading.Event()

    def begin(done: Callable[[str], None]) -> None:
        waiting.append(done)
        there.set()

    def elsewhere() -> None:
        there.wait(10)
        waiting.pop()("the end")
        hop.bell.ring()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with hop.lane() as lane:
        assert await lane.run_until(begin) == "the end"
    thread.join()


async def test_step_that_fails_before_it_is_handed_on(hop: Hop):
    def begin(done: Callable[[str], None]) -> None:
        raise LookupError("no")

    with hop.lane() as lane:
        with pytest.raises(LookupError):
            await lane.run_until(begin)
        assert await lane.run(len, "abc") == 3


async def test_results_put_while_the_loop_is_busy_come_with_one_ring(hop: Hop):
    steps = [Step() for _ in range(100)]

    def tell() -> None:
        for number, step in enumerate(steps):
            hop.bell.put(step, number)
            hop.bell.ring()

    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()
    assert await asyncio.gather(*steps) == list(range(100))


async def test_system_without_a_thread_for_us(monkeypatch: pytest.MonkeyPatch, hop: Hop):
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def both() -> list[int]:
        return await asyncio.gather(hop.run(pow, 2, 5), hop.run(pow, 2, 6))

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError, match="new thread"), hop.lane() as lane:
            await lane.run(pow, 2, 5)
        with pytest.raises(RuntimeError, match="new thread"):
            await hop.run(pow, 2, 5)
    # It is asked again; and once there is a thread, that one does all.
    assert await lane.run(pow, 2, 5) == 32
    assert await hop.run(pow, 2, 5) == 32
    monkeypatch.setattr(threading.Thread, "start", full)
    assert await both() == [32, 64]


async def test_lane_gets_a_fresh_thread(monkeypatch: pytest.MonkeyPatch, hop: Hop):
    monkeypatch.setattr("partwise.handlers.hop._SERVED", 2)
    lane = hop.lane()
    seen = []
    for _ in range(4):
        with lane:
            # The object stays while it is in the list, so that its identity is not given to another.
            seen.append(await lane.run(threading.current_thread))
    assert seen[0] is seen[1] and seen[2] is seen[3] and seen[1] is not seen[2]


async def test_close_ends_what_was_begun():
    hop = Hop()
    done = []
    step = asyncio.create_task(hop.run(done.append, 1))
    await asyncio.sleep(0)
    await asyncio.to_thread(hop.close)
    await step
    assert done == [1]
