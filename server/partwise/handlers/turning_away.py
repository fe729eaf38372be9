"""Connections for which there is no room: told so as soon as they ask something, and forgotten."""

from __future__ import annotations

import asyncio

from partwise.errors import Failure, reason
from partwise.handlers.answer import RETRY_AFTER, XML
from partwise.protocol.multistatus import error_document

#: Connections that may wait to be told, and for how many seconds. They cost a descriptor each, and next to nothing else.
_WAITING, _SECONDS = 256, 2.0


def last_word(failure: Failure) -> bytes:
    """A whole response that ends its connection."""
    body = error_document(failure).encode()
    head = (
        f"HTTP/1.1 {failure.status.value} {reason(failure.status)}\r\nContent-Type: {XML}\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {RETRY_AFTER}\r\nCache-Control: no-store\r\n"
        "Server: partwise\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class TurningAway:
    """All connections that are being turned away."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Transport, float] = {}

    def add(self, transport: asyncio.Transport, word: bytes) -> None:
        if len(self._waiting) >= _WAITING:
            transport.write(word)
            transport.close()
            return
        self._waiting[transport] = asyncio.get_running_loop().time() + _SECONDS
        transport.set_protocol(_TurnedAway(transport, word, self._waiting))

    def sweep(self, now: float) -> None:
        for transport in [transport for transport, until in self._waiting.items() if now >= until]:
            transport.abort()


class _TurnedAway(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, word: bytes, waiting: dict[asyncio.Transport, float]) -> None:
        self._transport = transport
        self._word = word
        self._waiting = waiting

    def data_received(self, data: bytes) -> None:
        # An answer before there is a request confuses clients. What else they send is read, and not looked at: closed with
        # unread bytes, the connection would be reset, and the answer lost with it.
        if self._word:
            self._transport.write(self._word)
            self._transport.write_eof()
            self._word = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.pop(self._transport, None)
