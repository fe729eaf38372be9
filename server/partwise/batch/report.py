"""The report of a batch: an append-only log that whoever wants to know follows.

Outcomes may be settled in any order and from any thread; rows appear in request order. The log is a file in the state
folder, one JSON object a line, so that memory stays bounded however late a reader is; the newest rows are kept in memory
too, for a reader that keeps up. Reading never waits for writing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from partwise.batch.outcome import Outcome, Summary, dump, load

log = logging.getLogger(__name__)

#: Rows kept in memory for readers that keep up.
_TAIL = 512
#: Every so many rows the position in the file is remembered.
_MARK = 256
#: Bytes of rows held in memory when the disk is full and the log cannot grow.
_OVERFLOW = 8 * 1024 * 1024

Listener = Callable[[], None]


class Report:
    """The report ``batch`` whose log is a new file ``path``. Every method may be called from any thread."""

    def __init__(self, path: str, batch: str) -> None:
        self.batch = batch
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._lock = threading.Lock()
        self._pending: dict[int, Outcome] = {}
        self._tail: deque[Outcome] = deque(maxlen=_TAIL)
        self._marks = [0]
        self._size = 0
        self._overflow: list[bytes] = []
        self._in_file = 0
        self._listeners: list[Listener] = []
        self.summary = Summary(batch)
        #: The disk is full, and so is the room in memory: the batch must not go on.
        self.full = False

    @property
    def count(self) -> int:
        """Rows that may be read."""
        return self.summary.items

    @property
    def ended(self) -> bool:
        return self.summary.state != "running"

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` (from any thread) whenever there is more to read."""
        self._listeners.append(listener)

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Final fates, in any order; each index once. After :meth:`close` they are nobody's any more."""
        with self._lock:
            if self._descriptor < 0:
                return
            for outcome in outcomes:
                self._pending[outcome.index] = outcome
            rows: list[Outcome] = []
            while (row := self._pending.pop(self.count + len(rows) + 1, None)) is not None:
                rows.append(row)
            if rows:
                self._append(rows)
        if rows:
            self._notify()

    def _append(self, rows: list[Outcome]) -> None:
        lines = []
        for number, row in enumerate(rows, self.count + 1):
            line = dump(row)
            lines.append(line)
            self._size += len(line)
            if number % _MARK == 0:
                self._marks.append(self._size)
        self._write(lines)
        self._tail.extend(rows)
        stored = [row for row in rows if row.good]
        summary = self.summary
        self.summary = replace(
            summary,
            items=summary.items + len(rows),
            stored=summary.stored + len(stored),
            failed=summary.failed + len(rows) - len(stored),
            bytes=summary.bytes + sum(row.size or 0 for row in stored),
        )

    def _write(self, lines: list[bytes]) -> None:
        if not self._overflow:
            try:
                _write_all(self._descriptor, b"".join(lines))
            except OSError as error:
                log.error("the log of a batch cannot grow: %s", os.strerror(error.errno or 0))
                os.ftruncate(self._descriptor, self._size - sum(map(len, lines)))
            else:
                self._in_file += len(lines)
                return
        self._overflow.extend(lines)
        if sum(map(len, self._overflow)) > _OVERFLOW:
            self.full = True

    def end(self, state: str, ignored: int = 0) -> None:
        """No more rows come; ``state`` is ``complete`` or ``aborted``."""
        with self._lock:
            self.summary = replace(self.summary, state=state, ignored=ignored)
        self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def rows(self, start: int, limit: int = _MARK) -> list[Outcome]:
        """At most ``limit`` rows from the one with index ``start`` on, that is from 1."""
        with self._lock:
            stop = min(self.count + 1, start + limit)
            first = self.count + 1 - len(self._tail)
            if start >= first:
                return [self._tail[index - first] for index in range(start, stop)]
            mark, in_file = (start - 1) // _MARK, self._in_file
            begin = self._marks[mark]
            end = self._marks[mark + 2] if mark + 2 < len(self._marks) else self._size
            overflow = self._overflow[max(0, start - 1 - in_file) : max(0, stop - 1 - in_file)]
        lines = os.pread(self._descriptor, end - begin, begin).splitlines()
        skip = start - 1 - mark * _MARK
        wanted = (lines[skip:] if start <= in_file else []) + overflow
        return [load(line) for line in wanted[: stop - start]]

    def close(self) -> None:
        """No reader is left. An item that is still on its way may be settled later; its row is dropped."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
