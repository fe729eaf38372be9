"""Members by columns are a sequence of resources as any other."""

from __future__ import annotations

import pytest

from partwise.storage.base import Resource
from partwise.storage.columns import Members

FOUND = Members(("a", "b"), False, ["c", "d", "e"], [1, 2, 3], [4, 5, 6], ["x", "y", None], [7, 8, 9])
SAME = [
    Resource(("a", "b", "c"), False, 1, 4, "x", 7),
    Resource(("a", "b", "d"), False, 2, 5, "y", 8),
    Resource(("a", "b", "e"), False, 3, 6, None, 9),
]


def test_as_a_sequence() -> None:
    assert list(FOUND) == SAME and len(FOUND) == 3
    assert [FOUND[0], FOUND[-1]] == [SAME[0], SAME[2]]
    assert list(FOUND[1:]) == SAME[1:] and list(reversed(FOUND)) == SAME[::-1]
    with pytest.raises(IndexError):
        FOUND[3]
    assert FOUND.paths() == [one.path for one in SAME]


def test_only_some() -> None:
    assert list(FOUND.only([True, False, True])) == [SAME[0], SAME[2]]
