"""Byte ranges (RFC 9110 §14)."""

from __future__ import annotations

import re
from typing import NamedTuple

from partwise import errors

__all__ = ["ByteRange", "content_range", "parse_range"]

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# Past every file, and short enough for int(), which refuses thousands of digits.
_MOST_DIGITS = 20
_BEYOND = 10**_MOST_DIGITS


class ByteRange(NamedTuple):
    """The bytes from ``start`` up to and not including ``stop``; never empty."""

    start: int
    stop: int


def parse_range(value: str, size: int, max_ranges: int = 64) -> tuple[ByteRange, ...] | None:
    """The parts of a representation of ``size`` bytes that a ``Range`` field asks for; ``None`` = ignore the field.

    Ranges that overlap or touch are one, so that the answer is never longer than the whole; the others keep the order
    asked for. Ignored are another unit, bad syntax, and more than ``max_ranges`` ranges (64: readers of PDF and of
    video ask for a dozen; more is an attack, RFC 9110 §17.15).
    Raises ``RangeUnsatisfiable`` (``limit`` = size) if no byte of any range exists.
    """
    unit, equals, ranges = value.strip(" \t").partition("=")
    # RFC 9110 §14.1: range unit names are case-insensitive; §14.2: ignore a unit that is not understood.
    if not equals or unit.lower() != "bytes":
        return None
    specs = [spec for member in ranges.split(",") if (spec := member.strip(" \t"))]
    if not 0 < len(specs) <= max_ranges:
        return None
    found: list[ByteRange] = []
    for spec in specs:
        asked = _positions(spec, size)
        if asked is None:
            return None
        if asked.start < asked.stop:
            found.append(asked)
    if found:
        return _coalesce(found)
    if not size and any(spec.startswith("-") and spec.strip("-0") for spec in specs):
        # RFC 9110 §14.1.2: a suffix-range of non-zero length is satisfiable, but Content-Range cannot name no bytes:
        # the whole, empty representation is the answer.
        return None
    raise errors.RangeUnsatisfiable(
        f"The resource has {size} bytes and none of those asked for; ask for a range within it.", limit=size
    )


def _positions(spec: str, size: int) -> ByteRange | None:
    # The half-open range of one range-spec, empty (start >= stop) if no byte of it exists; None for bad syntax.
    found = _SPEC.fullmatch(spec)
    if found is None or spec == "-":
        return None
    if not found[1]:
        # §14.1.2: "If the selected representation is shorter than the specified suffix-length, the entire
        # representation is used."
        return ByteRange(max(0, size - _number(found[2])), size)
    first = _number(found[1])
    last = _number(found[2]) if found[2] else size
    # §14.1.1: "An int-range is invalid if the last-pos value is present and less than first-pos."
    if found[2] and last < first:
        return None
    return ByteRange(first, min(last + 1, size))


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else _BEYOND


def _coalesce(found: list[ByteRange]) -> tuple[ByteRange, ...]:
    # §15.3.7.2: "a server MAY coalesce any of the ranges that overlap ... regardless of the order in which the
    # corresponding range-spec appeared".
    merged: list[tuple[int, ByteRange]] = []
    for order, asked in sorted(enumerate(found), key=lambda pair: pair[1]):
        if merged and asked.start <= merged[-1][1].stop:
            earlier, last = merged.pop()
            merged.append((min(earlier, order), ByteRange(last.start, max(last.stop, asked.stop))))
        else:
            merged.append((order, asked))
    return tuple(asked for _, asked in sorted(merged))


def content_range(r: ByteRange | None, size: int) -> str:
    """The value of ``Content-Range`` for one part of a 206, or with ``None`` for a 416 (RFC 9110 §14.4)."""
    return f"bytes */{size}" if r is None else f"bytes {r.start}-{r.stop - 1}/{size}"
