"""Steering: which word counts when several speak."""

from __future__ import annotations

import pytest

from partwise.batch.steering import Steering, from_headers, from_query, is_steering
from partwise.errors import Malformed, NotImplementedHere


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


@pytest.mark.parametrize("query", ["overwrite=x", "overwrite=", "early=2", "overwrite=T&overwrite=F", "return=all"])
def test_bad_query(query: str) -> None:
    with pytest.raises(Malformed):
        from_query(query)


@pytest.mark.parametrize("name", ["atomic", "dry-run", "on-error", "max-failures", "final-status", "batch"])
def test_what_is_not_built_is_refused_not_ignored(name: str) -> None:
    with pytest.raises(NotImplementedHere):
        is_steering(name, "1")
    assert not is_steering(name, "0")


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
