"""The blocks of 512 bytes that describe the members of a tar archive, and what extends them (see ``protocol.tar``)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from partwise.errors import Malformed
from partwise.protocol.members import Kind

BLOCK: Final = 512

_KINDS = {
    b"\0": Kind.FILE,
    b"0": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMBOLIC_LINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
    # ustar: a contiguous file, where there are none "treated as" a regular one.
    b"7": Kind.FILE,
    b"S": Kind.SPARSE,
}
#: Kinds that have no data, whatever their size field says.
_WITHOUT_DATA = b"123456"

_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,18}")
# Digits past the ninth say nothing to any file system.
_SECONDS = re.compile(rb"([0-9]{1,12}(?:\.[0-9]{1,9})?)[0-9.]*")
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_LARGEST = 1 << 62

_NO_SIZE = "A header of the archive has a size that cannot be read; pack the files again."
_NO_TAR = "This is no tar archive, or it is damaged: a header has a wrong checksum. Send the whole archive again."


@dataclass(frozen=True, slots=True)
class Extension:
    """What extended headers say about a member, over what its own header says. ``sparse``: it is a sparse file."""

    name: bytes | None = None
    size: int | None = None
    mtime: bytes | None = None
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One member. ``size``: bytes of data that follow; ``modified``: decimal seconds since 1970, or unknown.

    ``mapped``: blocks with the map of a sparse file come first.
    """

    name: bytes
    kind: Kind
    size: int
    modified: str | None
    mapped: bool


def check(block: bytes) -> None:
    """Raises ``Malformed`` for a wrong checksum."""
    declared = _octal(block[148:156])
    # ustar: "the simple sum of all octets in the header logical record", the field itself counted as spaces.
    total = sum(block) - sum(block[148:156]) + 8 * 32
    # Some old programs added up signed characters.
    if declared is None or (total != declared and _signed(block) != declared):
        raise Malformed(compressed(block) or _NO_TAR)


def _signed(block: bytes) -> int:
    counted = block[:148] + b" " * 8 + block[156:]
    return sum(counted) - 256 * sum(byte > 127 for byte in counted)


def size_of(block: bytes) -> int:
    """The size field. Raises ``Malformed``."""
    size = _number(block[124:136])
    if size is None:
        raise Malformed(_NO_SIZE)
    return size


def member(block: bytes, extension: Extension) -> Member:
    """What a header that is one of a member says. Raises ``Malformed``."""
    flag = block[156:157]
    size = size_of(block) if extension.size is None else extension.size
    name = _name(block) if extension.name is None else extension.name
    kind = Kind.SPARSE if extension.sparse else _KINDS.get(flag, Kind.OTHER)
    if flag in b"\x000" and kind is Kind.FILE and not size and name.endswith(b"/"):
        # The seventh edition of Unix had no kind of its own for directories.
        kind = Kind.DIRECTORY
    modified = _seconds(block[136:148]) if extension.mtime is None else _decimal(extension.mtime)
    # GNU tar: isextended stands behind the first four pairs of the map.
    mapped = flag == b"S" and block[482] != 0
    return Member(name, kind, 0 if flag in _WITHOUT_DATA else size, modified, mapped)


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    # ustar: the name is prefix, a slash and name. GNU tar keeps other things there, and has another magic.
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        return prefix + b"/" + name if prefix else name
    return name


def _octal(field: bytes) -> int | None:
    # Some programs left rubbish behind the NUL that ends a number.
    found = _OCTAL.fullmatch(field) or _OCTAL.fullmatch(field.partition(b"\0")[0])
    return None if found is None else int(found[1] or b"0", 8)


def _number(field: bytes) -> int | None:
    """Octal, or in base 256 as GNU tar writes large numbers; ``None`` if unreadable or negative."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        return value if value < _LARGEST else None
    return _octal(field)


def _seconds(field: bytes) -> str | None:
    value = _number(field)
    return None if value is None or value > _LAST_SECOND else str(value)


def _decimal(value: bytes) -> str | None:
    """A time before 1970, or one that cannot be read, is not kept."""
    found = _SECONDS.fullmatch(value)
    if found is None or int(found[1].partition(b".")[0]) > _LAST_SECOND:
        return None
    return found[1].decode()


def extended(extension: Extension, data: bytes) -> Extension:
    """With the records of a pax extended header. Raises ``Malformed``."""
    at = 0
    while at < len(data):
        # pax: "%d %s=%s\n", <length>, <keyword>, <value>, and the length counts the whole record.
        length, space, _ = data[at : at + 8].partition(b" ")
        end = at + int(length) if space and _DECIMAL.fullmatch(length) else 0
        keyword, equals, value = data[at + len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not at < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise Malformed("An extended header of the archive cannot be read; pack the files again.")
        extension = _record(extension, keyword, value)
        at = end
    return extension


def _record(extension: Extension, keyword: bytes, value: bytes) -> Extension:
    # pax: an empty value takes back what was said before; the member's own header counts then.
    if keyword == b"path":
        # GNU tar gives sparse files a made-up path beside their name.
        return extension if extension.sparse and extension.name else replace(extension, name=value or None)
    if keyword == b"mtime":
        return replace(extension, mtime=value or None)
    if keyword == b"size":
        if value and not _DECIMAL.fullmatch(value):
            raise Malformed(_NO_SIZE)
        return replace(extension, size=int(value) if value else None)
    if keyword == b"GNU.sparse.name":
        return replace(extension, name=value or None, sparse=True)
    if keyword.startswith(b"GNU.sparse."):
        return replace(extension, sparse=True)
    return extension


def compressed(start: bytes) -> str | None:
    """What to say if the archive begins like something compressed."""
    for magic, coding in ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd")):
        if start.startswith(magic):
            return f"The archive is compressed; say so with Content-Encoding: {coding}."
    if start.startswith((b"BZh", b"\xfd7zXZ")):
        return "The archive is compressed in a way that is not taken here; use gzip or zstd, or none."
    return None
