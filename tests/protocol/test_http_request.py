"""The head of a request inside a part (RFC 9112)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partwise.errors import Failure, HeadersTooLarge, Malformed, NotImplementedHere
from partwise.protocol.http_request import MAX_FIELDS, HeadReader, RequestHead, parse_request_head

HEADS = [
    (b"DELETE /c/a.txt HTTP/1.1\r\n\r\n", RequestHead("DELETE", "/c/a.txt", {})),
    (b"DELETE /c/a HTTP/1.0\r\n\r\n", RequestHead("DELETE", "/c/a", {})),
    # The blank line, or the last line end too, were those of the delimiter.
    (b"DELETE /c/a HTTP/1.1\r\n", RequestHead("DELETE", "/c/a", {})),
    (b"DELETE /c/a HTTP/1.1", RequestHead("DELETE", "/c/a", {})),
    (b"MKCOL / HTTP/1.1\r\nA: b", RequestHead("MKCOL", "/", {"a": "b"})),
    # §2.2
    (b"\r\nDELETE /c/a HTTP/1.1\r\n\r\n", RequestHead("DELETE", "/c/a", {})),
    (
        b"MOVE http://h:1/c/a HTTP/1.1\r\nDestination: /c/b\r\nOVERWRITE:F\r\n\r\n",
        RequestHead("MOVE", "http://h:1/c/a", {"destination": "/c/b", "overwrite": "F"}),
    ),
    (b"DELETE HTTPS://h HTTP/1.1\r\n\r\n", RequestHead("DELETE", "HTTPS://h", {})),
    (b"DELETE /c/\xc3\xa4?q#f HTTP/1.1\r\n\r\n", RequestHead("DELETE", "/c/ä?q#f", {})),
    (b"DELETE /c/\xff HTTP/1.1\r\n\r\n", RequestHead("DELETE", "/c/\udcff", {})),
    # RFC 9110 §5.3, §5.5
    (b"PUT /a HTTP/1.1\r\nIf: (<a:1>)\r\nX: \t 1 \t\r\nif: (<a:2>)\r\n\r\n",
     RequestHead("PUT", "/a", {"if": "(<a:1>), (<a:2>)", "x": "1"})),
    (b"PUT /a HTTP/1.1\r\nEmpty:\r\nOther:  \r\nBytes: \xc3\xa4\xff\r\n\r\n",
     RequestHead("PUT", "/a", {"empty": "", "other": "", "bytes": "ä\udcff"})),
    # A method is any token, and case counts (RFC 9110 §9.1).
    (b"delete! /a HTTP/1.1\r\n\r\n", RequestHead("delete!", "/a", {})),
]  # fmt: skip

REFUSED = [
    b"",
    b"\r\n\r\n",
    b"\r\n\r\nDELETE /a HTTP/1.1\r\n\r\n",
    b"DELETE /a\r\n\r\n",
    b"DELETE  /a HTTP/1.1\r\n\r\n",
    b"DELETE /a  HTTP/1.1\r\n\r\n",
    b" DELETE /a HTTP/1.1\r\n\r\n",
    b"DELETE /a HTTP/1.1 \r\n\r\n",
    b"DELETE /a b HTTP/1.1\r\n\r\n",
    b"DELETE\t/a HTTP/1.1\r\n\r\n",
    b"DELETE /a HTTP/2\r\n\r\n",
    b"DELETE /a HTTP/2.0\r\n\r\n",
    b"DELETE /a http/1.1\r\n\r\n",
    b"DELETE /a HTTP/1.1\n\n",
    b"DELETE /a HTTP/1.1\nA: b\r\n\r\n",
    b"DELETE /a\0 HTTP/1.1\r\n\r\n",
    b"DEL(ETE /a HTTP/1.1\r\n\r\n",
    b"DELETE * HTTP/1.1\r\n\r\n",
    b"DELETE a HTTP/1.1\r\n\r\n",
    b"DELETE h:80 HTTP/1.1\r\n\r\n",
    b"DELETE ftp://h/a HTTP/1.1\r\n\r\n",
    b"DELETE http:///a HTTP/1.1\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA b\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA : b\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\n: b\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\n A: b\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA: b\nB: c\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA: b\rB: c\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA: b\0\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nA: b\x7f\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\n\r\nA: b\r\n\r\n",
]


@pytest.mark.parametrize(("head", "expected"), HEADS)
def test_read(head: bytes, expected: RequestHead) -> None:
    assert parse_request_head(head) == expected


@pytest.mark.parametrize("head", REFUSED)
def test_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_request_head(head)


@pytest.mark.parametrize("coding", [b"chunked", b"identity", b""])
def test_the_part_is_the_framing(coding: bytes) -> None:
    with pytest.raises(NotImplementedHere):
        parse_request_head(b"PUT /a HTTP/1.1\r\nTransfer-Encoding: %s\r\n\r\n" % coding)


def test_so_many_fields() -> None:
    fields = b"A: b\r\n" * MAX_FIELDS
    assert parse_request_head(b"PUT /a HTTP/1.1\r\n" + fields + b"\r\n").headers["a"].count("b") == MAX_FIELDS
    with pytest.raises(HeadersTooLarge):
        parse_request_head(b"PUT /a HTTP/1.1\r\n" + fields + b"B: c\r\n\r\n")


WHOLE = b"PUT /a HTTP/1.1\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("body", [b"", b"x", b"\r\n\r\n", b"\r\n\r\nA: b\r\n\r\n"])
def test_in_two_pieces_everywhere(body: bytes) -> None:
    whole = WHOLE + body
    for cut in range(1, len(whole)):
        reader = HeadReader()
        first = reader.feed(whole[:cut])
        if cut < len(WHOLE):
            assert first is None
            assert reader.feed(whole[cut:]) == (parse_request_head(WHOLE), body)
        else:
            assert first == (parse_request_head(WHOLE), whole[len(WHOLE) : cut])


def test_byte_by_byte_and_at_the_end() -> None:
    reader = HeadReader()
    assert [reader.feed(WHOLE[at : at + 1]) for at in range(len(WHOLE) - 2)] == [None] * (len(WHOLE) - 2)
    assert reader.finish() == parse_request_head(WHOLE)


def test_bounded() -> None:
    """Also where the head would end in the bytes that are too many."""
    assert HeadReader(len(WHOLE)).feed(WHOLE + b"body" * 100) is not None
    with pytest.raises(HeadersTooLarge) as failed:
        HeadReader(len(WHOLE) - 1).feed(WHOLE)
    assert failed.value.limit == len(WHOLE) - 1
    reader = HeadReader(100)
    reader.feed(b"P" * 100)
    with pytest.raises(HeadersTooLarge):
        reader.feed(b"P")


@given(st.binary(max_size=300) | st.lists(st.sampled_from([
    b"DELETE", b" ", b"/a", b"HTTP/1.1", b"\r\n", b"A", b":", b"\t", b"\n", b"\0", b"http://h", b"\xff", b",",
])).map(b"".join))  # fmt: skip
@example(WHOLE)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """What is read holds nothing that could end a line elsewhere; one piece or many make no difference."""
    found: object = None
    reader = HeadReader(200)
    try:
        found = reader.feed(data) or reader.finish()
    except Failure as failure:
        found = type(failure)
    pieces = HeadReader(200)
    told: object = None
    try:
        for at in range(len(data)):
            head = pieces.feed(data[at : at + 1])
            if head is not None:
                told = (head[0], head[1] + data[at + 1 :])
                break
        told = told or pieces.finish()
    except Failure as failure:
        told = type(failure)
    assert told == found
    if isinstance(found, tuple):
        head = found if isinstance(found, RequestHead) else found[0]
        for value in (head.method, head.target, *head.headers, *head.headers.values()):
            assert not set(value) & set("\r\n\0")
        assert all(name == name.lower() and name for name in head.headers)


@settings(max_examples=40)
@given(
    st.from_regex(r"[A-Z]{1,10}", fullmatch=True),
    st.from_regex(r"/[!-~]{0,30}", fullmatch=True),
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True).filter(lambda name: name != "transfer-encoding"),
        st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True),
        max_size=8,
    ),
)
def test_what_was_written_is_read(method: str, target: str, headers: dict[str, str]) -> None:
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()
    assert parse_request_head(head) == RequestHead(method, target, headers)
