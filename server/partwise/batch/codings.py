"""Content codings around an archive: what arrives compressed is expanded in small steps for the decoder behind it."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from partwise.batch.containers import Decoder
from partwise.errors import Malformed, TooLarge
from partwise.protocol.multipart import NEED_DATA, Event, NeedData

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: The most that one step makes of what has arrived.
PIECE: Final = 65536
#: What is given to a decompressor at once: it copies what it has not used.
_FEED = 16384
#: An upload may not grow more than this many times, once it is larger than what is free of it: a compressed gigabyte of
#: zeros that nobody wants to store has to be read all the same. A tar of ordinary files grows three- to thirtyfold.
RATIO = 1000
_FREE = 256 * 1024 * 1024
# RFC 9659 §3: a decoder "MUST support" and an encoder "MUST NOT" need more than a Window_Size of 8 MB.
_WINDOW_LOG = 23
_PADDING = re.compile(rb"\0*+")


class Expansion(Protocol):
    """A decompressor of one stream, as those of the standard library are (``bz2``, ``compression.zstd``)."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Inflation:
    """zlib's decompressor in the shape of the others; ``window_bits`` as ``zlib.decompressobj`` has it."""

    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        expanded = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        # A full piece may leave a rest inside zlib although all input is used up.
        self.needs_input = len(expanded) < max_length and not self._stream.unconsumed_tail
        return expanded


def gzip_expansion() -> Expansion:
    return Inflation(16 + zlib.MAX_WBITS)


def zstd_expansion() -> Expansion:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


#: By the names of the HTTP Content Coding Registry (RFC 9110 §8.4.1.3, RFC 8878 §7.2).
CODINGS: Mapping[str, Callable[[], Expansion]] = {
    "gzip": gzip_expansion,
    # RFC 9110 §8.4.1.3: "A recipient SHOULD consider 'x-gzip' to be equivalent to 'gzip'."
    "x-gzip": gzip_expansion,
    "zstd": zstd_expansion,
}
#: What the decompressors raise for a stream that is damaged, or wants more memory than it may have.
DAMAGES = (zlib.error, zstd.ZstdError)


class CodedDecoder:
    """``inner`` decodes what ``coding`` (of ``CODINGS``) makes of the bytes received; streams may follow each other.

    ``limit``: bytes of the whole expanded body. Raises what ``inner`` raises, ``Malformed`` for a damaged stream and
    ``TooLarge`` for one that becomes larger than ``limit``, or out of all proportion.
    """

    def __init__(self, coding: str, inner: Decoder, limit: int | None = None) -> None:
        self._coding = coding
        self._inner = inner
        self._limit = limit
        self._stream: Expansion | None = None
        self._pending = b""
        self._pos = 0
        self._ended = self._told = self._begun = False
        self._received = self._made = 0

    def receive(self, data: bytes) -> None:
        if not data:
            self._ended = True
            return
        self._received += len(data)
        self._pending = self._pending[self._pos :] + data if self._pos < len(self._pending) else data
        self._pos = 0

    def next_event(self) -> Event | NeedData:
        while (event := self._inner.next_event()) is NEED_DATA:
            piece = self._expand()
            if piece is None:
                if not self._ended or self._told:
                    return NEED_DATA
                self._told = True
                self._inner.receive(b"")
            else:
                self._count(len(piece))
                self._inner.receive(piece)
        return event

    def close(self) -> None:
        self._stream, self._pending = None, b""
        self._inner.close()

    def _expand(self) -> bytes | None:
        """The next piece, never empty; ``None`` when more input is needed, or there is none."""
        while True:
            stream = self._stream
            waiting = self._pos < len(self._pending)
            if stream is None:
                if not waiting or not self._begin():
                    return None
                continue
            if stream.needs_input and not waiting:
                if self._ended:
                    raise Malformed(f"The {self._coding} stream is cut off; send the whole of it again.")
                return None
            given = self._pending[self._pos : self._pos + _FEED] if stream.needs_input else b""
            self._pos += len(given)
            try:
                piece = stream.decompress(given, PIECE)
            except DAMAGES:
                window = ", or needs a window of more than 8 MiB" if self._coding == "zstd" else ""
                raise Malformed(
                    f"The body is no {self._coding} stream or is damaged{window}; compress it again."
                ) from None
            if stream.eof:
                # What was given beyond the end of this stream begins the next.
                self._pos -= len(stream.unused_data)
                self._stream = None
            if piece:
                return piece

    def _begin(self) -> bool:
        """Begins the next stream; False if only padding was left."""
        if self._begun and self._coding != "zstd":
            # gzip fills up the blocks of a tape with zeros, as its manual says.
            padding = _PADDING.match(self._pending, self._pos)
            assert padding is not None
            self._pos = padding.end()
            if self._pos == len(self._pending):
                return False
        self._begun = True
        self._stream = CODINGS[self._coding]()
        return True

    def _count(self, size: int) -> None:
        self._made += size
        if self._limit is not None and self._made > self._limit:
            raise TooLarge(
                f"An upload may have {self._limit} bytes at most, expanded; send it in parts.", limit=self._limit
            )
        if self._made > _FREE and self._made > RATIO * self._received:
            raise TooLarge(f"The {self._coding} stream grows more than {RATIO} times; send the files uncompressed.")
