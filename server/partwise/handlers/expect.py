"""``Expect: 100-continue`` (RFC 9110 §10.1.1), answered only when nothing speaks against the request any more."""

from __future__ import annotations

from aiohttp import HttpVersion11, hdrs, web

from partwise.errors import ExpectationFailed


async def leave_to_handler(request: web.Request) -> None:
    """The expect handler of our route: aiohttp's own would answer 100 before anything was checked."""


def check_expectation(request: web.Request) -> None:
    """Raises ExpectationFailed for anything but 100-continue."""
    value = request.headers.get(hdrs.EXPECT)
    if value is not None and value.strip().lower() != "100-continue":
        raise ExpectationFailed("The only expectation that can be met here is 100-continue.")


async def invite_body(request: web.Request) -> None:
    """Tell a client that waits for it to send its body."""
    if hdrs.EXPECT not in request.headers or request.version < HttpVersion11:
        return
    if request.content.is_eof() or request.content.total_bytes:
        return  # RFC 9110 §10.1.1: the server may omit it when the body has begun to arrive
    writer = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # What is written here is not part of the response that aiohttp counts.
    writer.output_size = 0
