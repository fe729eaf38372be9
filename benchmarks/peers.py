"""The servers that are compared: how to tell whether one is here, to start it on a folder, and to stop it again.

A new peer is one more ``Server`` in ``PEERS``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

#: Seconds until a server must answer, and until it must be gone.
_START, _STOP = 30.0, 15.0


class NotStarted(Exception):
    """The server ended, or took no connection in time; the text is the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: the served ``folder``, an empty ``state`` folder for its own files, its ``port``."""

    folder: Path
    state: Path
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """``durable``: does a success mean that the bytes are on stable storage? ``packages``: all must be installed; the
    version shown is that of the first. For a program that is no Python package give ``find_version`` instead."""

    name: str
    packages: tuple[str, ...]
    command: Callable[[Place], list[str]]
    durable: bool = False
    find_version: Callable[[], str | None] | None = None

    def version(self) -> str | None:
        """None: not installed."""
        if self.find_version is not None:
            return self.find_version()
        try:
            versions = [importlib.metadata.version(package) for package in self.packages]
        except importlib.metadata.PackageNotFoundError:
            return None
        return versions[0]


@dataclass(frozen=True, slots=True)
class Running:
    """A started server; ``pid`` is that of its (first) process."""

    port: int
    pid: int

    def peak_memory(self) -> int:
        """Bytes that were resident at most so far (VmHWM, Linux)."""
        return self._status("VmHWM:")

    def memory(self) -> int:
        """Bytes that are resident now (VmRSS, Linux)."""
        return self._status("VmRSS:")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024


def script(name: str) -> str:
    """A console script of the environment that runs us, else one on the path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def _partwise(place: Place) -> list[str]:
    return [sys.executable, "-m", "partwise.cli", "serve", str(place.folder), "--port", str(place.port)]


def _asgi_webdav(place: Place) -> list[str]:
    config = {
        "anonymous": {"enable": True},
        "provider_mapping": [{"prefix": "/", "uri": f"file://{place.folder}"}],
        "logging": {"enable": False},
    }
    file = place.state / "asgi-webdav.json"
    file.write_text(json.dumps(config))
    return [script("asgi-webdav"), "--host", "127.0.0.1", "--port", str(place.port), "--config", str(file)]


def _wsgidav(place: Place) -> list[str]:
    command = [script("wsgidav"), "--no-config", "--auth", "anonymous", "--server", "cheroot", "-q"]
    return [*command, "--root", str(place.folder), "--host", "127.0.0.1", "--port", str(place.port)]


def _copyparty(place: Place) -> list[str]:
    command = [
        script("copyparty"),
        "-q",
        "--http-only",
        "--no-crt",
        "--no-thumb",
        "--wram",
        "--hist",
        str(place.state / "hist"),
    ]
    return [*command, "-i", "127.0.0.1", "-p", str(place.port), "-v", f"{place.folder}::A"]


#: Where distributions keep Apache's program and its modules.
_APACHE_PROGRAMS = ("apache2", "httpd", "/usr/sbin/apache2", "/usr/sbin/httpd")
_APACHE_MODULES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
_APACHE = """\
ServerRoot {state}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {state}/pid
ErrorLog {state}/output.log
LogLevel error
Mutex file:{state} default
{modules}
{user}
DocumentRoot {folder}
DavLockDB {state}/locks/db
<Directory {folder}>
    Dav On
    AllowOverride None
    Require all granted
</Directory>
"""


def _apache_program() -> str | None:
    return next(filter(None, map(shutil.which, _APACHE_PROGRAMS)), None)


def _apache_module(name: str) -> Path | None:
    """None: it is not installed, or it is part of the program."""
    files = (Path(folder) / f"mod_{name}.so" for folder in _APACHE_MODULES)
    return next(filter(Path.is_file, files), None)


def _apache_version() -> str | None:
    program = _apache_program()
    if program is None or _apache_module("dav_fs") is None:
        return None
    told = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=_START).stdout
    return next((word.partition("/")[2] for word in told.split() if word.startswith("Apache/")), None)


def _apache(place: Place) -> list[str]:
    names = ("mpm_event", "unixd", "authz_core", "dav", "dav_fs")
    found = {name: file for name in names if (file := _apache_module(name)) is not None}
    locks = place.state / "locks"
    locks.mkdir()
    user = ""
    if os.geteuid() == 0:
        # Apache gives root away, and then needs a folder that it may write to.
        them = next(entry for entry in pwd.getpwall() if entry.pw_name in ("www-data", "apache", "nobody"))
        user = f"User {them.pw_name}\nGroup #{them.pw_gid}"
        for folder in (place.folder, place.state, locks):
            os.chown(folder, them.pw_uid, them.pw_gid)
        place.folder.parent.chmod(0o711)
    modules = "\n".join(f"LoadModule {name}_module {file}" for name, file in found.items())
    config = place.state / "apache.conf"
    config.write_text(_APACHE.format(**asdict(place), modules=modules, user=user))
    return [_apache_program() or "apache2", "-f", str(config), "-DFOREGROUND"]


PARTWISE = Server("partwise", ("partwise",), _partwise, durable=True)
PEERS = (
    Server("ASGIWebDAV", ("ASGIWebDAV", "uvicorn"), _asgi_webdav),
    Server("WsgiDAV", ("WsgiDAV", "cheroot"), _wsgidav),
    Server("copyparty", ("copyparty",), _copyparty),
)
#: Not among the peers of every workload, which are servers in Python.
APACHE = Server("Apache mod_dav", (), _apache, find_version=_apache_version)


@contextlib.contextmanager
def serving(server: Server, folder: Path) -> Iterator[Running]:
    """``server`` on ``folder``, ready; stopped afterwards whatever happens. Its own files are kept beside the folder."""
    state = folder.with_name(folder.name + "-state")
    state.mkdir(exist_ok=True)
    place = Place(folder, state, _free_port())
    output = state / "output.log"
    environment = os.environ | {"HOME": str(state), "XDG_CONFIG_HOME": str(state)}
    with output.open("wb") as log:
        process = subprocess.Popen(
            server.command(place), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=state, env=environment
        )
    try:
        _wait_until_ready(process, place.port, output)
        yield Running(place.port, process.pid)
    finally:
        _stop(process)
        shutil.rmtree(state, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise NotStarted("; ".join(output.read_text(errors="replace").strip().splitlines()[-2:]) or "no connection")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
