"""tar archives decoded as they arrive: bytes in, the events of ``protocol.multipart`` out, no IO.

Taken are the formats of POSIX.1-1988 (ustar) and POSIX.1-2001 (pax; both in IEEE Std 1003.1, "pax Interchange
Format"), GNU tar (long names, numbers in base 256; "Basic Tar Format" of its manual) and the seventh edition of Unix.
Every member is a part, whatever its kind, with the headers of ``protocol.members``; the folder that was packed itself
(``./``) is none. What is kept between two calls is bounded by the limit for extended headers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from partwise.errors import Malformed
from partwise.protocol.members import Kind, member_headers, relative_name
from partwise.protocol.multipart import NEED_DATA, End, Event, NeedData, PartBegin, PartData, PartEnd
from partwise.protocol.tar_headers import BLOCK, Extension, check, compressed, extended, member, size_of

__all__ = ["TarDecoder", "TarLimits"]

_ZEROS = bytes(BLOCK)
#: Headers that say something about the next member or about all that follow; X is how Solaris wrote x. V names a tape.
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL, _LABEL = b"L", b"K", (b"x", b"X"), b"g", b"V"
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, _GLOBAL, *_EXTENDED)

_CUT_OFF = "The archive is cut off; send the whole of it again."


@dataclass(frozen=True, slots=True)
class TarLimits:
    """What one archive may cost beyond its members."""

    #: Bytes of one extended header or long name: a path of 4 KiB is the most that systems know, and comments are short.
    extension: int = 65536
    #: Zeros after the end: tar fills up its last record, of 10 KiB unless a tape wants more.
    trailing: int = 1024 * 1024


class TarDecoder:
    """Decodes one archive: ``(PartBegin PartData* PartEnd)* End``."""

    __slots__ = (
        "_any",
        "_buffer",
        "_ended",
        "_extending",
        "_failure",
        "_global",
        "_left",
        "_limits",
        "_next",
        "_padding",
        "_pos",
        "_read",
        "_swallowed",
    )

    _read: Callable[[TarDecoder], Event | NeedData | None]

    def __init__(self, limits: TarLimits = TarLimits()) -> None:
        self._limits = limits
        self._buffer = b""
        self._pos = 0
        self._ended = self._any = False
        self._failure: Malformed | None = None
        #: Bytes of data, and of the zeros that fill up its last block, that are still to come.
        self._left = self._padding = 0
        self._swallowed = 0
        #: What is said about all members, and about the next one.
        self._global = Extension()
        self._next: Extension | None = None
        self._extending = b""
        self._read = TarDecoder._read_header

    def receive(self, data: bytes) -> None:
        """Takes the next bytes; ``b""`` says that the archive has ended. As ``MultipartDecoder.receive``."""
        if not data:
            self._ended = True
            return
        if self._ended:
            raise RuntimeError("bytes were received after the end of the body")
        if self._failure is not None:
            return
        self._any = True
        self._buffer = self._buffer[self._pos :] + data if self._pos < len(self._buffer) else data
        self._pos = 0

    def next_event(self) -> Event | NeedData:
        """The next event, or ``NEED_DATA``; after ``End`` always ``NEED_DATA``.

        Raises ``Malformed``, and the same again at every later call, for a header whose checksum is wrong or that cannot
        be read, an archive that is cut off, and one that goes on behind its end.
        """
        try:
            while (event := self._read(self)) is None:
                pass
        except Malformed as failure:
            self._failure = failure
            self._buffer = b""
            self._read = TarDecoder._read_failed
            raise
        return event

    def close(self) -> None:
        """Nothing more is wanted. There is nothing to give back but memory."""
        self._buffer = b""

    # Readers, one for each state: each takes what it can from the buffer and names its successor in _read. None: ask
    # that one. They do not call each other, since one chunk may hold any number of headers without an event.

    def _read_header(self) -> Event | NeedData | None:
        block = self._take(BLOCK)
        if block is None:
            return self._end_without_zeros() if self._ended else NEED_DATA
        if block == _ZEROS:
            self._read = TarDecoder._read_second_zeros
            return None
        check(block)
        return self._begin(block)

    def _end_without_zeros(self) -> End:
        rest = self._buffer[self._pos :]
        if rest or self._next is not None:
            raise Malformed(compressed(rest) or _CUT_OFF)
        if not self._any:
            raise Malformed("The body is empty; even an archive without members has two blocks of zeros.")
        # Some programs leave the two blocks of zeros out: an archive that ends between two members is whole.
        return self._end()

    def _read_second_zeros(self) -> Event | NeedData:
        if self._next is not None:
            raise Malformed(_CUT_OFF)
        block = self._take(BLOCK)
        if block is None and not self._ended:
            return NEED_DATA
        if block is not None and block != _ZEROS:
            raise Malformed("The archive goes on after a block of zeros; pack all files into one archive.")
        return self._end()

    def _read_extension(self) -> NeedData | None:
        data = self._take(self._left)
        if data is None:
            return self._need_data()
        self._left = 0
        self._extend(data)
        self._read = TarDecoder._skip_padding
        return None

    def _read_sparse_map(self) -> NeedData | None:
        # GNU tar: a block holds 21 pairs of numbers, and then whether another one follows.
        while (block := self._take(BLOCK)) is not None:
            if not block[504]:
                self._read = TarDecoder._read_data
                return None
        return self._need_data()

    def _read_data(self) -> Event | NeedData:
        if not self._left:
            self._read = TarDecoder._skip_padding
            return PartEnd()
        data = self._buffer[self._pos : self._pos + self._left]
        if not data:
            return self._need_data()
        self._pos += len(data)
        self._left -= len(data)
        return PartData(data)

    def _skip_data(self) -> NeedData | None:
        skipped = min(self._left, len(self._buffer) - self._pos)
        self._pos += skipped
        self._left -= skipped
        if self._left:
            return self._need_data()
        self._read = TarDecoder._skip_padding
        return None

    def _skip_padding(self) -> NeedData | None:
        if self._take(self._padding) is None:
            return self._need_data()
        self._read = TarDecoder._read_header
        return None

    def _read_trailing(self) -> NeedData:
        rest = self._buffer[self._pos :]
        self._buffer, self._pos = b"", 0
        self._swallowed += len(rest)
        if rest.strip(b"\0"):
            # Another archive, as cat makes it: to say nothing would lose its members.
            raise Malformed("Something follows the end of the archive; pack all files into one archive.")
        if self._swallowed > self._limits.trailing:
            raise Malformed(
                f"More than {self._limits.trailing} bytes follow the end of the archive; end the body there.",
                limit=self._limits.trailing,
            )
        return NEED_DATA

    def _read_failed(self) -> NeedData:
        assert self._failure is not None
        raise self._failure.with_traceback(None)

    def _take(self, size: int) -> bytes | None:
        end = self._pos + size
        if end > len(self._buffer):
            return None
        taken = self._buffer[self._pos : end]
        self._pos = end
        return taken

    def _end(self) -> End:
        self._read = TarDecoder._read_trailing
        return End()

    def _need_data(self) -> NeedData:
        if self._ended:
            raise Malformed(_CUT_OFF)
        return NEED_DATA

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _begin(self, block: bytes) -> Event | None:
        """A header: that of a member is an event; one that extends it leaves its data to the next reader."""
        flag = block[156:157]
        if flag in _EXTENSIONS:
            size, limit = size_of(block), self._limits.extension
            if size > limit:
                raise Malformed(f"An extended header of the archive is longer than {limit} bytes.", limit=limit)
            self._extending = flag
            self._expect(size)
            self._read = TarDecoder._read_extension
            return None
        found = member(block, self._next or self._global)
        self._next = None
        self._expect(found.size)
        name = relative_name(found.name)
        if flag == _LABEL or (found.kind is Kind.DIRECTORY and not name):
            self._read = TarDecoder._skip_data
            return None
        self._read = TarDecoder._read_sparse_map if found.mapped else TarDecoder._read_data
        return PartBegin(member_headers(name, found.kind, found.size, found.modified))

    def _extend(self, data: bytes) -> None:
        extension = self._next or self._global
        if self._extending == _LONG_NAME:
            self._next = replace(extension, name=data.partition(b"\0")[0])
        elif self._extending == _LONG_LINK:
            self._next = extension
        elif self._extending == _GLOBAL:
            self._global = extended(self._global, data)
        else:
            self._next = extended(extension, data)
