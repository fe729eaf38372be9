"""Sending a document that is rendered block by block on a thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web

from partwise.handlers.context import Call


async def stream_blocks(
    call: Call, status: int, headers: Mapping[str, str], blocks: Iterator[bytes], *, reason: str | None = None
) -> web.StreamResponse:
    """One hop per block; the next block is rendered while the client takes the last. Memory holds one at a time."""
    response = web.StreamResponse(status=status, reason=reason, headers=headers)
    lane = call.services.hop.lane()
    with lane:
        try:
            # The first block comes before the head: what fails now can still have its own status.
            block = await lane.run(next, blocks, None)
            await response.prepare(call.request)
            if call.request.method != "HEAD":
                while block is not None:
                    await response.write(block)
                    block = await lane.run(next, blocks, None)
        finally:
            await lane.run(_close, blocks)
    await response.write_eof()
    return response


def _close(blocks: Iterator[bytes]) -> None:
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
