"""The public validator interface: refusing, waiting, failing; the same for an item and for a PUT."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest
from tests.conftest import Serve
from tests.handlers.test_post import files
from tests.harness import form_part

from partwise import Candidate, Failure, Issue, RuleFailed, Validator, Waiting


@dataclass
class Scanner:
    """A factory whose validators hand their bodies to ``ask`` and wait for its answer."""

    ask: Callable[[str, bytes, Future[Failure | None]], None]
    started: list[Candidate] = field(default_factory=list)

    def __call__(self, candidate: Candidate) -> Validator | None:
        self.started.append(candidate)
        return _Scan(self, candidate)


class _Scan:
    def __init__(self, scanner: Scanner, candidate: Candidate) -> None:
        self.scanner = scanner
        self.candidate = candidate
        self.body = b""

    def feed(self, data: bytes) -> None:
        self.body += data
        if b"RAISE" in self.body:
            raise ZeroDivisionError("a fault of the validator")

    def finish(self) -> Waiting | None:
        ticket: Future[Failure | None] = Future()
        self.scanner.ask(self.candidate.name, self.body, ticket)
        return Waiting(ticket)


def answer_at_once(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
    if b"BROKEN" in body:
        ticket.set_exception(OSError("the scanner is away"))
    elif b"BAD" in body:
        ticket.set_result(RuleFailed("There is no such customer.", issues=(Issue("customer 7", code="E42"),)))
    else:
        ticket.set_result(None)


def answer_from_a_thread(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
    threading.Thread(target=answer_at_once, args=(name, body, ticket)).start()


BODIES = [
    (b"good", 201, None),
    (b"BAD", 422, "rule-failed"),
    (b"BROKEN", 503, "try-again"),
    (b"RAISE", 503, "try-again"),
]


@pytest.mark.parametrize("ask", [answer_at_once, answer_from_a_thread])
async def test_verdicts(serve: Serve, ask: Callable[..., None]) -> None:
    client = await serve(validators=(Scanner(ask),))
    answer = await client.post("/", [form_part(f"f{n}", body) for n, (body, _, _) in enumerate(BODIES * 20)])
    assert [(row.status, row.error) for row in answer.rows] == [row[1:] for row in BODIES] * 20
    for number, (body, status, error) in enumerate(BODIES):
        put = await client.request("PUT", f"/p{number}", body)
        assert put.status == status
        if status > 400:
            assert put.error == error
            assert ("Retry-After" in put.headers) is (status == 503)
    assert set(files(client.folder).values()) == {b"good"}
    assert b'code="E42"' in answer.body


async def test_rows_wait_for_their_predecessors(serve: Serve) -> None:
    tickets: dict[str, Future[Failure | None]] = {}

    def ask(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
        tickets[name] = ticket
        if len(tickets) == 3:
            for each in ("c", "a", "b"):
                tickets[each].set_result(None)

    client = await serve(validators=(Scanner(ask),))
    answer = await client.post("/", [form_part(name, b"1") for name in "abc"])
    assert [row.href for row in answer.rows] == ["/a", "/b", "/c"]
    assert answer.statuses == [201, 201, 201]


async def test_judges_that_never_answer(serve: Serve) -> None:
    def ask(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
        if name != "silent":
            ticket.set_result(None)

    client = await serve(validators=(Scanner(ask),), judge_timeout=0.2)
    answer = await client.post("/", [form_part("a", b"1"), form_part("silent", b"2"), form_part("b", b"3")])
    assert [(row.status, row.error) for row in answer.rows] == [(201, None), (503, "try-again"), (201, None)]
    assert (await client.request("PUT", "/silent", b"2")).status == 503
    assert set(files(client.folder)) == {"a", "b"}


async def test_a_waiting_item_and_a_later_one_of_its_name(serve: Serve) -> None:
    """The later one's fate hangs on the earlier one's, which is still open when it arrives."""
    open_tickets: list[Future[Failure | None]] = []

    def ask(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
        open_tickets.append(ticket)
        if len(open_tickets) < 4:
            return
        open_tickets[0].set_result(RuleFailed("no"))  # a, the first
        for later in open_tickets[1:]:
            later.set_result(None)

    client = await serve(validators=(Scanner(ask),))
    parts = [form_part("a", b"1"), form_part("a", b"2"), form_part("a", b"3"), form_part("b", b"4")]
    answer = await client.post("/", parts)
    assert answer.statuses == [422, 201, 409, 201]
    assert files(client.folder) == {"a": b"2", "b": b"4"}


async def test_many_waiting_items_hold_up_reading_not_memory(serve: Serve) -> None:
    most, waiting = 0, 0
    lock = threading.Lock()
    backlog: list[Future[Failure | None]] = []

    def ask(name: str, body: bytes, ticket: Future[Failure | None]) -> None:
        nonlocal most, waiting
        with lock:
            waiting += 1
            most = max(most, waiting)
            backlog.append(ticket)

    async def answer_slowly() -> None:
        nonlocal waiting
        while True:
            await asyncio.sleep(0.02)
            with lock:
                batch = backlog[:]
                backlog.clear()
                waiting -= len(batch)
            for ticket in batch:
                ticket.set_result(None)

    client = await serve(validators=(Scanner(ask),))
    judge = asyncio.create_task(answer_slowly())
    answer = await client.post("/", [form_part(f"{number}", b"1") for number in range(3000)])
    judge.cancel()
    assert answer.summary["stored"] == "3000"
    assert most <= 512 + 128


async def test_what_a_validator_is_told(serve: Serve) -> None:
    scanner = Scanner(answer_at_once)
    client = await serve(validators=(scanner,))
    await client.post("/", [form_part("d/a", b"1", Content_Type='Text/Plain; charset="UTF-8"')])
    await client.request("PUT", "/p", b"12", Content_Type="image/x-y")
    await client.request("PUT", "/empty", b"", Content_Type="text/plain")
    assert scanner.started == [Candidate("d/a", "text/plain", "UTF-8"), Candidate("p", "image/x-y", None, 2)]
