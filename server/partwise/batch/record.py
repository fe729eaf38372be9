"""The file that a report is: what its lines mean, and how a place in it is found without reading all of it.

::

    {"batch":…,"principal":…,"collection":…,"name":…,"created":…}    first
    {"index":1,"href":…,"status":…,…}                                rows, ascending; see partwise.batch.outcome
    {"mark":256,"stored":…,"failed":…,"bytes":…,"statuses":[…]}      now and then: the sums up to here
    {"memo":{"index":…}}                                             a good row of an earlier try that is not told any more
    {"end":"complete","items":…,…}                                   last

Lines are only ever appended, so that a file can be read while it grows; what follows its last newline is not there yet. Nothing
is synchronised to the disk: a report must survive the server's death, and items are durable before their rows are written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from partwise.batch.outcome import Outcome, Summary

ROW = b'{"index":'
MARK = b'{"mark":'
MEMO = b'{"memo":'
END = b'{"end":'

#: Rows from one mark to the next.
MARK_EVERY = 256
_BLOCK = 64 * 1024
# Within a string of JSON every quotation mark has a backslash before it: these match keys only.
_ROW = re.compile(rb'\{"index":(\d+),"href":"([^"\\]*)","status":(\d+)')
_SIZE = re.compile(rb',"size":(\d+)')
_HREF = re.compile(rb'\{"index":\d+,"href":"([^"\\]*)"')
_LOCATION = re.compile(rb',"location":"([^"\\]*)"')
_OPERATION = re.compile(rb',"operation":"([A-Z]+ ([^" ]*) [^" ]*)"')
_INDEX = re.compile(rb'\{"(?:index|mark)":(\d+)')
_LOCATED = b',"location":'
_FAILED = b',"error":{'
_WOULD = b',"would":'


@dataclass(frozen=True, slots=True)
class Metadata:
    """Whose batch it is. ``collection`` is an href, ``name`` the client's own, ``created`` in seconds since 1970."""

    batch: str
    principal: str | None = None
    collection: str = "/"
    name: str | None = None
    created: float = 0.0

    def line(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


def load_metadata(line: bytes) -> Metadata:
    """The inverse of :meth:`Metadata.line`. Raises ValueError for anything else."""
    try:
        return Metadata(**json.loads(line))
    except TypeError:
        raise ValueError("no metadata") from None


@dataclass(slots=True)
class Totals:
    """The sums of the rows up to some place."""

    items: int = 0
    stored: int = 0
    failed: int = 0
    size: int = 0
    statuses: set[int] = field(default_factory=set)

    def count(self, outcome: Outcome) -> None:
        self.items += 1
        self.statuses.add(int(outcome.status))
        if outcome.failure is None:
            self.stored += 1
            self.size += outcome.size or 0
        else:
            self.failed += 1

    def count_line(self, line: bytes) -> None:
        """As :meth:`count`, of the line of a row."""
        row = _ROW.match(line)
        assert row is not None
        self.items += 1
        self.statuses.add(int(row[3]))
        if _FAILED in line:
            self.failed += 1
        else:
            self.stored += 1
            size = _SIZE.search(line)
            self.size += int(size[1]) if size else 0

    def mark(self) -> bytes:
        record = {"mark": self.items, "stored": self.stored, "failed": self.failed, "bytes": self.size}
        return json.dumps(record | {"statuses": sorted(self.statuses)}, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of_mark(cls, line: bytes) -> Totals:
        record = json.loads(line)
        return cls(record["mark"], record["stored"], record["failed"], record["bytes"], set(record["statuses"]))

    def summary(self, batch: str, state: str = "running") -> Summary:
        return Summary(
            batch, self.items, self.stored, self.failed, self.size, state=state, statuses=frozenset(self.statuses)
        )


def end_line(summary: Summary) -> bytes:
    record = asdict(summary) | {"statuses": sorted(summary.statuses)}
    del record["batch"]
    return json.dumps({"end": record.pop("state"), **record}, separators=(",", ":")).encode() + b"\n"


def load_end(line: bytes, batch: str) -> Summary:
    """The inverse of :func:`end_line`."""
    record = json.loads(line)
    return Summary(batch, state=record.pop("end"), **record | {"statuses": frozenset(record["statuses"])})


class Target(NamedTuple):
    """What the line of a row is about. ``key``: the href of its target, ``None`` if it has none of its own.

    ``stored``: the row says that an item was stored there.
    """

    key: bytes | None
    stored: bool


def target_of(line: bytes) -> Target:
    row = _HREF.match(line)
    assert row is not None
    key = row[1]
    operation = _OPERATION.search(line)
    if operation is not None:
        return Target(operation[2], stored=False)
    if _LOCATED in line:
        location = _LOCATION.search(line)
        key = location[1] if location else key
    # A "?" that belongs to a name is percent-encoded: this is the address of an item without a target of its own.
    return Target(None if b"?" in key else key, _FAILED not in line and _WOULD not in line)


def operation_of(line: bytes) -> bytes | None:
    """What the operation is recognised by that the line of a row or memo tells of, if it was done."""
    operation = _OPERATION.search(line)
    return None if operation is None or _FAILED in line or _WOULD in line else operation[1]


def renumbered(line: bytes, index: int) -> bytes:
    """The line of a row of an earlier try, as the row ``index`` of a later one."""
    operation = _OPERATION.search(line)
    if operation is not None or _LOCATION.search(line):
        record = json.loads(line) | {"index": index, "earlier": True}
        if operation is None:
            record["href"] = record.pop("location")
        else:
            record["href"] = operation[2].decode()
            if record.get("location") == record["href"]:
                del record["location"]
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"
    flag = b"" if b',"earlier":true' in line else b',"earlier":true'
    return b'{"index":%d' % index + line[line.index(b",") : -2] + flag + b"}\n"


# -- finding


def lines(descriptor: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The complete lines between two offsets, the first being the start of a line, with their offsets."""
    rest = b""
    while start + len(rest) < stop:
        data = os.pread(descriptor, min(_BLOCK, stop - start - len(rest)), start + len(rest))
        if not data:
            return
        pieces = (rest + data).split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            yield start, piece + b"\n"
            start += len(piece) + 1


def last_mark(descriptor: int, start: int, stop: int) -> int | None:
    """The offset of the last mark between two offsets, which are those of starts of lines."""
    after = b""
    place = stop
    while place > start:
        size = min(_BLOCK, place - start)
        place -= size
        data = os.pread(descriptor, size, place) + after
        found = data.rfind(b"\n" + MARK)
        if found >= 0:
            return place + found + 1
        after = data[: len(MARK)]
    return start if after.startswith(MARK) else None


def last_newline(descriptor: int, stop: int) -> int:
    """The offset behind the last newline before ``stop``; 0 if there is none."""
    while stop > 0:
        size = min(_BLOCK, stop)
        data = os.pread(descriptor, size, stop - size)
        found = data.rfind(b"\n")
        if found >= 0:
            return stop - size + found + 1
        stop -= size
    return 0


def last_line(descriptor: int, stop: int) -> bytes:
    """The line that ends at ``stop``, which is behind a newline; if it is longer than any end or mark, its end only."""
    data = os.pread(descriptor, min(_BLOCK, stop), max(0, stop - _BLOCK))
    return data[data.rfind(b"\n", 0, -1) + 1 :]


def seek(descriptor: int, start: int, stop: int, index: int) -> int:
    """The offset of a line from which the row ``index`` is not far. ``start`` is the start of a line before it.

    Rows ascend, so that halving finds it.
    """
    while stop - start > _BLOCK:
        middle = (start + stop) // 2
        found = _line_after(descriptor, middle, stop)
        if found is None:
            stop = middle
            continue
        place, head = found
        number = _INDEX.match(head)
        if number is None or int(number[1]) > index or (head.startswith(MARK) and int(number[1]) == index):
            stop = middle
        else:
            start = place
    return start


def _line_after(descriptor: int, place: int, stop: int) -> tuple[int, bytes] | None:
    """The first line that begins behind ``place``, and its first bytes."""
    while place < stop:
        data = os.pread(descriptor, min(8192, stop - place), place)
        newline = data.find(b"\n")
        if newline >= 0:
            place += newline + 1
            return (place, os.pread(descriptor, 32, place)) if place < stop else None
        if not data:
            return None
        place += len(data)
    return None


def rows_at(descriptor: int, place: int, stop: int, start: int, limit: int) -> list[bytes]:
    """The lines of at most ``limit`` rows from the row ``start`` on, which lies behind ``place``.

    They are fewer if they are long: about 64 KiB in all, but one at least.
    """
    found: list[bytes] = []
    size = 0
    for _, line in lines(descriptor, place, stop):
        number = _ROW.match(line)
        if number is None or int(number[1]) < start:
            continue
        found.append(line)
        size += len(line)
        if len(found) == limit or size >= _BLOCK:
            break
    return found


# -- who writes


def is_owned(descriptor: int) -> bool:
    """Does somebody hold the file open for writing?"""
    try:
        # Shared, so that two who ask do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
