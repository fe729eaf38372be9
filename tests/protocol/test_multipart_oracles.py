"""The multipart decoder against others: an encoder, a regular expression, ``multipart`` of PyPI, and ``email``."""

from __future__ import annotations

import email.policy
import re
from email.message import Message
from email.parser import BytesParser

from hypothesis import example, given, settings
from hypothesis import strategies as st
from multipart import MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from partwise.errors import Malformed
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
)

Headers = list[tuple[str, bytes]]
Part = tuple[Headers, bytes]
Told = list[Event | str]

# Two short boundaries, one of which begins the other, and one as browsers make them.
BOUNDARIES = st.sampled_from([b"b", b"bb", b"----WebKitFormBoundary7MA4YWxkTrZu0gW"])


DEFAULT = MultipartLimits()


def told(chunks: list[bytes], boundary: bytes, limits: MultipartLimits = DEFAULT) -> Told:
    """What comes out, PartData merged; failures as text."""
    decoder = MultipartDecoder(boundary, limits)
    out: Told = []
    try:
        for chunk in [*chunks, b""]:
            decoder.receive(chunk)
            while (event := decoder.next_event()) is not NEED_DATA:
                match event, out[-1:]:
                    case PartData(data), [PartData(before)]:
                        assert data
                        out[-1] = PartData(before + data)
                    case PartBroken(failure), _:
                        out.append(f"{type(failure).__name__}: {failure.text}")
                    case _:
                        assert event != PartData(b"")
                        out.append(event)
    except Malformed as failure:
        out.append(f"raised: {failure.text}")
    return out


def parts_of(out: Told) -> list[Part]:
    """The parts of a container in which everything is well."""
    parts: list[Part] = []
    assert out.pop() == End()
    for event in out:
        match event:
            case PartBegin(headers):
                parts.append((list(headers), b""))
            case PartData(data):
                parts[-1] = (parts[-1][0], data)
            case other:
                assert other == PartEnd()
    return parts


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({at % len(body) for at in cuts} - {0}) if body else []
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True) if a < b]


CUTS = st.lists(st.integers(0, 10_000), max_size=12)

TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
VALUES = st.binary(max_size=20).map(lambda value: re.sub(rb"[\r\n\0]", b"", value).strip(b" \t"))
HEADERS: st.SearchStrategy[Headers] = st.lists(st.tuples(TOKENS, VALUES), max_size=5)
#: Bytes of a body, dense in what makes up delimiters.
PIECES = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"-", b"--", b"b", b" ", b"--b", b"\r\n--", b"\r\n--b", b"\r\n--b-", b"x: y"]
)
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES | st.binary(max_size=4), max_size=12).map(b"".join))


def delimiter_lines(boundary: bytes) -> re.Pattern[bytes]:
    pattern = rb"\r\n--" + re.escape(boundary) + rb"(?:--[ \t]{0,1024}(?:\r\n|\Z)|[ \t]{0,1024}(?=\r\n))"
    return re.compile(pattern)


def holds_delimiter(body: bytes, boundary: bytes) -> bool:
    """Whether a body cannot be sent with this boundary, standing as it does between two line ends."""
    return delimiter_lines(boundary).search(b"\r\n" + body + b"\r\n") is not None


def encode(parts: list[Part], boundary: bytes, preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    out = [preamble + b"\r\n" if preamble else b""]
    for headers, body in parts:
        out.append(b"--" + boundary + b"\r\n")
        out += [name.encode() + b": " + value + b"\r\n" for name, value in headers]
        out.append(b"\r\n" + body + b"\r\n")
    return b"".join(out) + b"--" + boundary + b"--\r\n" + epilogue


@given(st.lists(st.tuples(HEADERS, BODIES), max_size=5), BOUNDARIES, BODIES, BODIES, CUTS)
def test_what_was_encoded_is_decoded(
    parts: list[Part], boundary: bytes, preamble: bytes, epilogue: bytes, cuts: list[int]
) -> None:
    parts = [part for part in parts if not holds_delimiter(part[1], boundary)]
    preamble = b"" if holds_delimiter(preamble, boundary) else preamble
    body = encode(parts, boundary, preamble, epilogue)
    decoded = parts_of(told(cut(body, cuts), boundary))
    assert decoded == [([(name.lower(), value) for name, value in headers], data) for headers, data in parts]


def by_expression(body: bytes, boundary: bytes) -> list[Part] | None:
    """The header blocks (as one nameless field) and bodies of a container; None unless it is closed."""
    body = b"\r\n" + body
    parts: list[Part] = []
    behind: int | None = None
    for line in delimiter_lines(boundary).finditer(body):
        if behind is not None:
            block, blank, data = body[behind : line.start() + 2].partition(b"\r\n\r\n")
            # Without a blank line the CRLF at the end is the delimiter's, not the block's.
            block, data = (block, data[:-2]) if blank else (block[:-2], b"")
            parts.append(([("", block[2:])], data))
        behind = line.end()
        if line[0].rstrip(b"\r\n \t").endswith(b"--" + boundary + b"--"):
            return parts
    return None


# Legal header lines beside bits of delimiters: most bodies are containers of some kind.
BITS = st.sampled_from(
    [
        b"\r\n",
        b"\r\n--b\r\n",
        b"\r\n--b--",
        b"--b",
        b"--",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b" ",
        b"b",
        b"x: y",
        b"\r\nx: y\r\n",
        b"z",
    ]
)
SOUP = st.lists(BITS, max_size=30).map(lambda bits: b"--b\r\n" + b"".join(bits)) | st.lists(BITS).map(b"".join)


@settings(max_examples=600)
@given(SOUP, CUTS)
@example(b"--b\r\n\r\n--b\r\n--b--", [])
@example(b"--b\r\nx: y\r\n--b \r\n\r\n\r\n--b--", [])
def test_framing_is_what_the_expression_says(body: bytes, cuts: list[int]) -> None:
    out = told(cut(body, cuts), b"b")
    expected = by_expression(body, b"b")
    if expected is None:
        assert str(out[-1]).startswith("raised: ")
        return
    assert out.pop() == End()
    for (_, block), data in [(headers[0], data) for headers, data in expected]:
        first = out.pop(0)
        if isinstance(first, PartBegin):
            fields = b"".join(name.encode() + b":" + value for name, value in first.headers)
            assert b"".join(fields.split()) == b"".join(block.split())
            if data:
                assert out.pop(0) == PartData(data)
            assert out.pop(0) == PartEnd()
        else:
            assert str(first).startswith("Malformed: ")
    assert out == []


SMALL = MultipartLimits(preamble=20, headers=20, header_count=2, epilogue=20)


@settings(max_examples=600)
@given(SOUP | BODIES | st.binary(max_size=300), CUTS, st.sampled_from([SMALL, DEFAULT]))
def test_chunking_never_changes_the_outcome(body: bytes, cuts: list[int], limits: MultipartLimits) -> None:
    whole = told([body] if body else [], b"b", limits)
    assert told(cut(body, cuts), b"b", limits) == whole
    assert told([body[at : at + 1] for at in range(len(body))], b"b", limits) == whole


NAMES = st.text("abcXYZ 019.-_/ä", min_size=1, max_size=12).map(lambda name: f"x{name}x".encode())


@given(st.lists(st.tuples(NAMES, BODIES), min_size=1, max_size=5), BOUNDARIES, CUTS)
def test_same_as_the_multipart_package(fields: list[tuple[bytes, bytes]], boundary: bytes, cuts: list[int]) -> None:
    # It refuses a line that merely begins with a delimiter.
    fields = [(name, body) for name, body in fields if b"\r\n--" + boundary not in b"\r\n" + body]
    sent: list[Part] = [
        ([("Content-Disposition", b'form-data; name="f"; filename="' + name + b'"'), ("Content-Type", b"a/b")], body)
        for name, body in fields
    ]
    chunks = cut(encode(sent, boundary), cuts)
    theirs: list[Part] = []
    with PushMultipartParser(boundary) as parser:
        for chunk in chunks:
            for event in parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    theirs.append(([(name.lower(), value.encode()) for name, value in event.headerlist], b""))
                elif event:
                    theirs[-1] = (theirs[-1][0], theirs[-1][1] + event)
    assert parts_of(told(chunks, boundary)) == theirs


# It makes objects of some fields it knows, so that only others are sent.
X_TOKENS = st.text("aZ09-", max_size=5).map("X-{}".format)
WORDS = st.text('abc XYZ019;=/"', max_size=20).map(lambda value: value.strip().encode())
X_PARTS = st.tuples(st.lists(st.tuples(X_TOKENS, WORDS), max_size=4), BODIES)


@given(st.lists(X_PARTS, min_size=1, max_size=5), CUTS)
def test_same_as_the_email_package(parts: list[Part], cuts: list[int]) -> None:
    boundary = b"a-long-boundary"
    body = encode(parts, boundary)
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    message = BytesParser(policy=email.policy.compat32).parsebytes(head + body)
    theirs: list[Part] = []
    for inner in message.get_payload():
        assert isinstance(inner, Message)
        payload = inner.get_payload(decode=True)
        assert isinstance(payload, bytes)
        theirs.append(([(name.lower(), value.encode()) for name, value in inner.items()], payload))
    assert parts_of(told(cut(body, cuts), boundary)) == theirs
