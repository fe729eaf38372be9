"""The benchmarks' own arithmetic: what they count, and what they make of it."""

from __future__ import annotations

import pytest
from benchmarks.report import Row, Section, aligned, as_json, failed, figure, ratio, section_text
from benchmarks.wire import Response, WrongResponse, dechunk, form, large_form


def _section(*rows: Row) -> Section:
    return Section("batch", "items/s", list(rows))


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    ours, peer = Row("partwise", values=[10.0, 100.0, 40.0]), Row("peer", values=[10.0, 10.0, 10.0])
    assert ratio(ours, peer) == 4.0


@pytest.mark.parametrize("values", [[], [None, None], [0.0, 0.0]])
def test_there_is_no_ratio_without_figures_of_the_same_round(values: list[float | None]) -> None:
    assert ratio(Row("partwise", values=[10.0, 20.0]), Row("peer", values=values)) is None


def test_a_failed_round_is_left_out_of_the_ratio() -> None:
    assert ratio(Row("partwise", values=[None, 30.0]), Row("peer", values=[1.0, 10.0])) == 3.0


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (100.0, "100"), (99.94, "99.9"), (9.994, "9.99"), (0.5, "0.50")]
)
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text


def test_columns_are_aligned_and_lines_end_with_a_character() -> None:
    assert aligned([["", "a", ""], ["name", "1,000", "x"], ["n", "2", ""]]).splitlines() == [
        "          a",
        "name  1,000  x",
        "n         2",
    ]


def test_the_table_names_what_is_missing_and_what_went_wrong() -> None:
    section = _section(
        Row("partwise", "yes", [1000.0, 3000.0, 2000.0]),
        Row("slow", "no", [100.0, 100.0, 100.0]),
        Row("absent", "no", note="not installed"),
        Row("broken", "no", [None, None], ["status 500", "status 500"]),
    )
    lines = [line.split() for line in section_text(section).splitlines()]
    assert lines[2:] == [
        ["partwise", "2,000", "1,000", "3,000", "yes"],
        ["slow", "100", "100", "100", "no", "20.0x"],
        ["absent", "not", "installed", "no"],
        ["broken", "failed", "no"],
        ["!", "broken:", "status", "500"],
    ]


def test_only_problems_are_failures() -> None:
    assert not failed([_section(Row("partwise", values=[1.0]), Row("absent", note="not installed"))])
    assert failed([_section(Row("partwise", values=[1.0])), _section(Row("peer", values=[None], problems=["no"]))])


def test_json_holds_every_value_with_median_and_ratio() -> None:
    document = as_json({"CPUs": "2"}, [_section(Row("partwise", values=[4.0, 8.0]), Row("peer", values=[2.0, 2.0]))])
    first, second = document["sections"][0]["rows"]
    assert document["header"] == {"CPUs": "2"}
    assert (first["values"], first["median"], first["ratio"]) == ([4.0, 8.0], 6.0, None)
    assert (second["median"], second["ratio"]) == (2.0, 3.0)


def test_one_row_a_name() -> None:
    section = _section()
    assert section.row("peer", "no") is section.row("peer")
    assert [(row.name, row.durable) for row in section.rows] == [("peer", "no")]


RESPONSES = [
    (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, b"", False),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:3\r\n\r\nabc", 200, b"abc", True),
    (
        b"HTTP/1.1 207 M\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        207,
        b"abc0123456789",
        False,
    ),
]


@pytest.mark.parametrize(("raw", "status", "body", "closes"), RESPONSES)
def test_a_response_is_complete_with_its_last_byte_however_it_is_split(
    raw: bytes, status: int, body: bytes, closes: bool
) -> None:
    for split in range(1, len(raw)):
        response = Response()
        assert not response.feed(raw[:split])
        assert response.feed(raw[split:])
        assert (response.status, response.body, response.closes) == (status, body, closes)


def test_a_response_without_a_length_ends_with_its_connection() -> None:
    response = Response()
    assert not response.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert response.feed(b"")
    assert (response.body, response.closes) == (b"abc", True)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"])
def test_a_cut_response_is_wrong(raw: bytes) -> None:
    response = Response()
    if raw:
        response.feed(raw)
    with pytest.raises(WrongResponse):
        response.feed(b"")


def test_what_is_no_response_is_wrong() -> None:
    with pytest.raises(WrongResponse):
        Response().feed(b"220 ready\r\n\r\n")


def test_a_cut_chunk_is_wrong() -> None:
    with pytest.raises(WrongResponse):
        dechunk(b"3\r\nabc\r\n")


@pytest.mark.parametrize("items", [1, 64, 65, 200])
def test_a_form_holds_every_item_once(items: int) -> None:
    body = b"".join(form(items, b"contents"))
    assert body.count(b"contents") == body.count(b"filename=") == items
    assert len(set(body.split(b'filename="')[1:])) == items


def test_the_length_of_a_large_form_is_that_of_its_buffers() -> None:
    length, buffers = large_form(4096, b"x" * 1024)
    body = b"".join(buffers)
    assert len(body) == length
    assert body.count(b"x" * 1024) == 4
