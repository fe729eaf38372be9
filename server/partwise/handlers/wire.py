"""How aiohttp's HTTP protocol is set up for us, and what it says when bytes are not HTTP.

aiohttp answers a request that its parser refuses by itself, with 400 and plain text, drops a response when the client
closes its sending side first, waits for slow clients for ever and takes as many connections as come. All that is mended
here, in the one place that touches what aiohttp does not document.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from functools import partial

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from partwise.config import Config
from partwise.errors import (
    Failure,
    HeadersTooLarge,
    Malformed,
    NotImplementedHere,
    TargetTooLong,
    TooSlow,
    TryAgain,
)
from partwise.handlers.answer import SERVER, XML
from partwise.handlers.arriving import Arriving, Late
from partwise.handlers.connections import Connection, Connections
from partwise.handlers.delivery import delivered, drop
from partwise.handlers.dispatch import handle
from partwise.handlers.patience import Patience, Phase, Watch
from partwise.protocol.multistatus import error_document

log = logging.getLogger(__name__)

#: Bytes that aiohttp reads ahead of the handler.
_READ_AHEAD = 256 * 1024
#: Header fields of one request.
_MAX_HEADERS = 256
#: Bytes of a refused body that are read and thrown away, so that a client that reads nothing before it has sent all still gets
#: its answer.
_LINGER = 64 * 1024 * 1024
#: Seconds without a request after which a connection makes room for a new one where there is none left.
_SPARE = 5.0
# A request line whose method is a word, only none that the parser knows (its message quotes the line).
_UNKNOWN_METHOD = re.compile(r"b[\"'][A-Z][A-Za-z-]* [/*h]")


class _Protocol(Connection):
    __slots__ = ("body_broken", "body_cut", "ended", "heads", "received")

    def __init__(self, server: _Server, *, loop: asyncio.AbstractEventLoop, **options: object) -> None:
        super().__init__(server, loop=loop, **options)
        self.watch = Watch(loop.time())
        self.content = None
        #: Bytes of all requests, and those of them that had come when the last head was complete.
        self.received = self.heads = 0
        self.lingering = 0
        #: The client will send no more.
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(self._manager, _Server) and isinstance(transport, asyncio.Transport)
        if self._manager.has_room(transport):
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)
        if self._waiter is None or self._waiter.done():
            self.heads = self.received
            if self._waiter is None and self._current_request is None:
                self._linger(len(data))
        elif self.heads + len(data) == self.received and not data.strip(b"\r\n"):
            # RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty
            # line (CRLF) received prior to the request-line".
            self.heads = self.received
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo) and not self._is_idle():
            # Broken chunked coding: aiohttp queues the error as a next request and leaves the body in progress waiting.
            self._loop.call_soon(self._end_body, "body_broken")
            self.close()

    def take_back(self, size: int) -> None:
        self.received += size
        self.heads = self.received
        super().take_back(size)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size or isinstance(exc, ConnectionError):
            raise ConnectionError("a response has begun, or nobody is there to read one")
        failure = exc if isinstance(exc, TooSlow) else _meaning(exc, message or "")
        if isinstance(failure, TryAgain):
            log.error("a request failed outside of its handler", exc_info=exc)
        headers = {hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store"}
        response = web.Response(status=failure.status, body=error_document(failure).encode(), headers=headers)
        response.force_close()
        return response

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client will send no more. What it asked for completely is still answered (RFC 9112 §9.6)."""
        if self._is_idle():
            return None
        self.ended = True
        if not self._messages:
            self._end_last()
        return True

    def begin_request(self) -> None:
        if self.ended and not self._messages:
            self._end_last()

    def _end_last(self) -> None:
        """The connection ends after the request in progress, whose body ends now."""
        self.close()
        # A request that came with the same packet has been taken from the queue but has not begun yet.
        self._loop.call_soon(self._end_body, "body_cut")

    def expect_no_body(self) -> None:
        """The client was not asked for its body and was refused: there is nothing to wait for before the end."""
        self._lingering_time = 0

    def _is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _end_body(self, how: str) -> None:
        content = self.content
        if content is None or content.is_eof():
            return
        if self._current_request is not None:
            # What has arrived is still read; then handlers.body tells this end from a complete body.
            setattr(self, how, True)
            content.feed_eof()
        elif how == "body_cut":
            # Its request has been answered: nothing more is to be waited for.
            content.feed_eof()

    def _linger(self, size: int) -> None:
        """Part of a body has come whose request has been answered."""
        self.lingering += size
        if self.lingering > _LINGER and self.content is not None and not self.content.is_eof():
            self.content.set_exception(Late())

    # -- waiting for the client

    def look(self, transport: asyncio.Transport, now: float, patience: Patience, arriving: Arriving) -> bool:
        phase, count = self._phase(transport, arriving)
        if not self.watch.late(phase, self._request_count, count, now, patience):
            return phase in (Phase.SILENT, Phase.IDLE) and self.watch.silent >= _SPARE
        if phase is Phase.READER:
            drop(transport)
        elif phase is Phase.BODY:
            assert self.content is not None
            self.content.set_exception(Late())
        elif phase is Phase.HEAD:
            self._say_too_slow()
        else:
            self.force_close()
        return False

    def _phase(self, transport: asyncio.Transport, arriving: Arriving) -> tuple[Phase, int]:
        """What is waited for, and the bytes of it so far."""
        if self._is_idle() and not transport.get_write_buffer_size():
            if self.received > self.heads:
                return Phase.HEAD, self.received
            return Phase.IDLE if self._request_count else Phase.SILENT, self.received
        request = self._current_request
        if request is not None and request in arriving:
            # That it reads nothing meanwhile is its own affair: what it sends is stored.
            waiting = request.content._waiter is not None
            return Phase.BODY if waiting else Phase.BUSY, self.received
        if (found := delivered(transport)) is not None:
            return Phase.READER if found[1] or transport.is_closing() else Phase.BUSY, found[0]
        # All that can be seen elsewhere: whether it takes what is written.
        left = transport.get_write_buffer_size()
        return Phase.READER if left and (self._paused or transport.is_closing()) else Phase.BUSY, -left

    def _say_too_slow(self) -> None:
        """As aiohttp queues what its parser refuses."""
        late = TooSlow("The head of the request did not come in time.")
        self._messages.append((_ErrInfo(status=late.status, exc=late, message=late.text), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def spare(self) -> bool:
        if not self._is_idle() or self.received > self.heads:
            return False
        self.force_close()
        return True


def _meaning(error: BaseException | None, message: str) -> Failure:
    if isinstance(error, BadHttpMethod) and _UNKNOWN_METHOD.search(message):
        return NotImplementedHere("This method is not known here.")
    if isinstance(error, LineTooLong):
        # The parser has no other way to tell: it quotes the start of a target as what it keeps targets in.
        if "reading: bytearray" in message:
            return TargetTooLong("The request line is too long.")
        return HeadersTooLarge("A header field of the request is too long.")
    if "many headers" in message.lower():
        return HeadersTooLarge(f"A request may have {_MAX_HEADERS} header fields at most.")
    if error is None or hasattr(error, "code"):
        return Malformed("This is not an HTTP request that can be understood.")
    return TryAgain("The server failed for a reason of its own. Try again.")


class _Request(web.Request):
    """A request of the one application, for which no route was looked for."""

    #: Of a class of its own for each server.
    application: web.Application

    @property
    def app(self) -> web.Application:
        return self.application

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = SERVER


class _Server(Connections):
    def begin(self, app: web.Application, config: Config) -> None:
        # Each request comes to the one handler at once: aiohttp's own way there, through routes that all lead to it, middlewares
        # and signals, takes a tenth of a small request. What an application has besides is not for this server.
        self.request_handler = handle  # type: ignore[assignment]
        self.request_factory = partial(app._make_request, _cls=type("_Request", (_Request,), {"application": app}))
        super().begin(app, config)

    def pre_shutdown(self) -> None:
        """Close what is idle. A connection that is told to close drops what arrives, and with it a running upload."""
        self.turning_away.sweep(float("inf"))
        for connection in list(self._connections):
            if connection._waiter is not None:
                connection.close()

    def __call__(self) -> RequestHandler:
        self.load.came()
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An AppRunner whose connections speak our protocol."""

    __slots__ = ("_config", "_watching")

    def __init__(self, app: web.Application, config: Config, **options: object) -> None:
        super().__init__(app, **options)  # type: ignore[arg-type]
        self._config = config

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # The application makes its server itself and offers no way to choose the class.
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.begin(self.app, self._config)
        self._watching = asyncio.create_task(server.watch())
        return server

    async def _cleanup_server(self) -> None:
        if self.server is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await super()._cleanup_server()


def make_runner(app: web.Application, config: Config, *, verbose: bool = False) -> Runner:
    """Bodies arrive as they were sent, long headers are legal, running requests get their grace at the end."""
    return Runner(
        app,
        config,
        access_log=logging.getLogger("partwise.access") if verbose else None,
        auto_decompress=False,
        read_bufsize=_READ_AHEAD,
        max_line_size=config.max_header,
        max_field_size=config.max_header,
        max_headers=_MAX_HEADERS,
        shutdown_timeout=config.grace,
        # Ours comes first.
        keepalive_timeout=config.keep_alive + 60,
    )
