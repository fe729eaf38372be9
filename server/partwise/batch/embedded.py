"""A request inside a part, as it arrives: its head, then a body that is small enough to be kept."""

from __future__ import annotations

from partwise.batch.operations import Operation
from partwise.errors import TooLarge
from partwise.protocol.http_request import HeadReader, RequestHead
from partwise.protocol.paths import Target


class Embedded:
    """``limit``: bytes of the body."""

    def __init__(self, limit: int, head: RequestHead | None = None) -> None:
        self._limit = limit
        self._reader = HeadReader()
        self._head = head
        self._body = bytearray()
        #: What the operation is about, once that was found to be allowed.
        self.target: Target | None = None

    @property
    def head(self) -> RequestHead | None:
        return self._head

    def read_head(self, data: bytes) -> bytes | None:
        """Bytes up to the end of the head: what followed it, or ``None`` before its end. Raises as HeadReader."""
        found = self._reader.feed(data)
        if found is None:
            return None
        self._head, rest = found
        return rest

    def finish_head(self) -> RequestHead:
        """The part has ended before the head has. Raises as HeadReader."""
        self._head = self._reader.finish()
        return self._head

    def add(self, data: bytes) -> None:
        """Bytes of the body. Raises TooLarge."""
        if len(self._body) + len(data) > self._limit:
            raise TooLarge(f"The body of an operation may have {self._limit} bytes at most.", limit=self._limit)
        self._body += data

    def operation(self) -> Operation:
        assert self._head is not None and self.target is not None
        return Operation(self._head.method, self.target, self._head.headers, bytes(self._body))
