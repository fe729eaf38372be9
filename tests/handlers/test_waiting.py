"""What waits for its turn to write, or copies for minutes, keeps nobody waiting who reads or uploads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.harness import Answer, Client, form_part

from partwise.storage.local.store import LocalStore

LOCK = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'
UPDATE = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x"/></D:prop></D:set></D:propertyupdate>'


@asynccontextmanager
async def slow(
    monkeypatch: pytest.MonkeyPatch, method: str, requests: list[Any]
) -> AsyncIterator[list[asyncio.Task[Answer]]]:
    """All requests are in this method of the store until the block ends."""
    go_on, begun = threading.Event(), threading.Semaphore(0)
    real = getattr(LocalStore, method)

    def waiting(*args: Any) -> Any:
        begun.release()
        assert go_on.wait(120)
        return real(*args)

    monkeypatch.setattr(LocalStore, method, waiting)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(request) for request in requests]
        try:
            for _ in running:
                assert await asyncio.to_thread(begun.acquire, True, 60)
            async with asyncio.timeout(60):
                yield running
        finally:
            go_on.set()


async def test_uploads_go_on_while_trees_are_copied(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many copies as there are lanes for uploads, and one more."""
    await client.request("MKCOL", "/tree/")
    requests = [client.request("COPY", "/tree/", Destination=f"/copy{number}/") for number in range(3)]
    async with slow(monkeypatch, "copy", requests) as copies:
        # Larger than what is received whole, and a batch: both have a lane.
        stored = await client.request("PUT", "/file", bytes(300_000))
        posted = await client.post("/", [form_part("a", b"1")])
        assert (stored.status, posted.status) == (201, 207)
    assert [task.result().status for task in copies] == [201, 201, 201]


@pytest.mark.parametrize(
    ("method", "verb", "data", "headers", "status"),
    [
        ("delete", "DELETE", None, {}, 204),
        ("move", "MOVE", None, {"Destination": "/new{}"}, 201),
        ("make_collection", "MKCOL", None, {}, 405),
        ("set_properties", "PROPPATCH", UPDATE, {}, 207),
        ("lock", "LOCK", LOCK, {}, 200),
    ],
)
async def test_readers_go_on_while_writers_wait(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    verb: str,
    data: str | None,
    headers: dict[str, str],
    status: int,
) -> None:
    """As many writers as there are threads for either."""
    for number in range(8):
        await client.request("PUT", f"/{number}", b"1")
    requests = [
        client.request(verb, f"/{number}", data, **{name: value.format(number) for name, value in headers.items()})
        for number in range(8)
    ]
    async with slow(monkeypatch, method, requests) as writers:
        assert (await client.request("GET", "/0")).body == b"1"
        assert (await client.request("PROPFIND", "/", Depth="1")).status == 207
    assert {task.result().status for task in writers} == {status}
