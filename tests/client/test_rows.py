"""Reports read as they arrive, in both forms, however the bytes are divided."""

from __future__ import annotations

import pytest

from partwise.batch.forms import choose_form
from partwise.batch.outcome import Outcome, Summary
from partwise.client.rows import Told, message, reader_for
from partwise.errors import Issue, Locked, SchemaInvalid, TooLarge
from partwise.protocol.multistatus import error_document
from partwise.protocol.problem_details import problem_document

ISSUES = (Issue("'x' is not <valid>", 12, 9, "/a/b", "E7"), Issue("no place"))
OUTCOMES = [
    Outcome(1, "/c/a", 201, "a", size=3, etag='"e1"'),
    Outcome(2, "/c/ü", 422, "ü", failure=SchemaInvalid("It is wrong.", issues=ISSUES)),
    Outcome(3, "/c/c", 423, "c", failure=Locked("It is locked.", href="/c/")),
    Outcome(4, "/c/d", 413, "d", failure=TooLarge("It is too large.", limit=5)),
    Outcome(5, "/c/e", 200, "e", size=1, would=201),
]
TOLD = [
    Told(1, 201, etag='"e1"'),
    Told(2, 422, "It is wrong.", "schema-invalid", ISSUES),
    Told(3, 423, "It is locked.", "lock-token-submitted"),
    Told(4, 413, "It is too large.", "too-large"),
    Told(5, 200, would=201),
]
KINDS = ["application/x-ndjson", "application/xml"]


def report(kind: str, state: str = "complete") -> bytes:
    form = choose_form(kind)
    body = form.head("/c/") + form.rows(OUTCOMES[:2]) + form.keep_alive + form.rows(OUTCOMES[2:])
    return body + form.end(Summary("b" * 20, 5, 2, 3, state=state))


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_summary(kind: str, step: int) -> None:
    reader, body, rows = reader_for(kind), report(kind), []
    assert reader is not None
    for begin in range(0, len(body), step):
        rows += reader.feed(body[begin : begin + step])
    assert rows == TOLD
    assert reader.state == "complete"


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_that_was_cut_off_has_no_state(kind: str) -> None:
    reader, body = reader_for(kind), report(kind)
    assert reader is not None
    assert reader.feed(body[: body.rindex(b"batch")]) == TOLD
    assert reader.state is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [b"<html><p></html>\n"])
def test_what_is_no_report(kind: str, junk: bytes) -> None:
    reader = reader_for(kind)
    assert reader is not None
    with pytest.raises(ValueError, match=r".+"):
        reader.feed(junk)


def test_other_types_have_no_reader() -> None:
    assert reader_for("text/html") is None


def test_the_sentence_of_a_refusal() -> None:
    failure = Locked("The folder is locked & <busy>.")
    assert message(error_document(failure).encode()) == failure.text
    assert message(problem_document(failure).encode()) == failure.text
    for other in (b"", b"<html>", b"{", b"{}", b"plain"):
        assert message(other) is None
