"""The report of a batch: an append-only log that whoever wants to know follows.

Outcomes may be settled in any order and from any thread; rows appear in request order. The log is a file in the state
folder, see partwise.batch.record, so that memory stays bounded however late a reader is; the newest rows are kept in memory
too, for a reader that keeps up. Reading never waits for writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from partwise.batch.outcome import Outcome, Summary, dump, load
from partwise.batch.record import MARK_EVERY, ROW, Metadata, Totals, end_line, rows_at, seek, write_all
from partwise.batch.record_tries import Earlier

log = logging.getLogger(__name__)

#: Rows kept in memory for readers that keep up.
_TAIL = 512
#: Bytes of rows held in memory when the disk is full and the log cannot grow.
_OVERFLOW = 8 * 1024 * 1024

Listener = Callable[[], None]
#: Replaced by tests of a full disk.
_write_all = write_all


class Report:
    """The report ``batch`` whose log is a new file ``path``, held by a lock until :meth:`end`.

    ``metadata`` tells whose it is; ``earlier`` is the record of earlier tries of the same batch. ``closed`` is told at the end
    of all whether there is nothing in it. Every method may be called from any thread. Raises OSError.
    """

    def __init__(
        self,
        path: str,
        batch: str,
        metadata: Metadata | None = None,
        earlier: Earlier | None = None,
        closed: Callable[[Report, bool], None] = lambda report, worthless: None,
    ) -> None:
        self.batch = batch
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        head = (metadata or Metadata(batch)).line()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            write_all(self._descriptor, head)
        except OSError:
            os.close(self._descriptor)
            os.unlink(path)
            raise
        self._closed = closed
        self._earlier = earlier
        self._lock = threading.Lock()
        # One of its own: the event loop must not wait for the disk, nor for what earlier tries said.
        self._listening = threading.Lock()
        self._pending: dict[int, Outcome] = {}
        self._tail: deque[Outcome] = deque(maxlen=_TAIL)
        #: Where every so many rows begin.
        self._marks = [len(head)]
        self._size = len(head)
        self._totals = Totals()
        self._overflow: list[bytes] = []
        self._in_file = 0
        self._listeners: list[tuple[Listener, bool]] = []
        self.summary = Summary(batch)
        #: The disk is full, and so is the room in memory: the batch must not go on.
        self.full = False
        #: Somebody, in any process, wants it to stop. Set within about a second; listeners are called.
        self.cancelled = False

    @property
    def count(self) -> int:
        """Rows that may be read: those of this try."""
        return self.summary.items

    @property
    def ended(self) -> bool:
        return self.summary.state != "running"

    def listen(self, listener: Listener, *, rows: bool = True) -> None:
        """Call ``listener`` (from any thread) when the batch is cancelled, and for ``rows`` whenever there is more to read."""
        with self._listening:
            self._listeners = [*self._listeners, (listener, rows)]

    def unlisten(self, listener: Listener) -> None:
        """The inverse of :meth:`listen`."""
        with self._listening:
            self._listeners = [each for each in self._listeners if each[0] != listener]

    def describe(self, *, atomic: bool, dry_run: bool) -> None:
        """What the summary says of the whole batch; to be called before the first row."""
        with self._lock:
            self.summary = replace(self.summary, atomic=atomic, dry_run=dry_run)

    def cancel(self) -> None:
        """Ask whoever receives the batch to stop."""
        self.cancelled = True
        for listener, _ in self._listeners:
            listener()

    def earlier(self, target: str) -> Outcome | None:
        """The latest row of an earlier try of this batch that says that something was stored under this href."""
        if self._earlier is None:
            return None
        with self._lock:
            return self._earlier.find(target)

    def earlier_operation(self, operation: str) -> Outcome | None:
        """The latest row of an earlier try of this batch that says that this operation was done."""
        if self._earlier is None:
            return None
        with self._lock:
            return self._earlier.find_operation(operation)

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Final fates, in any order; each index once. After :meth:`end` they are nobody's any more."""
        with self._lock:
            if self._descriptor < 0 or self.ended:
                return
            rows: list[Outcome] = []
            pending, expected = self._pending, self.count + 1
            for outcome in outcomes:
                # They mostly come in their order.
                if outcome.index == expected:
                    rows.append(outcome)
                    expected += 1
                else:
                    pending[outcome.index] = outcome
                while pending and (row := pending.pop(expected, None)) is not None:
                    rows.append(row)
                    expected += 1
            if rows:
                self._append(rows)
        if rows:
            self._notify()

    def _append(self, rows: list[Outcome]) -> None:
        lines = []
        totals, before = self._totals, self._size
        for row in rows:
            line = dump(row)
            lines.append(line)
            self._size += len(line)
            totals.count(row)
            if totals.items % MARK_EVERY == 0:
                mark = totals.mark()
                lines.append(mark)
                self._size += len(mark)
                self._marks.append(self._size)
        self._write(lines, len(rows), before)
        self._tail.extend(rows)
        self._sum_up("running")

    def _sum_up(self, state: str) -> None:
        said = self.summary
        found = self._totals.summary(self.batch, state)
        self.summary = replace(found, ignored=said.ignored, dry_run=said.dry_run, atomic=said.atomic)

    def _write(self, lines: list[bytes], rows: int, before: int) -> None:
        if not self._overflow:
            try:
                _write_all(self._descriptor, b"".join(lines))
            except OSError as error:
                log.error("the log of a batch cannot grow: %s", os.strerror(error.errno or 0))
                os.ftruncate(self._descriptor, before)
            else:
                self._in_file += rows
                return
        self._overflow += (line for line in lines if line.startswith(ROW))
        if sum(map(len, self._overflow)) > _OVERFLOW:
            self.full = True

    def end(self, state: str, ignored: int = 0) -> None:
        """No more rows come; ``state`` is ``complete`` or ``aborted``.

        Of a batch that was sent before it takes as long as reading the record of the earlier tries: call it on a thread. What
        it adds to the record is for those who read the batch's own resource.
        """
        with self._lock:
            if self.ended:
                return
            self.summary = replace(self.summary, ignored=ignored)
            if self._descriptor >= 0:
                try:
                    self._end_file(state)
                except OSError as error:
                    # Who reads it from elsewhere will find an upload that broke off, with the rows that are there.
                    log.error("the log of a batch cannot be ended: %s", os.strerror(error.errno or 0))
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._sum_up(state)
        self._notify()

    def _end_file(self, state: str) -> None:
        _write_all(self._descriptor, b"".join(self._overflow))
        totals = self._totals
        if self._earlier is not None:
            totals = self._earlier.carry_over(self._descriptor, os.fstat(self._descriptor).st_size, totals)
        said = self.summary
        summary = replace(
            totals.summary(self.batch, state), ignored=said.ignored, dry_run=said.dry_run, atomic=said.atomic
        )
        _write_all(self._descriptor, end_line(summary))
        if self._earlier is not None:
            with contextlib.suppress(OSError):
                self._earlier.discard()

    def _notify(self) -> None:
        for listener, rows in self._listeners:
            if rows:
                listener()

    def rows(self, start: int, limit: int = MARK_EVERY) -> list[Outcome]:
        """At most ``limit`` rows from the one with index ``start`` on, that is from 1; ``limit`` is at most 256.

        They are fewer if they are long, but one at least if there is one.
        """
        with self._lock:
            stop = min(self.count + 1, start + limit)
            first = self.count + 1 - len(self._tail)
            if start >= first:
                return [self._tail[index - first] for index in range(start, stop)]
            mark, in_file = (start - 1) // MARK_EVERY, self._in_file
            begin = self._marks[mark]
            end = self._marks[mark + 2] if mark + 2 < len(self._marks) else self._size
            overflow = self._overflow[max(0, start - 1 - in_file) : max(0, stop - 1 - in_file)]
        wanted = min(stop, in_file + 1) - start
        if wanted > 0:
            place = seek(self._descriptor, begin, end, start)
            found = rows_at(self._descriptor, place, end, start, wanted)
            overflow = found + overflow if len(found) == wanted else found
        return [load(line) for line in overflow]

    def close(self) -> None:
        """No reader is left. An item that is still on its way may be settled later; its row is dropped."""
        # Nothing was judged: the answer to the whole request was a failure. Who cancelled it is told by its report.
        worthless = not self.ended and not self.count and self._earlier is None and not self.cancelled
        if not self.ended and not worthless:
            self.end("aborted")
        # Still under its lock, so that no other try can begin under its name meanwhile.
        self._closed(self, worthless)
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if self._earlier is not None:
                self._earlier.close()
                self._earlier = None
        os.close(descriptor)
