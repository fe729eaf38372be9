"""A kill at any moment of a batch: what was told is true, nothing is left over, and it can be sent again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.batched import (
    BATCHES,
    BEFORE,
    MARK,
    NAME,
    Batch,
    Item,
    Standing,
    open_archive,
    segments,
    standing,
)
from tests.faults.forking import Ask, forking

from partwise.batch.outcome import Outcome, dump
from partwise.storage.local.store import LocalStore


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with forking() as asking:
        yield asking


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """In memory if that can be had: only a power cut would show what the disk has."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands there before, one file with stored properties, one that was replaced before."""
    folder = tmp_path_factory.mktemp("filled")
    for name, held in BEFORE.items():
        if isinstance(held, bytes):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(held)
    store = LocalStore(str(folder))
    store.set_properties(("old",), {MARK: "old"}, lambda _: None)
    store.set_properties(("twice",), {"{DAV:}creationdate": "1"}, lambda _: None)
    store.close()
    return folder


def is_named(batch: Batch) -> bool:
    return "batch=" in batch.query


def told(folder: Path, batch: Batch) -> tuple[list[Outcome], str | None]:
    """The rows of the one report that there is, read as a client of the server does, and its state."""
    archive = open_archive(str(folder))
    rows: list[Outcome] = []
    state = None
    found = [path.stem for path in folder.joinpath(".partwise/reports").glob("*.ndjson")]
    assert len(found) <= 1, "there is one batch"
    for name in [NAME] if is_named(batch) else found:
        reader = archive.find(name, None)
        if reader is None:
            continue  # killed before it could say whose it is
        rows = reader.rows(1)
        state = reader.summary.state
        assert len(rows) == reader.summary.items
        reader.close()
    return rows, state


def stored(batch: Batch, row: Outcome) -> Item | None:
    """What a row says that was done; ``None`` if nothing was."""
    if row.failure is not None:
        return None
    if not row.earlier:
        return batch.items[row.index - 1]
    # Those of another try are counted on.
    return next(item for item in batch.items if row.href[1:] in item.holds)


def check_rows(store: LocalStore, batch: Batch, rows: list[Outcome], now: dict[str, Standing]) -> None:
    """What the report says is true."""
    for row in rows:
        item = stored(batch, row)
        if item is None:
            continue
        for name, held in item.holds.items():
            assert now.get(name) == held, f"{name} was told to be so"
        if row.etag is not None:
            [name] = [name for name, held in item.holds.items() if isinstance(held, bytes)]
            assert row.etag == f'"{store.stat(segments(name)).etag}"'
            assert row.size == store.stat(segments(name)).size
        elif item.status == 200:
            assert MARK in marks(store)


def marks(store: LocalStore) -> object:
    return store.properties([("twice",)])[("twice",)]


def check_folder(store: LocalStore, batch: Batch, now: dict[str, Standing]) -> None:
    """Everything is as before the batch or as after it; all of it, if it is one whole."""
    after = batch.after
    for name in {*now, *BEFORE, *after}:
        assert now.get(name) in (BEFORE.get(name), after.get(name)), name
    assert store.properties([("old",)])[("old",)][MARK] == "old"
    if batch.atomic:
        assert now in (BEFORE, after)
        sets = any(item.status == 200 for item in batch.items)
        assert (MARK in marks(store)) == (sets and now == after)  # type: ignore[operator]


def check_nothing_left(folder: Path) -> None:
    """Besides the reports nothing of the batch is in the state folder; a store is open."""
    state = folder / ".partwise"
    found = {path.name for path in state.iterdir() if not path.name.endswith((".lock", ".number"))}
    assert found <= {"state.db", "state.db-wal", "state.db-shm", "staging", "reports"}
    [own] = (state / "staging").iterdir()
    assert not list(own.iterdir())


def statuses(batch: Batch) -> list[int]:
    refused = batch.atomic and any(item.status >= 400 for item in batch.items)
    return [424 if refused and item.status < 400 else item.status for item in batch.items]


@pytest.mark.parametrize("name", BATCHES)
def test_after_a_kill_at_any_step(place: Path, filled: Path, ask: Ask, name: str) -> None:
    batch = BATCHES[name]

    def made(folder: Path, step: int) -> Any:
        shutil.copytree(filled, folder)
        first = ask(batch=name, folder=str(folder), step=-1, first=True) if batch.first else {"rows": []}
        return ask(batch=name, folder=str(folder), step=step) | {"first": first["rows"]}

    whole = made(place / "whole", 0)
    assert whole["code"] == 0, "see what was printed"
    assert [row["status"] for row in whole["rows"]] == statuses(batch)
    count = len(whole["steps"])
    every = os.environ.get("PARTWISE_LONG") == "1"
    for number, step in enumerate((*(range(1, count + 1) if every else whole["moments"]), count + 1)):
        folder = place / str(step)
        killed = made(folder, step)
        # Behind the last step it has ended well.
        assert killed["code"] == (9 if step <= count else 0)
        said = f"killed at step {step} of {whole['steps']}"
        rows, state = told(folder, batch)
        store = LocalStore(str(folder))
        now = standing(folder)
        check_rows(store, batch, rows, now)
        assert good(killed["first"]) <= good(map(dumped, rows)), "nothing is forgotten"
        check_folder(store, batch, now)
        check_nothing_left(folder)
        assert [dumped(row) for row in rows[: len(killed["rows"])]] == killed["rows"], said
        if state == "complete":
            assert [row.status for row in rows] == statuses(batch), said
            assert now == batch.after
        else:
            assert state == "aborted" or not rows, said
            assert step <= count, said
        store.close()
        if is_named(batch) and (every or number % 2):
            check_sent_again(folder, batch, rows, ask(batch=name, folder=str(folder), step=-1))
        shutil.rmtree(folder)


def dumped(row: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump(row))
    return found


def good(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {row["href"] for row in rows if "error" not in row}


def check_sent_again(folder: Path, batch: Batch, before: list[Outcome], again: Any) -> None:
    """Nothing that was told to be stored was stored once more, and all is there."""
    assert again["code"] == 0
    assert standing(folder) == batch.after
    known = {row.location or row.href: row.etag for row in before if row.failure is None}
    replayed = {row["href"]: row["etag"] for row in again["rows"] if row.get("replayed")}
    assert replayed == known
    rows, state = told(folder, batch)
    assert state == "complete"
    assert [(row.status < 400) for row in rows] == [item.status < 400 for item in batch.items]
    left = {path.suffix for path in folder.joinpath(".partwise/reports").iterdir()}
    assert left == {".ndjson", ".name", ""}, "the lock has no suffix"
