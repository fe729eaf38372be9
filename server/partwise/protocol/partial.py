"""Where the body of a partial update goes: ``X-Update-Range`` of PATCH, and ``Content-Range`` of PUT.

Two protocols for the same thing are in use. PATCH with ``X-Update-Range`` is SabreDAV's (its page "HTTP PATCH support");
PUT with ``Content-Range`` is Apache mod_dav's, which RFC 9110 §14.5 allows by agreement. Both let a range begin beyond the
end of the file, and fill what lies between with zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from partwise import errors

__all__ = ["UPDATE_TYPE", "Base", "Update", "parse_content_range", "parse_update_range"]

#: The media type of a PATCH whose range stands in ``X-Update-Range``.
UPDATE_TYPE = "application/x-sabredav-partialupdate"

#: Zeros that may be put between the end of the file and a range that begins after it: enough for writes that arrive out of
#: order, while a body of one byte cannot make the server fill its disk.
MOST_ZEROS = 64 * 1024 * 1024

# As Content-Length elsewhere: more digits than any file has bytes, few enough for int().
_NUMBER = "[0-9]{1,18}"
_UPDATE_RANGE = re.compile(f"append|bytes=(?:({_NUMBER})-({_NUMBER})?|-({_NUMBER}))", re.IGNORECASE)
# RFC 9110 §14.4: Content-Range = range-unit SP ( range-resp / unsatisfied-range ); only the first says where bytes go.
_CONTENT_RANGE = re.compile(rf"bytes ({_NUMBER})-({_NUMBER})/(?:({_NUMBER})|\*)", re.IGNORECASE)


class Base(Enum):
    """What the place is counted from."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class Update:
    """One stretch of a file that is overwritten or appended to.

    ``distance`` in bytes: forwards from the start of the file, or backwards from its end. ``count`` is how many bytes the
    body must have, ``None``: as many as come. ``complete`` is the length that the client says the whole file has.
    """

    base: Base
    distance: int
    count: int | None = None
    complete: int | None = None

    def body_length(self, declared: int | None) -> int | None:
        """Bytes of the body if they are known before it comes. ``declared`` is the Content-Length, ``None`` if unknown.

        Raises LengthMismatch if it is not as long as the range.
        """
        if self.count is not None and declared is not None and declared != self.count:
            raise errors.LengthMismatch(
                f"The range has {self.count} bytes and the body {declared}; they must be of one length."
            )
        return declared if self.count is None else self.count

    def start(self, size: int) -> int:
        """The offset of the first byte in a file of ``size`` bytes. Raises RangeUnsatisfiable (``limit`` = size)."""
        if self.base is Base.END:
            if self.distance > size:
                raise _unsatisfiable(f"The file has {size} bytes only; begin within it.", size)
            return size - self.distance
        if self.distance - size > MOST_ZEROS:
            raise _unsatisfiable(f"The range begins too far behind the end of the file, which has {size} bytes.", size)
        if self.complete is not None and self.complete < size:
            # RFC 9110 §14.4 makes it the length of the whole. mod_dav ignores it and leaves the old end standing, which
            # its client does not expect; to cut the file would lose bytes on the word of a client that knows another file.
            raise _unsatisfiable(
                f"The file has {size} bytes, more than the {self.complete} that Content-Range names as the whole.", size
            )
        return self.distance


def _unsatisfiable(text: str, size: int) -> errors.RangeUnsatisfiable:
    return errors.RangeUnsatisfiable(text, limit=size)


def parse_update_range(value: str | None) -> Update:
    """``append``, ``bytes=3-6``, ``bytes=4-`` (as many as come) or ``bytes=-2`` (from two before the end, as many as come).

    Raises Malformed. An end before the start is Malformed too, where SabreDAV says 416: no file could satisfy it.
    """
    if value is None:
        raise errors.Malformed("X-Update-Range is missing; it says where the bytes go, such as append or bytes=3-6.")
    found = _UPDATE_RANGE.fullmatch(value.strip(" \t"))
    if found is None:
        raise errors.Malformed("X-Update-Range must be append, or one range such as bytes=3-6, bytes=4- or bytes=-2.")
    first, last, suffix = found.groups()
    if suffix is not None:
        return Update(Base.END, int(suffix))
    if first is None:
        return Update(Base.END, 0)
    return Update(Base.START, int(first), None if last is None else _count("X-Update-Range", int(first), int(last)))


def parse_content_range(value: str) -> Update:
    """``bytes 0-99/200`` or ``bytes 0-99/*``. Raises Malformed, also for another unit (RFC 9110 §14.5)."""
    found = _CONTENT_RANGE.fullmatch(value.strip(" \t"))
    if found is None:
        raise errors.Malformed("Content-Range must be one range such as bytes 0-99/200 or bytes 0-99/*.")
    first, last = int(found[1]), int(found[2])
    complete = None if found[3] is None else int(found[3])
    # RFC 9110 §14.4: invalid is "a last-pos value less than its first-pos value, or a complete-length value less than or
    # equal to its last-pos value".
    if complete is not None and complete <= last:
        raise errors.Malformed("Content-Range names a byte behind the length of the whole that it names.")
    return Update(Base.START, first, _count("Content-Range", first, last), complete)


def _count(header: str, first: int, last: int) -> int:
    if last < first:
        raise errors.Malformed(f"The range of {header} ends before it begins.")
    return last - first + 1
