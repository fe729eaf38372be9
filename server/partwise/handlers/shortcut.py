"""Large bodies of a known length go from the socket straight to their lane, past aiohttp's parser and its copies.

It is still the transport that waits for what comes, and with it everything that ends such a wait. But once the parser has
nothing in hand, what the transport reads of the body goes to its reader unparsed; and while the lane writes that, the
transport is held, and the lane reads what else has come into buffers of its own. A body of 1 GiB takes half the processor
time this way, and twice the speed.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web, web_protocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from partwise.processors import roaming

#: Of a body with less to come it is not worth it.
_WORTH = 1024 * 1024
#: Read at once. Of less, a hash that runs beside would spend its time on waiting for the next piece.
_PIECE = 1024 * 1024
#: Whoever sends less than this in a step is slow.
_FEW = 256 * 1024
#: Read in one step of a lane, which then has its turn with other uploads.
_STEP = 4 * 1024 * 1024
#: Milliseconds that the lane waits for more: less than a hop to the event loop and back would take.
_PATIENCE = 1

#: What a connection reads ahead of a body that nobody has begun to take: hundreds of uploads may wait for their lanes. aiohttp
#: takes twice as much, and as much again as one read brings, 256 KiB.
_BEFORE = 32 * 1024

#: Later versions bound the requests that wait behind each other.
_QUEUE: dict[str, Any] = (
    {"max_msg_queue_size": web_protocol.MAX_MSG_QUEUE_SIZE} if hasattr(web_protocol, "MAX_MSG_QUEUE_SIZE") else {}
)
_PARSING = ("auto_decompress", "max_field_size", "max_headers", "max_line_size")


class ShortcutProtocol(RequestHandler):
    """A connection that can leave its parser out for the rest of a body."""

    __slots__ = ("_ahead", "_body", "_held", "_left", "_options")

    def __init__(self, server: web.Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        self._ahead = options["read_bufsize"]
        options["read_bufsize"] = _BEFORE
        super().__init__(server, loop=loop, **options)
        self._options = options
        self._body: web.BaseRequest | None = None
        #: Bytes of that body which the parser will not see, and which have not come yet.
        self._left = 0
        #: The transport reads nothing, whatever there is room for.
        self._held = False

    def resume_reading(self, *args: Any, **options: Any) -> None:
        super().resume_reading(*args, **options)
        if self._held and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._left:
            if self._force_close or self._close:
                return
            body, data = data[: self._left], data[self._left :]
            self._left -= len(body)
            if self._body is not None:
                self._body.content.feed_data(body)
            if self._left:
                return
            self._end_shortcut()
        super().data_received(data)

    def read_ahead(self, request: web.BaseRequest) -> None:
        """As much as connections are set up for, of a body that somebody takes."""
        request.content.set_read_chunk_size(self._ahead)

    def lend(self, request: web.BaseRequest, taken: int) -> int:
        """Bytes of the body of this request that may now be read from its socket; 0: go on as before.

        ``taken`` is what has been taken from its reader. The transport is held until :meth:`take_back`.
        """
        content, length = request.content, request.content_length
        if self.transport is None or self.transport.is_closing() or length is None or content.is_eof():
            return 0
        if not self._left and not self._may_begin(request, length):
            return 0
        if not self._held:
            self._held = True
            self.transport.pause_reading()
        if self._reading_paused or content.total_bytes > taken:
            return 0  # what has been parsed goes first; nothing follows it now
        if not self._left:
            self._body, self._left = request, length - content.total_bytes
        return self._left

    def _may_begin(self, request: web.BaseRequest, length: int) -> bool:
        transport = self.transport
        assert transport is not None
        return (
            length - request.content.total_bytes >= _WORTH
            and transport.get_extra_info("sslcontext") is None
            and transport.get_extra_info("socket") is not None
        )

    def take_back(self, size: int) -> None:
        """So many bytes were read from the socket."""
        self._left -= size
        if size and not self._left:
            self._end_shortcut()
        if self._held:
            self._held = False
            if self.transport is not None and not self.transport.is_closing() and not self._reading_paused:
                self.transport.resume_reading()

    def _end_shortcut(self) -> None:
        body, self._body = self._body, None
        assert body is not None
        if self._parser is not None:
            # The old one waits for a body that it will never see.
            self._parser = HttpRequestParser(
                self,
                self._loop,
                self._read_bufsize,
                payload_exception=RequestPayloadError,
                **_QUEUE,
                **{name: self._options[name] for name in _PARSING if name in self._options},
            )
        body.content.feed_eof()


class Shortcut:
    """The way of one body. Its steps run on a lane; everything else on the event loop."""

    def __init__(self, request: web.BaseRequest, write: Callable[[bytes | memoryview], None]) -> None:
        """``write`` may use what it is given until it is called again."""
        self._request, self._write = request, write
        self._protocol = request.protocol if isinstance(request.protocol, ShortcutProtocol) else None
        self._socket: socket.socket | None = None
        self._came: Callable[[int], None] = lambda size: None
        self._left = 0
        #: Bytes that went through the reader of the request, and past it in the last step.
        self._parsed = self.read = 0

    def open(self, data: bytes, came: Callable[[int], None]) -> None:
        """Before a step, with what the reader of the request gave; ``came`` is told in the step how much else there was."""
        self._came = came
        self._parsed += len(data)
        self.read = self._left = 0
        if self._protocol is None:
            return
        self._left = self._protocol.lend(self._request, self._parsed)
        if self._left and self._socket is None:
            assert self._request.transport is not None
            # A descriptor of its own: that of the transport may be closed, and be another's, while a step runs.
            self._socket = self._request.transport.get_extra_info("socket").dup()

    def step(self, data: bytes) -> None:
        """Write it, and what has come to the socket meanwhile."""
        if self._socket is None:
            self._write(data)
            return
        with roaming():
            self._write(data)
            self._step(self._socket)

    def _step(self, source: socket.socket) -> None:
        most = min(self._left, _STEP)
        # select(2) knows descriptors below 1,024 only.
        more = select.poll()
        more.register(source, select.POLLIN)
        # One is written while what is in the other may still be hashed. Not kept: there are more uploads than lanes.
        buffer, other = memoryview(bytearray(_PIECE)), memoryview(bytearray(_PIECE))
        while self.read < most:
            try:
                size = source.recv_into(buffer, min(self._left - self.read, _PIECE))
            except BlockingIOError:
                # Worth to wait for only if it comes quickly.
                if self.read < _FEW or not more.poll(_PATIENCE):
                    return
                continue
            except OSError:
                return  # the transport will find out, too
            if not size:
                return
            self.read += size
            self._came(size)
            self._write(buffer[:size])
            buffer, other = other, buffer

    def shut(self) -> None:
        """After a step."""
        if self._protocol is not None and self._left:
            self._protocol.take_back(self.read)

    def close(self) -> None:
        """The transport is not held any more."""
        if self._protocol is not None:
            self._protocol.take_back(0)
        if self._socket is not None:
            self._socket.close()
