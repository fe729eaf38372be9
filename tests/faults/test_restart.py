"""Locks and dead properties outlive the server, however it ends, and every worker knows them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.test_serve import ENVIRONMENT
from tests.faults.test_workers_stress import ASK_LOCKS, ASK_MARK, LOCKINFO, MARK
from tests.test_workers import children, exists, port_of, to_each, until
from tests.xml_documents import check_xml

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")

Answer = tuple[int, str | None, bytes]
Ask = Callable[..., Answer]


def ask_over(connection: http.client.HTTPConnection) -> Ask:
    """Status, lock token and body of what a request over this connection is answered."""

    def ask(method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        connection.request(method, target, body or None, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers.get("Lock-Token"), response.read()

    return ask


@contextmanager
def started(folder: Path, workers: int, stop: signal.Signals) -> Iterator[Ask]:
    """A server, ended by ``stop``: by SIGKILL all its processes are killed."""
    arguments = [sys.executable, "-m", "partwise.cli", "serve", folder, "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    with process.stdout as printed:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(printed.readline()), timeout=20)
        try:
            yield ask_over(connection)
        finally:
            connection.close()
            below = children(process.pid)
            process.send_signal(stop)
            if stop is signal.SIGKILL:
                for worker in below:
                    os.kill(worker, stop)
            process.wait(timeout=30)
            # Orphans are waited for by somebody else: until then they are there, but hold nothing.
            until(lambda: all(not exists(worker) or _is_dead(worker) for worker in below))
    assert process.returncode == (0 if stop is signal.SIGTERM else -stop)


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def mark(ask: Ask, target: str) -> str | None:
    status, _, body = ask("PROPFIND", target, ASK_MARK, Depth="0")
    assert status == 207
    return check_xml(body).findtext(".//{urn:marks}mark") or None


def locks(ask: Ask, target: str) -> list[str | None]:
    """The tokens that a resource shows."""
    status, _, body = ask("PROPFIND", target, ASK_LOCKS, Depth="0")
    assert status == 207
    return [found.findtext("{DAV:}href") for found in check_xml(body).iter("{DAV:}locktoken")]


@pytest.mark.parametrize(("workers", "stop"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGTERM)])
def test_locks_and_properties_outlive_the_server(folder: Path, workers: int, stop: signal.Signals) -> None:
    with started(folder, workers, stop) as ask:
        assert ask("MKCOL", "/c")[0] == 201
        for name in ("/a", "/c/copied", "/moved"):
            assert ask("PUT", name, name.encode())[0] == 201
            assert ask("PROPPATCH", name, MARK.format(name).encode())[0] == 207
        assert ask("COPY", "/c", Destination="/d")[0] == 201
        assert ask("MOVE", "/moved", Destination="/c/moved")[0] == 201
        status, token, _ = ask("LOCK", "/a", LOCKINFO, Timeout="Second-600")
        assert status == 200 and token is not None
    with started(folder, workers, signal.SIGTERM) as ask:
        assert locks(ask, "/a") == [token.strip("<>")]
        assert ask("PUT", "/a", b"without the token")[0] == 423
        assert ask("PUT", "/a", b"with the token", If=f"({token})")[0] == 204
        assert {name: mark(ask, name) for name in ("/a", "/c/copied", "/d/copied", "/c/moved")} == {
            "/a": "/a",
            "/c/copied": "/c/copied",
            "/d/copied": "/c/copied",
            "/c/moved": "/moved",
        }
        # A new owner of the name that was left inherits nothing.
        assert ask("PUT", "/moved", b"new")[0] == 201
        assert mark(ask, "/moved") is None
        assert ask("UNLOCK", "/a", Lock_Token=token)[0] == 204
        assert locks(ask, "/a") == []


def test_a_lock_ends_at_its_hour_also_across_a_restart(folder: Path) -> None:
    with started(folder, 1, signal.SIGKILL) as ask:
        assert ask("PUT", "/a", b"a")[0] == 201
        begun = time.time()
        assert ask("LOCK", "/a", LOCKINFO, Timeout="Second-2")[0] == 200
        assert ask("LOCK", "/b", LOCKINFO, Timeout="Second-600")[0] == 201
    with started(folder, 1, signal.SIGTERM) as ask:
        until(lambda: ask("PUT", "/a", b"b")[0] == 204)
        # Not at once because the server ended, and not two seconds after the new start: when it was promised.
        assert time.time() - begun >= 2
        assert locks(ask, "/a") == []
        assert ask("PUT", "/b", b"b")[0] == 423


def test_what_one_worker_locks_and_marks_another_knows(folder: Path) -> None:
    arguments = [sys.executable, "-m", "partwise.cli", "serve", folder, "--port", "0", "--workers", "2"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    try:
        with process.stdout as printed, to_each(port_of(printed.readline()), children(process.pid)) as connections:
            one, other = map(ask_over, connections.values())
            assert one("PUT", "/a", b"a")[0] == 201
            # The other has looked already, so what it keeps in memory must be found out of date.
            assert locks(other, "/a") == [] and mark(other, "/a") is None
            for ask, asked in ((one, other), (other, one)):
                status, token, _ = ask("LOCK", "/a", LOCKINFO, Timeout="Second-600")
                assert status == 200 and token is not None
                assert locks(asked, "/a") == [token.strip("<>")]
                assert asked("PUT", "/a", b"b")[0] == 423
                assert asked("PROPPATCH", "/a", MARK.format(token.strip("<>")).encode(), If=f"({token})")[0] == 207
                assert mark(ask, "/a") == token.strip("<>")
                assert asked("UNLOCK", "/a", Lock_Token=token)[0] == 204
                assert ask("PUT", "/a", b"c")[0] == 204
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
