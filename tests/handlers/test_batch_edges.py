"""Batches where two things happen at the same time, or in an unlucky order."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from tests.conftest import Serve
from tests.harness import BOUNDARY, Client, form_part, multipart, read_response

from partwise.errors import Failure
from partwise.intake.validators.base import Candidate, Validator, Waiting

LOCK = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'


def operation(line: str, body: bytes = b"", *fields: str) -> bytes:
    head = "".join(f"{field}\r\n" for field in (f"{line} HTTP/1.1", *fields))
    return b"Content-Type: application/http\r\n\r\n" + head.encode() + b"\r\n" + body


async def test_what_cannot_be_read_is_not_promised(client: Client) -> None:
    """Prefer: respond-async, and not one item: the failure is the answer, and the only one."""
    body = b"no boundary"
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    head += f"Prefer: respond-async\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(head.encode() + body + b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first, second = await read_response(reader), await read_response(reader)
    finally:
        writer.close()
        await writer.wait_closed()
    assert (first.status, first.error, second.status) == (400, "malformed", 200)


async def test_a_promise_for_what_broke_off_ends_the_connection(client: Client) -> None:
    """What is left of the body was not read."""
    body = multipart([form_part("a", b"1")])[:-4]
    answer = await client.request(
        "POST", "/", body, Prefer="respond-async", Content_Type=f"multipart/form-data; boundary={BOUNDARY}"
    )
    assert (answer.status, answer.headers.get("Connection")) == (202, "close")
    report = await client.request("GET", answer.headers["Location"])
    assert (report.statuses, report.summary["state"]) == ([400], "aborted")


async def test_an_item_of_a_whole_is_judged_by_the_locks_that_are_left(client: Client) -> None:
    """A DELETE before it ended the lock; nobody else's submitted token is needed any more."""
    await client.request("PUT", "/a", b"old")
    token = (await client.request("LOCK", "/a", LOCK)).headers["Lock-Token"]
    parts = [operation("DELETE /a", b"", f"If: ({token})"), operation("PUT /a", b"new")]
    answer = await client.post("/?atomic=1", parts, "mixed")
    assert answer.statuses == [204, 201]
    assert (client.folder / "a").read_bytes() == b"new"


class Judge:
    """Asked about files called ``judged``; its answers are futures."""

    def __init__(self) -> None:
        self.tickets: list[Future[Failure | None]] = []
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, candidate: Candidate) -> Validator | None:
        return self if candidate.name == "judged" else None

    def feed(self, data: bytes) -> None:
        pass

    def finish(self) -> Waiting:
        self.tickets.append(Future())
        self._loop.call_soon_threadsafe(self.asked.set)
        return Waiting(self.tickets[-1])


@pytest.mark.parametrize(
    ("query", "statuses", "standing"),
    [("", [424, 201], ["free"]), ("atomic=1", [424, 424], []), ("dry-run=1", [424, 200], [])],
)
async def test_cancelled_while_it_is_judged(serve: Serve, query: str, statuses: list[int], standing: list[str]) -> None:
    """What a judge says after that has no effect."""
    judge = Judge()
    client = await serve((judge,))
    name = "cancelled-while-judged"
    upload = asyncio.create_task(
        client.post(f"/?batch={name}&{query}", [form_part("judged", b"1"), form_part("free", b"1")])
    )
    async with asyncio.timeout(20):
        await judge.asked.wait()
        assert (await client.request("DELETE", f"/-/batches/{name}")).status == 204
        answer = await upload
    assert (answer.statuses[:2], answer.summary["state"]) == (statuses, "aborted")
    # Where the end of the body had not been read yet, one more row says that the upload was cancelled.
    assert answer.statuses[2:] in ([], [424])
    judge.tickets[0].set_result(None)
    report = await client.request("GET", f"/-/batches/{name}")
    assert (report.statuses, report.summary["state"]) == (answer.statuses, "aborted")
    assert [path.name for path in client.folder.iterdir() if path.is_file()] == standing


async def test_cancelled_before_the_first_item(client: Client) -> None:
    """Who asked for it finds the report."""
    name = "cancelled-before-an-item"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        head = f"POST /?batch={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        writer.write(f"{head}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            while (await client.request("DELETE", f"/-/batches/{name}")).status == 404:
                pass
            assert (await read_response(reader)).status == 424
    finally:
        writer.close()
        await writer.wait_closed()
    report = await client.request("GET", f"/-/batches/{name}")
    assert (report.status, report.summary["items"], report.summary["state"]) == (200, "0", "aborted")


async def test_what_exceeds_all_of_a_quota_is_not_received(serve: Serve) -> None:
    """Also behind an operation that may make room: its bytes must not fill the disk until the end."""
    client = await serve(quota={"/": 1000})
    await client.request("PUT", "/a", bytes(900))
    parts = [operation("DELETE /a"), operation("PUT /b", bytes(1000)), operation("PUT /c", bytes(1001))]
    answer = await client.post("/?atomic=1&on-error=stop", [*parts, operation("PUT /d", b"1")], "mixed")
    assert [row.error for row in answer.rows] == ["batch-rolled-back"] * 2 + ["quota-not-exceeded", None]
    answer = await client.post("/?atomic=1", parts[:2], "mixed")
    assert answer.statuses == [204, 201]
