"""Steering: which word counts when several speak."""

from __future__ import annotations

import pytest

from partwise.batch.steering import Steering, from_headers, from_query
from partwise.errors import Malformed


@pytest.mark.parametrize(
    ("query", "steering"),
    [
        ("", Steering()),
        ("unknown=1", Steering()),
        ("overwrite=F", Steering(overwrite=False)),
        ("overwrite=T&return=minimal&early=0", Steering(True, True, False)),
        ("overwrite=F&overwrite=F", Steering(overwrite=False)),
        ("return=representation", Steering(minimal=False)),
    ],
)
def test_query(query: str, steering: Steering) -> None:
    assert from_query(query) == steering


@pytest.mark.parametrize(
    ("query", "steering"),
    [
        ("atomic=1&dry-run=1", Steering(atomic=True, dry_run=True)),
        ("atomic=0", Steering(atomic=False)),
        ("on-error=stop", Steering(max_failures=1)),
        ("on-error=stop&max-failures=1", Steering(max_failures=1)),
        ("on-error=continue", Steering()),
        ("max-failures=20", Steering(max_failures=20)),
        ("final-status=1", Steering(final_status=True)),
        ("batch=0123456789abcdef", Steering(batch="0123456789abcdef")),
    ],
)
def test_what_becomes_of_the_items(query: str, steering: Steering) -> None:
    assert from_query(query) == steering


@pytest.mark.parametrize(
    "query",
    [
        *("overwrite=x", "overwrite=", "early=2", "overwrite=T&overwrite=F", "return=all", "atomic=yes", "atomic="),
        *("on-error=Stop", "max-failures=0", "max-failures=-1", "max-failures=1e3", "max-failures=" + "9" * 10),
        *("on-error=stop&max-failures=2", "atomic=1&atomic=0", "dry-run=true", "final-status=2"),
        *("batch=short", "batch=" + "a" * 129, "batch=0123456789abcde%2F", "batch=0123456789abcde%00"),
    ],
)
def test_bad_query(query: str) -> None:
    with pytest.raises(Malformed):
        from_query(query)


@pytest.mark.parametrize("key", ["0123456789abcdef", '"0123456789abcdef"', ' "0123456789abcdef" '])
def test_the_name_of_a_batch(key: str) -> None:
    assert from_headers(None, None, None, key).batch == "0123456789abcdef"


@pytest.mark.parametrize("key", ["", '"', '""', "0123456789abcdef, 0123456789abcdef", '"0123456789abcdef'])
def test_a_name_that_cannot_be_used(key: str) -> None:
    with pytest.raises(Malformed):
        from_headers(None, None, None, key)


def test_a_header_beats_the_query_beats_a_field() -> None:
    field = Steering().with_field("overwrite", "T").with_field("early", "1").with_field("return", "minimal")
    query = from_query("overwrite=F&early=0")
    header = from_headers("T", None, None)
    assert field.under(query.under(header)) == Steering(overwrite=True, minimal=True, early=False)


@pytest.mark.parametrize(
    ("overwrite", "prefer", "incremental", "steering"),
    [
        (None, None, None, Steering()),
        ("F", "return=minimal", "?1", Steering(False, True, True)),
        ("t", "return=representation", "?0", Steering(True, False, None)),
    ],
)
def test_headers(overwrite: str | None, prefer: str | None, incremental: str | None, steering: Steering) -> None:
    assert from_headers(overwrite, prefer, incremental) == steering
