"""Reading request bodies: what broken framing and vanished clients mean."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web_protocol import RequestPayloadError

from partwise.errors import Malformed, TooLarge
from partwise.handlers.expect import invite_body


class ClientGone(ConnectionResetError):
    """The client went away before its body was complete."""


async def chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it arrives: whatever is there, never waiting for more.

    Raises Malformed for broken chunked coding, ClientGone when the connection ends early.
    """
    await invite_body(request)
    while True:
        try:
            data = await request.content.readany()
        except (RequestPayloadError, PayloadEncodingError, ClientPayloadError) as error:
            if request.transport is None or request.transport.is_closing():
                raise ClientGone from error
            raise Malformed("The chunked coding of the request body is broken.") from None
        except ConnectionError as error:
            raise ClientGone from error
        if not data:
            if getattr(request.protocol, "body_cut", False):
                raise ClientGone
            return
        yield data


async def whole(request: web.Request, limit: int) -> bytes:
    """A small protocol body. Raises TooLarge over ``limit`` bytes."""
    body = bytearray()
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    async for data in chunks(request):
        body += data
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def has_body(request: web.Request) -> bool:
    return request.body_exists and (hdrs.TRANSFER_ENCODING in request.headers or bool(request.content_length))


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A request body of this kind may have {limit} bytes at most.", limit=limit)
