"""ZIP archives: spooled until they are whole, since their directory stands at the end, then given member by member.

The standard library's ``zipfile`` holds the whole directory in memory, refuses the whole archive for one member's sake,
and expands bzip2 without bound; here one entry is held, and a step expands at most one piece.
"""

from __future__ import annotations

import bz2
import errno
import os
import tempfile
import weakref
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from partwise.batch.codings import DAMAGES, PIECE, RATIO, Expansion, Inflation, zstd_expansion
from partwise.errors import Damaged, Failure, Malformed, OutOfSpace, RuleFailed, TooLarge, UnsupportedType
from partwise.protocol.members import Kind, member_headers, relative_name
from partwise.protocol.multipart import NEED_DATA, End, Event, NeedData, PartBegin, PartData, PartEnd, PartFailed
from partwise.protocol.zip_directory import Directory, Entry, data_offset, entries, find_directory, offsets

_STORED = 0
#: APPNOTE §4.4.5. LZMA is left out: its streams say themselves how many gigabytes of memory they want.
_METHODS: Mapping[int, tuple[str, Callable[[], Expansion]]] = {
    8: ("deflate", lambda: Inflation(-zlib.MAX_WBITS)),
    12: ("bzip2", bz2.BZ2Decompressor),
    93: ("zstd", zstd_expansion),
}
_TAKEN = ("stored", *(name for name, _ in _METHODS.values()))
#: A member that grows more than ``RATIO`` times is no file that anybody wants, once it is larger than this.
_FREE = 10 * 1024 * 1024
#: What is given to a decompressor at once.
_FEED = 16384

_DAMAGED = "The member is damaged; pack it again."


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """``size`` of the whole archive in bytes (``None``: bounded by the disk alone); ``members`` in its directory."""

    size: int | None = None
    members: int = 200_000


class _State(Enum):
    RECEIVING = auto()
    BETWEEN = auto()
    MEMBER = auto()
    ENDED = auto()


class ZipDecoder:
    """Decodes one archive: ``(PartBegin PartData* (PartEnd | PartFailed))* End``, all of it after the end of the body.

    The archive lies in a file without a name in ``folder``, which is gone at the latest with the decoder.
    """

    def __init__(self, folder: str, limits: ZipLimits = ZipLimits()) -> None:
        self._limits = limits
        try:
            self._spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - close() ends it
        except OSError as error:
            raise _no_space(error) from None
        self._finish = weakref.finalize(self, self._spool.close)
        self._size = 0
        self._state = _State.RECEIVING
        self._ended = False
        self._directory = Directory(0, 0, 0, 0)
        self._starts = array("Q")
        self._entries: Iterator[Entry] = iter(())
        self._pieces: Iterator[bytes] = iter(())

    def receive(self, data: bytes) -> None:
        """The next bytes; ``b""`` says that the archive has ended. Raises ``TooLarge`` and ``OutOfSpace``."""
        if not data:
            self._ended = True
            return
        self._size += len(data)
        limit = self._limits.size
        if limit is not None and self._size > limit:
            self.close()
            raise TooLarge(f"An archive may have {limit} bytes at most; send it in parts.", limit=limit)
        view = memoryview(data)
        try:
            while view:
                view = view[self._spool.write(view) :]
        except OSError as error:
            self.close()
            raise _no_space(error) from None

    def next_event(self) -> Event | NeedData:
        """The next event, or ``NEED_DATA``. Raises ``Malformed`` for an archive whose directory cannot be read, and
        ``TooLarge`` for too many members."""
        if self._state is _State.MEMBER:
            return self._member_event()
        if self._state is _State.RECEIVING and self._ended:
            self._open()
        if self._state is not _State.BETWEEN:
            return NEED_DATA
        for entry in self._entries:
            if entry.kind is not Kind.DIRECTORY or relative_name(entry.name).strip(b"/"):
                return self._begin(entry)
        self._state = _State.ENDED
        self.close()
        return End()

    def close(self) -> None:
        """Gives back the room of the spooled archive."""
        self._entries, self._pieces = iter(()), iter(())
        self._finish()

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._spool.fileno(), size, offset)

    def _open(self) -> None:
        if not self._size:
            raise Malformed("The body is empty; even an archive without members has a directory.")
        self._directory = find_directory(self._read, self._size)
        most = self._limits.members
        if self._directory.entries > most:
            raise TooLarge(f"An archive may have {most} members at most; send it in parts.", limit=most)
        self._starts = array("Q", sorted(offsets(self._read, self._directory)))
        self._entries = entries(self._read, self._directory)
        self._state = _State.BETWEEN

    def _begin(self, entry: Entry) -> PartBegin:
        directory = entry.kind is Kind.DIRECTORY
        self._pieces = iter(()) if directory else self._contents(entry)
        self._state = _State.MEMBER
        size = 0 if directory else entry.size
        return PartBegin(member_headers(relative_name(entry.name), entry.kind, size, entry.modified))

    def _member_event(self) -> Event:
        try:
            for piece in self._pieces:
                return PartData(piece)
        except Failure as failure:
            self._state = _State.BETWEEN
            # A traceback would keep the pieces alive for as long as somebody keeps the failure.
            return PartFailed(failure.with_traceback(None))
        self._state = _State.BETWEEN
        return PartEnd()

    def _contents(self, entry: Entry) -> Iterator[bytes]:
        """What a member holds, piece by piece. Raises what speaks against it."""
        if entry.kind is not Kind.FILE:
            return
        if entry.method != _STORED and entry.method not in _METHODS:
            raise UnsupportedType(
                f"The member is compressed in a way that is not taken here; use one of {', '.join(_TAKEN)}.",
                accepted=_TAKEN,
            )
        if entry.size > _FREE and entry.size > RATIO * entry.compressed:
            raise RuleFailed(f"The member grows more than {RATIO} times when it is expanded; send the file as it is.")
        start = self._place(entry)
        size = crc = 0
        for piece in self._expanded(entry, start):
            size += len(piece)
            if size > entry.size:
                raise Damaged("The member is larger than the archive's directory says; pack it again.")
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != entry.size or crc != entry.crc:
            raise Damaged(_DAMAGED)

    def _place(self, entry: Entry) -> int:
        """Where the data begin, which must lie between the headers of two members and belong to one only."""
        starts, offset = self._starts, entry.offset
        after = bisect_right(starts, offset)
        limit = starts[after] if after < len(starts) else self._directory.start
        start = data_offset(self._read, entry) if offset < self._directory.start else None
        if start is None:
            raise Damaged(_DAMAGED)
        if start + entry.compressed > min(limit, self._directory.start) or after - bisect_left(starts, offset) > 1:
            raise Damaged("The member lies over another one, as in archives made to do harm; pack the files again.")
        return start

    def _expanded(self, entry: Entry, start: int) -> Iterator[bytes]:
        if entry.method == _STORED:
            return self._stored(start, start + entry.compressed)
        return self._inflated(_METHODS[entry.method][1](), start, start + entry.compressed)

    def _stored(self, at: int, end: int) -> Iterator[bytes]:
        while at < end:
            piece = self._read(at, min(PIECE, end - at))
            if not piece:
                raise Damaged(_DAMAGED)
            at += len(piece)
            yield piece

    def _inflated(self, stream: Expansion, at: int, end: int) -> Iterator[bytes]:
        while not stream.eof:
            given = self._read(at, min(_FEED, end - at)) if stream.needs_input else b""
            if stream.needs_input and not given:
                raise Damaged(_DAMAGED)
            at += len(given)
            try:
                piece = stream.decompress(given, PIECE)
            except (*DAMAGES, OSError):
                raise Damaged(_DAMAGED) from None
            if piece:
                yield piece


def _no_space(error: OSError) -> OutOfSpace:
    """Any other error is a fault of the server's own, and raised again."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace("There is no room left on the server for this archive.")
    raise error
