from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.conditions import Conditions, Verdict
from partwise.protocol.dates import format_http_date
from partwise.protocol.etags import ANY, ETag

MODIFIED = 784111777
BEFORE = format_http_date(MODIFIED - 1)
SAME = format_http_date(MODIFIED)
AFTER = format_http_date(MODIFIED + 1)
HERE = ETag("a")

PASS, NOT_MODIFIED, FAILED = Verdict.PASS, Verdict.NOT_MODIFIED, Verdict.FAILED


def parse(**fields: str) -> Conditions:
    return Conditions.parse({name.replace("_", "-"): value for name, value in fields.items()}.get)


def judge(
    conditions: Conditions,
    safe: bool = False,
    exists: bool = True,
    etag: ETag | None = HERE,
    modified: float | None = MODIFIED + 0.75,
) -> Verdict:
    return conditions.evaluate(safe, exists, etag, modified)


def test_parse_reads_each_field() -> None:
    found = parse(
        If_Match='"a", W/"b"', If_None_Match="*", If_Modified_Since=SAME, If_Unmodified_Since=AFTER, If_Range='"c"'
    )
    assert found == Conditions((ETag("a"), ETag("b", True)), ANY, MODIFIED, MODIFIED + 1, ETag("c"))


@pytest.mark.parametrize("field", ["If_Match", "If_None_Match"])
def test_malformed_tags_are_refused(field: str) -> None:
    with pytest.raises(errors.Malformed):
        parse(**{field: "a"})


@pytest.mark.parametrize("field", ["If_Modified_Since", "If_Unmodified_Since"])
@pytest.mark.parametrize("value", ["", "tomorrow", f"{SAME}, {SAME}"])
def test_invalid_dates_are_ignored(field: str, value: str) -> None:
    assert parse(**{field: value}).is_unconditional


def test_is_unconditional() -> None:
    assert parse().is_unconditional
    assert parse(If_Range='"a"').is_unconditional
    for field, value in {
        "If_Match": "*",
        "If_None_Match": "*",
        "If_Modified_Since": SAME,
        "If_Unmodified_Since": SAME,
    }.items():
        assert not parse(**{field: value}).is_unconditional


# RFC 9110 §13.1.1: strong comparison.
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(
    ("value", "exists", "etag", "expected"),
    [
        ("*", True, HERE, PASS),
        ("*", True, None, PASS),
        ("*", False, None, FAILED),
        ('"a"', True, HERE, PASS),
        ('"x", "a"', True, HERE, PASS),
        ('"x"', True, HERE, FAILED),
        ('W/"a"', True, HERE, FAILED),
        ('"a"', True, ETag("a", True), FAILED),
        ('"a"', True, None, FAILED),
        ('"a"', False, None, FAILED),
    ],
)
def test_if_match(value: str, exists: bool, etag: ETag | None, expected: Verdict, safe: bool) -> None:
    assert judge(parse(If_Match=value), safe, exists, etag) is expected


# RFC 9110 §13.1.2: weak comparison.
@pytest.mark.parametrize(
    ("value", "exists", "etag", "holds"),
    [
        ("*", True, HERE, False),
        ("*", True, None, False),
        ("*", False, None, True),
        ('"a"', True, HERE, False),
        ('"x", W/"a"', True, HERE, False),
        ('"a"', True, ETag("a", True), False),
        ('"x"', True, HERE, True),
        ('"a"', True, None, True),
        ('"a"', False, None, True),
    ],
)
def test_if_none_match(value: str, exists: bool, etag: ETag | None, holds: bool) -> None:
    conditions = parse(If_None_Match=value)
    assert judge(conditions, True, exists, etag) is (PASS if holds else NOT_MODIFIED)
    assert judge(conditions, False, exists, etag) is (PASS if holds else FAILED)


@pytest.mark.parametrize(("value", "expected"), [(BEFORE, FAILED), (SAME, PASS), (AFTER, PASS)])
@pytest.mark.parametrize("safe", [True, False])
def test_if_unmodified_since(value: str, expected: Verdict, safe: bool) -> None:
    assert judge(parse(If_Unmodified_Since=value), safe) is expected


@pytest.mark.parametrize(("value", "expected"), [(BEFORE, PASS), (SAME, NOT_MODIFIED), (AFTER, NOT_MODIFIED)])
def test_if_modified_since_is_for_get_and_head(value: str, expected: Verdict) -> None:
    assert judge(parse(If_Modified_Since=value), safe=True) is expected
    assert judge(parse(If_Modified_Since=value), safe=False) is PASS


@pytest.mark.parametrize("conditions", [parse(If_Unmodified_Since=BEFORE), parse(If_Modified_Since=AFTER)])
def test_dates_are_ignored_without_a_modification_date(conditions: Conditions) -> None:
    assert judge(conditions, safe=True, modified=None) is PASS
    assert judge(conditions, safe=True, exists=False, etag=None, modified=None) is PASS


# RFC 9110 §13.2.2.
@pytest.mark.parametrize(
    ("fields", "safe", "expected"),
    [
        # If-Match hides If-Unmodified-Since.
        ({"If_Match": '"a"', "If_Unmodified_Since": BEFORE}, False, PASS),
        ({"If_Match": '"x"', "If_Unmodified_Since": AFTER}, False, FAILED),
        # If-None-Match hides If-Modified-Since.
        ({"If_None_Match": '"x"', "If_Modified_Since": AFTER}, True, PASS),
        ({"If_None_Match": '"a"', "If_Modified_Since": BEFORE}, True, NOT_MODIFIED),
        # The first pair goes before the second.
        ({"If_Match": '"x"', "If_None_Match": '"a"'}, True, FAILED),
        ({"If_Unmodified_Since": BEFORE, "If_Modified_Since": AFTER}, True, FAILED),
        # Both pairs are judged.
        ({"If_Match": '"a"', "If_None_Match": '"a"'}, True, NOT_MODIFIED),
        ({"If_Unmodified_Since": AFTER, "If_Modified_Since": AFTER}, True, NOT_MODIFIED),
        ({"If_Match": "*", "If_None_Match": "*"}, False, FAILED),
        # An invalid date hides nothing and does nothing.
        ({"If_Unmodified_Since": "x", "If_None_Match": '"a"'}, True, NOT_MODIFIED),
    ],
)
def test_precedence(fields: dict[str, str], safe: bool, expected: Verdict) -> None:
    assert judge(parse(**fields), safe) is expected


def test_every_combination_against_the_steps_of_the_rfc() -> None:
    # The four steps written out once more, on booleans only.
    rows = product(
        [None, "*", '"a"', '"x"'], [None, BEFORE, SAME], [None, "*", '"a"', '"x"'], [None, BEFORE, SAME], [True, False]
    )
    for match, unmodified, none_match, since, safe in rows:
        fields = {
            "If_Match": match,
            "If_Unmodified_Since": unmodified,
            "If_None_Match": none_match,
            "If_Modified_Since": since,
        }
        conditions = parse(**{name: value for name, value in fields.items() if value is not None})
        if match == '"x"' or (match is None and unmodified == BEFORE):
            expected = FAILED
        elif none_match in ("*", '"a"'):
            expected = NOT_MODIFIED if safe else FAILED
        elif none_match is None and safe and since == SAME:
            expected = NOT_MODIFIED
        else:
            expected = PASS
        assert judge(conditions, safe) is expected, (fields, safe)


# RFC 9110 §13.1.5.
@pytest.mark.parametrize(
    ("value", "etag", "modified", "holds"),
    [
        (None, HERE, MODIFIED, True),
        ('"a"', HERE, MODIFIED, True),
        ('W/"a"', HERE, MODIFIED, False),
        ('"a"', ETag("a", True), MODIFIED, False),
        ('"x"', HERE, MODIFIED, False),
        ('"a"', None, MODIFIED, False),
        (SAME, HERE, MODIFIED + 0.5, True),
        (SAME, None, MODIFIED, True),
        (BEFORE, HERE, MODIFIED, False),
        (AFTER, HERE, MODIFIED, False),
        (SAME, HERE, None, False),
        # Neither tag nor date: never.
        ("a", ETag("a"), MODIFIED, False),
        ("", ETag(""), MODIFIED, False),
        ("", ETag("", True), MODIFIED, False),
        ("*", HERE, MODIFIED, False),
        ('"a", "b"', HERE, MODIFIED, False),
    ],
)
def test_if_range(value: str | None, etag: ETag | None, modified: float | None, holds: bool) -> None:
    conditions = parse() if value is None else parse(If_Range=value)
    assert conditions.if_range_holds(etag, modified) is holds


@given(st.dictionaries(st.sampled_from(["If-Match", "If-None-Match", "If-Modified-Since", "If-Range"]), st.text()))
def test_arbitrary_text_is_read_or_malformed(fields: dict[str, str]) -> None:
    try:
        conditions = Conditions.parse(fields.get)
    except errors.Malformed:
        return
    assert judge(conditions) in Verdict
