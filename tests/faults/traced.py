"""A server that runs under strace, and clients that note what they were told."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import cache
from pathlib import Path

import pytest
from tests.faults.acknowledgements import Told
from tests.faults.disk_nodes import COLLECTION, Standing
from tests.faults.tracing import STRACE
from tests.harness import BOUNDARY, form_part, multipart

_SERVE = "import os, sys; from partwise.cli import main; sys.exit(main())"
#: As on a file system without nameless files.
_SERVE_NAMED = f"import os; del os.O_TMPFILE; {_SERVE}"
_ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2] / "server")}


@cache
def _refusal() -> str | None:
    """Why nothing can be traced here."""
    tried = subprocess.run([*STRACE, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or f"exit code {tried.returncode}" if tried.returncode else None


def require_tracing() -> None:
    """Skips the test where the system lets nobody trace; in CI it fails."""
    refusal = _refusal()
    if refusal is not None:
        said = f"strace may not trace here (containers need the capability SYS_PTRACE): {refusal}"
        if os.environ.get("CI"):
            pytest.fail(said, pytrace=False)
        pytest.skip(said)


@contextmanager
def traced(trace: Path, *arguments: str, named_files: bool = False) -> Iterator[int]:
    """``partwise serve`` with these arguments; gives its port. Afterwards ``trace`` is complete."""
    require_tracing()
    code = _SERVE_NAMED if named_files else _SERVE
    serve = [sys.executable, "-c", code, "serve", *arguments, "--port", "0", "--early", "always"]
    with subprocess.Popen(
        [*STRACE, "-o", str(trace), *serve],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    ) as strace:
        assert strace.stdout is not None and strace.stderr is not None
        found = re.search(r":(\d+)/", strace.stdout.readline())
        try:
            assert found is not None, strace.stderr.read()
            yield int(found[1])
        finally:
            if strace.poll() is None:
                # strace itself waits for its child.
                [server] = Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
                os.kill(int(server), signal.SIGTERM)
            _, errors = strace.communicate(timeout=30)
    assert strace.returncode == 0, errors


def content(name: str, size: int) -> bytes:
    """Bytes that no other name has."""
    seed = hashlib.sha256(name.encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


def property_update(text: str) -> bytes:
    return (
        '<D:propertyupdate xmlns:D="DAV:" xmlns:m="urn:marks"><D:set><D:prop>'
        f"<m:mark>{text}</m:mark></D:prop></D:set></D:propertyupdate>"
    ).encode()


def lock_info(owner: str) -> bytes:
    return (
        '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>'
        f"<D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


@dataclass
class Client:
    """Each request has a connection of its own, so that the trace shows which answer is whose."""

    port: int
    told: list[Told] = field(default_factory=list)

    def ask(
        self,
        method: str,
        name: str,
        body: bytes = b"",
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        **said: object,
    ) -> Message:
        """What is ``said`` in the words of :class:`Told` is promised by an answer with this status. Gives its headers."""
        port, found, fields, _ = self._send(method, f"/{name}", body, headers or {})
        assert found == status, (method, name)
        self.told.append(Told(f"{method} /{name}", port, f"HTTP/1.1 {status}".encode(), **said))  # type: ignore[arg-type]
        return fields

    def put(self, name: str, size: int, *, status: int = 201) -> None:
        data = content(name, size)
        self.ask("PUT", name, data, status=status, holds={name: data})

    def batch(
        self,
        kind: str,
        body: bytes,
        rows: Mapping[str, Mapping[str, Standing]],
        query: str = "",
        recorded: Mapping[str, str | None] | None = None,
    ) -> None:
        """A batch for the root. What each row promises, by its href; and what is ``recorded`` of that name."""
        port, status, _, answer = self._send("POST", f"/{query}", body, {"Content-Type": kind})
        assert status == 207, answer
        assert answer.count(b"<D:status>HTTP/1.1 20") == len(rows), answer
        for name, holds in rows.items():
            begins = f"<D:href>/{name}</D:href><D:status>HTTP/1.1 20".encode()
            assert begins in answer, answer.decode()
            texts = {each: text for each, text in (recorded or {}).items() if each == name}
            self.told.append(Told(f"the row of /{name}", port, begins, holds, recorded=texts))

    def form(self, sizes: Mapping[str, int], query: str = "") -> None:
        """A batch of files in collections that are there or are made."""
        parts = [form_part(name, content(name, size)) for name, size in sizes.items()]
        rows = {name: {name: content(name, size)} | _above(name) for name, size in sizes.items()}
        self.batch(f"multipart/form-data; boundary={BOUNDARY}", multipart(parts), rows, query)

    def tar(self, collection: str, sizes: Mapping[str, int]) -> None:
        """A batch of a new collection, which is a row of its own, with files."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            above = tarfile.TarInfo(collection)
            above.type, above.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(above)
            for name, size in sizes.items():
                member = tarfile.TarInfo(name)
                member.size = size
                archive.addfile(member, io.BytesIO(content(name, size)))
        rows: dict[str, Mapping[str, Standing]] = {f"{collection}/": _above(f"{collection}/x")}
        rows |= {name: {name: content(name, size)} | _above(name) for name, size in sizes.items()}
        self.batch("application/x-tar", packed.getvalue(), rows)

    def _send(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, int, Message, bytes]:
        """The port of this end, and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, dict(headers))
            port: int = connection.sock.getsockname()[1]
            response = connection.getresponse()
            return port, response.status, response.headers, response.read()
        finally:
            connection.close()


def _above(name: str) -> dict[str, Standing]:
    """The collections that a name lies in."""
    parts = name.split("/")[:-1]
    return {"/".join(parts[: length + 1]): COLLECTION for length in range(len(parts))}
