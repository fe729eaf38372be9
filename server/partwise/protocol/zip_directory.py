"""The central directory of a ZIP archive, entry by entry (PKWARE APPNOTE.TXT 6.3, sections as named).

Whoever holds the archive gives ``read(offset, size)``, which answers fewer bytes at the end. Entries are read one at a
time, so that memory does not grow with their number.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from partwise.errors import Malformed
from partwise.protocol.members import Kind

ReadAt = Callable[[int, int], bytes]

# §4.3.16, §4.3.15, §4.3.14, §4.3.12, §4.3.7
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
#: No entry is smaller; a directory of so many entries has so many bytes.
ENTRY_SIZE = _ENTRY.size
_WINDOW = _END.size + 0xFFFF
_CHUNK = 65536

# §4.4.4: bit 0, bit 6 and bit 13 speak of encryption, bit 5 of patches, bit 11 of names in UTF-8.
_ENCRYPTED, _PATCHED, _UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 5, 1 << 11
# §4.4.2: who made the entry; these two write names as their file systems have them, today in UTF-8.
_UNIX, _MACOS = 3, 19
# §4.5.3, §4.5.5, §4.6.9, and the extended timestamp of Info-ZIP.
_ZIP64, _NTFS, _UNICODE_PATH, _TIMESTAMP = 0x0001, 0x000A, 0x7075, 0x5455
#: 100 ns since 1601 at the beginning of 1970.
_FILETIME_1970 = 116_444_736_000_000_000
#: The kinds of st_mode that Unix keeps in the upper half of the external attributes.
_MODES = {
    0o010000: Kind.FIFO,
    0o020000: Kind.CHARACTER_DEVICE,
    0o040000: Kind.DIRECTORY,
    0o060000: Kind.BLOCK_DEVICE,
    0o120000: Kind.SYMBOLIC_LINK,
    0o140000: Kind.SOCKET,
}

_BROKEN = "The ZIP archive is damaged; send the whole of it again."


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory lies. ``shift``: bytes before the archive (a self-extracting program), which no offset counts."""

    start: int
    end: int
    entries: int
    shift: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. ``name`` in UTF-8 unless it cannot be, ``raw_name`` as it stands there; sizes in bytes.

    ``offset`` of its local header from the beginning of the body; ``modified`` in decimal seconds since 1970, or unknown.
    ``method`` is the number of its compression (§4.4.5).
    """

    name: bytes
    raw_name: bytes
    kind: Kind
    method: int
    compressed: int
    size: int
    crc: int
    offset: int
    modified: str | None


def find_directory(read: ReadAt, size: int) -> Directory:
    """The directory of an archive of ``size`` bytes. Raises ``Malformed``."""
    start = max(size - _WINDOW, 0)
    tail = read(start, size - start)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if (found := _directory(read, tail, at, start)) is not None:
            return found
        at = tail.rfind(b"PK\x05\x06", 0, at + 3)
    raise Malformed("This is no ZIP archive, or its end is missing; send the whole archive.")


def _directory(read: ReadAt, tail: bytes, at: int, start: int) -> Directory | None:
    if at + _END.size > len(tail):
        return None
    _, disk, first_disk, here, entries, length, offset, comment = _END.unpack_from(tail, at)
    end = start + at
    if at + _END.size + comment > len(tail):
        return None
    wide = _directory64(read, end)
    if wide is not None:
        disk, first_disk, here, entries, length, offset, end = wide
    shift = end - length - offset
    if disk or first_disk or here != entries or shift < 0 or length < entries * ENTRY_SIZE:
        return None
    directory = Directory(end - length, end, entries, shift)
    if entries and read(directory.start, 4) != b"PK\x01\x02":
        return None
    return directory


def _directory64(read: ReadAt, end: int) -> tuple[int, int, int, int, int, int, int] | None:
    if end < _LOCATOR.size + _END64.size:
        return None
    if read(end - _LOCATOR.size, 4) != b"PK\x06\x07":
        return None
    at = end - _LOCATOR.size - _END64.size
    record = read(at, _END64.size)
    if not record.startswith(b"PK\x06\x06"):
        return None
    _, _, _, _, disk, first_disk, here, entries, length, offset = _END64.unpack(record)
    return disk, first_disk, here, entries, length, offset, at


def offsets(read: ReadAt, directory: Directory) -> Iterator[int]:
    """Where the local headers of all entries begin. Raises ``Malformed``."""
    for fields, _, extra in _fields(read, directory):
        yield _wide(fields, extra)[2] + directory.shift


def entries(read: ReadAt, directory: Directory) -> Iterator[Entry]:
    """All entries, in the directory's order. Raises ``Malformed``."""
    for fields, raw, extra in _fields(read, directory):
        _, made, _, flags, method, time, date, crc, *_, external, _ = fields
        compressed, size, offset = _wide(fields, extra)
        extras = dict(_extras(extra))
        kind = _MODES.get(external >> 16 & 0o170000, Kind.FILE) if made >> 8 in (_UNIX, _MACOS) else Kind.FILE
        if raw.endswith(b"/"):
            kind = Kind.DIRECTORY
        elif flags & _ENCRYPTED and kind is Kind.FILE:
            kind = Kind.ENCRYPTED
        elif flags & _PATCHED:
            kind = Kind.OTHER
        yield Entry(
            name=_name(raw, flags, made >> 8, extras.get(_UNICODE_PATH, b"")),
            raw_name=raw,
            kind=kind,
            method=method,
            compressed=compressed,
            size=size,
            crc=crc,
            offset=offset + directory.shift,
            modified=_modified(extras, date, time),
        )


def data_offset(read: ReadAt, entry: Entry) -> int | None:
    """Where the data of an entry begins; ``None`` if the local header is not there or has another name."""
    header = read(entry.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        return None
    name, extra = _LOCAL.unpack(header)[-2:]
    if read(entry.offset + _LOCAL.size, name) != entry.raw_name:
        return None
    return int(entry.offset + _LOCAL.size + name + extra)


def _fields(read: ReadAt, directory: Directory) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
    """The fixed fields of each entry, its name and its extra fields."""
    buffer, pos, place = b"", 0, directory.start
    for _ in range(directory.entries):
        # An entry is its fixed fields and three texts of at most 65,535 bytes.
        if len(buffer) - pos < ENTRY_SIZE + 3 * 0xFFFF and place < directory.end:
            more = read(place, min(4 * _CHUNK, directory.end - place))
            place += len(more) or directory.end
            buffer, pos = buffer[pos:] + more, 0
        if len(buffer) - pos < ENTRY_SIZE:
            raise Malformed(_BROKEN)
        fields = _ENTRY.unpack_from(buffer, pos)
        name, extra, comment = fields[10:13]
        start = pos + ENTRY_SIZE
        pos = start + name + extra + comment
        if fields[0] != b"PK\x01\x02" or pos > len(buffer):
            raise Malformed(_BROKEN)
        yield fields, buffer[start : start + name], buffer[start + name : start + name + extra]


def _wide(fields: tuple[int, ...], extra: bytes) -> tuple[int, int, int]:
    """Compressed size, size and offset, where they do not fit 32 bits from the ZIP64 field (§4.5.3)."""
    compressed, size, offset = fields[8], fields[9], fields[16]
    if 0xFFFFFFFF in (compressed, size, offset):
        wide = next((data for kind, data in _extras(extra) if kind == _ZIP64), b"")
        values = (value for (value,) in struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8]))
        # "The order of the fields … is fixed, but the fields MUST only appear if the corresponding … field is set".
        try:
            size = next(values) if size == 0xFFFFFFFF else size
            compressed = next(values) if compressed == 0xFFFFFFFF else compressed
            offset = next(values) if offset == 0xFFFFFFFF else offset
        except StopIteration:
            raise Malformed(_BROKEN) from None
    return compressed, size, offset


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """§4.5.1: header id, length, data; a rest that does not fit is padding."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _name(raw: bytes, flags: int, maker: int, unicode_path: bytes) -> bytes:
    if flags & _UTF8 or raw.isascii():
        return raw
    # §4.6.9: version 1, the CRC-32 of the name that it stands for, the name in UTF-8.
    if unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        return unicode_path[5:]
    if maker in (_UNIX, _MACOS):
        # Archive Utility of macOS and many programs on Unix write UTF-8 without saying so.
        try:
            raw.decode()
        except UnicodeError:
            pass
        else:
            return raw
    # Appendix D.1: "the historical ZIP character encoding", IBM code page 437.
    return raw.decode("cp437").encode()


def _modified(extras: dict[int, bytes], date: int, time: int) -> str | None:
    """The best of what there is: Windows' time, Unix' time, or that of DOS, which has no zone and is taken as UTC."""
    ntfs = dict(_extras(extras.get(_NTFS, b"")[4:])).get(1, b"")
    if len(ntfs) == 24:
        since = int.from_bytes(ntfs[:8], "little") - _FILETIME_1970
        return _seconds(since // 10_000_000, since % 10_000_000 * 100)
    stamp = extras.get(_TIMESTAMP, b"")
    if len(stamp) >= 5 and stamp[0] & 1:
        return _seconds(int.from_bytes(stamp[1:5], "little", signed=True), 0)
    try:
        moment = datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC
        )
    except ValueError:
        return None
    return _seconds(int(moment.timestamp()), 0)


def _seconds(seconds: int, nanoseconds: int) -> str | None:
    """A time before 1970 or after the year 9999 is not kept."""
    return f"{seconds}.{nanoseconds:09}" if 0 <= seconds <= 253_402_300_799 else None
