"""Sending a document that is rendered block by block on a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aiohttp import web

from partwise.handlers.context import Call
from partwise.handlers.hop import Lane


class _Turn(NamedTuple):
    """When a hop ends: it has gathered so many bytes, or blocks were waited for so many seconds."""

    size: int
    seconds: float


#: The first, since somebody waits for a first byte; and each of a walk whose thread others want too.
_SHORT = _Turn(128 * 1024, 0.005)
#: Else fewer hops and writes are worth more; but so much waits for a client that reads slowly.
_LONG = _Turn(384 * 1024, 0.02)


async def stream_blocks(
    call: Call,
    status: int,
    headers: Mapping[str, str],
    blocks: Iterator[bytes],
    *,
    reason: str | None = None,
    brief: bool = False,
) -> web.StreamResponse:
    """One hop for up to 384 KiB; memory holds that much at a time. What is complete after the first is one write.

    An empty block says that it takes longer, so that there is a hop between. The first block comes before the head: what
    fails before it can still have its own status, and ``headers`` may be added to. ``brief``: the document is of one
    resource, and mostly ready without waiting for a turn among walks. Raises ConnectionResetError when the client does not
    wait.
    """
    hop = call.services.hop
    with hop.walk() as lane:
        ended = False
        try:
            block, ended = await (hop if brief else lane).run(_advance, blocks, _SHORT)
            if not block and not ended:
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
        transport = call.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")
        block, ended = await _turn(lane, blocks)
        if block or ended:
            return block, ended


async def _turn(lane: Lane, blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    return await lane.run(_advance, blocks, _LONG if lane.pinned == 1 else _SHORT)


def _advance(blocks: Iterator[bytes], turn: _Turn) -> tuple[bytes, bool]:
    """What comes within a turn, and whether that was all."""
    end = time.monotonic() + turn.seconds
    gathered: list[bytes] = []
    size = 0
    for block in blocks:
        gathered.append(block)
        size += len(block)
        if size >= turn.size or time.monotonic() >= end:
            return b"".join(gathered), False
    return b"".join(gathered), True


def _close(blocks: Iterator[bytes]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
