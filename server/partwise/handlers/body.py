"""Reading request bodies: what broken framing and vanished clients mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web_protocol import RequestPayloadError

from partwise.errors import Malformed, TooLarge, TryAgain
from partwise.handlers.arriving import Cancelled, Stopping, cancelled
from partwise.handlers.context import Call
from partwise.handlers.expect import invite_body


class ClientGone(ConnectionResetError):
    """The client went away before its body was complete."""


async def chunks(call: Call) -> AsyncGenerator[bytes, None]:
    """The body as it arrives: whatever is there, never waiting for more.

    Raises Malformed for broken chunked coding, TryAgain when the server stops, ClientGone when the connection ends early.
    """
    request, arriving = call.request, call.services.arriving
    await invite_body(request)
    arriving.begin(request)
    try:
        while data := await _next(request):
            yield data
        if getattr(request.protocol, "body_cut", False):
            raise ClientGone
        if getattr(request.protocol, "body_broken", False):
            raise _broken_coding()
    finally:
        arriving.end(request)


async def _next(request: web.Request) -> bytes:
    try:
        return await request.content.readany()
    except Stopping:
        raise TryAgain("The server is stopping; send what was not stored again.") from None
    except Cancelled:
        # What is still on its way is drained, or the client might lose the answer to a reset of the connection.
        request.content.set_exception(None)  # type: ignore[arg-type]
        raise cancelled() from None
    except (RequestPayloadError, PayloadEncodingError, ClientPayloadError) as error:
        if request.transport is None or request.transport.is_closing():
            raise ClientGone from error
        raise _broken_coding() from None
    except ConnectionError as error:
        raise ClientGone from error


async def whole(call: Call, limit: int) -> bytes:
    """A small protocol body. Raises TooLarge over ``limit`` bytes."""
    body = bytearray()
    if (call.request.content_length or 0) > limit:
        raise _too_large(limit)
    async with aclosing(chunks(call)) as arriving:
        async for data in arriving:
            body += data
            if len(body) > limit:
                raise _too_large(limit)
    return bytes(body)


def has_body(request: web.Request) -> bool:
    return request.body_exists and (hdrs.TRANSFER_ENCODING in request.headers or bool(request.content_length))


def _broken_coding() -> Malformed:
    return Malformed("The chunked coding of the request body is broken.")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A request body of this kind may have {limit} bytes at most.", limit=limit)
