"""A server that is told to stop: running uploads get a grace time, then end with a well-formed document."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.handlers.test_post import files
from tests.handlers.test_wire import request
from tests.harness import form_part, multipart, read_head, read_response, running


@pytest.mark.parametrize("early", ["always", "never"])
async def test_an_upload_that_does_not_end_in_time(folder: Path, early: str) -> None:
    body = multipart([form_part("a", b"1"), form_part("b", b"x" * 100_000)])
    async with running(folder, early=early, grace=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(body)[:-50_000])
        while not (folder / "a").exists():
            await asyncio.sleep(0.01)
        answer = asyncio.create_task(read_response(reader))
    found = await answer
    assert (found.statuses, found.summary["state"]) == ([201, 503], "aborted")
    assert files(folder) == {"a": b"1"}
    writer.close()


async def test_an_upload_that_ends_in_time(folder: Path) -> None:
    body = multipart([form_part("a", b"1"), form_part("b", b"x" * 100_000)])
    reader, writer = None, None
    async with running(folder, grace=20) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(body)[:-50_000])
        await read_head(reader)

        async def rest() -> bytes:
            await asyncio.sleep(0.3)
            writer.write(request(body)[-50_000:])
            return await reader.readuntil(b"</D:multistatus>")

        answer = asyncio.create_task(rest())
    assert b'state="complete"' in await answer
    assert set(files(folder)) == {"a", "b"}
    writer.close()


async def test_a_put_in_progress(folder: Path) -> None:
    async with running(folder, grace=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
        await asyncio.sleep(0.1)
        answer = asyncio.create_task(read_response(reader))
    found = await answer
    assert (found.status, found.error) == (503, "try-again")
    assert files(folder) == {}
    writer.close()
