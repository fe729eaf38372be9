"""How a server is told to be here, started on a folder, watched, and stopped again."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Seconds until a server must answer, and until it must be gone.
START, _STOP = 30.0, 15.0
#: Seconds that it may take for its first answer.
_FIRST = 10.0


class NotStarted(Exception):
    """The server ended, or did not answer in time; the text is the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: the served ``folder``, an empty ``state`` folder for its own files, its ``port``."""

    folder: Path
    state: Path
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """``durable``: does a success mean that the bytes are on stable storage? ``find_version``: None if not installed.
    ``label`` stands for the server over a column of ratios; without one it has none."""

    name: str
    find_version: Callable[[], str | None]
    command: Callable[[Place], list[str]]
    durable: bool = False
    label: str = ""

    def version(self) -> str | None:
        """None: not installed."""
        return self.find_version()


@dataclass(frozen=True, slots=True)
class Running:
    """A started server; ``pid`` is that of its (first) process, ``started`` the seconds until it answered."""

    port: int
    pid: int
    started: float = 0.0

    def peak_memory(self) -> int:
        """Bytes that were resident at most so far (VmHWM, Linux)."""
        return _status(self.pid, "VmHWM:")

    def memory(self) -> int:
        """Bytes that are resident now (VmRSS, Linux)."""
        return _status(self.pid, "VmRSS:")

    def peaks(self) -> list[int]:
        """``peak_memory`` of every process of the server that is there now."""
        found = []
        for pid in family(self.pid):
            with contextlib.suppress(OSError, StopIteration):
                found.append(_status(pid, "VmHWM:"))
        return found


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name of the program may hold anything, so what follows its last parenthesis is looked at.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpus() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def script(name: str) -> str:
    """A console script of the environment that runs us, else one on the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


@cache
def script_version(program: str, *packages: str) -> str | None:
    """The version of the first package, if all are in our environment; else what the program says of itself."""
    if (Path(sys.executable).parent / program).exists():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return next(importlib.metadata.version(package) for package in packages)
        return None
    return told_version(program, "--version")


@cache
def told_version(program: str, *arguments: str) -> str | None:
    """The first number with dots that a program on the path prints; None if it is not there."""
    if shutil.which(program) is None:
        return None
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=START, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else None


@contextlib.contextmanager
def serving(server: Server, folder: Path) -> Iterator[Running]:
    """``server`` on ``folder``, ready; stopped afterwards whatever happens. Its own files are kept beside the folder."""
    state = folder.with_name(folder.name + "-state")
    state.mkdir(exist_ok=True)
    place = Place(folder, state, _free_port())
    output = state / "output.log"
    environment = os.environ | {"HOME": str(state), "XDG_CONFIG_HOME": str(state), "XDG_CACHE_HOME": str(state)}
    command = server.command(place)
    begun = time.perf_counter()
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=state, env=environment
        )
    try:
        _wait_until_ready(process, place.port, output)
        yield Running(place.port, process.pid, time.perf_counter() - begun)
    finally:
        _stop(process)
        shutil.rmtree(state, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_FIRST) as probe:
            # Some take connections long before they answer.
            probe.sendall(b"OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)
            if probe.recv(65536):
                return
        time.sleep(0.02)
    raise NotStarted("; ".join(output.read_text(errors="replace").strip().splitlines()[-2:]) or "no answer")


def _stop(process: subprocess.Popen[bytes]) -> None:
    everyone = family(process.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    # A first process that had to be killed leaves its children behind.
    if process.returncode == -signal.SIGKILL:
        for pid in everyone[1:]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
