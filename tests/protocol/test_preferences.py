from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.preferences import (
    Depth,
    Preferences,
    parse_depth,
    parse_incremental,
    parse_overwrite,
    parse_prefer,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Preferences()),
        ("", Preferences()),
        # RFC 7240 §2, §4 and §5
        ("respond-async, wait=100", Preferences(respond_async=True, wait=100)),
        ("respond-async, wait=100, handling=lenient", Preferences(respond_async=True, wait=100, handling="lenient")),
        ('return=minimal; foo="some parameter"', Preferences(return_="minimal")),
        ('foo; bar, foo; bar="", foo=""; bar', Preferences()),
        ("return=representation", Preferences(return_="representation")),
        ("handling=strict", Preferences(handling="strict")),
        # RFC 8144 §3
        ("return=minimal, depth-noroot", Preferences(return_="minimal", depth_noroot=True)),
        ("Depth-NoRoot", Preferences(depth_noroot=True)),
        # The first one counts, even if it means nothing
        ("return=minimal, return=representation", Preferences(return_="minimal")),
        ("return=nothing, return=minimal", Preferences()),
        ("RETURN=Minimal, return=representation", Preferences(return_="minimal")),
        ("wait=1, wait=2", Preferences(wait=1)),
        # White space, quotes, empty members
        (' return = "minimal" ;;a , , wait\t=\t"5"', Preferences(return_="minimal", wait=5)),
        ("respond-async;wait=3", Preferences(respond_async=True)),
        ('foo="return=minimal, respond-async", wait=1', Preferences(wait=1)),
        ('foo="\\", wait=2", wait=1', Preferences(wait=1)),
        # Values that are none
        ("return", Preferences()),
        ('return=""', Preferences()),
        ("return=", Preferences()),
        ("wait", Preferences()),
        ("wait=-1", Preferences()),
        ("wait=1.5", Preferences()),
        ('wait="٣"', Preferences()),
        ("wait=0", Preferences(wait=0)),
        ("wait=0000000000000007", Preferences(wait=7)),
        ("wait=" + "9" * 6000, Preferences(wait=2**31 - 1)),
        ("wait=9999999999", Preferences(wait=2**31 - 1)),
        # Malformed members are passed over
        ("re turn=minimal, wait=1", Preferences(wait=1)),
        ("(return=minimal), wait=1", Preferences(wait=1)),
        ("return=minimal x, wait=1", Preferences(wait=1)),
        ("=minimal, wait=1", Preferences(wait=1)),
        ('wait=1, return="minimal', Preferences(wait=1)),
        ("é, wait=1", Preferences(wait=1)),
    ],
)
def test_prefer(value: str | None, expected: Preferences) -> None:
    assert parse_prefer(value) == expected


@given(st.text() | st.text('wait=123,;" \\\t'))
def test_arbitrary_preferences_never_raise(value: str) -> None:
    found = parse_prefer(value)
    assert found.wait is None or found.wait >= 0
    if '"' not in value:
        assert parse_prefer(f"respond-async,{value}").respond_async


@pytest.mark.parametrize("piece", ['"', '"\\', "a=", "a;", " ", ";", ",", 'a="', "a ;\t", "\\"])
def test_hostile_preferences_take_linear_time(piece: str) -> None:
    assert parse_prefer(piece * 100_000) == Preferences()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Depth.ONE),
        ("0", Depth.ZERO),
        ("1", Depth.ONE),
        ("infinity", Depth.INFINITY),
        ("Infinity", Depth.INFINITY),
        (" 0\t", Depth.ZERO),
    ],
)
def test_depth(value: str | None, expected: Depth) -> None:
    assert parse_depth(value, Depth.ONE) is expected


@pytest.mark.parametrize("value", ["", "2", "-1", "00", "0, 1", "1,noroot", "inf", "infinite", "٠", "0\n"])
def test_malformed_depth(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_depth(value, Depth.ZERO)


@pytest.mark.parametrize(("value", "expected"), [(None, True), ("T", True), ("t", True), ("F", False), (" f ", False)])
def test_overwrite(value: str | None, expected: bool) -> None:
    assert parse_overwrite(value) is expected


@pytest.mark.parametrize("value", ["", "true", "false", "T, T", "TF", "1", "0", "T\n"])
def test_malformed_overwrite(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_overwrite(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, False), ("?1", True), ("?0", False), (" ?1 ", True), ("?1;parameter=2", True)]
    + [(bad, False) for bad in ("", "1", "true", "?2", "?", "?1, ?1", "?1 x", '"?1"', ":AQ==:", "é", "\udc80", "(?1)")],
)
def test_incremental(value: str | None, expected: bool) -> None:
    assert parse_incremental(value) is expected


@given(st.text() | st.text('?10@%:;="a() -.'))
def test_arbitrary_text_is_read_or_malformed(value: str) -> None:
    assert parse_incremental(value) in (True, False)
    for parse in (parse_overwrite, lambda text: parse_depth(text, Depth.ZERO)):
        with contextlib.suppress(errors.Malformed):
            parse(value)
