"""Recovery and `partwise check --repair` are killed at each of their steps, and done again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from tests.faults.killed import FIRST, REPAIR, START, repaired
from tests.faults.test_kills import MARK, Ask, agree, ask, filled, seen  # noqa: F401

from partwise.storage.base import Lock
from partwise.storage.local.check import examine
from partwise.storage.local.store import LocalStore
from partwise.storage.sql.inspection import opened

FILES = 160
LONG = os.environ.get("PARTWISE_LONG") == "1"


def interrupted(folder: Path) -> int:
    """Intents that were left."""
    with opened(str(folder / ".partwise/state.db")) as database:
        return len(database.intents())


def findings(folder: Path) -> tuple[str, ...]:
    return examine(str(folder), str(folder / ".partwise")).findings


@pytest.mark.parametrize(
    "operation",
    ["move-folder-onto-folder", "copy-file-onto-folder", "delete-folder", "lock-new"],
)
def test_recovery_killed_at_each_step(tmp_path: Path, filled: Path, ask: Ask, operation: str) -> None:  # noqa: F811
    whole = shutil.copytree(filled, tmp_path / "whole")
    with contextlib.closing(LocalStore(str(whole))) as store:
        before = seen(store, whole)
        steps = ask(whole, operation, 0)
        after = seen(store, whole)
    assert isinstance(steps, list)

    def killed(name: str, step: int) -> Path:
        # Each time anew and not a copy: the inodes are a part of what was left.
        folder = shutil.copytree(filled, tmp_path / name)
        assert ask(folder, operation, step) == 9
        return folder

    # The last kill that leaves something to be finished.
    for late in reversed(steps):
        folder = killed(f"late{late}", late)
        if interrupted(folder):
            break
    else:
        pytest.fail("every kill was too late")
    assert any("interrupted" in finding for finding in findings(folder))
    starting = ask(folder, START, 0)
    assert isinstance(starting, list) and len(starting) > 3
    for step in starting[:: 1 if LONG else 2]:
        folder = killed(f"started{step}", late)
        assert ask(folder, START, step) == 9
        with contextlib.closing(LocalStore(str(folder))) as store:
            assert seen(store, folder) in (before, after), f"killed at step {step} of recovery"
        assert not findings(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("before", ["nothing", "a deleted database"])
def test_a_first_start_killed_at_each_step(tmp_path: Path, ask: Ask, before: str) -> None:  # noqa: F811
    """Nobody takes what it leaves for a database that was emptied."""

    def fresh(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if before != "nothing":
            LocalStore(str(folder)).close()
            (folder / ".partwise/state.db").unlink()
        return folder

    steps = ask(fresh("whole"), FIRST, 0)
    assert isinstance(steps, list) and len(steps) > 6
    for step in steps:
        folder = fresh(str(step))
        assert ask(folder, FIRST, step) == 9
        assert not any("emptied" in finding or "damaged" in finding for finding in findings(folder))
        LocalStore(str(folder)).close()
        assert not findings(folder), f"killed at step {step}"


# -- a damaged database


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database has lost a page of properties, and holds what belongs to nothing."""
    folder = tmp_path_factory.mktemp("damaged")
    with contextlib.closing(LocalStore(str(folder))) as store:
        for number in range(FILES):
            (folder / f"file{number}").write_text("x")
            store.set_properties((f"file{number}",), {MARK: f"{number:0100}"}, agree)
            if number % 40 == 0:
                lock = Lock(f"urn:{number}", (f"file{number}",), True, True, "", None, 4e9)
                store.lock(lock, agree)
    (folder / "file40").unlink()
    (folder / "file50").unlink()
    data = bytearray((folder / ".partwise/state.db").read_bytes())
    page = data.index(f"{FILES // 2:0100}".encode()) // 4096 * 4096
    data[page : page + 4096] = os.urandom(4096)
    (folder / ".partwise/state.db").write_bytes(data)
    return folder


def held(folder: Path) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """All marks and locks."""
    with contextlib.closing(LocalStore(str(folder))) as store:
        marks = store.properties([(f"file{number}",) for number in range(FILES)])
        return {path: values[MARK] for path, values in marks.items()}, [lock.token for lock in store.locks_below(())]


def test_a_repair_killed_at_each_step(tmp_path: Path, damaged: Path, ask: Ask) -> None:  # noqa: F811
    whole = shutil.copytree(damaged, tmp_path / "whole")
    steps = ask(whole, REPAIR, 0)
    assert isinstance(steps, list) and len(steps) > 20
    assert not findings(whole)
    marks, locks = held(whole)
    # A page is lost, no more: all others were read, those before it and those behind.
    assert FILES - 60 < len(marks) < FILES - 2, len(marks)
    assert set(locks) == {f"urn:{number}" for number in range(0, FILES, 40)} - {"urn:40"}
    for step in steps[:: 1 if LONG else 4]:
        folder = shutil.copytree(damaged, tmp_path / str(step))
        assert ask(folder, REPAIR, step) == 9
        repaired(str(folder))
        assert not findings(folder), f"killed at step {step}"
        assert held(folder) == (marks, locks), f"killed at step {step}"
        aside = list((folder / ".partwise").glob("state.db.damaged-*"))
        assert any(path.read_bytes() == (damaged / ".partwise/state.db").read_bytes() for path in aside)
        shutil.rmtree(folder)
