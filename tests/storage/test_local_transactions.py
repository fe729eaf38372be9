"""Transactions of the local store, and what is its own business: quotas, failures of the disk, other processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.storage.contract_tools import anything, contents, publication, put, tree

from partwise.errors import Failure, QuotaExceeded, TryAgain
from partwise.storage.base import Move, Published, Store
from partwise.storage.local import journal
from partwise.storage.local.journal import Kept, Made, Placed, Renamed, Step, Touched
from partwise.storage.local.store import LocalStore

STEPS: list[Step] = [
    Placed(("a\udcff", "é\n"), (2**63, 7)),
    Made(("b",)),
    Kept("0", ("c",)),
    Renamed(("d",), "1"),
    Renamed("2", ("e", "f")),
    Touched((), -5),
]


def left(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder / ".partwise") if name.startswith("transaction")]


def change(store: Store) -> None:
    """Of every kind."""
    [answer] = store.publish([publication(store, ("a",), b"22222")])
    assert isinstance(answer, Published)
    store.make_collection(("new",), anything, {"p": "1"})
    store.delete(("c",), anything)
    store.move(Move(("a",), ("new", "a"), True, lambda source, standing: None))


@pytest.fixture
def filled(store: LocalStore) -> LocalStore:
    put(store, ("a",), b"1")
    put(store, ("c", "x"), b"22", existing=0)
    return store


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_read_as_it_was_written(step: Step) -> None:
    line = journal.written(step)
    assert line.count("\n") == 1 and line.endswith("\n")
    assert journal.read(line) == step


def test_another_process_sees_all_or_nothing(filled: LocalStore, folder: Path) -> None:
    with filled.transaction() as joint:
        change(joint)
    other = LocalStore(os.fspath(folder))
    assert tree(other) == {"new": None, "new/a": b"22222"}
    assert other.properties([("new",)]) == {("new",): {"p": "1"}}
    with pytest.raises(ValueError, match="enough"), other.transaction() as joint:
        joint.delete(("new",), anything)
        raise ValueError("enough")
    other.close()
    assert contents(filled, ("new", "a")) == b"22222"
    assert filled.properties([("new",)]) == {("new",): {"p": "1"}}
    assert left(folder) == []


def test_a_store_that_is_opened_meanwhile_waits_for_nothing_but_the_end(filled: LocalStore, folder: Path) -> None:
    with filled.transaction() as joint:
        change(joint)
        # What a process that starts now reads first; its own writers wait for the lock.
        assert filled._medium.state._epoch() == filled.epoch


@pytest.mark.parametrize("fails", ["sync_all", "sync_all-twice"])
def test_a_sync_that_fails_undoes_everything(
    filled: LocalStore, folder: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(filled)

    def broken(descriptor: int) -> None:
        raise OSError(5, "broken")

    with pytest.raises(TryAgain), monkeypatch.context() as patch:
        patch.setattr("partwise.storage.local.durable.sync_all", broken)
        if fails.endswith("twice"):
            patch.setattr("partwise.storage.local.recovery.sync_all", broken)
        with filled.transaction() as joint:
            change(joint)
    if fails.endswith("twice"):
        # The names are back, but nobody knows whether that lasts: the next writer tries again.
        assert left(folder) == ["transaction"]
    assert isinstance(put(filled, ("b",), b"3"), Published)
    assert tree(filled) == {**before, "b": b"3"}
    assert left(folder) == []


def test_nobody_writes_before_all_is_undone(filled: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(filled)

    def broken(*_: object) -> bool:
        raise OSError(5, "broken")

    with monkeypatch.context() as patch:
        patch.setattr("partwise.storage.local.recovery.roll_back", broken)
        with pytest.raises(ValueError, match="enough"), filled.transaction() as joint:
            change(joint)
            raise ValueError("enough")
        assert isinstance(put(filled, ("b",), b"3"), TryAgain)
        with pytest.raises(TryAgain):
            filled.delete(("new",), anything)
        assert tree(filled) != before
    filled.unlock("urn:nothing")
    assert tree(filled) == before
    assert left(folder) == []


def test_a_full_disk_ends_a_transaction(filled: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(filled)
    # What cannot be written down is not done, nor is anything after it.
    with pytest.raises(Failure), filled.transaction() as joint:
        change(joint)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _full)
            with pytest.raises(Failure):
                joint.delete(("new",), anything)
        assert contents(joint, ("new", "a")) == b"22222"
        joint.delete(("new",), anything)
    assert tree(filled) == before
    assert left(folder) == []


def _full(descriptor: int) -> None:
    raise OSError(28, "full")


def test_what_stands_in_the_way_of_undoing_is_kept(filled: LocalStore, folder: Path) -> None:
    with pytest.raises(ValueError, match="enough"), filled.transaction() as joint:
        joint.delete(("c",), anything)
        (folder / "c").write_text("by hand")
        raise ValueError("enough")
    assert contents(filled, ("c",)) == b"by hand"
    [kept] = left(folder)
    found = [path.read_text() for path in (folder / ".partwise" / kept).rglob("x")]
    assert found == ["22"]


@pytest.mark.parametrize("ends", [lambda: None, lambda: [][0]], ids=["well", "badly"])
def test_quotas(folder: Path, ends: Callable[[], None]) -> None:
    store = LocalStore(os.fspath(folder), quotas={("q",): 100, (): 10_000})
    put(store, ("q", "a"), b"x" * 50, existing=0)
    put(store, ("b",), b"x" * 10)

    def used() -> list[int]:
        rows = store._medium.state.usage()
        return [rows[path].bytes or 0 for path in (("q",), ())]

    assert store.quota(("q",)) is not None
    before = used()
    try:
        with store.transaction() as joint:
            joint.delete(("q", "a"), anything)
            answers = joint.publish([publication(joint, ("q", name), b"y" * 40) for name in ("a", "b", "c")])
            assert [type(answer) for answer in answers] == [Published, Published, QuotaExceeded]
            joint.move(Move(("b",), ("q", "d"), True, lambda source, standing: None))
            ends()
    except IndexError:
        assert used() == before == [50, 60]
    else:
        assert used() == [90, 90]
    quota = store.quota(("q",))
    assert quota is not None and quota.used == used()[0]
    store.close()
