"""Sending a document that is rendered block by block on a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from aiohttp import web

from partwise.handlers.context import Call
from partwise.handlers.hop import Lane

#: Bytes that are worth a hop and a write, the rows of a thousand members: so much waits for a client that reads slowly.
_WORTH = 384 * 1024
#: Seconds that blocks are waited for in one hop: who asks waits no longer for a first one that is not full.
_HOP = 0.01


async def stream_blocks(
    call: Call, status: int, headers: Mapping[str, str], blocks: Iterator[bytes], *, reason: str | None = None
) -> web.StreamResponse:
    """One hop for about 384 KiB; memory holds that much at a time. What is complete after the first is one write.

    An empty block says that it takes longer, so that there is a hop between. The first block comes before the head: what
    fails before it can still have its own status, and ``headers`` may be added to. Raises ConnectionResetError when the
    client does not wait.
    """
    with call.services.hop.walk() as lane:
        ended = False
        try:
            block, ended = await _next(call, lane, blocks)
            if ended:
                return web.Response(status=status, reason=reason, headers=headers, body=block)
            response = web.StreamResponse(status=status, reason=reason, headers=headers)
            await response.prepare(call.request)
            if call.request.method == "HEAD":
                await response.write_eof()
                return response
            while not ended:
                await response.write(block)
                block, ended = await _next(call, lane, blocks)
        finally:
            if not ended:
                await lane.run(_close, blocks)
    await response.write_eof(block)
    return response


async def _next(call: Call, lane: Lane, blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next block, and whether it is the last."""
    while True:
        block, ended = await lane.run(_advance, blocks)
        if block or ended:
            return block, ended
        transport = call.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")


def _advance(blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """What comes within a while, until it is enough to be written; and whether that was all."""
    end = time.monotonic() + _HOP
    gathered: list[bytes] = []
    size = 0
    for block in blocks:
        gathered.append(block)
        size += len(block)
        if size >= _WORTH or time.monotonic() >= end:
            return b"".join(gathered), False
    return b"".join(gathered), True


def _close(blocks: Iterator[bytes]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
