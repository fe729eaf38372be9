"""The command line: a URL when it can serve, one clear line and exit code 2 when it cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.commands import Run, commands

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2] / "server")}


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with commands(ENVIRONMENT) as found:
        yield found


def refused(run: Run, *arguments: str) -> str:
    """The line with which a start is refused."""
    code, output, errors = run(arguments, {})
    assert (code, output) == (2, "")
    [line] = errors.splitlines()
    assert "Traceback" not in line
    return line


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and the URL it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "partwise.cli", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, re.findall(r"https?://\S+", line)[0]
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["serve"], "DIRECTORY"),
        (["frobnicate"], "frobnicate"),
        (["serve", "FOLDER", "--frobnicate"], "--frobnicate"),
        (["serve", "FOLDER", "--port", "x"], "--port"),
        (["serve", "FOLDER", "--port", "70000"], "port"),
        (["serve", "FOLDER", "--early", "sometimes"], "--early"),
        (["serve", "FOLDER", "--prefix", "files"], "prefix"),
        (["serve", "FOLDER", "--public-url", "files.example.org"], "public_url"),
        (["serve", "FOLDER", "--accept", "image"], "image"),
        (["serve", "FOLDER", "--max-item-size", "0"], "max_item_size"),
        (["serve", "FOLDER", "--max-connections", "0"], "max_connections"),
        (["serve", "FOLDER", "--max-staging", "much"], "--max-staging"),
        (["serve", "FOLDER/none"], "does not exist"),
        (["serve", "FOLDER/file"], "is not a folder"),
        (["serve", ""], "empty"),
        (["serve", "FOLDER", "--host", "0.0.0.0"], "--anonymous"),
        (["serve", "FOLDER", "--host", "0.0.0.0"], "--htpasswd"),
        (["serve", "FOLDER", "--htpasswd", "FOLDER/none"], "password file"),
        (["serve", "FOLDER", "--htpasswd", "FOLDER"], "password file"),
        (["serve", "FOLDER", "--read-only", "alice"], "read_only"),
        (["serve", "FOLDER", "--workers", "0"], "workers"),
        (["serve", "FOLDER", "--workers", "many"], "--workers"),
        (["serve", "FOLDER", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "x"], "trusted_proxies"),
        (["serve", "FOLDER", "--quota", "/alice"], "PATH=BYTES"),
        (["serve", "FOLDER", "--quota", "/alice=1k"], "quota./alice"),
        (["serve", "FOLDER", "--quota", "alice=1"], "such as /alice"),
        (["serve", "FOLDER", "--apple-files", "hide"], "--apple-files"),
        (["serve", "FOLDER", "--host", "300.1.1.1", "--anonymous", "read"], "cannot listen on 300.1.1.1"),
        (["serve", "FOLDER", "--host", ""], "host"),
        (["serve", "FOLDER", "--service-prefix", "a/b"], "service_prefix"),
        (["serve", "FOLDER", "--service-prefix", ".."], "service_prefix"),
        (["serve", "FOLDER", "--schemas", "FOLDER/file"], "schema folder"),
        (["serve", "FOLDER", "--schemas", "FOLDER/empty"], "no .xsd"),
        (["serve", "FOLDER", "--config", "FOLDER"], "cannot be read"),
        (["serve", "FOLDER", "--schemas", "FOLDER/none"], "schema folder"),
        (["serve", "FOLDER", "--schemas", "FOLDER/schemas"], "bad.xsd"),
        (["serve", "FOLDER", "--config", "FOLDER/none.toml"], "none.toml"),
        (["serve", "FOLDER", "--config", "FOLDER/bad.toml"], "bad.toml"),
        (["serve", "FOLDER", "--config", "FOLDER/unknown.toml"], "frobnicate"),
    ],
)
def test_refused(folder: Path, run: Run, arguments: list[str], said: str) -> None:
    (folder / "file").write_bytes(b"")
    (folder / "schemas").mkdir()
    (folder / "schemas" / "bad.xsd").write_text("<schema/>")
    (folder / "empty").mkdir()
    (folder / "bad.toml").write_text("port = ")
    (folder / "unknown.toml").write_text("frobnicate = 1")
    assert said in refused(run, *[argument.replace("FOLDER", str(folder)) for argument in arguments])


def test_a_folder_that_is_not_writable(folder: Path, run: Run) -> None:
    folder.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):  # root may write anyway; then nobody can try it
            (folder / ".partwise").write_text("a file where the state folder should be")
            assert "cannot be served" in refused(run, "serve", str(folder))
        else:
            assert "not writable" in refused(run, "serve", str(folder))
    finally:
        folder.chmod(0o755)


def test_a_misspelled_variable(folder: Path, run: Run) -> None:
    code, output, errors = run(["serve", str(folder), "--port", "0"], {"PARTWISE_MAX_CONECTIONS": "100"})
    assert (code, output) == (2, "")
    assert errors.startswith("partwise: ") and "is PARTWISE_MAX_CONNECTIONS meant?" in errors


def test_a_port_in_use(folder: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in refused(run, "serve", str(folder), "--port", str(port))


def test_the_reserved_name(folder: Path, run: Run) -> None:
    (folder / "-").mkdir()
    assert "--service-prefix" in refused(run, "serve", str(folder), "--port", "0")


def test_the_command_itself() -> None:
    """As it is started, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "partwise.cli", "serve"], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert (found.returncode, found.stdout) == (2, "") and "DIRECTORY" in found.stderr


def test_serves_and_stops(folder: Path) -> None:
    (folder / "a").write_bytes(b"alpha")
    with served(str(folder), "--port", "0", "--prefix", "/files") as (process, url):
        assert url.endswith("/files/")
        assert urllib.request.urlopen(url + "a", timeout=10).read() == b"alpha"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def test_users_need_no_word_about_anybody(folder: Path, tmp_path: Path) -> None:
    """Where there are users, others may connect, and may do nothing."""
    users = tmp_path / "users"
    users.write_text("alice:$2b$04$XW0qlg6286084lhg1AFkLex9arypykZtHABRXfoYoGzEd27VXcsDK\n")
    flags = ("--read-only", "alice", "--quota", "/a=b=1000", "--trusted-proxy", "10.0.0.0/8", "--apple-files", "refuse")
    with served(str(folder), "--port", "0", "--host", "0.0.0.0", "--htpasswd", str(users), *flags) as (_, url):
        request = urllib.request.Request(url.replace("0.0.0.0", "127.0.0.1"))
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=10)
        raised.value.close()
        assert raised.value.code == 401


def test_one_port_for_every_address(folder: Path) -> None:
    (folder / "a").write_bytes(b"alpha")
    with served(str(folder), "--port", "0", "--host", "localhost") as (_, url):
        port = re.findall(r":(\d+)/", url)[0]
        addresses = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        for address in addresses & {"127.0.0.1", "::1"} if socket.has_ipv6 else {"127.0.0.1"}:
            host = f"[{address}]" if ":" in address else address
            assert urllib.request.urlopen(f"http://{host}:{port}/a", timeout=10).read() == b"alpha"


def test_flags_beat_the_environment_beats_the_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "partwise.toml"
    file.write_text('prefix = "/file"\nport = 0\nmax_item_size = 5\naccept = ["text/*"]\n')
    with served(str(folder), "--config", str(file)) as (_, url):
        assert url.endswith("/file/")
    with served(str(folder), "--config", str(file), PARTWISE_PREFIX="/environment") as (_, url):
        assert url.endswith("/environment/")
    with served(str(folder), "--config", str(file), "--prefix", "/flag", PARTWISE_PREFIX="/environment") as (_, url):
        assert url.endswith("/flag/")


def test_slow_heads(folder: Path) -> None:
    """More of them than there may be connections: they go, and somebody else is heard."""
    settings = {"PARTWISE_HEADER_TIMEOUT": "0.3", "PARTWISE_MAX_CONNECTIONS": "20"}
    with served(str(folder), "--port", "0", **settings) as (_, url):
        port = int(re.findall(r":(\d+)/", url)[0])
        slow = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(40)]
        for each in slow:
            each.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        answers = Counter(each.makefile("rb").readline().split()[1] for each in slow)
        for each in slow:
            each.close()
        assert answers.keys() <= {b"408", b"503"} and answers[b"408"] >= 20
        assert urllib.request.urlopen(url, timeout=20).status == 200


def test_a_killed_server_leaves_nothing_half_written(folder: Path) -> None:
    """Killed in the middle of an upload: what was reported is there, nothing else; the next start sweeps."""
    process = subprocess.Popen(
        [sys.executable, "-m", "partwise.cli", "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    port = int(re.findall(r":(\d+)/", process.stdout.readline())[0])
    with socket.create_connection(("127.0.0.1", port)) as client:
        part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="%d"\r\n\r\n'
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n")
        client.sendall(b"Content-Length: 1000000\r\n\r\n" + part % 1 + b"whole\r\n" + part % 2 + b"x" * 500_000)
        seen = b""
        while b"<D:href>/1</D:href>" not in seen:
            seen += client.recv(65536)
        process.kill()
        process.wait()
    process.stdout.close()
    with served(str(folder), "--port", "0"):
        assert (folder / "1").read_bytes() == b"whole"
        assert not (folder / "2").exists()
        assert not [path for path in (folder / ".partwise" / "staging").rglob("*") if path.is_file()]
