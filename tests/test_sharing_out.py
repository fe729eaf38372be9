"""Several workers share connections out fairly: evenly, away from a batch, and not to the dead."""

from __future__ import annotations

import http.client
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.cli.test_serve import served
from tests.harness import BOUNDARY
from tests.test_workers import alive, children, connected, descriptors, get, port_of, until, worker_of

WORKERS = 3

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")


@contextmanager
def opened(port: int, count: int) -> Iterator[list[http.client.HTTPConnection]]:
    """Connections that are open before the first of them has asked something."""
    with ExitStack() as stack:
        found = [stack.enter_context(connected(port)) for _ in range(count)]
        for connection in found:
            connection.connect()
        yield found


def spread(connections: list[http.client.HTTPConnection], workers: set[int]) -> Counter[int | None]:
    for connection in connections:
        assert get(connection)[0] == 200
    return Counter(dict.fromkeys(workers, 0)) + Counter(worker_of(each, workers) for each in connections)


def begin_batch(client: http.client.HTTPConnection) -> None:
    client.putrequest("POST", "/")
    client.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    client.putheader("Transfer-Encoding", "chunked")
    client.putheader("Expect", "100-continue")
    client.endheaders(b"")
    # The 100 shows that a worker is at it.
    assert client.sock.recv(4096).startswith(b"HTTP/1.1 100")


def test_one_after_the_other(folder: Path) -> None:
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url), ExitStack() as stack:
        workers = children(process.pid)
        count: Counter[int | None] = Counter(dict.fromkeys(workers, 0))
        for _ in range(4 * WORKERS):
            connection = stack.enter_context(connected(port_of(url)))
            assert get(connection)[0] == 200
            count[worker_of(connection, workers)] += 1
            assert max(count.values()) - min(count.values()) <= 1
        assert count.keys() == workers


def test_two_at_once_never_meet(folder: Path) -> None:
    with served(str(folder), "--port", "0", "--workers", "2") as (process, url), ExitStack() as stack:
        workers = children(process.pid)
        for _ in range(20):
            pair = stack.enter_context(opened(port_of(url), 2))
            assert spread(pair, workers) == Counter(dict.fromkeys(workers, 1))


def test_away_from_a_batch(folder: Path) -> None:
    with served(str(folder), "--port", "0", "--workers", "2") as (process, url), connected(port_of(url)) as client:
        workers = children(process.pid)
        begin_batch(client)
        batch = worker_of(client, workers)
        with opened(port_of(url), 1) as others:
            assert spread(others, workers) == Counter({worker: 1 for worker in workers if worker != batch})


def test_nobody_is_lost_with_the_dead(folder: Path) -> None:
    """Whoever connects while a worker is dead is served, by the others or by its successor, and so is who comes later."""
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url):
        before = children(process.pid)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not alive(victim))
        with opened(port_of(url), 30) as connections:
            for connection in connections:
                assert get(connection)[0] == 200
        until(lambda: len(children(process.pid) - {victim}) == WORKERS)
        after = children(process.pid)
        [successor] = after - before
        with ExitStack() as stack:
            found: set[int | None] = set()

            def look() -> bool:
                connection = stack.enter_context(connected(port_of(url)))
                assert get(connection)[0] == 200
                found.add(worker_of(connection, after))
                return successor in found

            until(look)


def test_no_descriptor_is_left_behind(folder: Path) -> None:
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url):
        workers = children(process.pid)

        def sockets() -> dict[int, int]:
            return {worker: sum(name.startswith("socket:") for name in descriptors(worker)) for worker in workers}

        before = sockets()
        for _ in range(3):
            with opened(port_of(url), 20) as connections:
                spread(connections, workers)
        until(lambda: sockets() == before)


def test_batches_that_begin_at_once_are_spread(folder: Path) -> None:
    """Each is running when the next but one comes."""
    with served(str(folder), "--port", "0", "--workers", "2") as (process, url), ExitStack() as stack:
        workers = children(process.pid)
        for _ in range(5):
            batches = stack.enter_context(opened(port_of(url), 2))
            for client in batches:
                begin_batch(client)
            assert Counter(worker_of(each, workers) for each in batches) == Counter(dict.fromkeys(workers, 1))
