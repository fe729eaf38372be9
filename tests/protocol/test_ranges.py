from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.ranges import ByteRange, content_range, parse_range

HUGE = "9" * 6000


# RFC 9110 §14.1.2, "assuming a representation of length 10000", and variations.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(9500, 10000)]),
        ("bytes=9500-", [(9500, 10000)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 10000)]),
        ("bytes= 0-0, 4500-5499, -1000", [(0, 1), (4500, 5500), (9000, 10000)]),
        ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 5500), (9000, 10000)]),
        ("bytes=500-600,601-999", [(500, 1000)]),
        ("bytes=500-700,601-999", [(500, 1000)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes=0-", [(0, 10000)]),
        ("bytes=9999-", [(9999, 10000)]),
        ("bytes=9999-20000", [(9999, 10000)]),
        ("bytes=-10000", [(0, 10000)]),
        ("bytes=-10001", [(0, 10000)]),
        (f"bytes=0-{HUGE}", [(0, 10000)]),
        (f"bytes=-{HUGE}", [(0, 10000)]),
        (f"bytes={'0' * 6000}5-5", [(5, 6)]),
        ("bytes=,0-0,, ,\t2-2,", [(0, 1), (2, 3)]),
        # Those that do not exist are left out.
        ("bytes=20000-,0-0", [(0, 1)]),
        ("bytes=-0,0-0", [(0, 1)]),
        (f"bytes={HUGE}-{HUGE},0-0", [(0, 1)]),
        # The order asked for is kept; what overlaps or touches is one, at the place of its first.
        ("bytes=9000-9009,0-9", [(9000, 9010), (0, 10)]),
        ("bytes=9000-9009,0-9,9005-9019,10-19", [(9000, 9020), (0, 20)]),
        ("bytes=0-9,0-9,0-9", [(0, 10)]),
        ("bytes=5-5,0-,3-4", [(0, 10000)]),
    ],
)
def test_ranges(value: str, expected: list[tuple[int, int]]) -> None:
    assert parse_range(value, 10000) == tuple(ByteRange(*pair) for pair in expected)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=1--2",
        "bytes=2-1",
        "bytes=0-0,2-1",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes =0-1",
        "bytes: 0-1",
        "0-1",
        "items=0-1",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=٣-٤",
        "bytes=0-1;2-3",
        "bytes=0-0\n",
        f"bytes={HUGE}-1",
        "bytes=0-0,bytes=1-1",
    ],
)
def test_ignored(value: str) -> None:
    assert parse_range(value, 10000) is None


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("bytes=10000-", 10000),
        ("bytes=10000-10001", 10000),
        ("bytes=-0", 10000),
        ("bytes=20000-,30000-,-0", 10000),
        (f"bytes={HUGE}-", 10000),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-0", 0),
        ("bytes=-000,0-", 0),
    ],
)
def test_unsatisfiable(value: str, size: int) -> None:
    with pytest.raises(errors.RangeUnsatisfiable) as failure:
        parse_range(value, size)
    assert failure.value.limit == size


@pytest.mark.parametrize("value", ["bytes=-1", "bytes=-10", "bytes=0-,-5", "bytes=-0,-500"])
def test_a_suffix_of_an_empty_file_is_the_whole_of_it(value: str) -> None:
    assert parse_range(value, 0) is None


def test_too_many_are_ignored() -> None:
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 128, 2)), 1000) is not None
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 130, 2)), 1000) is None
    assert parse_range("bytes=0-0,2-2,4-4", 10, max_ranges=2) is None
    # The attack of 2011 on Apache: overlapping ranges of a whole file.
    assert parse_range("bytes=0-," + ",".join(f"5-{n}" for n in range(6, 1306)), 10**6) is None


def test_content_range() -> None:
    # RFC 9110 §14.4.
    assert content_range(ByteRange(42, 1234), 1234) == "bytes 42-1233/1234"
    assert content_range(ByteRange(0, 1), 1) == "bytes 0-0/1"
    assert content_range(None, 1234) == "bytes */1234"


specs = st.builds("{}-{}".format, st.integers(0, 40) | st.just(""), st.integers(0, 40) | st.just(""))


@given(st.lists(specs, min_size=1, max_size=10), st.integers(0, 30))
def test_names_the_bytes_asked_for_and_each_once(asked: list[str], size: int) -> None:
    wanted: set[int] = set()
    for spec in asked:
        first, _, last = spec.partition("-")
        if first:
            wanted |= set(range(int(first), min(int(last) + 1, size) if last else size))
        elif last:
            wanted |= set(range(size)[-int(last) :]) if int(last) else set()
    try:
        found = parse_range("bytes=" + ",".join(asked), size)
    except errors.RangeUnsatisfiable:
        assert not wanted
        return
    if found is not None:
        named = [byte for part in found for byte in range(part.start, part.stop)]
        assert sorted(named) == sorted(wanted)
        assert all(part.start < part.stop for part in found)
        starts_and_stops = [edge for part in found for edge in part]
        assert len(set(starts_and_stops)) == len(starts_and_stops), "ranges that touch are one"


@given(st.text() | st.text("bytes=0123-, ").map("bytes={}".format), st.integers(0, 2**63))
def test_arbitrary_text_never_raises_anything_else(value: str, size: int) -> None:
    try:
        found = parse_range(value, size)
    except errors.RangeUnsatisfiable:
        return
    assert found is None or sum(part.stop - part.start for part in found) <= size
