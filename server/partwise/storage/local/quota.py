"""Quotas: how much the files below some collections take, and whether more may come (RFC 4331).

Each collection with a quota has a row in the state (``storage.sql.usage``). Writers change it in the critical section
in which they place files, so that no two of them pass at once. It is counted by a walk when nobody knows it, and
now and then, since people change files behind the server's back; a walk holds nobody up.

Where a file lies decides, not the links by which it was reached.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from partwise.errors import Failure, NotFound
from partwise.storage.base import Path, Quota
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.ledger import Ledger, Limits
from partwise.storage.local.measure import Stopped, measure, never
from partwise.storage.sql.state import State
from partwise.storage.sql.usage import UNKNOWN, Usage

log = logging.getLogger(__name__)

#: Seconds after which a collection is counted again.
TRUSTED = 300

CriticalSection = Callable[[], AbstractContextManager[None]]


class Quotas:
    """The quotas of one store. ``limits`` are bytes by path; ``folder`` holds the state.

    ``critical_section`` is the store's. ``clock``: seconds since 1970. Raises TryAgain if the state cannot be used.
    """

    def __init__(
        self,
        root: Root,
        state: State,
        folder: str,
        limits: Mapping[Path, int],
        critical_section: CriticalSection,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._root, self._state, self._clock = root, state, clock
        self._critical_section = critical_section
        self._turn = os.path.join(folder, "usage.lock")
        self._limits = self.limits = Limits(root, _resolved(root, limits))
        self._known: tuple[int, dict[Path, Usage]] = (1, {})
        self._begin()

    def _begin(self) -> None:
        """Rows of quotas that are no more would be wrong when they come back; others are counted soon."""
        if self._state.usage():
            with self._critical_section():
                self._sound()
                rows = self._state.usage()
                with self._state.writing() as state:
                    state.begin_usage([path for path in rows if path not in self._limits])
                    self._state.usage_number.unsettle()
                self._settle()

    # -- asking

    def tightest(self, path: Path) -> Quota | None:
        """See ``storage.base.Store.quota``."""
        if not self._limits:
            return None
        with Directories(self._root) as directories:
            over = list(self._limits.over(directories.canonical(path)))
        while over:
            rows = self._rows()
            found = [
                Quota(self._limits[place], used)
                for place in over
                if (used := rows.get(place, UNKNOWN).bytes) is not None
            ]
            if len(found) == len(over):
                return min(found, key=lambda quota: quota.left)
            self._count(aged=False, stop=never)
        return None

    def _rows(self) -> dict[Path, Usage]:
        number = self._state.usage_number.read()
        known, rows = self._known
        # An odd number: a writer is at work.
        if known != number or number & 1:
            rows = self._state.usage()
            self._known = number, rows
        return rows

    # -- writing

    @contextlib.contextmanager
    def section(self) -> Iterator[Ledger]:
        """The critical section, entered when all usage is known; the ledger is for what is done in it."""
        if not self._limits:
            with self._critical_section():
                yield Ledger(self._limits, {}, self._state.usage_number)
            return
        while True:
            with self._critical_section():
                ledger = self._open()
                if ledger is not None:
                    try:
                        yield ledger
                        self._write(ledger)
                    finally:
                        if not ledger.changed and not ledger.doubtful:
                            self._settle()
                    return
            self._count(aged=False, stop=never)

    def _write(self, ledger: Ledger) -> None:
        try:
            ledger.write(self._state)
        except Failure as failure:
            # What was done is done, and is told; the number stays odd, so that it is counted before anything else comes.
            log.warning("the usage of quotas must be counted anew: %s", failure)

    def _open(self) -> Ledger | None:
        if not self._sound():
            return None
        used: dict[Path, int] = {}
        rows = self._rows()
        for path in self._limits:
            size = rows.get(path, UNKNOWN).bytes
            if size is None:
                return None
            used[path] = size
        return Ledger(self._limits, used, self._state.usage_number)

    def _sound(self) -> bool:
        """False if a writer placed files and was killed, or failed, before it wrote down what they take."""
        if not self._state.usage_number.read() & 1:
            return True
        with self._state.writing() as state:
            state.forget_usage()
        self._settle()
        return False

    def _settle(self) -> None:
        if self._state.usage_number.read() & 1:
            self._state.usage_number.settle()

    # -- counting

    def recount(self, stop: Callable[[], bool] = never) -> None:
        """Count what was not counted for :data:`TRUSTED` seconds, or until ``stop`` says so. Raises OSError, TryAgain."""
        with contextlib.suppress(Stopped):
            self._count(aged=True, stop=stop)

    def _count(self, *, aged: bool, stop: Callable[[], bool]) -> None:
        for path in self._limits:
            if self._is_due(path, aged=aged):
                with self._alone():
                    # Somebody else may have counted while we waited.
                    if self._is_due(path, aged=aged):
                        self._count_one(path, stop)

    def _is_due(self, path: Path, *, aged: bool) -> bool:
        row = self._rows().get(path, UNKNOWN)
        return row.counted is None or (aged and not row.counted_at <= self._clock() < row.counted_at + TRUSTED)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One counts at a time, of all threads and processes: a descriptor of our own excludes threads too."""
        descriptor = os.open(self._turn, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _count_one(self, path: Path, stop: Callable[[], bool]) -> None:
        moment, before = self._clock(), self._rows().get(path, UNKNOWN)
        counted = self._measure(path, stop)
        with self._critical_section():
            if not self._sound():
                return
            after = self._rows().get(path, UNKNOWN)
            size, exact = _reconciled(counted, before, after)
            with self._state.writing() as state:
                state.count_usage(path, Usage(size, 0, 0, moment if exact else 0.0))
                self._state.usage_number.unsettle()
            self._settle()

    def _measure(self, path: Path, stop: Callable[[], bool]) -> int:
        with Directories(self._root) as directories:
            if not path:
                return measure(self._root, self._root.descriptor, ".", (), stop)[()]
            try:
                parent = directories.open(path[:-1])
            except NotFound:
                return 0
            return measure(self._root, parent, path[-1], (), stop)[()]


def _reconciled(counted: int, before: Usage, after: Usage) -> tuple[int, bool]:
    """What the files take now, after a walk during which others went on writing; and whether that is certain.

    Of what was added meanwhile the walk saw some and some not, and so of what was removed: the truth lies between the
    bounds. What the rows say is right if it lies there, else somebody changed files behind our back.
    """
    least = max(0, counted - (after.removed - before.removed))
    most = counted + (after.added - before.added)
    if after.bytes is None:
        return most, least == most
    return min(max(after.bytes, least), most), True


def _resolved(root: Root, limits: Mapping[Path, int]) -> dict[Path, int]:
    """The limits by where their collections lie: an operator may have made one a link to another place in the folder."""
    found: dict[Path, int] = {}
    for path, limit in limits.items():
        with contextlib.suppress(NotFound):
            path = root.canonical(path)
        found[path] = min(limit, found.get(path, limit))
    return found
