"""The load generator: a process of its own, so that it shares no interpreter with the server or the orchestrator.

``python -m benchmarks.load`` reads one job as JSON from standard input and writes its tally as JSON to standard output.
Everything that is sent is built before the clock starts.
"""

from __future__ import annotations

import json
import random
import re
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.wire import BOUNDARY, Response, WrongResponse, form, large_form, request

#: Bytes asked of a socket at once, and sent at once.
BLOCK = 1024 * 1024
#: Seconds without a byte from the server after which it counts as hung.
PATIENCE = 60.0

_ROW_STATUS = re.compile(rb"<D:response>.*?<D:status>HTTP/1\.1 (\d{3})", re.DOTALL)
_SUMMARY = re.compile(rb'<P:summary items="(\d+)" stored="(\d+)" failed="(\d+)".* state="(\w+)"')
_RESPONSE_END = re.compile(rb"</(?:[\w.-]+:)?response>")


@dataclass(slots=True)
class Tally:
    """``units`` (items, requests, D:response elements or bytes) in ``seconds``; what was ``wrong``, and how often.

    ``first_byte``: seconds until the first byte of the answer, where a job measures that.
    """

    units: int = 0
    seconds: float = 0.0
    first_byte: float = 0.0
    wrong: Counter[str] = field(default_factory=Counter)


def noise(size: int) -> bytes:
    """Contents that do not compress, the same in every run."""
    return random.Random(size).randbytes(size)


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# -- many requests over kept-alive connections


@dataclass(slots=True)
class _Line:
    """A connection and the response it waits for."""

    connection: socket.socket
    response: Response = field(default_factory=Response)


def drive(
    port: int, connections: int, requests: Iterator[bytes], seconds: float, units: Callable[[Response], int]
) -> Tally:
    """Keep every connection busy with one request at a time until there are no more, or the time is over.

    ``units`` says what a response is worth; it raises WrongResponse for one that is not good.
    """
    tally = Tally()
    start = last = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        # In this order: the other way round one request would be taken and never sent.
        for _, first in zip(range(connections), requests, strict=False):
            line = _Line(_connect(port))
            line.connection.sendall(first)
            selector.register(line.connection, selectors.EVENT_READ, line)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                tally.wrong["no answer"] += len(selector.get_map())
                break
            for key, _ in ready:
                if not _receive(key.data, units, tally):
                    continue
                last = time.perf_counter()
                _go_on(selector, key.data, port, None if last - start > seconds else next(requests, None))
        for key in list(selector.get_map().values()):
            key.data.connection.close()
    tally.seconds = last - start
    return tally


def _receive(line: _Line, units: Callable[[Response], int], tally: Tally) -> bool:
    """Has the response been counted, good or wrong?"""
    try:
        if not line.response.feed(line.connection.recv(BLOCK)):
            return False
        tally.units += units(line.response)
    except (WrongResponse, ConnectionError) as error:
        tally.wrong[str(error)] += 1
        line.response.closes = True
    return True


def _go_on(selector: selectors.BaseSelector, line: _Line, port: int, following: bytes | None) -> None:
    """Send the next request, on a new connection if the server ends this one."""
    if line.response.closes or following is None:
        selector.unregister(line.connection)
        line.connection.close()
        if following is None:
            return
        line.connection = _connect(port)
        selector.register(line.connection, selectors.EVENT_READ, line)
    line.response = Response()
    line.connection.sendall(following)


def puts(port: int, items: int, size: int, connections: int, seconds: float) -> Tally:
    """One file per PUT into the root."""
    contents = noise(size)
    requests = [request("PUT", f"/item-{n:06}.bin", port, size) + contents for n in range(items)]
    return drive(port, connections, iter(requests), seconds, _stored)


def _stored(response: Response) -> int:
    if response.status not in (200, 201, 204):
        raise WrongResponse(f"status {response.status}")
    return 1


def propfind(
    port: int, target: str, depth: str, members: int, connections: int, requests: int, seconds: float
) -> Tally:
    """PROPFIND for four live properties; units are D:response elements, of which every answer must hold the same number."""
    body = (
        b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>'
        b"<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>"
    )
    head = request("PROPFIND", target, port, len(body), Depth=depth, Content_Type="application/xml")
    counter = _ResponseCounter(members + 1)
    return drive(port, connections, iter([head + body] * requests), seconds, counter.count)


_ASKED = {
    "prop": b"<D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop>",
    "allprop": b"<D:allprop/>",
}


def listing(port: int, target: str, asked: str, depth: str, members: int, marked: int, value: int) -> Tally:
    """One PROPFIND; units are D:response elements, of which there must be ``members`` and the target.

    ``marked`` of them must show the property that :func:`proppatch` set, of ``value`` bytes.
    """
    body = b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:">' + _ASKED[asked] + b"</D:propfind>"
    head = request("PROPFIND", target, port, len(body), Depth=depth, Content_Type="application/xml")
    tally, response = Tally(), Response()
    with _connect(port) as connection:
        start = time.perf_counter()
        connection.sendall(head + body)
        data = connection.recv(BLOCK)
        tally.first_byte = time.perf_counter() - start
        try:
            while not response.feed(data):
                data = connection.recv(BLOCK)
            tally.seconds = time.perf_counter() - start
            tally.units = _ResponseCounter(members + 1).count(response)
        except (WrongResponse, OSError) as error:
            tally.wrong[str(error)] += 1
            return tally
    if (shown := response.body.count(b"x" * value)) != marked:
        tally.wrong[f"{shown} dead properties in place of {marked}"] += 1
    return tally


def proppatch(port: int, targets: list[str], size: int, connections: int) -> Tally:
    """One dead property of ``size`` bytes on each target; units are requests."""
    body = (
        b'<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><m:mark xmlns:m="urn:marks">'
        + b"x" * size
        + b"</m:mark></D:prop></D:set></D:propertyupdate>"
    )
    requests = [
        request("PROPPATCH", target, port, len(body), Content_Type="application/xml") + body for target in targets
    ]
    return drive(port, connections, iter(requests), PATIENCE, _patched)


def _patched(response: Response) -> int:
    if response.status != 207 or b" 200 OK" not in response.body:
        raise WrongResponse(f"status {response.status}")
    return 1


class _ResponseCounter:
    """Counts by the end tag that the first answer shows: every server has its own prefix for DAV:."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._end_tag = b""

    def count(self, response: Response) -> int:
        if response.status != 207:
            raise WrongResponse(f"status {response.status}")
        body = response.body
        if not self._end_tag:
            match = _RESPONSE_END.search(body)
            self._end_tag = match[0] if match else b"</D:response>"
        found = body.count(self._end_tag)
        if found != self._expected:
            raise WrongResponse(f"{found} responses in place of {self._expected}")
        return found


# -- one batch


def batch(port: int, items: int, size: int, send_first: bool = False) -> Tally:
    """``items`` files in one POST of multipart/form-data; units are items stored, known when the summary has been read.

    ``send_first``: read nothing before everything has been sent, as simple clients do.
    """
    buffers = form(items, noise(size))
    return _post(port, sum(map(len, buffers)), buffers, items, send_first=send_first)


def batch_large(port: int, size: int) -> Tally:
    """One file of ``size`` bytes, a multiple of 1 MiB, as the only item of a batch."""
    length, buffers = large_form(size, noise(BLOCK))
    return _post(port, length, buffers, 1, send_first=False)


def _post(port: int, length: int, buffers: Iterable[bytes], items: int, *, send_first: bool) -> Tally:
    head = request("POST", "/", port, length, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")
    tally, response = Tally(), Response()
    with _connect(port) as connection:
        start = time.perf_counter()
        sender = threading.Thread(target=_send, args=(connection, head, buffers, tally), daemon=True)
        sender.start()
        if send_first:
            sender.join()
        try:
            while not response.feed(connection.recv(BLOCK)):
                pass
            tally.seconds = time.perf_counter() - start
            _judge_report(response, items, tally)
        except (WrongResponse, OSError) as error:
            tally.wrong[str(error)] += 1
        sender.join(PATIENCE)
    return tally


def _send(connection: socket.socket, head: bytes, buffers: Iterable[bytes], tally: Tally) -> None:
    try:
        connection.sendall(head)
        for buffer in buffers:
            connection.sendall(buffer)
    except OSError as error:
        tally.wrong[f"while sending: {error}"] += 1


def _judge_report(response: Response, items: int, tally: Tally) -> None:
    """Every row must say 201, and the summary must agree."""
    if response.status != 207:
        raise WrongResponse(f"status {response.status}")
    body = response.body
    statuses = Counter(match.decode() for match in _ROW_STATUS.findall(body))
    tally.units = statuses.pop("201", 0)
    tally.wrong.update({f"row {status}": count for status, count in statuses.items()})
    summary = _SUMMARY.search(body)
    if summary is None or summary.groups() != (b"%d" % items, b"%d" % items, b"0", b"complete"):
        tally.wrong["summary " + (summary[0].decode() if summary else "missing")] += 1
    if tally.units != items:
        tally.wrong[f"{tally.units} rows 201 in place of {items}"] += 1


# -- large files


def put_large(port: int, target: str, size: int) -> Tally:
    """PUT of ``size`` bytes, a multiple of 1 MiB; units are bytes."""
    block, head = noise(BLOCK), request("PUT", target, port, size)
    tally, response = Tally(), Response()
    with _connect(port) as connection:
        start = time.perf_counter()
        try:
            connection.sendall(head)
            for _ in range(size // BLOCK):
                connection.sendall(block)
            while not response.feed(connection.recv(BLOCK)):
                pass
            _stored(response)
            tally.units = size
        except (WrongResponse, OSError) as error:
            tally.wrong[str(error)] += 1
        tally.seconds = time.perf_counter() - start
    return tally


def get_large(port: int, target: str, size: int) -> Tally:
    """GET, read and discarded but for its last block; units are bytes."""
    head, buffer, received, end = request("GET", target, port), bytearray(BLOCK), 0, noise(BLOCK)[-64:]
    tally = Tally()
    with _connect(port) as connection:
        start = time.perf_counter()
        connection.sendall(head)
        beginning = b""
        while b"\r\n\r\n" not in beginning:
            data = connection.recv(BLOCK)
            if not data:
                break
            beginning += data
        status, _, rest = beginning.partition(b"\r\n\r\n")
        received, last = len(rest), rest[-64:]
        while received < size and (count := connection.recv_into(buffer)):
            received += count
            last = (last + buffer[max(0, count - 64) : count])[-64:]
        tally.seconds = time.perf_counter() - start
    tally.units = received
    if status[9:12] != b"200":
        tally.wrong[f"status {status[9:12].decode()}"] += 1
    elif received != size or last != end:
        tally.wrong["the file came back different"] += 1
    return tally


JOBS: dict[str, Callable[..., Tally]] = {
    job.__name__: job for job in (puts, propfind, listing, proppatch, batch, batch_large, put_large, get_large)
}


def main() -> int:
    job: dict[str, Any] = json.load(sys.stdin)
    tally = JOBS[job.pop("job")](**job)
    json.dump(
        {"units": tally.units, "seconds": tally.seconds, "first_byte": tally.first_byte, "wrong": dict(tally.wrong)},
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
