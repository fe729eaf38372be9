"""Reading the report of a batch, whoever writes it: this process, another one, or nobody any more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace

from partwise.batch.outcome import Outcome, Summary, load
from partwise.batch.record import (
    END,
    MARK_EVERY,
    ROW,
    Totals,
    is_owned,
    last_line,
    last_mark,
    last_newline,
    lines,
    load_end,
    load_metadata,
    rows_at,
    seek,
)

_MOST_METADATA = 512 * 1024


class Reader:
    """The report in the open file ``descriptor``. Every method may be called from any thread, and may wait for the disk.

    Memory does not grow with the report: only the sums up to some place are kept. ``orphaned`` is called when its writer was
    killed, and should bring the file to its end; ``released`` when one of its users has closed it. Raises ValueError for a
    file that is no report.
    """

    def __init__(
        self, descriptor: int, orphaned: Callable[[Reader, int], None], released: Callable[[Reader], None]
    ) -> None:
        self._descriptor = descriptor
        self._orphaned = orphaned
        self._released = released
        #: How many share it; kept by the archive.
        self.users = 1
        self._lock = threading.Lock()
        _, line = next(lines(descriptor, 0, min(_MOST_METADATA, os.fstat(descriptor).st_size)), (0, b""))
        self.metadata = load_metadata(line)
        self.inode = os.fstat(descriptor).st_ino
        self._first = self._position = len(line)
        self._totals = Totals()
        self.summary = Summary(self.metadata.batch)
        self._catch_up()
        self._look_for_owner()

    @property
    def batch(self) -> str:
        return self.metadata.batch

    @property
    def ended(self) -> bool:
        return self.summary.state != "running"

    def refresh(self) -> bool:
        """Look what was added; gives whether there is anything new."""
        with self._lock:
            if self.ended:
                return False
            before = self.summary
            self._catch_up()
            if self.summary == before:
                self._look_for_owner()
            return self.summary != before

    def _catch_up(self) -> None:
        stop = last_newline(self._descriptor, os.fstat(self._descriptor).st_size)
        if stop <= self._position:
            return
        line = last_line(self._descriptor, stop)
        if line.startswith(END):
            self.summary = load_end(line, self.batch)
            self._position = stop
            return
        mark = last_mark(self._descriptor, self._position, stop)
        if mark is not None:
            _, line = next(lines(self._descriptor, mark, stop))
            self._totals = Totals.of_mark(line)
            self._position = mark + len(line)
        for _, line in lines(self._descriptor, self._position, stop):
            if line.startswith(ROW):
                self._totals.count_line(line)
        self._position = stop
        self.summary = self._totals.summary(self.batch)

    def _look_for_owner(self) -> None:
        if self.ended or is_owned(self._descriptor):
            return
        # It may have ended it in the moment before it let go.
        self._catch_up()
        if not self.ended:
            self._orphaned(self, self._descriptor)
            self._catch_up()
        if not self.ended:  # there may be no room for its end
            self.summary = replace(self.summary, state="aborted")

    def rows(self, start: int, limit: int = MARK_EVERY) -> list[Outcome]:
        """At most ``limit`` rows from the one with index ``start`` on, that is from 1; about 64 KiB of them."""
        stop = self._position
        place = seek(self._descriptor, self._first, stop, start)
        return [load(line) for line in rows_at(self._descriptor, place, stop, start, limit)]

    def row(self, index: int) -> Outcome | None:
        """The row with this index, ``None`` if there is none (yet)."""
        found = self.rows(index, 1) if 0 < index <= self.summary.items else []
        return found[0] if found else None

    def close(self) -> None:
        """One of its users needs it no more."""
        self._released(self)

    def dispose(self) -> None:
        """Nobody needs it any more."""
        os.close(self._descriptor)
