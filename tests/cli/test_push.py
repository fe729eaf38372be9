"""``partwise push``: what it says, how it ends, and that it finishes the job when the server is killed."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from partwise.cli import main

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(Path(__file__).parents[2] / "server"),
    "HOME": "/nonexistent",
}
COMMAND = [sys.executable, "-m", "partwise.cli"]


class Server:
    """A server process on a port of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", str(self.folder), "--port", str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert self.process.stdout is not None
        assert "partwise serves" in self.process.stdout.readline()

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process for all tests that do not end it."""
    found = Server(tmp_path_factory.mktemp("served"))
    yield found
    found.stop()


class Place(NamedTuple):
    """A collection of the server for one test."""

    url: str
    folder: Path


@pytest.fixture
def place(started: Server, tmp_path: Path) -> Place:
    folder = started.folder / tmp_path.name
    folder.mkdir()
    return Place(f"{started.url}{tmp_path.name}/", folder)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "d").mkdir(parents=True)
    for number in range(10):
        (path / "d" / str(number)).write_text(str(number))
    (path / "top").write_text("top")
    return path


Push = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def push(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Push:
    """Runs the command in this process; gives standard output, and the lines of standard error."""
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("PARTWISE_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: object, code: int = 0) -> tuple[str, list[str]]:
        try:
            found = main(["push", *map(str, arguments)])
        except SystemExit as stop:
            found = stop.code
        out, errors = capsys.readouterr()
        assert found == code, errors
        return out, errors.splitlines()

    return run


def names(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(".partwise/")}


def test_a_folder_and_again(place: Place, push: Push, source: Path) -> None:
    out, [line] = push(source, f"{place.url}new")
    assert out == ""
    assert line.startswith("11 files stored (13 bytes), in ")
    assert names(place.folder) == {"new/source/top", *(f"new/source/d/{number}" for number in range(10))}
    (source / "top").write_text("changed")
    _, [line] = push(source, f"{place.url}new")
    assert line.startswith("1 file stored (7 bytes), 10 unchanged, in ")
    assert (place.folder / "new/source/top").read_text() == "changed"
    # The time is new and the contents are not: only a checksum knows.
    push("--checksum", source, f"{place.url}new")
    os.utime(source / "top", (1, 1))
    _, [line] = push("--checksum", source, f"{place.url}new")
    assert line.startswith("0 files stored (0 bytes), 11 unchanged")


def test_events_as_json(place: Place, push: Push, source: Path) -> None:
    (source / "bad.xml").write_text("<a>")
    (source / "link").symlink_to("top")
    out, errors = push("--json", "--types", f"{source}/", place.url, code=1)
    assert errors == []
    events: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events if event["event"] != "row"] == [
        "note",
        "begin",
        "batch-begun",
        "batch-ended",
        "end",
    ]
    rows = {event["name"]: event for event in events if event["event"] == "row"}
    assert (rows["top"]["done"], rows["top"]["status"]) == ("stored", 201)
    assert (rows["bad.xml"]["done"], rows["bad.xml"]["condition"]) == ("failed", "not-well-formed")
    end = events[-1]
    del end["text"]
    assert end == {
        "event": "end",
        "stored": 11,
        "bytes": 13,
        "unchanged": 0,
        "deleted": 0,
        "skipped": 1,
        "failed": 1,
    }


def test_atomic_and_dry_run(place: Place, push: Push, source: Path) -> None:
    (source / "bad.xml").write_text("<a>")
    _, lines = push("--atomic", "--types", f"{source}/", place.url, code=1)
    assert sum(line.startswith("424 ") for line in lines) == 11
    assert any(line.startswith("400  bad.xml: ") for line in lines)
    _, lines = push("--dry-run", "--types", f"{source}/", place.url, code=1)
    assert lines[-1].startswith("11 files would be stored (13 bytes), 1 failed")
    assert names(place.folder) == set()
    _, [line] = push("--dry-run", source, f"{place.url}new", code=2)
    assert "a dry run makes none" in line


def test_deleting_is_guarded(place: Place, push: Push, source: Path) -> None:
    for name in ("old/1", "old/2", "d/x"):
        (place.folder / name).parent.mkdir(exist_ok=True)
        (place.folder / name).write_text("")
    _, lines = push("--delete", "--dry-run", f"{source}/", place.url, code=1)
    assert "all of the" in lines[-1] or "3 of the 3 files there" in lines[-1]
    push(f"{source}/", place.url)
    _, lines = push("--delete", "--max-delete", 2, f"{source}/", place.url, code=1)
    assert "--max-delete 3 or --force" in lines[-1]
    assert (place.folder / "old/1").exists()
    _, lines = push("--delete", "--dry-run", f"{source}/", place.url)
    assert lines[:-1] == ["would delete old", "would delete d/x"]
    _, [line] = push("--delete", f"{source}/", place.url)
    assert "11 unchanged, 2 deleted" in line
    assert names(place.folder) == names(source)
    assert not (place.folder / "old").exists()


def test_an_empty_source_deletes_nothing(place: Place, push: Push, tmp_path: Path) -> None:
    (place.folder / "kept").write_text("")
    (tmp_path / "empty").mkdir()
    _, [line] = push("--delete", f"{tmp_path}/empty/", place.url, code=1)
    assert "Nothing was deleted" in line
    push("--delete", "--force", f"{tmp_path}/empty/", place.url)
    assert names(place.folder) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SOURCE"], "URL"),
        (["SOURCE/none", "URL"], "cannot be read"),
        (["SOURCE", "files.example.org"], "http://"),
        (["SOURCE", "URLa/b/c"], "does not exist"),
        (["SOURCE", "http://127.0.0.1:1/"], "No server can be reached"),
        (["--user", "alice", "SOURCE", "URL"], "PARTWISE_PASSWORD"),
        (["--jobs", "0", "SOURCE", "URL"], "1 or more"),
    ],
)
def test_refused(place: Place, push: Push, source: Path, arguments: list[str], said: str) -> None:
    given = [argument.replace("SOURCE", str(source)).replace("URL", place.url) for argument in arguments]
    out, [line] = push(*given, code=2)
    assert said in line
    assert out == ""


def test_a_killed_server_is_waited_for(tmp_path: Path, folder: Path) -> None:
    server, source = Server(folder), tmp_path / "many"
    source.mkdir()
    for number in range(3000):
        (source / str(number)).write_bytes(b"%d" % number * 100)
    with subprocess.Popen(
        [*COMMAND, "push", "--json", f"{source}/", server.url], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as pushing:
        assert pushing.stdout is not None
        rows = []
        for line in pushing.stdout:
            event = json.loads(line)
            if event["event"] == "row":
                rows.append(event)
                if len(rows) == 500:
                    server.stop(signal.SIGKILL)
                    server.start()
    server.stop()
    assert pushing.returncode == 0
    assert sorted(row["name"] for row in rows) == sorted(map(str, range(3000)))
    assert names(folder) == {str(number) for number in range(3000)}
    assert all((folder / str(number)).read_bytes() == b"%d" % number * 100 for number in range(3000))


def test_interrupted(place: Place, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 36)  # which takes a while
    with subprocess.Popen(
        [*COMMAND, "push", "--json", str(tmp_path / "large"), place.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as pushing:
        assert pushing.stdout is not None
        assert any("batch-begun" in line for line in iter(pushing.stdout.readline, ""))
        pushing.send_signal(signal.SIGINT)
        out, errors = pushing.communicate(timeout=30)
    assert pushing.returncode == 130
    assert errors == ""
    assert "Stopped" in json.loads(out.splitlines()[-1])["text"]
    assert names(place.folder) == set()


def test_bars_on_a_terminal(place: Place, source: Path) -> None:
    (source / "bad.xml").write_text("<a>")
    primary, secondary = pty.openpty()
    try:
        found = subprocess.run(
            [*COMMAND, "push", "--types", str(source), place.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=secondary,
            timeout=60,
            env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "120"},
            check=False,
        )
        drawn = os.read(primary, 1 << 20).decode()
    finally:
        os.close(primary)
        os.close(secondary)
    assert found.returncode == 1
    assert "Not done" in drawn
    assert "source/bad.xml" in drawn
    assert "11 files stored" in drawn
