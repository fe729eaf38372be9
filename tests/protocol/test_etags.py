from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.etags import ANY, ETag, parse_etag, parse_etag_list

tags = st.builds(
    ETag,
    st.text(st.characters(min_codepoint=0x21, exclude_characters='"\x7f')),
    st.booleans(),
)


# RFC 9110 §8.8.3.2, the table of the comparison functions.
@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_comparison(one: str, other: str, strong: bool, weak: bool) -> None:
    left, right = parse_etag(one), parse_etag(other)
    assert (left.strong_match(right), left.weak_match(right)) == (strong, weak)
    assert (right.strong_match(left), right.weak_match(left)) == (strong, weak)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("*", ANY),
        (" * ", ANY),
        ('"xyzzy"', (ETag("xyzzy"),)),
        ('"xyzzy", "r2d2xxxx", "c3piozzzz"', (ETag("xyzzy"), ETag("r2d2xxxx"), ETag("c3piozzzz"))),
        ('W/"xyzzy",W/"r2d2xxxx"', (ETag("xyzzy", True), ETag("r2d2xxxx", True))),
        ('""', (ETag(""),)),
        (' ,, "a" ,\t, W/"b",', (ETag("a"), ETag("b", True))),
        ('"a,b", "*"', (ETag("a,b"), ETag("*"))),
        ('"a\\", "b"', (ETag("a\\"), ETag("b"))),
        ('"é\udcff"', (ETag("é\udcff"),)),
    ],
)
def test_lists(value: str, expected: object) -> None:
    assert parse_etag_list(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ",",
        "xyzzy",
        '"a',
        'a"',
        '"a" "b"',
        '"a";"b"',
        '*, "a"',
        '"a", *',
        "*,*",
        'w/"a"',
        'W/ "a"',
        'W"a"',
        '"a b"',
        '"a\tb"',
        '"a\x7f"',
        '"a"\n',
        '"\x00"',
        "'a'",
        '"a", b',
    ],
)
def test_malformed_lists(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_etag_list(value)


@pytest.mark.parametrize("value", ["", "*", '"a", "b"', "a", '"a"x'])
def test_malformed_single(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_etag(value)


@given(st.lists(tags, min_size=1), st.sampled_from([",", ", ", " ,, \t"]))
def test_round_trip(several: list[ETag], comma: str) -> None:
    assert parse_etag_list(comma.join(map(str, several))) == tuple(several)
    assert parse_etag(str(several[0])) == several[0]


@given(st.text() | st.text('W/"*, \ta'))
def test_arbitrary_text_is_read_or_malformed(value: str) -> None:
    try:
        found = parse_etag_list(value)
    except errors.Malformed:
        return
    assert found is ANY or all(str(tag) in value for tag in found)


def test_white_space_without_end_is_refused_in_linear_time() -> None:
    with pytest.raises(errors.Malformed):
        parse_etag_list(" " * 1_000_000 + "x")
