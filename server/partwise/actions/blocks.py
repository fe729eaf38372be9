"""Small pieces of text gathered into blocks that are worth a hop and a write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: Characters of a block.
BLOCK = 64 * 1024


def blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """UTF-8; what cannot be encoded has been escaped before.

    An empty piece makes an empty block: there is nothing yet, but others may want the thread.
    """
    block: list[str] = []
    size = 0
    for piece in pieces:
        if not piece:
            yield b""
            continue
        block.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield "".join(block).encode("utf-8", "replace")
            block, size = [], 0
    yield "".join(block).encode("utf-8", "replace")
