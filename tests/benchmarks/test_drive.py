"""The load generator in C and the one in Python send the same and count the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.driving import Plan, carry_out, noise
from benchmarks.load import propfind, puts
from benchmarks.wire import request
from tests.benchmarks.conftest import Fake

Start = Callable[[Fake], Fake]
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=["drive.c", "Python"])
def driver(request: pytest.FixtureRequest, tools: Path) -> str | None:
    if request.param == "Python":
        return None
    if not (tools / "drive").exists():
        if os.environ.get("CI"):
            pytest.fail("needs a C compiler: .ci/run must install it", pytrace=False)
        pytest.skip("no C compiler")
    return str(tools / "drive")


def _plan(fake: Fake, **settings: object) -> Plan:
    heads = [request("GET", f"/{number}", fake.port) for number in range(12)]
    return Plan(fake.port, 3, 30.0, (200, 207), heads, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("connections", [1, 4, 60])
def test_every_file_is_sent_once_and_whole(answering: Start, driver: str | None, connections: int) -> None:
    fake = answering(Fake([CREATED]))
    tally = puts(fake.port, "/item-", 40, 300, connections, 30.0, driver)
    assert (tally.units, dict(tally.wrong)) == (40, {})
    assert sorted(fake.asked) == [(b"/item-%06d.bin" % number, noise(300)) for number in range(40)]
    assert 0 < tally.first_byte <= tally.seconds


def test_the_time_ends_what_would_go_on(answering: Start, driver: str | None) -> None:
    fake = answering(Fake([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]))
    plan = _plan(fake, again=True, contents=b"ok")
    tally = carry_out(Plan(**{name: getattr(plan, name) for name in plan.__slots__} | {"seconds": 0.05}), driver)
    assert tally.units == len(fake.asked) > 12
    assert not tally.wrong


ANSWERS = [
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok", "status 404"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "another body"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!", "another body"),
    (b"SSH-2.0 hello\r\n\r\n", "no HTTP/1.1 response"),
]


@pytest.mark.parametrize(("answer", "wrong"), ANSWERS)
def test_what_is_wrong_is_counted_and_named(answering: Start, driver: str | None, answer: bytes, wrong: str) -> None:
    tally = carry_out(_plan(answering(Fake([answer])), contents=b"ok"), driver)
    assert tally.units == 0
    assert dict(tally.wrong) == {wrong: 12}


def test_an_answer_cut_short_is_wrong(answering: Start, driver: str | None) -> None:
    fake = answering(Fake([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"], most=1))
    tally = carry_out(_plan(fake), driver)
    assert dict(tally.wrong) == {"the connection ended before the response": 12}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
def test_a_connection_that_the_server_ends_is_replaced(answering: Start, driver: str | None, answer: bytes) -> None:
    """Also one that ends without an answer to what was sent last, as an idle one may."""
    fake = answering(Fake([answer], most=1))
    tally = carry_out(_plan(fake, contents=b"ok"), driver)
    assert (tally.units, dict(tally.wrong)) == (12, {})
    assert sorted(path for path, _ in fake.asked) == sorted(b"/%d" % number for number in range(12))


MEMBER = b'<lp:response xmlns:lp="DAV:"><D:href>/response></D:href></lp:response><D:responsedescription/>'
HEAD = b"HTTP/1.1 207 M\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunked(body: bytes, size: int) -> list[bytes]:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return [HEAD, *(b"%x;x=y\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n"]


@pytest.mark.parametrize("size", [1, 2, 7, 16, 29, 1000])
@pytest.mark.parametrize("several", [False, True])
def test_responses_are_counted_however_they_are_cut(
    answering: Start, driver: str | None, size: int, several: bool
) -> None:
    fake = answering(Fake(_chunked(MEMBER * 3, size)))
    targets = ["/a/", "/b/"] if several else ["/a/"]
    tally = propfind(fake.port, targets, "1", 2, 2, 0.0, None, driver)
    assert dict(tally.wrong) == {}
    assert tally.units == 3 * len(fake.asked) > 0


@pytest.mark.parametrize("several", [False, True])
def test_a_response_too_few_is_told(answering: Start, driver: str | None, several: bool) -> None:
    fake = answering(Fake(_chunked(MEMBER * 3, 50)))
    tally = propfind(fake.port, ["/a/", "/b/"] if several else ["/a/"], "1", 3, 1, 0.0, None, driver)
    assert (tally.units, dict(tally.wrong)) == (0, {"3 responses in place of 4": 1})


def test_a_file_is_changed_before_its_request(answering: Start, driver: str | None, tmp_path: Path) -> None:
    (file := tmp_path / "file").write_bytes(b"-artwise")
    fake = answering(Fake(_chunked(MEMBER, 50)))
    propfind(fake.port, ["/a/"], "1", 0, 1, 0.0, [str(file)], driver)
    assert file.read_bytes() == b"partwise"
