"""The body of a batch, ``multipart/mixed`` (RFC 2046), made from files a block at a time; nothing waits in memory."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import secrets
from collections.abc import Generator, Iterator, Sequence

from partwise.client.items import Item
from partwise.protocol.paths import encode

__all__ = ["BLOCK", "Parts"]

#: Bytes after which a block is handed on; a block of small files may be one file longer.
BLOCK = 256 * 1024

_NANO = 1_000_000_000


class Parts:
    """The parts of one batch. :meth:`blocks` does the work; it may be advanced by any thread, one at a time.

    ``checksums``: each part tells the SHA-256 of its file, which is therefore read twice. ``types``: each part tells the
    media type that its name suggests.
    """

    def __init__(self, items: Sequence[Item], *, checksums: bool = False, types: bool = False) -> None:
        self._items = items
        self._checksums = checksums
        self._types = types
        # RFC 2046 §5.1.1: it must not occur in a part. 160 random bits do not.
        self.boundary = "partwise-" + secrets.token_hex(20)
        #: The items whose parts were begun, in their order: the report counts these from 1.
        self.sent: list[Item] = []
        #: Of those, the indexes of files that changed while they were read: what was sent is neither old nor new.
        self.torn: set[int] = set()
        #: Items without a part, and why.
        self.unreadable: list[tuple[Item, str]] = []

    @property
    def content_type(self) -> str:
        return f"multipart/mixed; boundary={self.boundary}"

    def blocks(self) -> Generator[bytes]:
        """The whole body. What a part promises is what is sent, unless the file has become shorter."""
        waiting: list[bytes] = []
        size = 0
        for item in self._items:
            for piece in self._part(item):
                waiting.append(piece)
                size += len(piece)
                if size >= BLOCK:
                    yield b"".join(waiting)
                    waiting, size = [], 0
        waiting.append(f"\r\n--{self.boundary}--\r\n".encode())
        yield b"".join(waiting)

    def _part(self, item: Item) -> Iterator[bytes]:
        try:
            # A pipe that took the file's place must not stop us for ever.
            descriptor = os.open(item.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self.unreadable.append((item, f"The file cannot be read: {error.strerror}."))
            return
        try:
            before = os.fstat(descriptor)
            try:
                head = self._head(item, descriptor, before)
                left = before.st_size
                piece = os.read(descriptor, min(left, BLOCK))
            except OSError as error:
                self.unreadable.append((item, f"The file cannot be read: {error.strerror}."))
                return
            self.sent.append(item)
            if not piece:
                self._compare(descriptor, before, left)
            yield head
            while piece:
                left -= len(piece)
                following = self._read_on(descriptor, min(left, BLOCK)) if left else b""
                if not following:
                    self._compare(descriptor, before, left)
                yield piece
                piece = following
        finally:
            os.close(descriptor)

    def _compare(self, descriptor: int, before: os.stat_result, left: int) -> None:
        # Before the last piece is sent: its row may come back before anything else is done.
        after = os.fstat(descriptor)
        if left or after.st_mtime_ns != before.st_mtime_ns or after.st_size != before.st_size:
            self.torn.add(len(self.sent))

    def _read_on(self, descriptor: int, size: int) -> bytes:
        """An error in the middle of a file makes its part shorter than promised: the server refuses it."""
        try:
            return os.read(descriptor, size)
        except OSError:
            return b""

    def _head(self, item: Item, descriptor: int, status: os.stat_result) -> bytes:
        # RFC 3986 §4.2: a segment with a colon cannot be the first of a relative reference.
        name = encode(tuple(item.name.split("/"))).replace(":", "%3A")
        head = f"\r\n--{self.boundary}\r\nContent-Location: {name}\r\nContent-Length: {status.st_size}\r\n"
        if status.st_mtime_ns >= 0:  # the header cannot write a time before 1970
            seconds, rest = divmod(status.st_mtime_ns, _NANO)
            head += f"X-OC-Mtime: {seconds}.{rest:09}\r\n"
        if self._types and (media_type := mimetypes.guess_type(item.name)[0]):
            head += f"Content-Type: {media_type}\r\n"
        if self._checksums:
            head += f"OC-Checksum: SHA256:{_sha256(descriptor)}\r\n"
            os.lseek(descriptor, 0, os.SEEK_SET)
        return f"{head}\r\n".encode()


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    while data := os.read(descriptor, BLOCK):
        digest.update(data)
    return digest.hexdigest()
