"""Just enough HTTP/1.1 for a load generator: bytes of requests, and responses read without parsing more than needed."""

from __future__ import annotations

import re
from collections.abc import Iterator

BOUNDARY = "partwise-benchmark-0123456789abcdef"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"
#: Parts that are joined into one buffer to send.
_PARTS = 64


class WrongResponse(Exception):
    """What the server sent is not a whole response."""


def request(method: str, target: str, port: int, length: int = 0, **fields: str) -> bytes:
    """The head of a request to 127.0.0.1. Underscores in names of ``fields`` stand for hyphens."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if length or method in ("PUT", "POST"):
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def part_head(name: str) -> bytes:
    """What stands before the contents of one file in multipart/form-data (RFC 7578)."""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def form(items: int, contents: bytes, first: int = 0) -> list[bytes]:
    """A whole multipart/form-data body with ``items`` files, numbered from ``first`` on, in buffers of 64 parts."""
    buffers = []
    for start in range(first, first + items, _PARTS):
        names = (f"item-{number:06}.bin" for number in range(start, min(start + _PARTS, first + items)))
        buffers.append(b"".join(part_head(name) + contents + b"\r\n" for name in names))
    buffers.append(f"--{BOUNDARY}--\r\n".encode())
    return buffers


def large_form(size: int, block: bytes) -> tuple[int, Iterator[bytes]]:
    """The length and the buffers of a body with one file of ``size`` bytes, a multiple of the length of ``block``."""
    head, tail = part_head("large.bin"), f"\r\n--{BOUNDARY}--\r\n".encode()

    def buffers() -> Iterator[bytes]:
        yield head
        for _ in range(size // len(block)):
            yield block
        yield tail

    return len(head) + size + len(tail), buffers()


class Response:
    """One response, fed with what the socket gave."""

    def __init__(self) -> None:
        self._head = b""
        self._pieces: list[bytes] = []
        #: Bytes of the body so far, as they came.
        self.received = 0
        self._length: int | None = None
        self._chunked = False
        self._tail = b""
        self.status = 0
        #: The server ends the connection after this response.
        self.closes = False

    def feed(self, data: bytes) -> bool:
        """Is the response complete? No data means that the server has ended the connection."""
        if not data:
            return self._ended()
        if not self.status:
            head, found, data = (self._head + data).partition(b"\r\n\r\n")
            if not found:
                self._head = head
                return False
            self._begin(head)
        self.received += len(data)
        self._pieces.append(data)
        if self._chunked:
            self._tail = (self._tail + data[-len(_LAST_CHUNK) :])[-len(_LAST_CHUNK) :]
            return self._tail == _LAST_CHUNK
        return self._length is not None and self.received >= self._length

    def _begin(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise WrongResponse("no HTTP/1.1 response")
        self._head, self.status = head, int(head[9:12])
        self.closes = _CLOSE.search(head) is not None or head.startswith(b"HTTP/1.0")
        self._chunked = _CHUNKED.search(head) is not None
        if self.status in (204, 304):
            self._chunked, self._length = False, 0
        elif (length := _LENGTH.search(head)) is not None:
            self._length = int(length[1])

    @property
    def untouched(self) -> bool:
        """Has nothing of it come?"""
        return not self.status and not self._head

    def _ended(self) -> bool:
        if not self.status or self._chunked or self._length is not None:
            raise WrongResponse("the connection ended before the response")
        self.closes = True
        return True

    def field(self, name: str) -> str:
        """A field of the head; empty if it is not there."""
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb": *([^\r]*)", self._head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""

    @property
    def body(self) -> bytes:
        """Of a complete response, without its chunked coding. Raises WrongResponse."""
        raw = b"".join(self._pieces)
        return dechunk(raw) if self._chunked else raw


def dechunk(raw: bytes) -> bytes:
    """The contents of a chunked body (RFC 9112 §7.1), which must be all of ``raw``. Raises WrongResponse."""
    pieces: list[bytes] = []
    position = 0
    while True:
        end = raw.find(b"\r\n", position)
        if end < 0:
            raise WrongResponse("the chunked coding is broken")
        size = int(raw[position:end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(raw[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
