"""The multipart decoder, case by case: each whole, cut in two at every position, byte by byte, and with a tail."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import pytest

from partwise.errors import Failure, HeadersTooLarge, Malformed
from partwise.protocol.multipart import (
    NEED_DATA,
    End,
    Event,
    MultipartDecoder,
    MultipartLimits,
    PartBegin,
    PartBroken,
    PartData,
    PartEnd,
    PartWhole,
)

CD = ("content-disposition", b'form-data; name="f"')

#: What comes out, in a form that can be compared and read: PartData merged, failures by their class.
Seen = Event | type[Failure]


def drain(decoder: MultipartDecoder) -> Iterator[Event]:
    while (event := decoder.next_event()) is not NEED_DATA:
        assert isinstance(event, Event)
        yield event


def decode(
    chunks: Iterable[bytes], limits: MultipartLimits, boundary: bytes = b"b", *, whole: bool = False
) -> list[Seen]:
    decoder = MultipartDecoder(boundary, limits, whole=whole)
    seen: list[Seen] = []
    try:
        for chunk in [*chunks, b""]:
            decoder.receive(chunk)
            for event in drain(decoder):
                match event, seen[-1:]:
                    case PartData(data), [PartData(before)]:
                        assert data
                        seen[-1] = PartData(before + data)
                    case PartBroken(failure), _:
                        seen.append(type(failure))
                    case PartWhole(headers, data), _:
                        assert whole
                        seen += part(*headers, body=data)
                    case _:
                        assert event != PartData(b"")
                        seen.append(event)
    except Malformed as failure:
        with pytest.raises(Malformed) as again:
            decoder.next_event()
        assert again.value is failure
        seen.append(Malformed)
    return seen


def part(*headers: tuple[str, bytes], body: bytes = b"") -> list[Seen]:
    return [PartBegin(headers), *([PartData(body)] if body else []), PartEnd()]


ONE = part(body=b"x")

# name: (body, what comes out)
CASES: dict[str, tuple[bytes, list[Seen]]] = {
    # the container
    "nothing at all": (b"", [Malformed]),
    "no delimiter": (b"hello", [Malformed]),
    "no part": (b"--b--", [End()]),
    "no part, line ended": (b"--b--\r\n", [End()]),
    "no part, preamble": (b"hello\r\n--b--\r\n", [End()]),
    "one part": (
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nhello\r\n--b--\r\n',
        [*part(CD, body=b"hello"), End()],
    ),
    "two parts": (b"--b\r\n\r\nx\r\n--b\r\nA: 1\r\n\r\ny\r\n--b--", [*ONE, *part(("a", b"1"), body=b"y"), End()]),
    "preamble": (b"to\r\nwhom it may concern\r\n--b\r\n\r\nx\r\n--b--", [*ONE, End()]),
    "preamble of one line end": (b"\r\n--b\r\n\r\nx\r\n--b--", [*ONE, End()]),
    "preamble that mentions the delimiter": (b"a --b\r\n\r\n--bb\r\n--b\r\n\r\nx\r\n--b--", [*ONE, End()]),
    "preamble with a bare LF before the delimiter": (b"hello\n--b\r\n\r\nx\r\n--b--", [End()]),
    "epilogue": (b"--b\r\n\r\nx\r\n--b--\r\nbye\r\n--b\r\n\r\ny\r\n--b--", [*ONE, End()]),
    # parts
    "empty body": (b"--b\r\nA: 1\r\n\r\n\r\n--b--", [*part(("a", b"1")), End()]),
    "no body: the blank line's CRLF is the delimiter's": (
        b"--b\r\nA: 1\r\n\r\n--b\r\n\r\nx\r\n--b--",
        [*part(("a", b"1")), *ONE, End()],
    ),
    "no body, no blank line": (b"--b\r\nA: 1\r\n--b\r\n\r\nx\r\n--b--", [*part(("a", b"1")), *ONE, End()]),
    "no body, no blank line, close": (b"--b\r\nA: 1\r\n--b--", [*part(("a", b"1")), End()]),
    "no headers, no body": (b"--b\r\n\r\n--b\r\n\r\n\r\n--b--", [*part(), *part(), End()]),
    "no headers, no body, no blank line": (b"--b\r\n--b\r\n--b--", [*part(), *part(), End()]),
    "body of line ends": (b"--b\r\n\r\n\r\n\r\n\r\n--b--", [*part(body=b"\r\n\r\n"), End()]),
    "body that begins with a line end": (
        b"--b\r\nA: 1\r\n\r\n\r\nx\r\n--b--",
        [*part(("a", b"1"), body=b"\r\nx"), End()],
    ),
    "body that ends with CR": (b"--b\r\n\r\nx\r\r\n--b--", [*part(body=b"x\r"), End()]),
    "body with half line ends": (b"--b\r\n\r\n\n--b\r--b\n\r\n--b--", [*part(body=b"\n--b\r--b\n"), End()]),
    "body full of NUL": (b"--b\r\n\r\n\0\0\r\n--b--", [*part(body=b"\0\0"), End()]),
    "nested, boundary extends ours": (
        b"--b\r\n\r\n--bc\r\n\r\nx\r\n--bc--\r\n--b--",
        [*part(body=b"--bc\r\n\r\nx\r\n--bc--"), End()],
    ),
    # delimiter lines, and lines that are none
    "padding": (b"--b \t \r\n\r\nx\r\n--b\t\r\n\r\nx\r\n--b-- \t\r\n", [*ONE, *ONE, End()]),
    "padding, end": (b"--b\r\n\r\nx\r\n--b-- \t", [*ONE, End()]),
    "the limit of padding": (b"--b\r\n\r\nx\r\n--b" + b" " * 1024 + b"\r\n\r\nx\r\n--b--", [*ONE, *ONE, End()]),
    "too much padding": (
        b"--b\r\n\r\nx\r\n--b" + b" " * 1025 + b"\r\n--b--",
        [*part(body=b"x\r\n--b" + b" " * 1025), End()],
    ),
    "line goes on": (b"--b\r\n\r\nx\r\n--bx\r\n--b--", [*part(body=b"x\r\n--bx"), End()]),
    "line goes on after padding": (b"--b\r\n\r\nx\r\n--b  x\r\n--b--", [*part(body=b"x\r\n--b  x"), End()]),
    "line goes on with one dash": (b"--b\r\n\r\nx\r\n--b-\r\n--b--", [*part(body=b"x\r\n--b-"), End()]),
    "close line goes on": (b"--b\r\n\r\nx\r\n--b--x\r\n--b--", [*part(body=b"x\r\n--b--x"), End()]),
    "close line goes on with a dash": (b"--b\r\n\r\nx\r\n--b---\r\n--b--", [*part(body=b"x\r\n--b---"), End()]),
    "dash after padding": (b"--b\r\n\r\nx\r\n--b --\r\n--b--", [*part(body=b"x\r\n--b --"), End()]),
    "bare CR after the boundary": (b"--b\r\n\r\nx\r\n--b\r\r\n--b--", [*part(body=b"x\r\n--b\r"), End()]),
    "bare LF after the boundary": (b"--b\r\n\r\nx\r\n--b\n\r\n--b--", [*part(body=b"x\r\n--b\n"), End()]),
    "false start before the delimiter": (b"--b\r\n\r\nx\r\n-\r\n--\r\n--b--", [*part(body=b"x\r\n-\r\n--"), End()]),
    "false delimiter at the start": (b"--bx\r\n--b\r\n\r\nx\r\n--b--", [*ONE, End()]),
    "letter case counts": (b"--b\r\n\r\nx\r\n--B\r\n--b--", [*part(body=b"x\r\n--B"), End()]),
    # cut off
    "cut off in the delimiter": (b"--b", [Malformed]),
    "cut off after the delimiter": (b"--b\r\n", [Malformed]),
    "cut off in the headers": (b"--b\r\nA: 1\r\n", [Malformed]),
    "cut off in the body": (b"--b\r\n\r\nhello", [PartBegin(()), PartData(b"hello"), Malformed]),
    "cut off in what may be a delimiter": (b"--b\r\n\r\nhello\r\n--", [PartBegin(()), PartData(b"hello"), Malformed]),
    "cut off in the close delimiter": (b"--b\r\n\r\nx\r\n--b-", [PartBegin(()), PartData(b"x"), Malformed]),
    "cut off in the close delimiter's line end": (
        b"--b\r\n\r\nx\r\n--b--\r",
        [PartBegin(()), PartData(b"x"), Malformed],
    ),
    "cut off before a delimiter's line end": (b"--b\r\n\r\nx\r\n--b", [PartBegin(()), PartData(b"x"), Malformed]),
    "cut off in a delimiter's padding": (b"--b\r\n\r\nx\r\n--b ", [PartBegin(()), PartData(b"x"), Malformed]),
    "cut off in a broken part": (b"--b\r\nA\r\n\r\nx", [Malformed, Malformed]),
    "no close delimiter": (b"--b\r\n\r\nx\r\n--b\r\n", [*ONE, Malformed]),
}

# name: (header block, what comes out)
HEADERS: dict[str, tuple[bytes, Seen]] = {
    "letter case": (b"cOnTent-TYPE: Text/Plain", PartBegin((("content-type", b"Text/Plain"),))),
    "no space": (b"A:1", PartBegin((("a", b"1"),))),
    "much space": (b"A: \t 1 2 \t ", PartBegin((("a", b"1 2"),))),
    "empty value": (b"A:\r\nB: ", PartBegin((("a", b""), ("b", b"")))),
    "colons in the value": (b"A: b: c", PartBegin((("a", b"b: c"),))),
    "repeated": (b"A: 1\r\nB: 2\r\na: 3", PartBegin((("a", b"1"), ("b", b"2"), ("a", b"3")))),
    "UTF-8 and other octets": (b"A: \xc3\xa4\xff", PartBegin((("a", b"\xc3\xa4\xff"),))),
    "other controls in the value": (b"A: \x01\x7f", PartBegin((("a", b"\x01\x7f"),))),
    "every character of a token": (b"!#$%&'*+-.^_`|~09AZaz: 1", PartBegin((("!#$%&'*+-.^_`|~09azaz", b"1"),))),
    "folded": (b"A: 1\r\n  2\r\n\t3\r\nB: 4", PartBegin((("a", b"1 2 3"), ("b", b"4")))),
    "folded, spaces before": (b"A: 1 \t\r\n 2", PartBegin((("a", b"1 2"),))),
    "folded before the value": (b"A:\r\n 1", PartBegin((("a", b"1"),))),
    "folded, a colon in it": (b"A: 1\r\n B: 2", PartBegin((("a", b"1 B: 2"),))),
    "looks like a delimiter": (b"A: 1\r\n--bc: 2", PartBegin((("a", b"1"), ("--bc", b"2")))),
    "no colon": (b"A", Malformed),
    "no colon in the second": (b"A: 1\r\nB", Malformed),
    "no name": (b": 1", Malformed),
    "space in the name": (b"A B: 1", Malformed),
    "space after the name": (b"A : 1", Malformed),
    "space before the first name": (b" A: 1", Malformed),
    "colon on the next line": (b"A\r\n : 1", Malformed),
    "octet in the name": (b"\xc3\xa4: 1", Malformed),
    "control in the name": (b"A\x01: 1", Malformed),
    "control before the name": (b"\x01A: 1", Malformed),
    "NUL": (b"A: \0", Malformed),
    "bare CR": (b"A: 1\rB: 2", Malformed),
    "bare LF": (b"A: 1\nB: 2", Malformed),
    "bare LF at the end": (b"A: 1\n", Malformed),
    "bare CR at the end": (b"A: 1\r", Malformed),
    "LF CR": (b"A: 1\n\rB: 2", Malformed),
    "as many pairs as halves": (b"A: 1\r\nB: 2\n\r\nC: 3\r", Malformed),
}
for _name, (_block, _seen) in HEADERS.items():
    _body: list[Seen] = [PartData(b"x"), PartEnd()] if isinstance(_seen, PartBegin) else []
    _rest = b"\r\n\r\nx\r\n--b\r\n\r\nx\r\n--b--"
    CASES[f"header: {_name}"] = (b"--b\r\n" + _block + _rest, [_seen, *_body, *ONE, End()])

SMALL = MultipartLimits(preamble=8, headers=16, header_count=3, epilogue=8)

ABC = PartBegin((("a", b""), ("b", b""), ("c", b"")))

# name: (body, what comes out) under the limits SMALL
LIMITED: dict[str, tuple[bytes, list[Seen]]] = {
    "preamble at its limit": (b"12345678\r\n--b--", [End()]),
    "preamble over its limit": (b"123456789\r\n--b--", [Malformed]),
    "preamble without end": (b"x" * 50, [Malformed]),
    "preamble of near delimiters": (b"--bx\r\n--bx\r\n--bx\r\n--b--", [Malformed]),
    "epilogue at its limit": (b"--b--\r\n12345678", [End()]),
    "epilogue over its limit": (b"--b--\r\n123456789", [End(), Malformed]),
    "fields at their limit": (b"--b\r\nA:\r\nB:\r\nC:\r\n\r\nx\r\n--b--", [ABC, PartData(b"x"), PartEnd(), End()]),
    "fields over their limit": (b"--b\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\nx\r\n--b--", [HeadersTooLarge, End()]),
    "a folded field is one": (b"--b\r\nA:\r\n 1\r\n 2\r\n 3\r\n--b--", [*part(("a", b"1 2 3")), End()]),
    "headers at their limit": (
        b"--b\r\nA: 45678901234\r\n\r\nx\r\n--b--",
        [PartBegin((("a", b"45678901234"),)), PartData(b"x"), PartEnd(), End()],
    ),
    "headers over their limit": (
        b"--b\r\nA: 456789012345\r\n\r\nx\r\n--b\r\n\r\nx\r\n--b--",
        [HeadersTooLarge, *ONE, End()],
    ),
    "headers at their limit, no blank line": (
        b"--b\r\nA: 45678901234\r\n--b--",
        [*part(("a", b"45678901234")), End()],
    ),
    "headers over their limit, no blank line": (
        b"--b\r\nA: 456789012345\r\n--b\r\n\r\nx\r\n--b--",
        [HeadersTooLarge, *ONE, End()],
    ),
    "headers at their limit, near delimiter behind": (
        b"--b\r\nA: 45678901234\r\n--b" + b" " * 50 + b"x\r\n\r\nx\r\n--b--",
        [HeadersTooLarge, End()],
    ),
    "header line without end": (b"--b\r\n" + b"A" * 200 + b"\r\n--b\r\n\r\nx\r\n--b--", [HeadersTooLarge, *ONE, End()]),
    "a broken part hides no delimiter": (
        b"--b\r\n" + b"A:\r\n" * 20 + b"\r\n--bx\r\n--b\r\n\r\nx\r\n--b--",
        [HeadersTooLarge, *ONE, End()],
    ),
    "headers over their limit, cut off": (b"--b\r\n" + b"A" * 40, [HeadersTooLarge, Malformed]),
}

ALL = {name: (*case, MultipartLimits()) for name, case in CASES.items()}
ALL |= {f"limit: {name}": (*case, SMALL) for name, case in LIMITED.items()}

every_case = pytest.mark.parametrize(("body", "seen", "limits"), ALL.values(), ids=ALL.keys())


@every_case
def test_whole(body: bytes, seen: list[Seen], limits: MultipartLimits) -> None:
    assert decode([body] if body else [], limits) == seen


@every_case
def test_cut_in_two_at_every_position(body: bytes, seen: list[Seen], limits: MultipartLimits) -> None:
    for cut in range(1, len(body)):
        assert decode([body[:cut], body[cut:]], limits) == seen, cut


@every_case
def test_parts_in_one_piece(body: bytes, seen: list[Seen], limits: MultipartLimits) -> None:
    """Where a part is there as a whole, one event says the same."""
    for cut in range(1, max(2, len(body))):
        assert decode([piece for piece in (body[:cut], body[cut:]) if piece], limits, whole=True) == seen, cut


def test_a_part_that_is_there_is_one_event() -> None:
    decoder = MultipartDecoder(b"b", whole=True)
    decoder.receive(b"--b\r\nA: 1\r\nB: 2\r\n\r\nx\r\n--b\r\nA: 2\r\n\r\n\r\n--b\r\nA: 3\r\n\r\nx")
    first, empty, third, data = drain(decoder)
    assert (first, empty) == (PartWhole((("a", b"1"), ("b", b"2")), b"x"), PartWhole((("a", b"2"),), b""))
    assert (third, data) == (PartBegin((("a", b"3"),)), PartData(b"x"))


@pytest.mark.parametrize(
    "others", [b"B: 2", b" folded", b"B: 2\r\n folded", b"B\0: 2", b"B: 2\nC: 3", b"", b"B 2", b"\xe4: 2"]
)
def test_fields_that_were_seen_before_are_read_alike(others: bytes) -> None:
    body = b"--b\r\n%b\r\n" + others + b"\r\n\r\nx\r\n--b--"
    first, again = (decode([body % value], MultipartLimits(), whole=True) for value in (b"A: 1", b"A:1"))
    assert first == again
    for hurt in (b"A\n: 1", b"A: \0", b"A", b"A: 1\r"):
        assert decode([body % hurt], MultipartLimits())[0] is Malformed or others == b" folded"


@every_case
def test_byte_by_byte(body: bytes, seen: list[Seen], limits: MultipartLimits) -> None:
    assert decode([body[at : at + 1] for at in range(len(body))], limits) == seen


@pytest.mark.parametrize("name", [name for name, (_, seen) in CASES.items() if seen[-1] == End()])
def test_with_a_tail(name: str) -> None:
    body, seen = CASES[name]
    for tail in (b"\r\n", b"\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n", b"\r\n\0\xff"):
        assert decode([body + tail], MultipartLimits()) == seen
        assert decode([body, tail], MultipartLimits()) == seen


BOUNDARIES = [b"x", b"-", b"--", b"a b", b"0" * 70, b"'()+_,-./:=?", b"a--", b"----WebKitFormBoundary7MA4YWxkTrZu0gW"]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundaries(boundary: bytes) -> None:
    near = b"\r\n--" + boundary[:-1] + b"\r\n--" + boundary + b"~"
    body = b"--%b\r\nA: 1\r\n\r\n%b\r\n--%b--\r\n" % (boundary, near, boundary)
    seen = [*part(("a", b"1"), body=near), End()]
    assert decode([body], MultipartLimits(), boundary) == seen
    assert decode([body[at : at + 1] for at in range(len(body))], MultipartLimits(), boundary) == seen


@pytest.mark.parametrize(
    "boundary", [b"", b" ", b"a ", b"0" * 71, b'a"', b"a;", b"a\r\n", b"a\n", b"a\tb", b"\xc3\xa4", b"a*", b"\0"]
)
def test_illegal_boundaries(boundary: bytes) -> None:
    with pytest.raises(Malformed):
        MultipartDecoder(boundary)


def test_a_nested_boundary_that_begins_ours_is_data() -> None:
    inner = b"--b\r\n\r\nx\r\n--b--"
    body = b"--bc\r\n\r\n" + inner + b"\r\n--bc--"
    assert decode([body], MultipartLimits(), b"bc") == [*part(body=inner), End()]


def test_limits_are_told() -> None:
    decoder = MultipartDecoder(b"b", SMALL)
    decoder.receive(b"--b\r\n" + b"A: 1\r\n" * 10_000 + b"\r\n--b\r\nA:\r\nA:\r\nA:\r\nA:\r\n--b--\r\n")
    long, many, end = drain(decoder)
    assert isinstance(long, PartBroken)
    assert isinstance(many, PartBroken)
    assert (long.failure.limit, many.failure.limit, end) == (16, 3, End())
    decoder.receive(b"123456789")
    with pytest.raises(Malformed) as raised:
        decoder.next_event()
    assert raised.value.limit == 8


@pytest.mark.parametrize("fields", [64, 65, 10_000])
def test_default_count_of_fields(fields: int) -> None:
    (first, *_) = decode([b"--b\r\n" + b"A:\r\n" * fields + b"\r\n\r\n--b--"], MultipartLimits())
    assert first == (PartBegin((("a", b""),) * 64) if fields == 64 else HeadersTooLarge)


def test_a_broken_part_keeps_no_bytes_alive() -> None:
    decoder = MultipartDecoder(b"b")
    decoder.receive(b"--b\r\nA\r\n\r\nx")
    (broken,) = drain(decoder)
    assert isinstance(broken, PartBroken)
    assert broken.failure.__traceback__ is None


def test_data_is_held_back_only_while_it_may_be_a_delimiter() -> None:
    decoder = MultipartDecoder(b"b")
    # (received, what is told at once)
    steps: list[tuple[bytes, list[Event]]] = [
        (b"--b\r\nA: 1\r\n\r", []),
        (b"\n", [PartBegin((("a", b"1"),))]),
        (b"hello", [PartData(b"hello")]),
        (b"x\r", [PartData(b"x")]),
        (b"\n--", []),
        (b"x", [PartData(b"\r\n--x")]),
        (b"\r\r", [PartData(b"\r")]),
        (b"\n--b", []),
        (b"-", []),
        (b"\r", [PartData(b"\r\n--b-")]),
        (b"\n--b \t", []),
        (b"x\r\n--b\r", [PartData(b"\r\n--b \tx")]),
        (b"\n", [PartEnd()]),
        (b"\r\n\r\n--b\r", [PartBegin(())]),
        (b"\n", [PartEnd()]),
        (b"\r\n\r\n--b--\r", [PartBegin(())]),
        (b"\n", [PartEnd(), End()]),
        (b"anything", []),
        (b"", []),
    ]
    for received, told in steps:
        decoder.receive(received)
        assert list(drain(decoder)) == told, received


def test_a_whole_chunk_of_data_is_not_copied() -> None:
    decoder = MultipartDecoder(b"b")
    decoder.receive(b"--b\r\n\r\nx")
    assert list(drain(decoder)) == [PartBegin(()), PartData(b"x")]
    chunk = b"x" * 4096
    decoder.receive(chunk)
    (event,) = drain(decoder)
    assert isinstance(event, PartData)
    assert event.data is chunk


def test_bytes_may_be_received_before_all_events_are_taken() -> None:
    body, seen = CASES["two parts"]
    for cut in range(1, len(body)):
        for taken in range(len(seen)):
            decoder = MultipartDecoder(b"b")
            decoder.receive(body[:cut])
            told = [event for _ in range(taken) if (event := decoder.next_event()) is not NEED_DATA]
            decoder.receive(body[cut:])
            decoder.receive(b"")
            told += drain(decoder)
            assert [event for event in told if not isinstance(event, PartData)] == [
                event for event in seen if not isinstance(event, PartData)
            ]
            assert b"".join(event.data for event in told if isinstance(event, PartData)) == b"xy"


def test_use_after_the_end() -> None:
    decoder = MultipartDecoder(b"b")
    decoder.receive(b"--b--")
    decoder.receive(b"")
    decoder.receive(b"")
    assert decoder.next_event() == End()
    assert decoder.next_event() is NEED_DATA
    with pytest.raises(RuntimeError):
        decoder.receive(b"x")


def test_bytes_after_a_failure_are_dropped() -> None:
    decoder = MultipartDecoder(b"b", SMALL)
    decoder.receive(b"123456789")
    for _ in range(3):
        with pytest.raises(Malformed, match="8 bytes"):
            decoder.next_event()
        decoder.receive(b"\r\n--b--")
    assert held(decoder) == 0


def test_events_of_different_kinds_differ() -> None:
    events: list[Event] = [PartBegin(()), PartData(b""), PartEnd(), End()]
    assert [[one == other for other in events] for one in events] == [[i == j for j in range(4)] for i in range(4)]


# Where an endless body stands, and what it goes on with.
HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "preamble": (b"", b"\r\n--boundar"),
    "header line": (b"--boundary\r\n", b"A"),
    "header lines": (b"--boundary\r\n", b"A: 1\r\n"),
    "folded header lines": (b"--boundary\r\nA: ", b"\r\n 1"),
    "header lines like delimiters": (b"--boundary\r\n", b"--boundary:\r\n"),
    "near delimiters in the headers": (b"--boundary\r\nA: 1", b"\r\n--boundary "),
    "parts without blank lines": (b"", b"--boundary\r\n"),
    "parts": (b"", b"--boundary\r\n\r\n\r\n"),
    "broken parts": (b"", b"--boundary\r\nA\r\n\r\n\r\n"),
    "line ends": (b"--boundary\r\n\r\n", b"\r\n"),
    "CR": (b"--boundary\r\n\r\n", b"\r"),
    "near delimiters": (b"--boundary\r\n\r\n", b"\r\n--boundar"),
    "longer boundaries": (b"--boundary\r\n\r\n", b"\r\n--boundaryy"),
    "padding": (b"--boundary\r\n\r\n\r\n--boundary", b" "),
    "too much padding": (b"--boundary\r\n\r\n", b"\r\n--boundary" + b" " * 1025),
    "close lines that go on": (b"--boundary\r\n\r\n", b"\r\n--boundary-- x"),
    "skipped": (b"--boundary\r\nA\r\n\r\n", b"\r\n--boundary-"),
    "epilogue": (b"--boundary--\r\n", b"\r\n--boundary\r\n"),
}
#: Preamble and epilogue are allowed to go on here, so that there is something to measure.
GENEROUS = MultipartLimits(preamble=1 << 30, headers=4096, epilogue=1 << 30)


def held(decoder: MultipartDecoder) -> int:
    return len(decoder._buffer)


def feed(start: bytes, unit: bytes, size: int, step: int) -> int:
    """Decodes ``size`` bytes, ``step`` at a time, and returns the most that was held back at any time, in bytes."""
    decoder = MultipartDecoder(b"boundary", GENEROUS)
    body = start + unit * (size // len(unit))
    most = 0
    for at in range(0, len(body), step):
        decoder.receive(body[at : at + step])
        most = max(most, held(decoder))
        for _ in drain(decoder):
            pass
    return most


@pytest.mark.parametrize(("start", "unit"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("step", [1, 1000])
def test_what_is_held_back_is_bounded(start: bytes, unit: bytes, step: int) -> None:
    delimiter_line = len(b"\r\n--boundary--\r\n") + 1024
    assert feed(start, unit, 20_000 if step == 1 else 100_000, step) <= step + GENEROUS.headers + delimiter_line


def calls(start: bytes, unit: bytes, size: int, step: int) -> int:
    """How many functions are called to decode so much, of C and of Python: time that no clock can blur."""
    count = 0

    def observe(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(observe)
    try:
        feed(start, unit, size, step)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(("start", "unit"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("step", [7, 4096])
def test_work_grows_with_the_bytes_and_no_faster(start: bytes, unit: bytes, step: int) -> None:
    # Linear is 4 times as much, quadratic 16 times; the last unit may be cut off.
    size = 6_000 if step == 7 else 50_000
    assert calls(start, unit, 4 * size, step) <= 6 * calls(start, unit, size, step)
