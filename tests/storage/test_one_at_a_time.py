"""Turns of threads: advice that nothing can wait for for long."""

from __future__ import annotations

import threading

from partwise.storage.one_at_a_time import OneAtATime


def test_who_waits_for_long_goes_on_all_the_same() -> None:
    threads, held, done = OneAtATime(), threading.Event(), threading.Event()

    def hold() -> None:
        with threads.turn():
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with threads.turn(), threads.turn():  # also one that it has itself
        done.set()
    holder.join(10)
    assert not holder.is_alive()
    with threads.turn():
        assert not threads._lock.acquire(blocking=False)
    assert threads._lock.acquire(blocking=False)
