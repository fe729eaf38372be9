"""Large bodies, which pass the parser of HTTP by: whole, split anywhere, cut, refused, and what follows them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Serve
from tests.harness import Client, read_response

from partwise.errors import RuleFailed
from partwise.handlers.shortcut import ShortcutProtocol

#: More than a step of a lane takes.
BODY = random.Random(5).randbytes(6_000_007)
NEXT = b"OPTIONS / HTTP/1.1\r\nHost: test\r\n\r\n"


def put(name: str, body: bytes = BODY, **headers: str) -> bytes:
    fields = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
    return f"PUT /{name} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much went past the parser, step by step."""
    sizes: list[int] = []
    take_back = ShortcutProtocol.take_back

    def noted(self: ShortcutProtocol, size: int) -> None:
        sizes.append(size)
        take_back(self, size)

    monkeypatch.setattr(ShortcutProtocol, "take_back", noted)
    return sizes


async def test_next_request_in_the_same_packet(client: Client, folder: Path, past: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    for name in ("a", "b"):
        writer.write(put(name) + NEXT)
        assert (await read_response(reader)).status == 201
        assert (await read_response(reader)).status == 200
    writer.close()
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes() == BODY
    assert sum(past) > len(BODY), "most of both bodies should have gone past the parser"


@pytest.mark.parametrize("sizes", [(1, 300_000), (65_536,), (1_500_000, 7)], ids=str)
async def test_in_pieces(client: Client, folder: Path, sizes: tuple[int, ...]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    message, start, number = put("a") + NEXT, 0, 0
    while start < len(message):
        stop = start + sizes[number % len(sizes)]
        writer.write(message[start:stop])
        await writer.drain()
        await asyncio.sleep(0)
        start, number = stop, number + 1
    assert (await read_response(reader)).status == 201
    assert (await read_response(reader)).status == 200
    writer.close()
    assert (folder / "a").read_bytes() == BODY


@pytest.mark.parametrize("good", [True, False])
async def test_digest(client: Client, folder: Path, *, good: bool) -> None:
    digest = base64.b64encode(hashlib.sha256(BODY if good else b"").digest()).decode()
    answer = await client.request("PUT", "/a", io.BytesIO(BODY), Repr_Digest=f"sha-256=:{digest}:")
    assert answer.status == (201 if good else 400)
    assert (folder / "a").exists() is good


async def test_cut(client: Client, folder: Path) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(put("a")[:-1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert not (folder / "a").exists()
    assert (await client.request("PUT", "/a", io.BytesIO(BODY))).status == 201


async def test_half_closed(client: Client, folder: Path) -> None:
    answer = await client.raw(put("a"), close=True)
    assert answer.status == 201
    assert (folder / "a").read_bytes() == BODY


class Judge:
    """Keeps what it is given; refuses after ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self.most, self.pieces = most, list[bytes]()

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)
        if sum(map(len, self.pieces)) > self.most:
            raise RuleFailed("It is too much of a good thing.")

    def finish(self) -> None:
        pass


def judging(most: int) -> tuple[list[Judge], Callable[[Any], Judge]]:
    judges: list[Judge] = []

    def start(_: object) -> Judge:
        judges.append(Judge(most))
        return judges[-1]

    return judges, start


async def test_judges_may_keep_the_bytes(serve: Serve) -> None:
    judges, start = judging(len(BODY))
    client = await serve((start,))
    assert (await client.request("PUT", "/a", io.BytesIO(BODY))).status == 201
    assert b"".join(judges[0].pieces) == BODY


async def test_refused_midway(serve: Serve, folder: Path) -> None:
    """The rest is read to its end, and not a byte more."""
    _, start = judging(3_000_000)
    client = await serve((start,))
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(put("a") + NEXT)
    answer = await read_response(reader)
    assert answer.status == 422, answer
    assert (await read_response(reader)).status == 200
    writer.close()
    assert not (folder / "a").exists()


async def test_too_slow(serve: Serve, folder: Path) -> None:
    client = await serve(body_timeout=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(put("a")[:3_000_000])
    assert (await read_response(reader)).status == 408
    writer.close()
    assert not (folder / "a").exists()
