"""The benchmarks' small programs, compiled once, and a server that answers everything with the same bytes."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import compiled


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what could be compiled; Go's server, which takes seconds, is left out."""
    folder = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_GO_SOURCE", folder)
        compiled.build(folder)
    return folder


@dataclass
class Fake:
    """Sends ``pieces``, one after the other, for each request; ends connections after ``most`` requests."""

    pieces: list[bytes]
    most: int = 1_000_000
    port: int = 0
    asked: list[tuple[bytes, bytes]] = field(default_factory=list)


@pytest.fixture
def answering() -> Iterator[Callable[[Fake], Fake]]:
    """Start a fake; all are ended afterwards."""
    started: list[tuple[socketserver.ThreadingTCPServer, threading.Thread]] = []

    def start(fake: Fake) -> Fake:
        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                for _ in range(fake.most):
                    head = self.rfile.readline()
                    if not head:
                        return
                    length = 0
                    while (line := self.rfile.readline()) != b"\r\n":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.partition(b":")[2])
                    fake.asked.append((head.split()[1], self.rfile.read(length)))
                    for piece in fake.pieces:
                        self.wfile.write(piece)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        fake.port = server.server_address[1]
        return fake

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()
