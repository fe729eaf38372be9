"""ZIP: the end of central directory record and whether it fits the size of the file (PKWARE APPNOTE §4.3.14-4.3.16).

The members are not read. Bytes before the archive (a self-extracting program) are allowed, as every reader allows them.
"""

from __future__ import annotations

import struct

from partwise.errors import Damaged
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.signatures import fits

_ZIP = "application/zip"
# §4.3.16: the record is 22 bytes and a comment of at most 65,535; before it, ZIP64's locator (20) and record (56).
_END, _LOCATOR, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
_WINDOW = _END.size + 0xFFFF + _LOCATOR.size + _END64.size
_ENTRY_SIZE = 46


class ZipValidator:
    """One archive. ``strict``: contents that do not begin like an archive are refused, not left alone."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._head = b""
        self._size = 0
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        """Only collects: an archive is known by its end."""
        self._head += data[: 4 - len(self._head)]
        self._size += len(data)
        self._tail += data[-_WINDOW:]
        # Cut seldom, so that tiny pieces do not copy the window each time.
        if len(self._tail) > 4 * _WINDOW:
            del self._tail[:-_WINDOW]

    def finish(self) -> None:
        """Raises :class:`~partwise.errors.Damaged` without a plausible record. An empty body passes."""
        if not self._size or not (self._strict or self._head[:2] == b"PK"):
            return
        tail = bytes(self._tail[-_WINDOW:])
        at = tail.rfind(b"PK\x05\x06")
        while at >= 0:
            if self._plausible(tail, at):
                return
            at = tail.rfind(b"PK\x05\x06", 0, at + 3)
        raise Damaged("The contents are no complete ZIP archive; send the whole file.")

    def _plausible(self, tail: bytes, at: int) -> bool:
        if at + _END.size > len(tail):
            return False
        _, disk, start_disk, here, entries, size, offset, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment > len(tail):
            return False
        end = self._size - len(tail) + at
        if 0xFFFF in (disk, here, entries) or 0xFFFFFFFF in (size, offset):
            wide = _zip64(tail, at)
            if wide is None:
                return False
            disk, start_disk, here, entries, size, offset = wide
            end -= _LOCATOR.size + _END64.size
        if disk or start_disk or here != entries or size < entries * _ENTRY_SIZE or size + offset > end:
            return False
        # The directory, if it lies in the window, begins with its first entry's signature.
        directory = at - (self._size - len(tail) + at - end) - size
        return entries == 0 or directory < 0 or tail[directory : directory + 4] == b"PK\x01\x02"


def _zip64(tail: bytes, at: int) -> tuple[int, int, int, int, int, int] | None:
    """Disk, first disk, entries here, entries, size and offset of the directory; ``None`` without ZIP64 records."""
    locator = at - _LOCATOR.size
    record = locator - _END64.size
    if record < 0 or tail[locator : locator + 4] != b"PK\x06\x07" or tail[record : record + 4] != b"PK\x06\x06":
        return None
    _, _, _, _, disk, start_disk, here, entries, size, offset = _END64.unpack_from(tail, record)
    return disk, start_disk, here, entries, size, offset


def zip_archive(candidate: Candidate) -> Validator | None:
    """The factory for ZIP archives and the formats made of them (OOXML, OpenDocument, EPUB, JAR, APK)."""
    fitting = fits(candidate.media_type) if candidate.media_type else None
    if not fitting or _ZIP not in fitting:
        return None
    return ZipValidator(strict=fitting == {_ZIP})
