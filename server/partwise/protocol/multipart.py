"""``multipart/*`` decoded as it arrives (RFC 2046 §5.1.1): bytes in, events out, no IO.

::

    decoder = MultipartDecoder(boundary)
    decoder.receive(chunk)                                   # b"" says that the body has ended
    while (event := decoder.next_event()) is not NEED_DATA:  # drain before the next receive()
        ...

A container is ``(PartBegin PartData* PartEnd | PartBroken)* End``; with ``whole=True`` a part that is in the buffer from
its headers to the next delimiter is one ``PartWhole`` instead: most parts of a large upload are small. The work is linear
in the bytes received, and what is kept between two calls of ``receive`` is bounded by the limit for headers and the length
of one delimiter line.

One representation carries the grammar: the CRLF that ends a delimiter line or a header line is left in the buffer,
because the next delimiter may begin with it; the start of the body counts as standing behind a CRLF. So a delimiter is
always CRLF ``--boundary``, and a header block is always CRLF … CRLF CRLF, wherever they meet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

from partwise.errors import Failure, HeadersTooLarge, Malformed

__all__ = [
    "NEED_DATA",
    "End",
    "Event",
    "MultipartDecoder",
    "MultipartLimits",
    "NeedData",
    "PartBegin",
    "PartBroken",
    "PartData",
    "PartEnd",
    "PartFailed",
    "PartWhole",
]


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """What one container may cost. Number and size of parts are limited by whoever stores them."""

    #: Bytes before the first delimiter: senders put a sentence there for people, if anything.
    preamble: int = 65536
    #: Bytes of one part's header block, its line ends counted: an ``If`` with many lock tokens is long.
    headers: int = 16384
    #: Header fields of one part.
    header_count: int = 64
    #: Bytes after the line of the close delimiter.
    epilogue: int = 65536


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins. Field names are lower-cased tokens; values are raw, without SP and HT around them, unfolded."""

    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class PartBroken:
    """A part whose header block cannot be used: ``Malformed`` or ``HeadersTooLarge``. Its body is skipped silently."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part's body, never none."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The delimiter behind the part was seen: its body is whole."""


# Nobody changes one; but making a frozen dataclass takes three times as long, and there is one for each item.
@dataclass(slots=True)
class PartWhole:
    """``PartBegin``, ``PartData`` unless there is no data, and ``PartEnd``."""

    headers: tuple[tuple[str, bytes], ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class PartFailed:
    """Instead of ``PartEnd``: what came of the part is not its body. Only archives find that out (a checksum)."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class End:
    """The close delimiter was seen; an epilogue is swallowed from here on."""


class NeedData(Enum):
    """No event before more bytes are received."""

    NEED_DATA = "need data"


Event: TypeAlias = PartBegin | PartBroken | PartData | PartEnd | PartFailed | PartWhole | End
NEED_DATA: Final = NeedData.NEED_DATA

_PART_END = PartEnd()
_END = End()

# In this many bytes bytes.find() begins at once; before it looks through more, it spends a microsecond on the pattern.
_NEAR = 16384

_CRLF = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"

# RFC 2046 §5.1.1: boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")

# What follows CRLF "--" boundary on a delimiter line, whole or cut off by the end of the buffer.
# RFC 2046 §5.1.1: "Composers MUST NOT generate non-zero length transport padding, but receivers MUST be able to handle
# padding added by message transports." More padding than this makes the line data: whether it is a delimiter has to be
# known within bounded memory.
_REST_OF_LINE = rb"(?:(--)?[ \t]{0,1024}+(\r\n|\r?\Z)|-(\Z))"

# RFC 9110 §5.6.2: token. Narrower than field-name of RFC 5322 §3.6.8, and what every field name in use is made of.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class MultipartDecoder:
    """Decodes one container.

    ``boundary`` is the parameter's value, unquoted. Raises ``Malformed`` unless it is 1–70 characters that RFC 2046
    §5.1.1 allows.
    """

    __slots__ = (
        "_after",
        "_at",
        "_blank",
        "_buffer",
        "_close",
        "_delimiter",
        "_ended",
        "_failure",
        "_lead",
        "_limits",
        "_line",
        "_pos",
        "_read",
        "_scan",
        "_swallowed",
        "_whole",
    )

    # All positions are indexes into _buffer.
    _buffer: bytes
    #: What stands before it is done with.
    _pos: int
    #: No delimiter line begins before it; what stands before it is data.
    _scan: int
    #: No blank line of this header block begins before it.
    _blank: int
    #: The next delimiter line, or -1 while unknown; where the bytes behind it begin; whether it is the close delimiter.
    _at: int
    _after: int
    _close: bool
    #: How many bytes at _pos belong to the header block (the CRLF of the blank line), not to the body.
    _lead: int
    _read: Callable[[MultipartDecoder], Event | NeedData]

    def __init__(self, boundary: bytes, limits: MultipartLimits = MultipartLimits(), *, whole: bool = False) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise Malformed("The multipart boundary is not 1 to 70 characters that RFC 2046 allows; choose another.")
        self._delimiter = b"\r\n--" + boundary
        self._line = re.compile(re.escape(self._delimiter) + _REST_OF_LINE)
        self._limits = limits
        self._whole = whole
        # RFC 2046 §5.1.1: "The boundary delimiter MUST occur at the beginning of a line, i.e., following a CRLF".
        # Without a preamble that CRLF is missing.
        self._buffer = _CRLF
        self._swallowed = -len(_CRLF)
        self._pos = self._scan = self._blank = self._after = self._lead = 0
        self._at = -1
        self._close = self._ended = False
        self._failure: Malformed | None = None
        self._read = MultipartDecoder._read_preamble

    def receive(self, data: bytes) -> None:
        """Takes the next bytes of the body; ``b""`` says that it has ended.

        Call it after ``next_event`` has said ``NEED_DATA``; what it has not taken is copied. Raises ``RuntimeError``
        for bytes after the end, which only a mistake of the caller can bring.
        """
        if not data:
            self._ended = True
            return
        if self._ended:
            raise RuntimeError("bytes were received after the end of the body")
        if self._failure is not None:
            return
        pos = self._pos
        # A chunk that meets an empty buffer becomes the buffer, and may leave again as one PartData: no copy at all.
        self._buffer = self._buffer[pos:] + data if pos < len(self._buffer) else data
        self._pos = 0
        self._scan = max(self._scan - pos, 0)
        self._blank = max(self._blank - pos, 0)
        if self._at >= 0:
            self._at -= pos
            self._after -= pos

    def next_event(self) -> Event | NeedData:
        """The next event, or ``NEED_DATA``; after ``End`` always ``NEED_DATA``.

        Raises ``Malformed``, and the same again at every later call, when the framing is broken: no delimiter within
        the limit for the preamble, an epilogue over its limit, or an end of the body before the close delimiter.
        """
        return self._read(self)

    def close(self) -> None:
        """Nothing more is wanted. There is nothing to give back but memory."""
        self._buffer = b""

    # Readers, one for each state: each takes what it can from the buffer and names its successor in _read.

    def _read_preamble(self) -> Event | NeedData:
        found = self._at >= 0 or self._find_delimiter()
        self._swallow(self._at if found else self._scan)
        if self._swallowed > self._limits.preamble:
            raise self._fail(
                f"The multipart body has no delimiter line in its first {self._limits.preamble} bytes; "
                "check the boundary parameter of Content-Type.",
                self._limits.preamble,
            )
        if not found:
            return self._need_data()
        self._pass_delimiter()
        return self._read(self)

    def _read_headers(self) -> Event | NeedData:
        found = self._at >= 0 or self._find_delimiter()
        buffer, pos, limit = self._buffer, self._pos, self._limits.headers
        # A block of just the allowed length has its blank line at pos + limit; behind a delimiter none is looked for.
        stop = pos + limit + 4
        if found and self._at + 2 < stop:
            stop = self._at + 2
        end = blank = buffer.find(b"\r\n\r\n", pos if pos > self._blank else self._blank, stop)
        if blank < 0:
            if found:
                # RFC 2046 §5.1.1: body-part := MIME-part-headers [CRLF *OCTET], and a delimiter begins with a CRLF of
                # its own, which some composers leave out: headers and at once a delimiter are a part without body.
                end = self._at
            elif self._scan - pos <= limit or len(buffer) < stop:
                self._blank = max(pos, len(buffer) - 3)
                return self._need_data()
            else:
                end = self._scan
        try:
            if end - pos > limit:
                raise HeadersTooLarge(
                    f"The headers of this part are longer than {limit} bytes; shorten them.", limit=limit
                )
            # Without any field the CRLF at pos is already the first half of the blank line.
            headers = _fields(buffer[pos + 2 : end], self._limits.header_count) if end > pos else ()
        except Failure as failure:
            self._read = MultipartDecoder._skip_body
            # A traceback would keep the buffer alive for as long as somebody keeps the failure.
            return PartBroken(failure.with_traceback(None))
        if blank < 0:
            self._read = MultipartDecoder._read_part_end
        elif found and self._whole:
            data = buffer[blank + 4 : self._at]
            self._pass_delimiter()
            return PartWhole(headers, data)
        else:
            self._pos = blank + 2
            self._lead = 2
            self._read = MultipartDecoder._read_body
        return PartBegin(headers)

    def _read_body(self) -> Event | NeedData:
        found = self._at >= 0 or self._find_delimiter()
        start = self._pos + self._lead
        end = self._at if found else self._scan
        if end > start:
            self._pos = end
            self._lead = 0
            if found:
                self._read = MultipartDecoder._read_part_end
            return PartData(self._buffer[start:end])
        return self._read_part_end() if found else self._need_data()

    def _read_part_end(self) -> Event:
        self._pass_delimiter()
        return _PART_END

    def _skip_body(self) -> Event | NeedData:
        if self._at >= 0 or self._find_delimiter():
            self._pass_delimiter()
            return self._read(self)
        self._pos = self._scan
        return self._need_data()

    def _read_end(self) -> Event:
        self._swallowed = 0
        self._read = MultipartDecoder._read_epilogue
        return _END

    def _read_epilogue(self) -> NeedData:
        self._swallow(len(self._buffer))
        if self._swallowed > self._limits.epilogue:
            raise self._fail(
                f"More than {self._limits.epilogue} bytes follow the close delimiter of the multipart body; "
                "end the body there.",
                self._limits.epilogue,
            )
        return NEED_DATA

    def _read_failed(self) -> NeedData:
        assert self._failure is not None
        raise self._failure.with_traceback(None)

    def _find_delimiter(self) -> bool:
        """Whether the next delimiter line is in the buffer, at _at; if not, _scan is the first byte that may begin one.

        RFC 2046 §5.1.1: "An exact match of the entire candidate line is not required; it is sufficient that the
        boundary appear in its entirety following the CRLF." Here the line must match: the boundary of a nested
        multipart may extend ours, and an item cut off there would be stored as if whole.
        """
        buffer, delimiter = self._buffer, self._delimiter
        near = self._scan + _NEAR
        at = buffer.find(delimiter, self._scan, near)
        if at < 0 and len(buffer) > near:
            at = buffer.find(delimiter, near - len(delimiter))
        if at >= 0 and buffer[(tail := at + len(delimiter)) : tail + 2] == _CRLF:
            self._scan = self._at = at
            self._after = tail
            self._close = False
            return True
        # The expression takes apart what is less plain, and passes over lines that only look alike without a loop here.
        line = self._line.search(buffer, at) if at >= 0 else None
        if line is None:
            # A delimiter holds one CR, its first byte: only the last CR of the buffer can begin one that is cut off.
            cut = buffer.rfind(b"\r", max(self._scan, len(buffer) - len(delimiter) + 1))
            self._scan = cut if cut >= 0 and delimiter.startswith(buffer[cut:]) else len(buffer)
            return False
        self._scan = line.start()
        close, end = line[1] is not None, line[2]
        # RFC 2046 §5.1.1: multipart-body := … close-delimiter transport-padding [CRLF epilogue]
        if end == _CRLF or (end == b"" and close and self._ended):
            self._at = self._scan
            self._after = line.end() if close else line.end() - 2
            self._close = close
            return True
        return False

    def _pass_delimiter(self) -> None:
        self._pos = self._scan = self._after
        self._at = -1
        self._read = MultipartDecoder._read_end if self._close else MultipartDecoder._read_headers

    def _swallow(self, end: int) -> None:
        self._swallowed += end - self._pos
        self._pos = end

    def _need_data(self) -> NeedData:
        if self._ended:
            raise self._fail("The multipart body ends before its close delimiter; send the whole body again.")
        return NEED_DATA

    def _fail(self, text: str, limit: int | None = None) -> Malformed:
        self._failure = Malformed(text, limit=limit)
        self._buffer = b""
        self._read = MultipartDecoder._read_failed
        return self._failure


def _fields(block: bytes, most: int) -> tuple[tuple[str, bytes], ...]:
    """The fields of a header block, which is without its last CRLF. Raises ``Malformed`` and ``HeadersTooLarge``."""
    # In most containers only the first field differs from part to part.
    first, _, rest = block.partition(_CRLF)
    name, colon, value = first.partition(b":")
    if colon and rest[:1] > b" " and len(rest) <= _SHORT and not _DANGEROUS.search(first):
        others = _other_fields(rest, most - 1)
        if others is not None:
            return ((_field_name(name), value.strip(b" \t")), *others)
    return _all_fields(block, most)


#: Bytes of what follows the first field that are worth remembering.
_SHORT = 256
_DANGEROUS = re.compile(rb"[\r\n\0]")


@lru_cache(maxsize=64)
def _other_fields(block: bytes, most: int) -> tuple[tuple[str, bytes], ...] | None:
    """``None``: the block as a whole has to be looked at."""
    try:
        return _all_fields(block, most)
    except Failure:
        return None


def _all_fields(block: bytes, most: int) -> tuple[tuple[str, bytes], ...]:
    lines = block.split(_CRLF)
    # RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous".
    if len(block.translate(None, b"\r\n\0")) != len(block) - 2 * (len(lines) - 1):
        raise Malformed("The headers of this part hold a NUL or half a line end; end each line with CR LF.")
    # A line that goes on with the one before begins with SP or HT, which sort before any field name.
    if min(lines) < b"!":
        lines = _unfold(lines)
    if len(lines) > most:
        raise HeadersTooLarge(f"This part has more than {most} header fields; send fewer.", limit=most)
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed("A header line of this part has no colon; write a field name, a colon and a value.")
        fields.append((_field_name(name), value.strip(b" \t")))
    return tuple(fields)


# The parts of a container all have the same few names.
@lru_cache(maxsize=128)
def _field_name(name: bytes) -> str:
    # RFC 9112 §5.1: "No whitespace is allowed between the field name and colon".
    if not _TOKEN.fullmatch(name):
        raise Malformed(
            "A field name in the headers of this part is empty or has characters that none may have; correct it."
        )
    return name.decode("ascii").lower()


def _unfold(lines: list[bytes]) -> list[bytes]:
    """RFC 9112 §5.2: "replace each received obs-fold with one or more SP octets"; one it is."""
    unfolded: list[list[bytes]] = []
    for line in lines:
        if unfolded and line.startswith((b" ", b"\t")):
            unfolded[-1].append(line.strip(b" \t"))
        else:
            unfolded.append([line.rstrip(b" \t")])
    return [b" ".join(pieces) for pieces in unfolded]
