"""How aiohttp's HTTP protocol is set up for us, and what it says when bytes are not HTTP.

aiohttp answers a request that its parser refuses by itself, with 400 and plain text, and drops a response when the client
closes its sending side first. Both are mended here, in the one place that touches what aiohttp does not document.
"""

from __future__ import annotations

import logging
import re

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from partwise.config import Config
from partwise.errors import Failure, HeadersTooLarge, Malformed, NotImplementedHere, TargetTooLong, TryAgain
from partwise.handlers.answer import XML
from partwise.protocol.multistatus import error_document

log = logging.getLogger(__name__)

#: Bytes that aiohttp reads ahead of the handler.
_READ_AHEAD = 256 * 1024
#: Header fields of one request.
_MAX_HEADERS = 256
# A request line whose method is a word, only none that the parser knows (its message quotes the line).
_UNKNOWN_METHOD = re.compile(r"b[\"'][A-Z][A-Za-z-]* [/*h]")


class _Protocol(RequestHandler):
    __slots__ = ("body_broken", "body_cut")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo) and not self._is_idle():
            # Broken chunked coding: aiohttp queues the error as a next request and leaves the body in progress waiting.
            self._loop.call_soon(self._end_body, "body_broken")
            self.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size or isinstance(exc, ConnectionError):
            raise ConnectionError("a response has begun, or nobody is there to read one")
        failure = _meaning(exc, message or "")
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
        if not self._messages:
            self.close()  # after the request in progress
        # A request that came with the same packet has been taken from the queue but has not begun yet.
        self._loop.call_soon(self._end_body, "body_cut")
        return True

    def expect_no_body(self) -> None:
        """The client was not asked for its body and was refused: there is nothing to wait for before the end."""
        self._lingering_time = 0

    def _is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _end_body(self, how: str) -> None:
        request = self._current_request
        if request is not None and not request.content.is_eof():
            # What has arrived is still read; then handlers.body tells this end from a complete body.
            setattr(self, how, True)
            request.content.feed_eof()


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


class _Server(web.Server):
    def pre_shutdown(self) -> None:
        """Close what is idle. A connection that is told to close drops what arrives, and with it a running upload."""
        for connection in list(self._connections):
            if connection._waiter is not None:
                connection.close()

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """An AppRunner whose connections speak our protocol."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # The application makes its server itself and offers no way to choose the class.
        server.__class__ = _Server
        return server


def make_runner(app: web.Application, config: Config, *, verbose: bool = False) -> Runner:
    """Bodies arrive as they were sent, long headers are legal, running requests get their grace at the end."""
    return Runner(
        app,
        access_log=logging.getLogger("partwise.access") if verbose else None,
        auto_decompress=False,
        read_bufsize=_READ_AHEAD,
        max_line_size=config.max_header,
        max_field_size=config.max_header,
        max_headers=_MAX_HEADERS,
        shutdown_timeout=config.grace,
    )
