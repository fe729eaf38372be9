"""A kill at any moment of a transaction, and of undoing it: all of it is there afterwards, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.faults.killed import START, TRANSACTION

from partwise.storage.base import Lock
from partwise.storage.local.store import LocalStore

SERVER = Path(__file__).parents[2] / "server"
MARK = "{urn:marks}mark"


class Asked:
    """Operations in a process of its own, see ``killed``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, folder: Path, operation: str, step: int) -> object:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{folder} {operation} {step}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def ask() -> Iterator[Asked]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.killed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVER)},
    ) as process:
        yield Asked(process)


def agree(_: object) -> None:
    """A check."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and collections with marks and locks."""
    folder = tmp_path_factory.mktemp("filled")
    for name in ("file", "other", "folder/a", "folder/deep/c", "place/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(1, 1))
    store = LocalStore(str(folder))
    for member in list(store.walk(())):
        store.set_properties(member.path, {MARK: "/".join(member.path)}, agree)
    for root in (("file",), ("folder", "deep"), ("place",)):
        store.lock(Lock("urn:" + "-".join(root), root, True, True, "", None, 4e9), agree)
    store.close()
    return folder


def seen(folder: Path) -> object:
    """Everything, as a new process finds it; and nothing is left over."""
    store = LocalStore(str(folder))
    names = {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
        if ".partwise" not in path.parts
    }
    paths = [tuple(name.split("/")) for name in names]
    marks = {path: values.get(MARK) for path, values in store.properties(paths).items()}
    untouched = folder.joinpath("file").stat().st_mtime_ns if "file" in names else None
    locks = [lock.token for lock in store.locks_below(())]
    store.close()
    left = {
        path.name for path in folder.joinpath(".partwise").rglob("*") if not path.name.endswith((".lock", ".number"))
    }
    assert left <= {"state.db", "state.db-wal", "state.db-shm", "staging"}
    return names, marks, untouched, locks


class Whole(NamedTuple):
    """What is seen before and after, and the steps at which something changes."""

    before: object
    after: object
    steps: list[int]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, filled: Path, ask: Asked) -> Whole:
    folder = shutil.copytree(filled, tmp_path_factory.mktemp("whole") / "folder")
    before = seen(folder)
    steps = ask(folder, TRANSACTION, 0)
    assert isinstance(steps, list) and len(steps) > 40
    after = seen(folder)
    assert before != after
    return Whole(before, after, steps)


def test_all_or_nothing_after_a_kill(tmp_path: Path, filled: Path, whole: Whole, ask: Asked) -> None:
    before, after, steps = whole
    found = []
    for number, step in enumerate(steps):
        folder = shutil.copytree(filled, tmp_path / str(step))
        # Either another worker is there, whose next change finds what was left; or the server starts again.
        other = LocalStore(str(folder)) if number % 2 else None
        assert ask(folder, TRANSACTION, step) == 9
        if other is not None:
            other.unlock("urn:nothing")
            other.close()
        now = seen(folder)
        assert now in (before, after), f"killed at step {step}, another worker: {other is not None}"
        found.append(now == after)
        shutil.rmtree(folder)
    assert found == sorted(found), "there is one moment that decides"
    assert found.count(True) >= 2


def test_a_kill_while_it_is_undone(tmp_path: Path, filled: Path, whole: Whole, ask: Asked) -> None:
    before, _, steps = whole
    late = _last_that_is_undone(tmp_path, filled, ask, before, steps)
    half = shutil.copytree(filled, tmp_path / "half")
    assert ask(half, TRANSACTION, late) == 9
    undoing = ask(half, START, 0)
    assert isinstance(undoing, list) and len(undoing) > 10
    # Every other one: the lines between them are the same for all steps.
    for step in undoing[::2]:
        folder = _killed_again(filled, tmp_path / f"undoing{step}", late, step, ask)
        assert seen(folder) == before, f"killed at step {step} of undoing"
        shutil.rmtree(folder)


def _last_that_is_undone(tmp_path: Path, filled: Path, ask: Asked, before: object, steps: list[int]) -> int:
    for step in reversed(steps):
        folder = shutil.copytree(filled, tmp_path / f"late{step}")
        assert ask(folder, TRANSACTION, step) == 9
        if seen(folder) == before:
            return step
    raise AssertionError("every kill was too late")


def _killed_again(filled: Path, folder: Path, step: int, then: int, ask: Asked) -> Path:
    # Not a copy of what a kill has left: the inodes are a part of it.
    shutil.copytree(filled, folder)
    assert ask(folder, TRANSACTION, step) == 9
    assert ask(folder, START, then) == 9
    return folder
