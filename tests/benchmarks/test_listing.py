"""The listing at scale: its verdicts, and that the load generator sends and counts everything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from benchmarks.driving import drive
from benchmarks.listing import FIRST_BYTE, GROWTH, Listed, TreeSizes, listings_text
from benchmarks.load import listing
from benchmarks.wire import Response, request

DOCUMENT = b"<D:response>" + b"x" * 7 + b"</D:response><D:response></D:response>"


class Handler(BaseHTTPRequestHandler):
    """Answers everything with one document."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def answer(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(207)
        self.send_header("Content-Length", str(len(DOCUMENT)))
        self.end_headers()
        self.wfile.write(DOCUMENT)

    do_GET = do_PROPFIND = answer  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    """A port, and the targets that were asked for there."""
    asked: list[str] = []
    handler = type("Asked", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running.server_address[1], asked
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("connections", [1, 3, 8, 20])
def test_every_request_is_sent_however_many_connections(server: tuple[int, list[str]], connections: int) -> None:
    port, asked = server
    targets = [f"/{number}" for number in range(8)]

    def one(_: Response) -> int:
        return 1

    tally = drive(port, connections, iter([request("GET", target, port) for target in targets]), 60, one)
    assert (tally.units, sorted(asked), dict(tally.wrong)) == (8, targets, {})


@pytest.mark.parametrize(
    ("members", "marked", "wrong"),
    [
        (1, 1, {}),
        (2, 1, {"2 responses in place of 3": 1}),
        (1, 0, {"1 dead properties in place of 0": 1}),
    ],
)
def test_a_listing_is_counted(server: tuple[int, list[str]], members: int, marked: int, wrong: dict[str, int]) -> None:
    tally = listing(server[0], "/", "allprop", "infinity", members, marked, 7)
    assert dict(tally.wrong) == wrong
    assert 0 < tally.first_byte <= tally.seconds


@pytest.mark.parametrize(
    ("listed", "verdict"),
    [
        (Listed("x", GROWTH, FIRST_BYTE, 1.0), "within"),
        (Listed("x", GROWTH + 1, FIRST_BYTE, 1.0), "EXCEEDED"),
        (Listed("x", GROWTH, FIRST_BYTE + 0.001, 1.0), "EXCEEDED"),
        (Listed("x", problem="it did not start"), "failed"),
    ],
)
def test_the_verdict_of_a_listing(listed: Listed, verdict: str) -> None:
    text = listings_text([listed])
    assert verdict in text
    assert listed.within == (verdict == "within")
    assert listed.problem in text


def test_the_tree_has_as_many_resources_as_it_says() -> None:
    assert TreeSizes().resources == 200_000
    assert TreeSizes().marked <= TreeSizes().collections * TreeSizes().members
