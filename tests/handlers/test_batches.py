"""``/-/batches/<id>``: followed, read again and cancelled, by its maker only, through any process."""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from tests.batch.test_archive import row
from tests.conftest import Serve
from tests.harness import Answer, Client, form_part, read_chunk, read_head
from tests.xml_documents import check_xml

from partwise.batch.archive import Archive
from partwise.batch.report import Report
from partwise.handlers import follow
from partwise.handlers.context import SERVICES

UNKNOWN = "/-/batches/" + "b" * 28


def archive_of(client: Client) -> Archive:
    return client.server.app[SERVICES].archive


def ended(client: Client, count: int, principal: str | None = None) -> str:
    """The address of a batch of ``count`` items, of which every third failed."""
    report = archive_of(client).create(principal, "/c/")
    report.settle(row(index, good=index % 3 > 0) for index in range(1, count + 1))
    report.end("complete")
    report.close()
    return f"/-/batches/{report.batch}"


@pytest.fixture
async def other(serve: Serve, client: Client) -> Client:
    """Another process that serves the same folder."""
    return await serve()


def indexes(answer: Answer) -> list[int]:
    return [int(each.item["index"]) for each in answer.rows]


async def test_an_ended_batch(client: Client, other: Client) -> None:
    place = ended(client, 700)
    for each in (client, other):
        answer = await each.request("GET", place)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert indexes(answer) == list(range(1, 701))
        assert {name: answer.summary[name] for name in ("items", "failed", "state")} == {
            "items": "700",
            "failed": "233",
            "state": "complete",
        }
        head = await each.request("HEAD", place)
        assert (head.status, head.body) == (200, b"")
        for found in (head, answer):
            counts = [found.headers[f"P-Batch-{name}"] for name in ("State", "Items", "Failed")]
            assert counts == ["complete", "700", "233"]
        assert head.headers["Content-Type"] == answer.headers["Content-Type"]


async def test_a_part_of_it(client: Client) -> None:
    place = ended(client, 10)
    assert indexes(await client.request("GET", f"{place}?from=8")) == [8, 9, 10]
    assert indexes(await client.request("GET", f"{place}?from=11")) == []
    minimal = await client.request("GET", place, Prefer="return=minimal, wait=5")
    assert indexes(minimal) == [3, 6, 9]
    assert minimal.headers["Preference-Applied"] == "return=minimal, wait=5"
    for wrong in ("0", "-1", "x", "1e3", "", "9" * 20):
        assert (await client.request("GET", f"{place}?from={wrong}")).status == 400


async def test_one_item(client: Client) -> None:
    place = ended(client, 3)
    answer = await client.request("GET", f"{place}/items/3")
    assert (answer.status, answer.statuses, indexes(answer)) == (200, [400], [3])
    assert (await client.request("HEAD", f"{place}/items/3")).status == 200
    for wrong in ("4", "0", "03", "x", "9" * 20):
        assert (await client.request("GET", f"{place}/items/{wrong}")).status == 404


async def test_methods(client: Client) -> None:
    place = ended(client, 1)
    for target, allow in ((place, "OPTIONS, GET, HEAD, DELETE"), (f"{place}/items/1", "OPTIONS, GET, HEAD")):
        assert (await client.request("OPTIONS", target)).headers["Allow"] == allow
        for method in ("PROPFIND", "LOCK"):
            answer = await client.request(method, target)
            assert (answer.status, answer.headers["Allow"]) == (405, allow)
        assert (await client.request("PUT", target, b"x")).status == 403
    assert (await client.request("DELETE", f"{place}/items/1")).status == 405
    for nothing in ("/-/batches/", "/-/batches", f"{place}/items", f"{place}/things/1", UNKNOWN, "/-/batches/x"):
        assert (await client.request("GET", nothing)).status == 404
    assert (await client.request("GET", place, Accept="image/png")).status == 406


async def test_a_running_batch_is_followed_to_its_end(client: Client, other: Client) -> None:
    report = archive_of(client).create(None, "/c/")
    readers = [await Follower.open(each, report) for each in (client, other)]
    for reader in readers:
        assert reader.headers["P-Batch-State"] == "running"
        assert reader.headers["Incremental"] == "?1"
    for count in (1, 300):
        report.settle(row(index) for index in range(report.count + 1, count + 1))
        for reader in readers:
            await reader.until(f'index="{count}"'.encode())
    report.end("complete")
    report.close()
    for reader in readers:
        document = await reader.rest()
        assert b'state="complete"' in document
        check_xml(document)


class Follower:
    """A reader with a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.document = b""

    @classmethod
    async def open(cls, client: Client, report: Report, *fields: str) -> Follower:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1 << 16)
        lines = [f"GET /-/batches/{report.batch} HTTP/1.1", "Host: localhost", *fields, "", ""]
        writer.write("\r\n".join(lines).encode())
        found = cls(reader, writer)
        found.status, found.headers = await read_head(reader)
        assert found.status == 200
        return found

    async def until(self, what: bytes) -> None:
        async with asyncio.timeout(10):
            while what not in self.document:
                self.document += await read_chunk(self._reader)

    async def rest(self) -> bytes:
        async with asyncio.timeout(20):
            while piece := await read_chunk(self._reader):
                self.document += piece
        self.writer.close()
        return self.document


async def test_it_need_not_be_followed(client: Client, other: Client) -> None:
    report = archive_of(client).create()
    report.settle(map(row, range(1, 4)))
    for each in (client, other):
        for wait in ("wait=0", "wait=1"):
            answer = await each.request("GET", f"/-/batches/{report.batch}", Prefer=wait)
            assert (indexes(answer), answer.summary["state"]) == ([1, 2, 3], "running")
            assert answer.headers["Preference-Applied"] == wait
            assert ("Incremental" in answer.headers) is (wait != "wait=0")
    report.close()


async def test_a_silent_batch_keeps_its_readers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE", 0.05)
    report = archive_of(client).create()
    reader = await Follower.open(client, report)
    await reader.until(b"\n\n\n")
    report.close()
    assert b'items="0"' in await reader.rest()


async def test_a_reader_that_does_not_read_harms_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    render: Callable[..., tuple[bytes, int]] = follow._render

    def measuring(*arguments: object) -> tuple[bytes, int]:
        nonlocal largest
        block, position = render(*arguments)
        largest = max(largest, len(block))
        return block, position

    monkeypatch.setattr(follow, "_render", measuring)
    report = archive_of(client).create()
    lazy = await Follower.open(client, report)
    for first in range(1, 8_000, 2_000):
        report.settle(row(index, f"/{'x' * 300}{index}") for index in range(first, first + 2_000))
    report.end("complete")
    report.close()
    # It holds the lazy reader's place in the report, and no more than a few blocks of it.
    assert (await client.request("HEAD", f"/-/batches/{report.batch}")).headers["P-Batch-Items"] == "8000"
    gc.collect()
    held = [each for each in gc.get_objects() if isinstance(each, (bytes, bytearray)) and len(each) > 1 << 20]
    assert not held
    document = await lazy.rest()
    assert document.count(b"<D:response>") == 8_000
    assert 0 < largest <= 64 * 1024


async def test_an_event_source_goes_on_where_it_was(client: Client) -> None:
    place = ended(client, 5)
    answer = await client.request("GET", place, Accept="text/event-stream", Last_Event_ID="3")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert [line for line in answer.body.decode().splitlines() if line.startswith("id:")] == ["id: 4", "id: 5"]
    assert (await client.request("GET", place, Accept="text/event-stream", Last_Event_ID="5")).status == 204
    assert indexes(await client.request("GET", place, Last_Event_ID="3")) == [1, 2, 3, 4, 5]


async def test_cancelled_through_another_process(client: Client, other: Client) -> None:
    report = archive_of(client).create()
    cancelled = asyncio.Event()
    loop = asyncio.get_running_loop()
    report.listen(lambda: loop.call_soon_threadsafe(cancelled.set))
    place = f"/-/batches/{report.batch}"
    assert (await other.request("DELETE", f"{place}?forget=1")).status == 409
    assert not report.cancelled
    assert (await other.request("DELETE", place)).status == 204
    async with asyncio.timeout(5):
        await cancelled.wait()
    assert report.cancelled
    report.settle([row(1)])
    report.end("aborted")
    report.close()
    answer = await client.request("GET", place)
    assert (answer.summary["state"], indexes(answer)) == ("aborted", [1])


async def test_forgotten(client: Client, other: Client) -> None:
    place = ended(client, 1)
    assert (await client.request("DELETE", place)).status == 204
    assert (await client.request("GET", place)).status == 200
    assert (await client.request("DELETE", f"{place}?forget=yes")).status == 400
    assert (await other.request("DELETE", f"{place}?forget=1")).status == 204
    for method in ("GET", "HEAD", "DELETE"):
        assert (await client.request(method, place)).status == 404


async def test_of_a_real_upload(client: Client, other: Client) -> None:
    answer = await client.post("/", [form_part("a", b"1"), form_part("../b", b"2")])
    place = f"/-/batches/{answer.summary['batch']}"
    again = await other.request("GET", place)
    assert again.rows[0].href == "/a"
    assert again.statuses == answer.statuses == [201, 403]
    assert again.summary == answer.summary
    assert (await other.request("GET", again.rows[1].href)).statuses == [403]


# -- whose it is


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:one".encode()).decode()


@pytest.fixture
async def guarded(serve: Serve, tmp_path: Path) -> Client:
    """ann and bob may write, rob may only read."""
    users = tmp_path / "users"
    hashed = bcrypt.hashpw(b"one", bcrypt.gensalt(4)).decode()
    users.write_text("".join(f"{name}:{hashed}\n" for name in ("ann", "bob", "rob")))
    return await serve(htpasswd=users, read_only=("rob",))


async def test_only_its_maker_sees_it(guarded: Client) -> None:
    mine, nobodys = ended(guarded, 2, "ann"), ended(guarded, 2)
    item = f"/?batch={mine.rpartition('/')[2]}&item=1"
    unknown = await guarded.request("GET", UNKNOWN, Authorization=basic("bob"))
    for place in (mine, f"{mine}/items/1"):
        assert (await guarded.request("GET", place, Authorization=basic("ann"))).status == 200
    for place in (mine, f"{mine}/items/1", nobodys):
        for method in ("GET", "HEAD"):
            assert (await guarded.request(method, place, Authorization=basic("bob"))).status == 404
    other = await guarded.request("GET", mine, Authorization=basic("bob"))
    assert (other.status, other.body) == (unknown.status, unknown.body)
    assert (await guarded.request("GET", mine)).status == 401
    assert (await guarded.request("DELETE", mine, Authorization=basic("bob"))).status == 404
    assert (await guarded.request("GET", item, Authorization=basic("ann"))).status == 200
    assert (await guarded.request("GET", item, Authorization=basic("bob"))).status == 404


async def test_who_may_not_write_may_not_cancel(guarded: Client) -> None:
    place = ended(guarded, 1, "rob")
    assert (await guarded.request("GET", place, Authorization=basic("rob"))).status == 200
    assert (await guarded.request("DELETE", place, Authorization=basic("rob"))).status == 403


async def test_found_by_the_name_that_its_client_gave(guarded: Client) -> None:
    report = archive_of(guarded).create("ann", "/c/", "name-of-the-batch")
    report.settle([row(1)])
    place = "/-/batches/name-of-the-batch"
    answer = await guarded.request("GET", place, Authorization=basic("ann"), Prefer="wait=0")
    assert answer.summary["batch"] == report.batch
    assert (await guarded.request("GET", place, Authorization=basic("bob"))).status == 404
    report.close()
