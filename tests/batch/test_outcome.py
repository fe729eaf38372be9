"""Rows of the log: written and read again."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.xml_documents import check_xml

from partwise import errors
from partwise.batch.forms import html, xml
from partwise.batch.outcome import Outcome, Summary, dump, load
from partwise.errors import Failure, Issue, RuleFailed, SchemaInvalid, UnsupportedType


def kinds(kind: type[Failure] = Failure) -> list[type[Failure]]:
    below = [each for sub in kind.__subclasses__() if sub.__module__ == errors.__name__ for each in kinds(sub)]
    return below if kind is Failure else [kind, *below]


def same(one: Outcome, other: Outcome) -> bool:
    def flat(outcome: Outcome) -> tuple[object, ...]:
        failure = outcome.failure
        told = None if failure is None else (type(failure), failure.text, failure.issues, failure.limit, failure.href)
        return (outcome.index, outcome.href, outcome.status, outcome.name, outcome.size, outcome.etag, told)

    return flat(one) == flat(other)


@pytest.mark.parametrize("kind", kinds())
def test_every_failure_survives_the_log(kind: type[Failure]) -> None:
    failure = kind("It is wrong.", issues=(Issue("m", 1, 2, "/a", "c"),), limit=5, href="/x")
    outcome = Outcome(1, "/a", failure.status, "a", failure=failure)
    assert same(load(dump(outcome)), outcome)


def test_a_stored_item_survives_the_log() -> None:
    outcome = Outcome(1, "/a", 201, "a", size=3, etag='"e"', digest="sha-256=:x:", content_id="<1@x>", location="/b")
    assert load(dump(outcome)) == outcome


def test_a_subclass_of_an_application_is_told_as_what_it_refines() -> None:
    class NoSuchCustomer(RuleFailed):
        """An application's own meaning."""

    failure = NoSuchCustomer("There is no customer 7.", issues=(Issue("7", code="E42"),))
    assert failure.status == 422
    found = load(dump(Outcome(1, "/a", failure.status, "a", failure=failure))).failure
    assert type(found) is RuleFailed and found.issues == failure.issues


ANY_TEXT = st.text(max_size=3000)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.integers(0, 60))
@example('"' * 3000, '"' * 3000, '"' * 3000, 60)
@example("\ud800" * 3000, "\ud800" * 3000, "\ud800" * 3000, 60)
def test_a_row_is_bounded_and_valid_whatever_a_client_says(name: str, text: str, message: str, count: int) -> None:
    failure = SchemaInvalid(text or "x", issues=(Issue(message, 1, 2, message),) * count)
    row = load(dump(Outcome(1, "/" + "%FF" * 1023, failure.status, name, content_id=name or None, failure=failure)))
    for form in (xml, html):
        assert len(form.rows([row])) <= 8192
    check_xml(xml.head("/") + xml.rows([row]) + xml.end(Summary("b", 1, 0, 1, state="complete")))


def test_issues_that_are_not_told_are_counted() -> None:
    failure = SchemaInvalid("wrong", issues=tuple(Issue(f"m{n}") for n in range(50)))
    row = load(dump(Outcome(1, "/a", failure.status, "a", failure=failure)))
    root = check_xml(xml.head("/") + xml.rows([row]) + xml.end(Summary("b", 1, 0, 1, state="complete")))
    [condition] = root.iter("{urn:partwise:batch}schema-invalid")
    assert (len(condition), condition.get("more")) == (20, "30")


def test_accepted_types_are_told() -> None:
    failure = UnsupportedType("no", accepted=("image/*", "text/csv"))
    row = load(dump(Outcome(1, "/a", failure.status, "a", failure=failure)))
    assert row.failure is not None and row.failure.accepted == ("image/*", "text/csv")
    assert b"<P:accepted>image/*</P:accepted><P:accepted>text/csv</P:accepted>" in xml.rows([row])
