"""A real server killed at random under a mixed load: what was acknowledged is there, the rest is whole or absent."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.forking import Ask, forking
from tests.faults.mixed import Client
from tests.test_workers import alive, children, port_of, until

from partwise.cli import main as partwise

LONG = os.environ.get("PARTWISE_LONG") == "1"
#: By the number of workers.
KILLS = {1: 300, 2: 200} if LONG else {1: 15, 2: 10}
CLIENTS = 4
#: Requests begun and answers read before a kill, at most.
MOST = 120

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")


class Server:
    """All processes of ``partwise serve`` on a folder."""

    def __init__(self, ask: Ask, folder: Path, workers: int) -> None:
        self._ask, self._folder, self._workers = ask, folder, workers

    def start(self) -> int:
        said = self._ask(serve=str(self._folder), more=["--workers", str(self._workers)])
        self._process = said["pid"]
        return port_of(said["says"])

    def kill(self) -> None:
        # Who looks after the workers would start others; and without it they would end well.
        os.kill(self._process, signal.SIGSTOP)
        below = children(self._process)
        for process in (*below, self._process):
            os.kill(process, signal.SIGKILL)
        assert self._ask(end=self._process) == -signal.SIGKILL
        until(lambda: not any(map(alive, below)))

    def stop(self) -> None:
        os.kill(self._process, signal.SIGTERM)
        assert self._ask(end=self._process) == 0


class Moment:
    """Comes when so much has happened, and a little later."""

    def __init__(self, chance: random.Random) -> None:
        self._left, self._pause = chance.randrange(1, MOST), chance.random() * 0.004
        self._come = threading.Event()
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._come.set()

    def wait(self) -> None:
        assert self._come.wait(60)
        end = time.perf_counter() + self._pause
        while time.perf_counter() < end:
            pass


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with forking() as asking:
        yield asking


@pytest.mark.parametrize("workers", KILLS)
def test_killed_under_a_mixed_load(folder: Path, ask: Ask, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("PARTWISE_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    chance = random.Random(seed)
    moment = Moment(chance)
    clients = []
    for number in range(CLIENTS):
        (folder / f"client{number}").mkdir()
        clients.append(Client(f"client{number}", random.Random(chance.random()), lambda: moment.count()))
    server = Server(ask, folder, workers)
    with ThreadPoolExecutor(CLIENTS) as threads:
        for kill in range(KILLS[workers]):
            moment = Moment(chance)
            port = server.start()
            running = [threads.submit(client.run, port) for client in clients]
            moment.wait()
            server.kill()
            for each in running:
                each.result()
            port = server.start()
            for client in clients:
                client.check(port, folder)
            server.stop()
            code = partwise(["check", str(folder)])
            assert code == 0, f"after kill {kill}: {capsys.readouterr().out}"
    assert all(client.done > KILLS[workers] for client in clients), "there was a load"
