"""The benchmark of ``partwise push``: which files it takes, that it misses none at the other end, and its table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.push import SMALL_FILE, check_arrived, find_small, plant, push_text, run, tree
from benchmarks.report import Row, Section
from benchmarks.rounds import Wrong


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with everything that is not to be taken, besides four files that are."""
    root = tmp_path / "root"
    files = {"b/two": b"22", "b/a/one": b"1", "a": b"", "limit": bytes(SMALL_FILE), "large": bytes(SMALL_FILE + 1)}
    for name, contents in (files | {"__pycache__/x.pyc": b"x", ".partwise/y": b"y"}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    (root / "link").symlink_to("a")
    (root / "folder").symlink_to("b")
    (root / "zz").hardlink_to(root / "a")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"\xff")).touch()
    return root


def test_small_regular_files_are_found_once_in_order(root: Path) -> None:
    named = [str(path) for _, path in find_small([str(root), "/nothing/here", str(root / "b")], 100)]
    assert named == ["root/a", "root/limit", "root/b/two", "root/b/a/one"]


@pytest.mark.parametrize("most", [1, 3, 4])
def test_no_more_are_found_than_are_wanted(root: Path, most: int) -> None:
    whole = list(find_small([str(root)], 100))
    assert list(find_small([str(root)], most)) == whole[:most]


def test_copies_have_the_bytes_and_the_folders(root: Path, tmp_path: Path) -> None:
    plant(find_small([str(root)], 100), tmp_path / "copy")
    assert tree(tmp_path / "copy") == {"root/a": 0, "root/limit": SMALL_FILE, "root/b/two": 2, "root/b/a/one": 1}
    assert (tmp_path / "copy" / "root/b/two").read_bytes() == b"22"


def _folders(tmp_path: Path, served: dict[str, bytes]) -> tuple[Path, Path]:
    for name, files in (("source", {"a": b"1", "b/c": b"22"}), ("served", served)):
        for file, contents in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
    return tmp_path / "source", tmp_path / "served"


def test_what_arrived_is_counted_without_what_the_server_keeps_for_itself(tmp_path: Path) -> None:
    assert check_arrived(*_folders(tmp_path, {"a": b"1", "b/c": b"22", ".partwise/state": b"", "b/.DAV/x": b""})) == 2


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ({"a": b"1", "b/d": b""}, "1 of 2 files did not arrive as they were, 'b/c'"),
        ({"a": b"", "b/c": b"22"}, "1 of 2 files did not arrive as they were, 'a'"),
        ({"a": b"1", "b/c": b"22", "b/c.part": b""}, "1 files are there that nobody sent"),
    ],
)
def test_what_did_not_arrive_as_it_was_is_told(tmp_path: Path, served: dict[str, bytes], said: str) -> None:
    with pytest.raises(Wrong, match=said):
        check_arrived(*_folders(tmp_path, served))


def test_a_program_that_fails_has_no_time() -> None:
    with pytest.raises(Wrong, match="exit code 3: no room"):
        run([sys.executable, "-c", "import sys; print('no room', file=sys.stderr); sys.exit(3)"])


def test_the_table_has_seconds_rates_and_ratios() -> None:
    rows = [
        Row("partwise push", "yes", [100.0, 300.0, 200.0]),
        Row("rclone", "no", [10.0, 10.0, 40.0]),
        Row("absent", "no", note="not installed"),
        Row("broken", "no", [None], ["exit code 1"]),
    ]
    lines = [line.split() for line in push_text(Section("push: 600 files", "files/s", rows), 600).splitlines()]
    assert lines[1:] == [
        ["seconds", "files/s", "durable", "ratio"],
        ["partwise", "push", "3.0", "200", "yes"],
        ["rclone", "60.0", "10.0", "no", "10.0x"],
        ["absent", "not", "installed", "no"],
        ["broken", "failed", "no"],
        ["!", "broken:", "exit", "code", "1"],
    ]


@pytest.mark.parametrize("arguments", [["--files", "0"], ["--rounds", "0"], ["--push", "batch"], ["--push", "--scale"]])
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "must be 1 or more" in (said := capsys.readouterr().err) or "by itself" in said
