from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.media_types import (
    AcceptedTypes,
    MediaType,
    choose,
    parse_accept,
    parse_media_type,
    parse_parameters,
    unquote,
)

HTML = MediaType("text", "html", (("charset", "utf-8"),))

tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1)
values = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f") | st.just("\t"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 9110 §8.3.1: four equivalent ways, the last two differing in what is case-insensitive.
        ("text/html;charset=utf-8", HTML),
        ('Text/HTML;Charset="utf-8"', HTML),
        ('text/html; charset="utf-8"', HTML),
        ("text/html;charset=UTF-8", MediaType("text", "html", (("charset", "UTF-8"),))),
        ("text/plain", MediaType("text", "plain")),
        (" text/plain\t; ", MediaType("text", "plain")),
        ("text/plain;;; ;a=b;", MediaType("text", "plain", (("a", "b"),))),
        ("text/plain ; a=b ; c=d", MediaType("text", "plain", (("a", "b"), ("c", "d")))),
        ('multipart/mixed; boundary="a b;c=\\"d\\\\"', MediaType("multipart", "mixed", (("boundary", 'a b;c="d\\'),))),
        ('a/b; c=""', MediaType("a", "b", (("c", ""),))),
        ('a/b; c="é"', MediaType("a", "b", (("c", "é"),))),
        ("a/b; c=1; C=2", MediaType("a", "b", (("c", "1"), ("c", "2")))),
        ("application/vnd.api+json", MediaType("application", "vnd.api+json")),
    ],
)
def test_media_types(value: str, expected: MediaType) -> None:
    assert parse_media_type(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text",
        "text/",
        "/html",
        "text /html",
        "text/ html",
        "text/html/x",
        "text/html charset=utf-8",
        "a/b, c/d",
        "a/b; c",
        "a/b; c=",
        "a/b; =d",
        "a/b; c =d",
        "a/b; c= d",
        'a/b; c="d',
        'a/b; c="d"e',
        'a/b; c="\\"',
        "a/b; c=d e",
        "a/b; c=d=e",
        "a/b\n",
        'a/b; c="\n"',
        'a/b; c="\x00"',
        "é/b",
        "a/b; é=c",
        "a/b; c=é",
        "a/b,",
    ],
)
def test_malformed(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_media_type(value)


def test_essence_and_parameter() -> None:
    found = parse_media_type("Multipart/Form-Data; Boundary=AaB03x; boundary=other")
    assert found.essence == "multipart/form-data"
    assert found.parameter("BOUNDARY") == "AaB03x"
    assert found.parameter("charset") is None


@given(tokens, tokens, st.lists(st.tuples(tokens, values)))
def test_round_trip(type_: str, subtype: str, parameters: list[tuple[str, str]]) -> None:
    media_type = MediaType(type_.lower(), subtype.lower(), tuple((name.lower(), value) for name, value in parameters))
    assert parse_media_type(str(media_type)) == media_type


@given(st.text() | st.text('a/b;= "\\,*q01.\t'))
def test_arbitrary_text_never_raises_anything_but_a_failure(value: str) -> None:
    try:
        found = parse_media_type(value)
    except errors.Malformed:
        pass
    else:
        assert parse_media_type(str(found)) == found
    for media_range in parse_accept(value):
        assert 0 <= media_range.q <= 1000
    assert choose(value, ["a/b", "text/html"]) in ("a/b", "text/html", None)


@pytest.mark.parametrize(
    "value", ['"' * 100_000, '"\\' * 100_000, "a/b;" + " " * 200_000 + "x", ",\\" * 100_000, "a" * 200_000]
)
def test_hostile_text_takes_linear_time(value: str) -> None:
    assert parse_accept(value) == ()
    with pytest.raises(errors.Malformed):
        parse_media_type(value)


def test_parameters_stand_alone() -> None:
    assert parse_parameters("") == ()
    assert parse_parameters(" ; A=b") == (("a", "b"),)
    assert parse_parameters("a=b") is None
    assert unquote("a\\b") == "a\\b"
    assert unquote('"a\\b\\\\"') == "ab\\"


# RFC 9110 §12.5.1.
@pytest.mark.parametrize(
    ("accept", "offered", "expected"),
    [
        ("audio/*; q=0.2, audio/basic", ["audio/mp3", "audio/basic"], "audio/basic"),
        ("audio/*; q=0.2, audio/basic", ["audio/mp3"], "audio/mp3"),
        (
            "text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c",
            ["text/plain", "text/x-dvi", "text/x-c", "text/html"],
            "text/x-c",
        ),
        ("text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c", ["text/plain", "text/x-dvi"], "text/x-dvi"),
        # No field, or nothing in it.
        (None, ["a/b", "c/d"], "a/b"),
        ("", ["a/b", "c/d"], "a/b"),
        (" , ,", ["a/b", "c/d"], "a/b"),
        ("nonsense", ["a/b", "c/d"], "a/b"),
        (None, [], None),
        ("*/*", [], None),
        # Wildcards; the server's order between equals; the specific before the general.
        ("*/*", ["a/b", "c/d"], "a/b"),
        ("text/*", ["a/b", "text/xml"], "text/xml"),
        ("c/d, a/b", ["a/b", "c/d"], "a/b"),
        ("*/*, c/d", ["a/b", "c/d"], "c/d"),
        ("c/*, a/*, c/d", ["a/b", "c/d"], "c/d"),
        ("*/*, c/d;q=0.9", ["a/b", "c/d"], "a/b"),
        # q=0 excludes, however general the rest.
        ("*/*, a/b;q=0", ["a/b", "c/d"], "c/d"),
        ("a/b;q=0", ["a/b"], None),
        ("a/*;q=0, a/b", ["a/b", "a/c"], "a/b"),
        ("a/*, a/b;q=0.000", ["a/b"], None),
        ("*/*;q=0", ["a/b"], None),
        ("image/png", ["a/b"], None),
        # Names and q in any case, white space, malformed members.
        ("A/B;Q=0.5 , C/D ; q=0.4", ["c/d", "a/b"], "a/b"),
        ("a/b;q=2, c/d;q=0.1", ["a/b", "c/d"], "c/d"),
        ("a/b;q=x, c/d", ["a/b", "c/d"], "c/d"),
        ("a/b;q=0.1234, c/d;q=0.1", ["a/b", "c/d"], "c/d"),
        ("*/b, c/d", ["a/b", "c/d"], "c/d"),
        ('c/d;p=",a/b,", a/b;q=0.1', ["a/b"], "a/b"),
        ('c/d;p=",a/b,"', ["a/b"], None),
        # Parameters: those of the range must be offered; charset does not count; after q they mean nothing.
        ("text/html;level=1", ["text/html"], None),
        ("text/html;level=1", ["text/html; level=1"], "text/html; level=1"),
        ("text/html;level=1;q=0.2, text/html;q=0.7", ["text/html;level=1", "text/html"], "text/html"),
        ("text/html;level=1;q=0, text/html", ["text/html;level=1"], None),
        ("application/json; charset=utf-8", ["a/b", "application/json"], "application/json"),
        ("a/b;q=0.5;ext=1", ["a/b"], "a/b"),
        # What browsers and java.net.HttpURLConnection send.
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            ["application/xml", "text/html"],
            "text/html",
        ),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", ["application/xml"], "application/xml"),
        ("*", ["a/b"], "a/b"),
    ],
)
def test_choose(accept: str | None, offered: list[str], expected: str | None) -> None:
    assert choose(accept, offered) == expected


@pytest.mark.parametrize(
    ("weight", "q"),
    [("0", 0), ("0.", 0), ("0.5", 500), ("0.125", 125), ("1", 1000), ("1.", 1000), ("1.000", 1000), (".2", 200)]
    + [(bad, None) for bad in ("", ".", "1.001", "2", "-1", "0.0001", "1e0", "nan", "00.5", "٠")],
)
def test_weights(weight: str, q: int | None) -> None:
    assert [found.q for found in parse_accept(f'a/b;q="{weight}"')] == ([] if q is None else [q])


@pytest.mark.parametrize(
    ("patterns", "essence", "allowed"),
    [
        (["*/*"], "a/b", True),
        (["*/*"], None, True),
        (["image/*"], "image/png", True),
        (["IMAGE/*"], "Image/PNG", True),
        (["image/*"], "imagex/png", False),
        (["image/*"], "text/image", False),
        (["image/*"], None, False),
        (["application/octet-stream"], None, True),
        (["application/*+xml"], "application/rss+xml", True),
        (["application/*+xml"], "application/xml", False),
        (["application/*+xml"], "application/+xml", False),
        (["application/*+xml"], "application/rss+xml+zip", False),
        (["text/xml", "text/csv"], "text/csv", True),
        (["text/xml"], "text/xmlx", False),
        (["text/x.l"], "text/xml", False),
        ([], "a/b", False),
    ],
)
def test_accepted_types(patterns: list[str], essence: str | None, allowed: bool) -> None:
    assert AcceptedTypes(tuple(patterns)).allows(essence) is allowed


@pytest.mark.parametrize(
    "pattern", ["", "*", "image", "*/png", "image/", "image/*png", "text/xml; charset=utf-8", "a/b, c/d"]
)
def test_a_pattern_that_is_none_is_told_to_the_operator(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        AcceptedTypes((pattern,))
