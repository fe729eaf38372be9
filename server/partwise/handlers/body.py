"""Reading request bodies: what broken framing and vanished clients mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web_protocol import RequestPayloadError

from partwise.errors import Malformed, TooLarge, TooSlow, TryAgain
from partwise.handlers.arriving import Alone, Cancelled, Late, Stopping, cancelled
from partwise.handlers.context import Call
from partwise.handlers.expect import invite_body
from partwise.handlers.hop import Lane
from partwise.handlers.shortcut import Shortcut, ShortcutProtocol

#: With more bodies than this on their way, the lanes are busy anyway, and what is read ahead of them only takes memory.
_FEW = 16


class ClientGone(ConnectionResetError):
    """The client went away before its body was complete."""


async def chunks(call: Call, alone: Alone | None = None) -> AsyncGenerator[bytes, None]:
    """The body as it arrives: whatever is there, never waiting for more. ``alone``: see ``Arriving.room``.

    Raises Malformed for broken chunked coding, TooSlow for a body that does not come, TryAgain when the server stops or has no
    room for another body, TooLarge if it never has, ClientGone when the connection ends early.
    """
    request, arriving = call.request, call.services.arriving
    arriving.begin(request)
    try:
        if len(arriving) <= _FEW and isinstance(request.protocol, ShortcutProtocol):
            request.protocol.read_ahead(request)
        await invite_body(request)
        while data := await _next(request):
            await arriving.room(request, len(data), call.services.config.body_timeout, alone)
            yield data
            # Not held while the next is waited for: of hundreds of slow uploads that is most of their memory.
            del data
        if getattr(request.protocol, "body_cut", False):
            raise ClientGone
        if getattr(request.protocol, "body_broken", False):
            raise _broken_coding()
    finally:
        arriving.end(request)


async def deliver(call: Call, lane: Lane, write: Callable[[bytes | memoryview], None]) -> None:
    """The body as it arrives, to ``write`` on its lane; what that is given is good until it is called again.

    Raises as :func:`chunks`, and what ``write`` raises.
    """
    arriving, patience = call.services.arriving, call.services.config.body_timeout
    with closing(Shortcut(call.request, write)) as shortcut:
        async with aclosing(chunks(call)) as parsed:
            async for data in parsed:
                promise = arriving.promise(call.request)
                shortcut.open(data, _nothing if promise is None else promise.keep)
                try:
                    await lane.run(shortcut.step, data)
                finally:
                    shortcut.shut()
                    del data  # as in chunks()
                if promise is None:
                    await arriving.room(call.request, shortcut.read, patience)


def _nothing(size: int) -> None:
    pass


async def _next(request: web.Request) -> bytes:
    try:
        return await request.content.readany()
    except Stopping:
        raise TryAgain("The server is stopping; send what was not stored again.") from None
    except Late:
        raise TooSlow("The rest of the body did not come in time; send what was not stored again.") from None
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
    request = call.request
    if request.content.is_eof() and request.content.exception() is None and not _ended_early(request):
        # All of it came with the head, or while others had their turn: nothing is waited for.
        there = request.content.read_nowait()
        if len(there) > limit:
            raise _too_large(limit)
        return there
    async with aclosing(chunks(call)) as arriving:
        async for data in arriving:
            body += data
            if len(body) > limit:
                raise _too_large(limit)
    return bytes(body)


def _ended_early(request: web.Request) -> bool:
    protocol = request.protocol
    return bool(getattr(protocol, "body_cut", False) or getattr(protocol, "body_broken", False))


def has_body(request: web.Request) -> bool:
    return request.body_exists and (hdrs.TRANSFER_ENCODING in request.headers or bool(request.content_length))


def _broken_coding() -> Malformed:
    return Malformed("The chunked coding of the request body is broken.")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A request body of this kind may have {limit} bytes at most.", limit=limit)
