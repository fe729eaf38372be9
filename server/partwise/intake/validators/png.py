"""PNG: chunk by chunk with lengths and CRCs (W3C PNG, third edition, §5). Bytes after IEND are allowed."""

from __future__ import annotations

import zlib

from partwise.errors import Damaged
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.walk import Format, Pass, Take, Walk

_TYPES = frozenset(("image/png", "image/x-png", "image/apng", "image/vnd.mozilla.apng"))
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class _Crc:
    """CRC-32 of chunk type and data (§5.5)."""

    def __init__(self, kind: bytes) -> None:
        self.value = zlib.crc32(kind)

    def add(self, data: bytes) -> None:
        self.value = zlib.crc32(data, self.value)


def _chunks() -> Format:
    # The first byte by itself: a short text is no image that was cut off.
    if (yield Take(1)) != _SIGNATURE[:1] or (yield Take(7)) != _SIGNATURE[1:]:
        raise Damaged("The contents do not begin like a PNG image; send a PNG image or declare another type.")
    first, data_seen = True, False
    while True:
        header = yield Take(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        # §5.3: the length must not exceed 2^31-1; each byte of a type is an ASCII letter.
        if size > 0x7FFFFFFF or not kind.isalpha():
            raise Damaged("The PNG image has a chunk that cannot be read; send it again.")
        # §5.6: IHDR shall be first, and is 13 bytes long (§11.2.1).
        if first and (kind != b"IHDR" or size != 13):
            raise Damaged("The PNG image does not begin with its IHDR chunk; send it again.")
        crc = _Crc(kind)
        yield Pass(size, crc.add)
        if int.from_bytes((yield Take(4)), "big") != crc.value:
            raise Damaged(f"The {kind.decode('ascii')} chunk of the PNG image has a wrong checksum; send it again.")
        first, data_seen = False, data_seen or kind == b"IDAT"
        if kind == b"IEND":
            break
    if not data_seen:
        raise Damaged("The PNG image holds no image data; send it again.")


def png(candidate: Candidate) -> Validator | None:
    """The factory for PNG images."""
    return Walk("a PNG image", _chunks()) if candidate.media_type in _TYPES else None
