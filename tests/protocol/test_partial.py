"""X-Update-Range of PATCH and Content-Range of PUT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import LengthMismatch, Malformed, RangeUnsatisfiable
from partwise.protocol.partial import MOST_ZEROS, Base, Update, parse_content_range, parse_update_range


@pytest.mark.parametrize(
    ("value", "update"),
    [
        ("append", Update(Base.END, 0)),
        (" Append\t", Update(Base.END, 0)),
        ("bytes=3-6", Update(Base.START, 3, 4)),
        ("BYTES=3-6", Update(Base.START, 3, 4)),
        ("bytes=0-0", Update(Base.START, 0, 1)),
        ("bytes=4-", Update(Base.START, 4)),
        ("bytes=-2", Update(Base.END, 2)),
        ("bytes=-0", Update(Base.END, 0)),
        ("bytes=" + "9" * 18 + "-", Update(Base.START, 10**18 - 1)),
    ],
)
def test_update_range(value: str, update: Update) -> None:
    assert parse_update_range(value) == update


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=6-3",
            "bytes=1-2,4-5",
            "bytes 3-6",
            "bytes=3-6/7",
            "bytes=+1-2",
        ),
        *("bytes= 3-6", "append=1", "append, append", "xappend", "lines=1-2", "bytes=٣-٦", "bytes=a-b", "bytes=--2"),
        *("bytes=3-6\n", "bytes=" + "9" * 19 + "-", "bytes=0-" + "9" * 5000),
    ],
)
def test_update_range_refused(value: str | None) -> None:
    with pytest.raises(Malformed):
        parse_update_range(value)


@pytest.mark.parametrize(
    ("value", "update"),
    [
        ("bytes 0-99/200", Update(Base.START, 0, 100, 200)),
        ("bytes 0-99/*", Update(Base.START, 0, 100)),
        ("Bytes 7-7/8 ", Update(Base.START, 7, 1, 8)),
    ],
)
def test_content_range(value: str, update: Update) -> None:
    assert parse_content_range(value) == update


@pytest.mark.parametrize(
    "value",
    [
        *("", "bytes", "bytes */200", "bytes */*", "bytes 0-99", "bytes=0-99/200", "bytes 0-/200", "bytes -2/200"),
        *("bytes 5-4/*", "bytes 0-99/99", "bytes 0-0/0", "items 0-1/2", "bytes 0-1/2, bytes 0-1/2", "bytes 0-1/2/3"),
        *("bytes  0-1/2", "bytes 0-1/" + "9" * 19, "bytes ٠-١/٢"),
    ],
)
def test_content_range_refused(value: str) -> None:
    with pytest.raises(Malformed):
        parse_content_range(value)


@given(st.text() | st.text("append bytes=0123456789-/*"))
def test_any_text_is_read_or_malformed(value: str) -> None:
    for parse in (parse_update_range, parse_content_range):
        try:
            update = parse(value)
        except Malformed:
            continue
        assert update.distance >= 0 and (update.count is None or update.count > 0)


@pytest.mark.parametrize(
    ("value", "size", "start"),
    [
        ("append", 10, 10),
        ("append", 0, 0),
        ("bytes=-2", 10, 8),
        ("bytes=-10", 10, 0),
        ("bytes=4-", 10, 4),
        ("bytes=12-", 10, 12),
        (f"bytes={10 + MOST_ZEROS}-", 10, 10 + MOST_ZEROS),
    ],
)
def test_start(value: str, size: int, start: int) -> None:
    assert parse_update_range(value).start(size) == start


@pytest.mark.parametrize(
    "update",
    [
        parse_update_range("bytes=-11"),
        parse_update_range(f"bytes={11 + MOST_ZEROS}-"),
        parse_content_range("bytes 0-1/9"),
    ],
)
def test_no_start(update: Update) -> None:
    with pytest.raises(RangeUnsatisfiable) as caught:
        update.start(10)
    assert caught.value.limit == 10


def test_a_total_that_is_not_reached_yet() -> None:
    assert parse_content_range("bytes 0-1/10").start(10) == 0
    assert parse_content_range("bytes 10-19/100").start(10) == 10


def test_length_of_the_body() -> None:
    assert parse_update_range("bytes=3-6").body_length(4) == 4
    assert parse_update_range("bytes=3-6").body_length(None) == 4
    assert parse_update_range("append").body_length(None) is None
    assert parse_update_range("bytes=4-").body_length(0) == 0
    with pytest.raises(LengthMismatch):
        parse_update_range("bytes=3-6").body_length(5)
