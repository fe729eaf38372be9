"""Sending a document that is rendered block by block on a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from aiohttp import web

from partwise.handlers.context import Call
from partwise.handlers.hop import Lane

#: Seconds that blocks are waited for in one hop.
_HOP = 0.005


async def stream_blocks(
    call: Call, status: int, headers: Mapping[str, str], blocks: Iterator[bytes], *, reason: str | None = None
) -> web.StreamResponse:
    """One hop per block; the next block is rendered while the client takes the last. Memory holds one at a time.

    An empty block says that it takes longer, so that there is a hop between. Raises ConnectionResetError when the client
    does not wait.
    """
    response = web.StreamResponse(status=status, reason=reason, headers=headers)
    with call.services.hop.walk() as lane:
        try:
            # The first block comes before the head: what fails now can still have its own status.
            block = await _next(call, lane, blocks)
            await response.prepare(call.request)
            if call.request.method != "HEAD":
                while block is not None:
                    await response.write(block)
                    block = await _next(call, lane, blocks)
        finally:
            await lane.run(_close, blocks)
    await response.write_eof()
    return response


async def _next(call: Call, lane: Lane, blocks: Iterator[bytes]) -> bytes | None:
    while (block := await lane.run(_advance, blocks)) == b"":
        transport = call.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")
    return block


def _advance(blocks: Iterator[bytes]) -> bytes | None:
    """The next block; empty if there is none after a while, ``None`` at the end."""
    end = time.monotonic() + _HOP
    while (block := next(blocks, None)) == b"" and time.monotonic() < end:
        pass
    return block


def _close(blocks: Iterator[bytes]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
