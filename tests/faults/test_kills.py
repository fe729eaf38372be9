"""A kill at any moment of MOVE, COPY and DELETE: files and their properties agree afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.killed import OPERATIONS

from partwise.storage.base import Lock, Move
from partwise.storage.local.store import LocalStore
from partwise.storage.sql.intents import Intent, Verb, read, written

SERVER = Path(__file__).parents[2] / "server"
MARK = "{urn:marks}mark"
TOP = ("file", "other", "folder", "place", "new")
PATHS = [(), *((name,) for name in TOP), *((name, member) for name in TOP for member in ("a", "b", "deep"))]
PATHS += [(name, "deep", "c") for name in TOP]

#: What every path holds, its mark, and the locks on it.
Seen = dict[tuple[str, ...], tuple[str | None, str | None, tuple[str, ...]]]
Ask = Callable[[Path, str, int], object]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Run an operation in a process of its own, see ``killed``."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.killed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVER)},
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def asking(folder: Path, operation: str, step: int) -> object:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{folder} {operation} {step}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield asking


def agree(_: object) -> None:
    """A check."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files and collections, each with a mark; with locks at the top and below."""
    folder = tmp_path_factory.mktemp("filled")
    for name in ("file", "other"):
        (folder / name).write_text(name)
    for name in ("folder", "place"):
        (folder / name / "deep").mkdir(parents=True)
        for member in ("a", "deep/c"):
            (folder / name / member).write_text(f"{name}/{member}")
    (folder / "place" / "b").write_text("place/b")
    store = LocalStore(str(folder))
    for path in PATHS:
        if path and folder.joinpath(*path).exists():
            store.set_properties(path, {MARK: "/".join(path)}, agree)
    for root in (("file",), ("folder", "a"), ("place", "b"), ("folder", "deep")):
        store.lock(Lock("urn:" + "-".join(root), root, True, True, "", None, 4e9), agree)
    store.close()
    return folder


def seen(store: LocalStore, folder: Path) -> Seen:
    marks = store.properties(PATHS)
    found: Seen = {}
    for path in PATHS:
        place = folder.joinpath(*path)
        held = place.read_text() if place.is_file() else "a collection" if place.is_dir() else None
        found[path] = held, marks.get(path, {}).get(MARK), tuple(lock.token for lock in store.locks_on(path))
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_names_and_properties_agree_after_a_kill(tmp_path: Path, filled: Path, ask: Ask, operation: str) -> None:
    first = shutil.copytree(filled, tmp_path / "whole")
    store = LocalStore(str(first))
    before = seen(store, first)
    steps = ask(first, operation, 0)
    after = seen(store, first)
    store.close()
    assert isinstance(steps, list) and len(steps) >= (operation != "lock-file") + 1, "it changes names and state"
    assert before != after
    for number, step in enumerate(steps, len(operation)):
        folder = shutil.copytree(filled, tmp_path / str(step))
        # Either another worker is there, whose next change finds what was left; or the server starts again.
        other = LocalStore(str(folder)) if number % 2 else None
        assert ask(folder, operation, step) == 9
        store = other or LocalStore(str(folder))
        store.unlock("urn:nothing")
        assert seen(store, folder) in (before, after), f"killed at step {step}, another worker: {other is not None}"
        store.close()


@pytest.mark.parametrize("replaced", [None, (1, 2**63)])
@pytest.mark.parametrize("verb", Verb)
def test_an_intent_is_read_as_it_was_written(verb: Verb, replaced: tuple[int, int] | None) -> None:
    intent = Intent(verb, ("a\udcff", "é"), ("\U0001f600",), (2**63, 3), replaced, infinite=verb is Verb.MOVE)
    assert read(written(intent)) == intent


def test_a_move_onto_another_name_of_the_same_file_ends_the_first(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("a")
    os.link(tmp_path / "one", tmp_path / "two")
    store = LocalStore(str(tmp_path))
    store.set_properties(("one",), {MARK: "one"}, agree)
    assert store.move(Move(("one",), ("two",), True, lambda source, standing: None)) is False
    assert not (tmp_path / "one").exists() and (tmp_path / "two").read_text() == "a"
    assert store.properties([("one",), ("two",)])[("two",)][MARK] == "one"
    store.close()
