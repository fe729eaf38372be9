"""GIF: block by block to the trailer (GIF89a specification, §15-27). Bytes after the trailer are allowed."""

from __future__ import annotations

from partwise.errors import Damaged
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.walk import Format, Pass, Take, Walk

_EXTENSION, _IMAGE, _TRAILER, _TERMINATOR = 0x21, 0x2C, 0x3B, 0x00


def _table_size(packed: int) -> int:
    # §18, §20: bit 7 says that a colour table follows, bits 0-2 its size: 3 x 2^(n+1) bytes.
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _sub_blocks() -> Format:
    while size := (yield Take(1))[0]:
        yield Pass(size)


def _blocks() -> Format:
    if (yield Take(6)) not in (b"GIF87a", b"GIF89a"):
        raise Damaged("The contents do not begin like a GIF image; send a GIF image or declare another type.")
    yield Pass(_table_size((yield Take(7))[4]))
    while True:
        introducer = (yield Take(1))[0]
        if introducer == _EXTENSION:
            yield Take(1)
            yield from _sub_blocks()
        elif introducer == _IMAGE:
            yield Pass(_table_size((yield Take(9))[8]))
            yield Take(1)
            yield from _sub_blocks()
        elif introducer == _TRAILER:
            return
        # Some encoders write a second terminator after a block; every decoder skips it.
        elif introducer != _TERMINATOR:
            raise Damaged("The GIF image has a block that cannot be read; send it again.")


def gif(candidate: Candidate) -> Validator | None:
    """The factory for GIF images."""
    return Walk("a GIF image", _blocks()) if candidate.media_type == "image/gif" else None
