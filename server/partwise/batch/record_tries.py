"""What a batch that is sent again under its name keeps of its earlier tries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from partwise.batch.outcome import Outcome, load
from partwise.batch.record import (
    END,
    MARK_EVERY,
    MEMO,
    ROW,
    Totals,
    end_line,
    last_line,
    last_newline,
    lines,
    operation_of,
    renumbered,
    target_of,
    write_all,
)

#: Targets that a batch remembers. Each takes about 100 bytes of memory while a later try runs.
_MOST = 400_000
_BLOCK = 64 * 1024


class Earlier:
    """The record of the tries before this one: the file ``path``, which will be found under ``later`` when it can go.

    Used under the lock of its report. Raises OSError.
    """

    def __init__(self, path: str, later: str) -> None:
        self._path = later
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = last_newline(self._descriptor, os.fstat(self._descriptor).st_size)
        #: By the hash of a target: twice the offset of its latest row, plus one if that says it was stored.
        self._latest: dict[int, int] = {}
        #: The offset of the latest row that says it was stored, where the latest of all does not.
        self._superseded: dict[int, int] = {}
        #: The offset of the latest row of each operation that was done, by the hash of what it is recognised by.
        self._operations: dict[int, int] = {}
        self._read = False

    def _index(self) -> None:
        if self._read:
            return
        self._read = True
        for offset, line in lines(self._descriptor, 0, self._size):
            if line.startswith(ROW):
                target = target_of(line)
                if target.key is not None:
                    self._remember(hash(target.key), offset, target.stored)
            elif line.startswith(MEMO) and operation_of(line) is None:
                key = target_of(_remembered(line)).key
                if len(self._superseded) < _MOST:
                    self._superseded[hash(key)] = offset
            operation = operation_of(line)
            if operation is not None and len(self._operations) < _MOST:
                self._operations[hash(operation)] = offset

    def _remember(self, key: int, offset: int, stored: bool) -> None:
        before = self._latest.get(key)
        if before is None and len(self._latest) >= _MOST:
            return
        if stored:
            self._superseded.pop(key, None)
        elif before is not None and before & 1:
            self._superseded[key] = before >> 1
        self._latest[key] = offset << 1 | stored

    def find(self, href: str) -> Outcome | None:
        """The latest row of this target that says it was stored."""
        self._index()
        wanted = href.encode()
        offset = self._stored_at(hash(wanted))
        if offset is None:
            return None
        line = self._line(offset)
        # Two targets may share a hash.
        return load(line) if target_of(line).key == wanted else None

    def find_operation(self, operation: str) -> Outcome | None:
        """The latest row that says that this was done."""
        self._index()
        wanted = operation.encode()
        offset = self._operations.get(hash(wanted))
        if offset is None:
            return None
        line = self._line(offset)
        return load(line) if operation_of(line) == wanted else None

    def _stored_at(self, key: int) -> int | None:
        latest = self._latest.get(key)
        return latest >> 1 if latest is not None and latest & 1 else self._superseded.get(key)

    def _line(self, offset: int) -> bytes:
        _, line = next(lines(self._descriptor, offset, self._size))
        return _remembered(line) if line.startswith(MEMO) else line

    def carry_over(self, descriptor: int, stop: int, totals: Totals) -> Totals:
        """Append to a later record what it does not say: rows of targets that it does not name, and memos.

        ``stop`` is the end of the later record and ``totals`` are its sums; gives those with what was appended. Raises
        OSError.
        """
        self._index()
        named: dict[int, bool] = {}
        done: set[int] = set()
        for _, line in lines(descriptor, 0, stop):
            if line.startswith(ROW):
                target = target_of(line)
                if target.key is not None:
                    named[hash(target.key)] = target.stored
                done.add(hash(operation_of(line)))
        totals = Totals(totals.items, totals.stored, totals.failed, totals.size, set(totals.statuses))
        block = bytearray()
        for line in self._carried(named, done, totals):
            block += line
            if len(block) >= _BLOCK:
                write_all(descriptor, bytes(block))
                block.clear()
        write_all(descriptor, bytes(block))
        return totals

    def _carried(self, named: dict[int, bool], done: set[int], totals: Totals) -> Iterator[bytes]:
        memos = {offset for key, offset in self._operations.items() if key not in done}
        for key, latest in self._latest.items():
            if named.get(key, latest & 1):
                continue
            # The latest word is, or will be, that it was not stored: what was stored before must not be forgotten.
            offset = self._stored_at(key)
            if offset is not None:
                memos.add(offset)
        for offset, line in lines(self._descriptor, 0, self._size):
            if not line.startswith(ROW):
                continue
            target = target_of(line)
            if target.key is None:
                continue
            key = hash(target.key)
            if key in named or self._latest.get(key, -1) >> 1 != offset:
                continue
            row = renumbered(line, totals.items + 1)
            totals.count_line(row)
            yield row
            if operation_of(row) is not None:
                memos.discard(offset)
            if totals.items % MARK_EVERY == 0:
                yield totals.mark()
        for offset in sorted(memos):
            yield MEMO + self._line(offset)[:-1] + b"}\n"

    def discard(self) -> None:
        """All was taken over."""
        os.unlink(self._path)

    def close(self) -> None:
        os.close(self._descriptor)


def _remembered(line: bytes) -> bytes:
    return line[len(MEMO) : -2] + b"\n"


def mend(path: str, before: str, descriptor: int) -> None:
    """Bring the report ``path``, open as ``descriptor``, to its end if its writer was killed before that.

    A torn line is cut, and what earlier tries said (the file ``before``) is taken over. Killed in the middle of this, it can
    be done again. To be called by one at a time. Raises OSError.
    """
    status = os.fstat(descriptor)
    stop = last_newline(descriptor, status.st_size)
    if last_line(descriptor, stop).startswith(END):
        return
    try:
        writer = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if os.fstat(writer).st_ino != status.st_ino:
            return
        os.ftruncate(writer, stop)
        totals = Totals()
        for _, line in lines(writer, 0, stop):
            if line.startswith(ROW):
                totals.count_line(line)
        with contextlib.suppress(FileNotFoundError), contextlib.closing(Earlier(before, before)) as earlier:
            totals = earlier.carry_over(writer, stop, totals)
        write_all(writer, end_line(totals.summary("", "aborted")))
        # It is as old as its last row.
        os.utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(writer)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(before)
