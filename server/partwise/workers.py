"""Several processes that serve as one: forked, watched, started again when they die, and stopped together.

The supervisor runs no event loop and no thread, so that it can fork at any time, and knows nothing about what a worker
does. Three things tie the processes together: a pipe on which a worker says that it is ready or why it cannot be, SIGCHLD,
and a *lifeline*: a pipe that only the supervisor can write to and never does. Workers read from it, and so learn when the
supervisor is gone, however it went.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

#: Seconds before a dead worker is started again; doubled each time it dies soon.
_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: A worker that lived this long did not die of its start; its next pause is a short one again.
_GROWN_UP = 10.0
#: So many workers that die before they are ready, in so many seconds, are no accident.
_HOPELESS, _WITHIN = 5, 5.0
#: Seconds beyond the grace for last words and commits that have begun.
_LATE = 10.0
#: Seconds for a worker whose supervisor was killed: whoever starts a new one wants the port and the folder at once.
_ORPHANED = 1.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

#: What a worker does: its number from 0, and what to call once it serves. It must stop at SIGTERM and SIGINT.
Work = Callable[[int, Callable[[], None]], None]


class WorkersDied(Exception):
    """The workers die as soon as they start; the log says why."""


def supervise(
    count: int,
    work: Work,
    *,
    ready: Callable[[], None],
    stopping: Callable[[], None],
    grace: float,
    lost: Callable[[int], None] = lambda number: None,
) -> None:
    """Keep ``count`` processes at ``work`` until SIGINT or SIGTERM. To be called from the main thread.

    ``ready`` is called once, when all workers are; ``stopping`` before they are told to stop. They get ``grace`` seconds
    and a little. ``lost`` is told the number of a worker that has died, before another process takes its place. Raises the
    ValueError or OSError with which a worker failed at the first start, and WorkersDied.
    """
    supervisor = _Supervisor(count, work, ready, lost)
    with supervisor.signals():
        try:
            supervisor.run()
        finally:
            stopping()
            supervisor.stop(grace)


class _Slot:
    """The place of one worker, whichever process fills it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        #: Where the process says how its start went, until it has.
        self.start_report: int | None = None
        self.ready = False
        self.started = 0.0
        self.pause = _PAUSE
        #: When to start the next process, if there is none.
        self.due = 0.0


class _Supervisor:
    def __init__(self, count: int, work: Work, ready: Callable[[], None], lost: Callable[[int], None]) -> None:
        self._slots = [_Slot(number) for number in range(count)]
        self._work = work
        self._ready = ready
        self._tell_lost = lost
        self._announced = False
        self._asked_to_stop = False
        self._early_deaths: list[float] = []
        self._lifeline, self._held = os.pipe()
        # Not epoll, whose state a forked process would share and change.
        self._selector = selectors.PollSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Signals wake the supervisor, which looks around; afterwards all is as it was before."""

        def note(number: int, _: FrameType | None) -> None:
            self._asked_to_stop |= number != signal.SIGCHLD

        # The descriptor first: a signal whose byte is lost would not be noticed until the next one.
        waker = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                # None: a handler that was not set from Python, and cannot be set again.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(waker)
            os.close(self._held)
            self._close()

    def run(self) -> None:
        while not self._asked_to_stop:
            now = time.monotonic()
            for slot in self._slots:
                if slot.pid is None and slot.due <= now:
                    self._start(slot)
            vacant = [slot.due for slot in self._slots if slot.pid is None]
            self._wait(min(vacant) if vacant else None)
            for slot in self._slots:
                self._hear(slot)
                if self._ended(slot):
                    self._lost(slot)
            if not self._announced and all(slot.ready for slot in self._slots):
                self._announced = True
                self._ready()

    def stop(self, grace: float) -> None:
        """Tell all workers to stop, wait for them, and kill those that do not."""
        self._asked_to_stop = True
        for slot in self._slots:
            self._forget_report(slot)  # how a start went concerns nobody any more
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + grace + _LATE
        while [slot for slot in self._slots if slot.pid is not None and not self._ended(slot)]:
            if time.monotonic() >= deadline:
                log.warning("workers that did not stop in time are killed")
                self._signal_all(signal.SIGKILL)
                deadline = float("inf")
            self._wait(None if deadline == float("inf") else deadline)

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            # Until it was waited for, the process keeps its id, dead or alive.
            if slot.pid is not None:
                os.kill(slot.pid, number)

    def _wait(self, until: float | None) -> None:
        """Until a worker says something, a signal comes, or that moment."""
        self._selector.select(None if until is None else max(0.0, until - time.monotonic()))
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _start(self, slot: _Slot) -> None:
        slot.started, slot.ready = time.monotonic(), False
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what is still in a buffer would be written by both processes
        # A signal to the new process must not run the handlers that it inherits.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            slot.pid = os.fork()
            if slot.pid == 0:
                self._become_worker(slot.number, writer, mask)
        except OSError as error:
            os.close(reader)
            log.error("a worker could not be started: %s", error.strerror)
            self._lost(slot)
        else:
            slot.start_report = reader
            self._selector.register(reader, selectors.EVENT_READ)
        finally:
            os.close(writer)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _become_worker(self, number: int, writer: int, mask: set[signal.Signals | int]) -> NoReturn:
        """In the new process: work, then end without a way back into the code of the old one."""
        code = 1
        told = False

        def tell(error: Exception | None) -> None:
            nonlocal told
            told = True
            with contextlib.suppress(BrokenPipeError):
                os.write(writer, _message(error))
            os.close(writer)

        try:
            signal.set_wakeup_fd(-1)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(self._held)
            lifeline = os.dup(self._lifeline)
            self._close()
            threading.Thread(target=_follow, args=(lifeline,), name="partwise-lifeline", daemon=True).start()
            self._work(number, lambda: tell(None))
            code = 0
        except (OSError, ValueError) as error:
            if told:
                log.exception("a worker failed")
            else:
                tell(error)
        except BaseException:
            log.exception("a worker failed")
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _close(self) -> None:
        """Give back every descriptor but the one that keeps the workers alive."""
        for slot in self._slots:
            self._forget_report(slot)
        self._selector.close()
        self._woken.close()
        self._waker.close()
        os.close(self._lifeline)

    def _forget_report(self, slot: _Slot) -> None:
        if slot.start_report is not None:
            self._selector.unregister(slot.start_report)
            os.close(slot.start_report)
            slot.start_report = None

    def _hear(self, slot: _Slot) -> None:
        """How the start of a worker went, once it has said so. Raises its failure, if it is the first start."""
        if slot.start_report is None:
            return
        try:
            message = os.read(slot.start_report, 65536)
        except BlockingIOError:
            return
        self._forget_report(slot)
        if not message:  # it died before it could say anything
            return
        failure = _failure(message)
        slot.ready = failure is None
        if failure is not None:
            if not self._announced:
                raise failure
            log.error("a worker could not be started: %s", failure)

    def _ended(self, slot: _Slot) -> bool:
        """Has the process of this slot ended? Takes it from the system's table."""
        if slot.pid is None:
            return False
        pid, status = os.waitpid(slot.pid, os.WNOHANG)
        if not pid:
            return False
        slot.pid = None
        self._hear(slot)  # first: if this raises its failure, no other one takes its place
        self._forget_report(slot)
        if not self._asked_to_stop:
            log.warning("worker %d ended (%s); another one takes its place", pid, _how(status))
        return True

    def _lost(self, slot: _Slot) -> None:
        """Start another one, after a pause. Raises WorkersDied if that is of no use."""
        self._tell_lost(slot.number)
        now = time.monotonic()
        if not slot.ready:
            # Before the first start has succeeded nobody is served: it may not go on for ever, however slowly they die.
            recent = [when for when in self._early_deaths if now - when < _WITHIN or not self._announced]
            self._early_deaths = [*recent, now]
            if len(self._early_deaths) >= _HOPELESS:
                raise WorkersDied("the workers die as soon as they start; look into the log above for the reason")
        slot.pause = _PAUSE if now - slot.started > _GROWN_UP else slot.pause
        slot.due = now + slot.pause
        slot.pause = min(slot.pause * 2, _LONGEST_PAUSE)


def _follow(lifeline: int) -> None:
    """End with the supervisor: it was killed if this read returns."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    # A thread of its own, in a process that is ending: nothing else waits for it.
    time.sleep(_ORPHANED)
    os._exit(1)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _message(error: Exception | None) -> bytes:
    if isinstance(error, OSError):
        return json.dumps([error.errno, error.strerror or str(error)]).encode()
    return json.dumps([None, None if error is None else str(error)]).encode()


def _failure(message: bytes) -> Exception | None:
    number, text = json.loads(message)
    if number is not None:
        return OSError(number, text)
    return None if text is None else ValueError(text)
