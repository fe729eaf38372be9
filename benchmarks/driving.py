"""Many requests of one kind over kept-alive connections: what the load generator does most of the time.

``drive.c`` does the same as the Python here, and takes less of the machine that it shares with the server.
"""

from __future__ import annotations

import os
import random
import re
import selectors
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from benchmarks.wire import Response, WrongResponse

#: Bytes asked of a socket at once, and sent at once.
BLOCK = 1024 * 1024
#: Seconds without a byte from the server after which it counts as hung.
PATIENCE = 60.0
#: Seconds that a server has to take the connections before the clock starts.
_SETTLE = 0.05

RESPONSE_END = re.compile(rb"</(?:[\w.-]+:)?response>")


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


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# -- many requests over kept-alive connections


@dataclass(slots=True)
class _Line:
    """A connection, what was asked there last, the response it waits for, and whether there was one before."""

    connection: socket.socket
    asked: bytes
    response: Response = field(default_factory=Response)
    used: bool = False


def drive(
    port: int, connections: int, requests: Iterator[bytes], seconds: float, units: Callable[[Response], int]
) -> Tally:
    """Keep every connection busy with one request at a time until there are no more, or the time is over.

    ``units`` says what a response is worth; it raises WrongResponse for one that is not good.
    """
    tally = Tally()
    with selectors.DefaultSelector() as selector:
        # In this order: the other way round one request would be taken and never sent.
        lines = [_Line(connect(port), first) for _, first in zip(range(connections), requests, strict=False)]
        # Some servers take connections slowly, which is not what is measured.
        time.sleep(_SETTLE)
        start = last = time.perf_counter()
        for line in lines:
            line.connection.sendall(line.asked)
            selector.register(line.connection, selectors.EVENT_READ, line)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                tally.wrong["no answer"] += len(selector.get_map())
                break
            for key, _ in ready:
                line = key.data
                done = _receive(line, units, tally)
                tally.first_byte = tally.first_byte or time.perf_counter() - start
                if done is None:
                    _go_on(selector, line, port, line.asked)
                elif done:
                    last = time.perf_counter()
                    _go_on(selector, line, port, None if last - start > seconds else next(requests, None))
        for key in list(selector.get_map().values()):
            key.data.connection.close()
    tally.seconds = last - start
    return tally


def _receive(line: _Line, units: Callable[[Response], int], tally: Tally) -> bool | None:
    """Has the response been counted, good or wrong? None: the server has ended an idle connection (RFC 9112 §9.3.1)."""
    try:
        data = line.connection.recv(BLOCK)
        if not data and line.used and line.response.untouched:
            line.response.closes = True
            return None
        if not line.response.feed(data):
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
        line.connection, line.used = connect(port), False
        selector.register(line.connection, selectors.EVENT_READ, line)
    else:
        line.used = True
    line.response, line.asked = Response(), following
    line.connection.sendall(following)


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests of one kind. Each of ``heads`` is followed by ``body``.

    ``touches``: for each head a file whose first byte is written anew before the request is sent; may be empty.
    ``again``: begin again after the last one until the time is over. ``responses``: the end tags of DAV: response that
    an answer must hold, each of which is a unit; without it each answer is one. ``always``: count them in every answer;
    else in the first of a connection, whose length the others must have. ``contents``: what each body must be: the
    first of a connection is compared, of the others the length.
    """

    port: int
    connections: int
    seconds: float
    statuses: tuple[int, ...]
    heads: Sequence[bytes]
    body: bytes = b""
    touches: Sequence[str] = ()
    again: bool = False
    responses: int | None = None
    always: bool = False
    contents: bytes | None = None


def carry_out(plan: Plan, driver: str | None = None) -> Tally:
    """``driver``: the compiled program of ``drive.c``; without it Python does the same, and takes more of the machine."""
    if driver is not None:
        return _carried_out(plan, driver)
    return drive(plan.port, plan.connections, _requests(plan), plan.seconds, _Judge(plan).units)


def _requests(plan: Plan) -> Iterator[bytes]:
    while True:
        for head, touched in zip_longest(plan.heads, plan.touches):
            if touched is not None:
                with open(touched, "r+b", buffering=0) as file:
                    file.write(b"p")
            yield head + plan.body
        if not plan.again:
            return


class _Judge:
    """What an answer is worth. Raises WrongResponse for one that is not good."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: int | None = None

    def units(self, response: Response) -> int:
        plan = self._plan
        if response.status not in plan.statuses:
            raise WrongResponse(f"status {response.status}")
        if plan.responses is None:
            if plan.contents is not None and response.body != plan.contents:
                raise WrongResponse("another body")
            return 1
        if self._known is not None and not plan.always:
            if response.received != self._known:
                raise WrongResponse("an answer of another length")
            return plan.responses
        found = len(RESPONSE_END.findall(response.body))
        if found != plan.responses:
            raise WrongResponse(f"{found} responses in place of {plan.responses}")
        self._known = response.received
        return found


def _carried_out(plan: Plan, driver: str) -> Tally:
    expected = plan.contents or b""
    first, second, third, *_ = (*plan.statuses, 0, 0)
    numbers = (
        plan.port,
        plan.connections,
        plan.seconds,
        int(plan.again),
        *(first, second, third),
        -1 if plan.responses is None else plan.responses,
        int(plan.always),
        -1 if plan.contents is None else len(expected),
        len(plan.heads),
        len(plan.body),
        len(expected),
    )
    pieces = [" ".join(map(str, numbers)).encode() + b"\n", plan.body, expected]
    for head, touched in zip_longest(plan.heads, map(os.fsencode, plan.touches), fillvalue=b""):
        pieces += [struct.pack("<II", len(head), len(touched)), head, touched]
    done = subprocess.run([driver], input=b"".join(pieces), capture_output=True, check=False)
    tally = Tally()
    if done.returncode != 0:
        tally.wrong[done.stderr.decode(errors="replace").strip() or "the load generator failed"] += 1
        return tally
    for line in done.stdout.decode().splitlines():
        what, figure, *text = line.split(" ", 2)
        if what == "wrong":
            tally.wrong[text[0]] += int(figure)
        elif what == "units":
            tally.units = int(figure)
        elif what == "seconds":
            tally.seconds = float(figure)
        else:
            tally.first_byte = float(figure)
    return tally
