import json
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import Failure, NotWellFormed, TooLarge
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.json_text import MAX_DEPTH, MAX_NUMBER, JsonValidator, json_text

GOOD = [
    b"1",
    b" null ",
    b'"text"',
    b"[]",
    b"{}",
    b'{"a": [1, -0.5e+3, true, false, null, "\\u00e9\\n"], "a": {"b": {}}}\r\n',
    '["é", "漢", "😀"]'.encode(),
    b"\xef\xbb\xbf[1]",
    b"[1e400, 1e999999, 1e99999999999999999999999]",
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    b"[" + b"1" * 4000 + b"]",
]
BAD = [
    b" ",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"[1,2",
    b'{"a":1',
    b'"text',
    b"tru",
    b"[1,]",
    b"[1, ]",
    b"[[1,],2]",
    b"[[1 2],2]",
    b"[[,],2]",
    b'[{"a":1,},2]',
    b'[{"a":1 "b":2},2]',
    b'{"a":[1,2',
    b"[1 2]",
    b"{'a': 1}",
    b'{"a"}',
    b"[1] x",
    b"[1] [2]",
    b"[1]\0",
    b"NaN",
    b"[NaN]",
    b"[-Infinity]",
    b"[Infinity]",
    b"[01]",
    b"[.5]",
    b"[1.]",
    b"/* no */ 1",
    b'["\x01"]',
    b'"\\x"',
    b'"\xff"',
    b'"\xc3',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b"\xff\xfe[\0]\0",
    '["é"]'.encode("latin-1"),
    b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
]


def judge(*pieces: bytes, media_type: str = "application/json") -> None:
    validator = json_text(Candidate("a.json", media_type))
    assert validator is not None
    for piece in pieces:
        validator.feed(piece)
    assert validator.finish() is None


def splits(data: bytes) -> list[tuple[bytes, ...]]:
    cuts = range(len(data) + 1) if len(data) < 200 else range(0, len(data), 97)
    return [(data,), *((data[:i], data[i:]) for i in cuts), tuple(data[i : i + 1] for i in range(len(data)))]


@pytest.mark.parametrize("data", GOOD)
def test_well_formed(data: bytes) -> None:
    for split in splits(data):
        judge(*split)


@pytest.mark.parametrize("data", BAD)
def test_not_well_formed(data: bytes) -> None:
    for split in splits(data):
        with pytest.raises(NotWellFormed):
            judge(*split)


@pytest.mark.parametrize("at", range(1, len(GOOD[5].rstrip())))
def test_cut_short(at: int) -> None:
    with pytest.raises(NotWellFormed):
        judge(GOOD[5][:at])


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"[1,2,,3]", 1, 6),
        (b'{\n "a": 1,\n\n "d": [1,2,,3], "e": "fffffffffffffffffffffffffffffffffffffffff"}', 4, 12),
        ('["é", 1\n, "漢漢" x]'.encode(), 2, 8),
        (b"\n" * 5000 + b"[1, x]", 5001, 5),
        (b'["' + b"a" * 5000 + b'", x]', 1, 5006),
        (b'[1,\n"\xff"]', 2, 2),
    ],
)
def test_the_place_is_told(data: bytes, line: int, column: int) -> None:
    with pytest.raises(NotWellFormed) as refused:
        judge(data)
    (issue,) = refused.value.issues
    assert (issue.line, issue.column) == (line, column)
    assert refused.value.text.startswith("The JSON item")


def test_refused_at_the_first_error_while_more_would_come() -> None:
    validator = json_text(Candidate("a", "application/json"))
    assert validator is not None
    validator.feed(b'[{"a": 1},')
    with pytest.raises(NotWellFormed):
        validator.feed(b"}")


def test_a_string_of_any_length_is_never_held() -> None:
    validator = JsonValidator()
    validator.feed(b'["')
    tracemalloc.start()
    try:
        for _ in range(300):
            validator.feed(b"a\\n" * 10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    validator.feed(b'"]')
    assert validator.finish() is None


@pytest.mark.parametrize("number", [b"1" * 5000, b"-1." + b"0" * 5000])
def test_a_giant_number_is_refused(number: bytes) -> None:
    for split in ((b"[" + number + b"]",), (number,), (b"[", number[:2000], number[2000:4000], number[4000:])):
        with pytest.raises(TooLarge) as refused:
            judge(*split)
        assert refused.value.limit == MAX_NUMBER


@pytest.mark.parametrize("media_type", ["application/json", "application/ld+json", "image/x+json"])
def test_an_empty_body_passes(media_type: str) -> None:
    judge(media_type=media_type)
    judge(b"", media_type=media_type)


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-ndjson", "application/json-seq"])
def test_other_types_are_no_concern(media_type: str | None) -> None:
    assert json_text(Candidate("a", media_type)) is None


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(DOCUMENTS, st.booleans(), st.randoms(use_true_random=False))
def test_whatever_json_writes_is_well_formed(document: object, pretty: bool, chance: random.Random) -> None:
    data = json.dumps(document, indent=1 if pretty else None, ensure_ascii=pretty).encode("utf-8", "replace")
    cuts = sorted(chance.randint(0, len(data)) for _ in range(3))
    judge(*(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)))


@given(DOCUMENTS, st.integers(0, 50), st.sampled_from(b'{}[],:"1e-.tn\\ \x00\xff'))
def test_one_wrong_byte_is_judged_as_the_standard_library_does(document: object, at: int, byte: int) -> None:
    data = bytearray(json.dumps(document).encode())
    data[at % len(data)] = byte
    try:
        judge(bytes(data))
        passed = True
    except TooLarge:
        return
    except NotWellFormed:
        passed = False
    try:
        json.loads(data.decode("utf-8"), parse_constant=lambda name: json.loads("no " + name))
        right = True
    except ValueError:
        right = False
    assert passed == right


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_arbitrary_bytes_raise_only_failures(pieces: list[bytes]) -> None:
    try:
        judge(*pieces)
    except Failure as failure:
        assert failure.text
