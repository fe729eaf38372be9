"""A listing of a folder that changes while it is read: what is gone is left out, and nothing stays open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from partwise.storage.local.store import LocalStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def store(folder: Path) -> Iterator[LocalStore]:
    folder.mkdir()
    with closing(LocalStore(os.fspath(folder))) as store:
        yield store


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("born", [False, True])
def test_members_that_vanish(store: LocalStore, folder: Path, born: bool) -> None:
    for number in range(600):
        (folder / f"n{number}").touch()
    groups = store.scan((), False, born=born)
    first = list(next(groups))
    kept = {one.path[0] for one in first}
    for number in range(600):
        if f"n{number}" not in kept and number % 2:
            (folder / f"n{number}").unlink()
            kept.add(f"n{number}")
    gone = kept - {one.path[0] for one in first}
    found = {one.path[0] for one in chain(first, chain.from_iterable(groups))}
    assert found == {f"n{number}" for number in range(600)} - gone


def test_collections_that_vanish(store: LocalStore, folder: Path, tmp_path: Path) -> None:
    """Also what became a link, or a file, since it was listed: that is not entered."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    for name in "abcd":
        (folder / name).mkdir()
        (folder / name / "x").touch()
    before = open_files()
    groups = store.scan((), True, born=False)
    assert {one.path for one in next(groups)} == {("a",), ("b",), ("c",), ("d",)}
    for name in "abc":
        (folder / name / "x").unlink()
        (folder / name).rmdir()
    (folder / "b").symlink_to(tmp_path / "outside")
    (folder / "c").touch()
    assert [one.path for one in chain.from_iterable(groups)] == [("d", "x")]
    assert open_files() == before


def test_nothing_stays_open(store: LocalStore, folder: Path) -> None:
    for number in range(300):
        (folder / f"c{number}" / "d").mkdir(parents=True)
        (folder / f"c{number}" / "d" / "x").touch()
    before = open_files()
    assert sum(len(group) for group in store.scan((), True)) == 900
    assert open_files() == before
    for groups in (store.scan((), True), store.scan((), False)):
        next(groups)
        next(groups)
        assert open_files() > before
        del groups
    store.scan((), True)
    assert open_files() == before


def test_links_to_collections_are_entered_once(store: LocalStore, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "x").touch()
    (folder / "a" / "up").symlink_to("..")
    for name in "bc":
        (folder / name).symlink_to("a")
    found = [one.path for one in chain.from_iterable(store.scan((), True, born=False))]
    assert len(found) == len(set(found))
    assert {("a",), ("a", "x"), ("a", "up"), ("b",), ("c",)} <= set(found)
    # By its own name and through the first of the two links, or through "up", each time only once.
    assert sum(path[-1] == "x" for path in found) <= 4
