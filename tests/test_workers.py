"""Several workers: all serve, the dead are replaced, and nothing is left of them afterwards."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.commands import Run, commands
from tests.cli.test_serve import ENVIRONMENT, refused, served
from tests.harness import BOUNDARY, form_part, multipart

WORKERS = 3

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")


@pytest.fixture(scope="module")
def command() -> Iterator[Run]:
    with commands(ENVIRONMENT) as found:
        yield found


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def alive(pid: int) -> bool:
    """Also False for one that ended and is not waited for: whose parent was killed, that is no business of ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def port_of(url: str) -> int:
    return int(re.findall(r":(\d+)/", url)[0])


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def get(connection: http.client.HTTPConnection, target: str = "/") -> tuple[int, bytes]:
    connection.request("GET", target)
    response = connection.getresponse()
    return response.status, response.read()


def worker_of(connection: http.client.HTTPConnection, workers: set[int]) -> int | None:
    """The process that holds the other end of a connection."""
    here, there = connection.sock.getpeername()[1], connection.sock.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{here:04X}") and fields[2].endswith(f":{there:04X}"):
            name = f"socket:[{fields[9]}]"
            return next((pid for pid in workers if name in descriptors(pid)), None)
    return None


def descriptors(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except FileNotFoundError:  # closed since it was listed
            continue
    return found


@contextmanager
def to_each(port: int, workers: set[int]) -> Iterator[dict[int, http.client.HTTPConnection]]:
    """A connection to each worker, over which it has answered."""
    found: dict[int, http.client.HTTPConnection] = {}

    def look() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        assert get(connection)[0] == 200
        worker = worker_of(connection, workers)
        if worker is None or worker in found:
            connection.close()
        else:
            found[worker] = connection
        return found.keys() == workers

    try:
        until(look)
        yield found
    finally:
        for connection in found.values():
            connection.close()


def test_all_workers_serve_one_folder(folder: Path) -> None:
    """What one worker stored the others have: a batch posted to one of them, its files and its names from another."""
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url):
        workers = children(process.pid)
        assert len(workers) == WORKERS
        with to_each(port_of(url), workers) as connections:
            one, *others = connections.values()
            body = multipart([form_part("a/b", b"alpha"), form_part("c", b"beta")])
            one.request("POST", "/", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
            assert one.getresponse().read().count(b"201 Created") == 2
            for other in others:
                assert get(other, "/a/b") == (200, b"alpha")
                assert get(other, "/c") == (200, b"beta")


def test_a_killed_worker_is_replaced(folder: Path) -> None:
    (folder / "a").write_bytes(b"alpha")
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url):
        before = children(process.pid)
        with to_each(port_of(url), before) as connections:
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            for worker in before - {victim}:
                assert get(connections[worker], "/a") == (200, b"alpha")
        until(lambda: len(children(process.pid) - {victim}) == WORKERS)
        after = children(process.pid)
        assert after > before - {victim}
        assert not exists(victim)
        with to_each(port_of(url), after):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_a_free_port(folder: Path, number: signal.Signals) -> None:
    with served(str(folder), "--port", "0", "--workers", str(WORKERS)) as (process, url):
        workers = children(process.pid)
        with connected(port_of(url)) as idle:
            assert get(idle)[0] == 200
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
    assert not [pid for pid in workers if exists(pid)]
    socket.create_server(("127.0.0.1", port_of(url))).close()


def test_a_stop_lets_a_running_upload_end(folder: Path) -> None:
    with served(str(folder), "--port", "0", "--workers", "2") as (process, url), connected(port_of(url)) as client:
        client.putrequest("PUT", "/a")
        client.putheader("Content-Length", "10")
        client.putheader("Expect", "100-continue")
        client.endheaders(b"")
        # The 100 shows that a worker is at it.
        assert client.sock.recv(4096).startswith(b"HTTP/1.1 100")
        process.terminate()
        until(lambda: refuses(port_of(url)))
        client.send(b"0123456789")
        assert client.getresponse().status == 201
    assert (folder / "a").read_bytes() == b"0123456789"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_workers_end_with_a_killed_supervisor(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "partwise.cli", "serve", str(folder), "--port", "0", "--workers", str(WORKERS)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    port = port_of(process.stdout.readline())
    workers = children(process.pid)
    with connected(port) as client:
        # An upload that never ends would hold its worker for as long as the grace.
        client.putrequest("PUT", "/a")
        client.putheader("Content-Length", "10")
        client.putheader("Expect", "100-continue")
        client.endheaders(b"")
        assert client.sock.recv(4096).startswith(b"HTTP/1.1 100")
        process.kill()
        process.wait(timeout=20)
        until(lambda: not [pid for pid in workers if alive(pid)], seconds=2)
    process.stdout.close()
    with (
        served(str(folder), "--port", str(port), "--workers", str(WORKERS)) as (_, url),
        connected(port_of(url)) as again,
    ):
        assert get(again, "/a")[0] == 404


def test_a_port_that_other_workers_share(folder: Path, command: Run) -> None:
    with served(str(folder), "--port", "0", "--workers", "2") as (_, url):
        port = str(port_of(url))
        assert f"port {port}" in refused(command, "serve", str(folder), "--port", port, "--workers", "2")
        assert f"port {port}" in refused(command, "serve", str(folder), "--port", port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(command, "serve", str(folder), "--port", port, "--workers", "2")


def test_a_folder_that_no_worker_can_serve(folder: Path, command: Run) -> None:
    """Each worker finds out; one line says so."""
    (folder / ".partwise").write_text("a file where the state folder should be")
    assert "the folder cannot be served" in refused(
        command, "serve", str(folder), "--port", "0", "--workers", str(WORKERS)
    )


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
        check=False,
    )


def test_workers_that_die_at_once_are_given_up(folder: Path) -> None:
    script = """
import os, sys
from partwise.cli import main
os.register_at_fork(after_in_child=lambda: os._exit(3))
raise SystemExit(main(["serve", sys.argv[1], "--port", "0", "--workers", "2"]))
"""
    found = run(script, str(folder))
    *deaths, last = found.stderr.splitlines()
    assert (found.returncode, found.stdout) == (1, "")
    assert last == "partwise: the workers die as soon as they start; look into the log above for the reason"
    assert len(deaths) == 5
    assert all("exit code 3" in line for line in deaths)


def test_a_worker_that_does_not_stop_is_killed() -> None:
    script = """
import os, signal
from partwise import workers
def work(number, ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    while True:
        signal.pause()
workers._LATE = 0.2
workers.supervise(
    2, work, grace=0.0, ready=lambda: os.kill(os.getpid(), signal.SIGTERM), stopping=lambda: print("stopping"),
)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child is left")
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.set_wakeup_fd(-1))
"""
    found = run(script)
    assert (found.returncode, found.stdout) == (0, "stopping\nno child is left\nTrue -1\n")
    assert "killed" in found.stderr


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("OSError(13, 'Permission denied', '/secret')", "PermissionError 13 Permission denied"),
        ("OSError('odd')", "ValueError None odd"),
        ("ValueError('of the value')", "ValueError None of the value"),
        ("RuntimeError('a bug')", "WorkersDied None the workers die"),
    ],
)
def test_why_a_worker_cannot_start(raised: str, said: str) -> None:
    """The first to fail says why, in the process that was asked to serve; the others are stopped."""
    script = f"""
import os, signal
from partwise.workers import supervise
def work(number, ready):
    if number == 1:
        raise {raised}
    ready()
    signal.pause()
try:
    supervise(3, work, grace=5.0, ready=lambda: print("ready"), stopping=lambda: None)
except Exception as error:
    print(type(error).__name__, getattr(error, "errno", None), getattr(error, "strerror", None) or error)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child is left")
"""
    found = run(script)
    assert found.stdout.startswith(said)
    assert found.stdout.endswith("no child is left\n")
    assert ("a bug" in found.stderr) == ("a bug" in raised)
