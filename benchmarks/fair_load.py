"""Load for the question whether slow clients are felt by everybody else.

``python -m benchmarks.fair_load`` reads one job as a line of JSON from standard input and works until that ends, or the time
of the job is over; what it has found is the last line of standard output, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.driving import BLOCK, PATIENCE, noise
from benchmarks.wire import Response, request

#: Seconds between two bytes of a slow client.
_PAUSE = 1.0
#: Bytes that a slow client promises.
_NEVER = 1_000_000


def latency(stopped: threading.Event, port: int, method: str, target: str, size: int, seconds: float) -> dict[str, Any]:
    """One request after the other over one connection: their latencies in milliseconds. PUTs have a new name each."""
    contents, found, wrong = noise(size), list[float](), 0
    until = time.perf_counter() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stopped.is_set() and (start := time.perf_counter()) < until:
            if method == "PUT":
                data = request("PUT", f"{target}{len(found):06}", port, size) + contents
            else:
                data = request(method, target, port)
            response = Response()
            connection.sendall(data)
            while not response.feed(connection.recv(BLOCK)):
                pass
            found.append((time.perf_counter() - start) * 1000)
            wrong += response.status not in (200, 201)
    found.sort()
    middle, last = len(found) // 2, len(found) * 99 // 100
    return {
        "count": len(found),
        "wrong": wrong,
        "median": found[middle] if found else 0.0,
        "p99": found[last] if found else 0.0,
    }


def crowd(stopped: threading.Event, port: int, idle: int, slow: int, large: str, seconds: float) -> dict[str, Any]:
    """``idle`` connections that say nothing; ``slow`` ones, a third each: a byte of a head a second, a byte of a body a
    second, readers of ``large`` that read nothing. What the server ends is begun anew."""
    beginnings = (
        b"GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: ",
        request("PUT", "/slow", port, _NEVER),
        request("GET", large, port),
    )
    kinds: list[int | None] = [None] * idle + [number % 3 for number in range(slow)]
    connections = [_begin(port, kind, beginnings) for kind in kinds]
    print("ready", flush=True)
    begun_anew, until = 0, time.monotonic() + seconds
    while not stopped.wait(_PAUSE) and time.monotonic() < until:
        for number, kind in enumerate(kinds):
            if not _alive(connections[number], kind):
                connections[number].close()
                connections[number] = _begin(port, kind, beginnings)
                begun_anew += 1
    for connection in connections:
        connection.close()
    return {"begun_anew": begun_anew}


def _begin(port: int, kind: int | None, beginnings: tuple[bytes, ...]) -> socket.socket:
    connection = socket.socket()
    if kind == 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", port))
    if kind is not None:
        connection.sendall(beginnings[kind])
    connection.setblocking(False)
    return connection


def _alive(connection: socket.socket, kind: int | None) -> bool:
    """Send another byte, where that is what it does. A reader reads nothing, and sees only that it was reset."""
    try:
        if kind in (0, 1):
            connection.send(b"x")
        return kind == 2 or connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"latency": latency, "crowd": crowd}


def main() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    stopped = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(json.dumps(JOBS[job.pop("job")](stopped, **job)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
