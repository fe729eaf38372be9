from __future__ import annotations

import contextlib
import locale
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.dates import format_http_date, parse_http_date, parse_mtime

NOW = datetime(2025, 6, 15, 12, 0, 0, tzinfo=UTC)


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


# RFC 9110 §5.6.7: the same moment in its three formats.
@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
        "Mon, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_three_formats(value: str) -> None:
    assert parse_http_date(value) == 784111777


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun Nov 16 08:49:37 1994", seconds(1994, 11, 16, 8, 49, 37)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Thu, 29 Feb 2024 00:00:00 GMT", seconds(2024, 2, 29)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", seconds(2017, 1, 1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800),
    ],
)
def test_moments(value: str, expected: int) -> None:
    assert parse_http_date(value) == expected


@pytest.mark.parametrize(
    ("two_digits", "year"),
    # "more than 50 years in the future": of 2025-06-15 12:00:00, whose horizon is the same second of 2075.
    [
        ("15-Jun-75 12:00:00", 2075),
        ("15-Jun-75 12:00:01", 1975),
        ("15-Jun-25 12:00:00", 2025),
        ("01-Jan-76 00:00:00", 1976),
        ("31-Dec-99 00:00:00", 1999),
        ("01-Jan-00 00:00:00", 2000),
        ("14-Jun-75 23:59:59", 2075),
    ],
)
def test_century_of_two_digits(two_digits: str, year: int) -> None:
    found = parse_http_date(f"Monday, {two_digits} GMT", NOW)
    assert found is not None
    assert datetime.fromtimestamp(found, UTC).year == year


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "784111777",
        "1994-11-06T08:49:37Z",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 nov 1994 08:49:37 gmt",
        "So, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_invalid_dates_are_none(value: str) -> None:
    assert parse_http_date(value, NOW) is None


@given(st.text() | st.from_regex(r"Sun, [0-9]{2} Feb [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", fullmatch=True))
def test_arbitrary_text_never_raises(value: str) -> None:
    found = parse_http_date(value)
    assert found is None or parse_http_date(format_http_date(found)) == found


@given(st.integers(-62135596800, 253402300799))
def test_round_trip(second: int) -> None:
    assert parse_http_date(format_http_date(second)) == second


@given(st.integers(0, 253402300799))
def test_the_standard_library_writes_the_same(second: int) -> None:
    assert format_http_date(second) == formatdate(second, usegmt=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (784111777.999, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (-0.5, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (2.0**63, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-(2.0**63), "Mon, 01 Jan 0001 00:00:00 GMT"),
    ],
)
def test_rounds_down_and_keeps_to_what_can_be_written(value: float, expected: str) -> None:
    assert format_http_date(value) == expected


def test_names_are_english_in_any_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert format_http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        (" 1700000000 ", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000.1234567899", 1_700_000_000_123_456_789),
        ("1.000000001", 1_000_000_001),
        ("1.", 1_000_000_000),
        ("253402300799", 253_402_300_799_000_000_000),
    ],
)
def test_mtime(value: str, nanoseconds: int) -> None:
    assert parse_mtime(value) == nanoseconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "+1",
        "1e9",
        "nan",
        "inf",
        "0x10",
        ".5",
        "1,5",
        "1_000",
        "1 2",
        "٣",
        "253402300800",
        "9" * 5000,
        "1." + "0" * 31,
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "1\n",
    ],
)
def test_absurd_mtimes(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_mtime(value)


@given(st.text() | st.text("0123456789.-+e "))
def test_arbitrary_mtimes_are_read_or_malformed(value: str) -> None:
    with contextlib.suppress(errors.Malformed):
        assert 0 <= parse_mtime(value) < 253_402_300_800_000_000_000
