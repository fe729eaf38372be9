"""JPEG: segment by segment to the end of the image (ITU-T T.81, Annex B). Bytes after EOI are allowed.

Segments are skipped by their length, so the EOI of a thumbnail inside EXIF data does not count.
"""

from __future__ import annotations

import re

from partwise.errors import Damaged
from partwise.intake.validators.base import Candidate, Validator

_TYPES = frozenset(("image/jpeg", "image/jpg", "image/pjpeg"))
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
# B.1.1.2: any marker may be preceded by fill bytes FF; FF 00 is a stuffed byte and RST0-7 (D0-D7) belong to the data.
# Bytes between segments that are no marker are skipped, as libjpeg does.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_TEM = 0x01


class JpegValidator:
    """One JPEG image."""

    def __init__(self) -> None:
        self._begun = False
        self._ended = False
        self._scan_seen = False
        self._carry = b""
        self._skip = 0
        self._expect = self._start

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.Damaged`."""
        self._begun = self._begun or bool(data)
        if self._ended:
            return
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        data = self._carry + data[self._skip :]
        self._carry, self._skip = b"", 0
        at = 0
        while at < len(data) and not self._ended:
            used = self._expect(data, at)
            if used is None:
                self._carry = data[max(at, len(data) - 3) :] if self._expect == self._marker else data[at:]
                return
            at = used
        self._skip = max(0, at - len(data))

    def finish(self) -> None:
        """Raises :class:`~partwise.errors.Damaged` without an end of image. An empty body passes."""
        if self._begun and not self._ended:
            raise Damaged("The contents end in the middle of a JPEG image; send the whole file.")

    def _start(self, data: bytes, at: int) -> int | None:
        if len(data) - at < 3:
            return None
        if data[at : at + 3] != b"\xff\xd8\xff":
            raise Damaged("The contents do not begin like a JPEG image; send a JPEG image or declare another type.")
        self._expect = self._marker
        return at + 2

    def _marker(self, data: bytes, at: int) -> int | None:
        found = _MARKER.search(data, at)
        if found is None:
            return None
        code = data[found.end() - 1]
        if code == _EOI:
            if not self._scan_seen:
                raise Damaged("The JPEG image holds no image data; send it again.")
            self._ended = True
        elif code == _SOI:
            raise Damaged("The JPEG image begins anew before its end; send it again.")
        elif code != _TEM:
            self._scan_seen = self._scan_seen or code == _SOS
            self._expect = self._length
        return found.end()

    def _length(self, data: bytes, at: int) -> int | None:
        if len(data) - at < 2:
            return None
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2:
            raise Damaged("The JPEG image has a segment that cannot be read; send it again.")
        self._expect = self._marker
        return at + size


def jpeg(candidate: Candidate) -> Validator | None:
    """The factory for JPEG images."""
    return JpegValidator() if candidate.media_type in _TYPES else None
