"""``partwise check``: exit codes, and what it prints."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from partwise.batch.archive import Archive
from partwise.cli import main
from partwise.storage.local.store import LocalStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("a")
    with contextlib.closing(LocalStore(str(tmp_path))) as store:
        store.set_properties(("a",), {"{urn:marks}mark": "a"}, lambda _: None)
    return tmp_path


def test_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder)]) == 0
    assert capsys.readouterr().out == "Nothing is wrong.\n"


def test_something(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a").unlink()
    found = "found: /a has stored properties but does not exist\n"
    assert main(["check", str(folder)]) == 1
    assert capsys.readouterr().out == f"{found}Mend it with: partwise check --repair {folder}\n"
    assert main(["check", "--repair", str(folder)]) == 0
    done = "done: the stored properties of 1 path that do not exist are removed\n"
    assert capsys.readouterr().out == f"{found}{done}Everything is mended.\n"
    assert main(["check", str(folder)]) == 0


def test_what_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".partwise/transaction-ab").mkdir()
    assert main(["check", "--repair", str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("left: transaction-ab")


def test_it_cannot_be_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(LocalStore(str(folder))):
        assert main(["check", str(folder)]) == 2
    assert main(["check", str(folder / "none")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [error.startswith("partwise: ") for error in errors] == [True, True]


def test_nobody_was_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 0
    assert "No server" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_report_whose_server_was_killed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = folder / ".partwise/reports"
    report = Archive(str(reports), 1000).create()
    report.settle([])
    path = reports / f"{report.batch}.ndjson"
    torn = path.read_bytes() + b'{"index":1,"hre'
    report.end("complete")
    report.close()
    path.write_bytes(torn)
    assert main(["check", str(folder)]) == 1
    said = f"found: the report {report.batch} has no end: its server was killed, and its last line is torn\n"
    assert said in capsys.readouterr().out
    assert main(["check", "--repair", str(folder)]) == 0
    assert "1 report of uploads that broke off" in capsys.readouterr().out
    *_, last = path.read_text().splitlines()
    assert json.loads(last)["end"] == "aborted"


def test_a_server_gives_reports_their_end_when_it_starts(tmp_path: Path) -> None:
    report = Archive(str(tmp_path), 1000).create()
    path = tmp_path / f"{report.batch}.ndjson"
    begun = path.read_bytes()
    report.end("complete")
    report.close()
    path.write_bytes(begun)
    Archive(str(tmp_path), 1 << 40).sweep(0)
    assert json.loads(path.read_text().splitlines()[-1])["end"] == "aborted"
