"""The load generator: a process of its own, so that it shares no interpreter with the server or the orchestrator.

``python -m benchmarks.load`` reads one job as JSON from standard input and writes its tally as JSON to standard output.
Everything that is sent is built before the clock starts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.driving import BLOCK, PATIENCE, RESPONSE_END, Plan, Tally, carry_out, connect, drive, noise
from benchmarks.wire import BOUNDARY, Response, WrongResponse, form, large_form, request

_ROW_STATUS = re.compile(rb"<D:response>.*?<D:status>HTTP/1\.1 (\d{3})", re.DOTALL)
_SUMMARY = re.compile(rb'<P:summary items="(\d+)" stored="(\d+)" failed="(\d+)".* state="(\w+)"')
_FOUR = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>"
)


_STORED = (201, 204, 200)


def puts(
    port: int, prefix: str, items: int, size: int, connections: int, seconds: float, driver: str | None = None
) -> Tally:
    """One file per PUT, until all are stored or the time is over."""
    heads = [request("PUT", f"{prefix}{n:06}.bin", port, size) for n in range(items)]
    return carry_out(Plan(port, connections, seconds, _STORED, heads, noise(size)), driver)


def gets(
    port: int, prefix: str, items: int, size: int, connections: int, seconds: float, driver: str | None = None
) -> Tally:
    """Files as :func:`puts` stores them, from the first to the last and again until the time is over."""
    heads = [request("GET", f"{prefix}{n:06}.bin", port) for n in range(items)]
    return carry_out(Plan(port, connections, seconds, (200,), heads, again=True, contents=noise(size)), driver)


def _stored(response: Response) -> int:
    if response.status not in _STORED:
        raise WrongResponse(f"status {response.status}")
    return 1


def propfind(
    port: int,
    targets: list[str],
    depth: str,
    members: int,
    connections: int,
    seconds: float,
    touches: list[str] | None = None,
    driver: str | None = None,
) -> Tally:
    """PROPFIND for four live properties of each target in turn until the time is over; units are D:response elements.

    ``touches``: for each target a file that is changed before it is asked for.
    """
    head = {"Depth": depth, "Content_Type": "application/xml"}
    heads = [request("PROPFIND", target, port, len(_FOUR), **head) for target in targets]
    plan = Plan(
        port,
        connections,
        seconds,
        (207,),
        heads,
        _FOUR,
        touches or (),
        again=True,
        responses=members + 1,
        always=len(targets) > 1,
    )
    return carry_out(plan, driver)


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
    with connect(port) as connection:
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
            match = RESPONSE_END.search(body)
            self._end_tag = match[0] if match else b"</D:response>"
        found = body.count(self._end_tag)
        if found != self._expected:
            raise WrongResponse(f"{found} responses in place of {self._expected}")
        return found


# -- one batch


def batch(port: int, items: int, size: int, posts: int = 1, send_first: bool = False) -> Tally:
    """``items`` files in ``posts`` requests of multipart/form-data at once; units are items stored, known when each summary has
    been read.

    ``send_first``: read nothing before everything has been sent, as simple clients do.
    """
    shares = [range(items)[number::posts] for number in range(posts)]
    first, bodies = 0, []
    for share in shares:
        bodies.append(form(len(share), noise(size), first))
        first += len(share)
    tallies: list[Tally] = [Tally() for _ in bodies]

    def post(number: int) -> None:
        buffers = bodies[number]
        length = sum(map(len, buffers))
        tallies[number] = _post(port, length, buffers, len(shares[number]), start, send_first=send_first)

    start = time.perf_counter()
    threads = [threading.Thread(target=post, args=(number,)) for number in range(posts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = sum((tally.wrong for tally in tallies), Counter[str]())
    return Tally(
        units=sum(tally.units for tally in tallies), seconds=max(tally.seconds for tally in tallies), wrong=wrong
    )


def batch_large(port: int, size: int) -> Tally:
    """One file of ``size`` bytes, a multiple of 1 MiB, as the only item of a batch."""
    length, buffers = large_form(size, noise(BLOCK))
    return _post(port, length, buffers, 1, send_first=False)


def _post(
    port: int, length: int, buffers: Iterable[bytes], items: int, start: float | None = None, *, send_first: bool
) -> Tally:
    """``start``: when the clock began to run, if not with the first byte that is sent."""
    head = request("POST", "/", port, length, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")
    tally, response = Tally(), Response()
    with connect(port) as connection:
        start = time.perf_counter() if start is None else start
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


def put_large(port: int, target: str, size: int, digest: bool = False) -> Tally:
    """PUT of ``size`` bytes, a multiple of 1 MiB; units are bytes.

    ``digest``: with a Repr-Digest (RFC 9530), of which a wrong one must be refused first.
    """
    block, fields = noise(BLOCK), {}
    tally, response = Tally(), Response()
    if digest:
        sha = hashlib.sha256()
        for _ in range(size // BLOCK):
            sha.update(block)
        fields["Repr_Digest"] = f"sha-256=:{base64.b64encode(sha.digest()).decode()}:"
        refused = _one(port, request("PUT", "/refused.bin", port, 1, **fields) + b"x")
        if refused.status < 400:
            tally.wrong["a wrong Repr-Digest was taken"] += 1
    head = request("PUT", target, port, size, **fields)
    with connect(port) as connection:
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


def _one(port: int, whole: bytes) -> Response:
    """The response to one request on a connection of its own. Raises WrongResponse, OSError."""
    response = Response()
    with connect(port) as connection:
        connection.sendall(whole)
        while not response.feed(connection.recv(BLOCK)):
            pass
    return response


def get_large(port: int, target: str, size: int) -> Tally:
    """GET, read and discarded but for its last block; units are bytes."""
    head, buffer, received, end = request("GET", target, port), bytearray(BLOCK), 0, noise(BLOCK)[-64:]
    tally = Tally()
    with connect(port) as connection:
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
    job.__name__: job for job in (puts, gets, propfind, listing, proppatch, batch, batch_large, put_large, get_large)
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
