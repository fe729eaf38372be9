"""The snapshot and its comparison: bounds, blocks, and what happens between looking and writing."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path as File

import pytest

from partwise.errors import InvalidSyncToken, NotFound
from partwise.storage.base import Change, Mark, Path
from partwise.storage.local.comparison import Comparison
from partwise.storage.local.medium import Medium
from partwise.storage.local.tree import Entry, LocalTree
from partwise.storage.sql.snapshot import COLLECTION, FILE, Seen

Open = Callable[..., Comparison]


@pytest.fixture
def medium(folder: File) -> Iterator[Medium]:
    found = Medium(os.fspath(folder), ".partwise", {}, lambda: 0.0)
    yield found
    found.close()


def comparison(medium: Medium, most_gone: int = 1000, then: Callable[[], None] | None = None) -> Comparison:
    """``then`` is done after a collection was listed, before anything is made of it."""
    tree = LocalTree(medium.root)

    def entries(path: Path) -> Iterator[Entry]:
        yield from tree._entries(path)
        if then is not None:
            then()

    return Comparison(medium.root, medium.state, medium.critical_section, entries, most_gone)


def told(
    compared: Comparison, since: Mark | None = None, path: Path = (), infinite: bool = True, most: int = 10_000
) -> tuple[list[Change], Mark]:
    for _ in compared.compare(path, infinite):
        pass
    found = compared.changes(path, infinite, since, most)
    return list(found.changes), found.mark


def numbers(medium: Medium) -> list[int]:
    return [row.number for row in medium.state.snapshot.changes((), True, 0, 1 << 60, 1 << 30, known=None)]


def test_what_is_gone_is_remembered_up_to_a_limit(folder: File, medium: Medium) -> None:
    for number in range(10):
        (folder / str(number)).write_bytes(b"")
    compared = comparison(medium, most_gone=3)
    _, old = told(compared)
    _, part = told(compared, most=1)
    assert part.floor == 0
    for number in range(8):
        (folder / str(number)).unlink()
    with pytest.raises(InvalidSyncToken):
        told(compared, old)
    with pytest.raises(InvalidSyncToken):
        told(compared, part)
    left, mark = told(compared)
    assert {change.path for change in left} == {("8",), ("9",)}
    assert told(compared, mark) == ([], mark)
    assert len(numbers(medium)) == 2 + 3
    # Somebody who begins now goes on from a part, though its number is lower than what was forgotten.
    [one], part = told(compared, most=1)
    [other], end = told(compared, part)
    assert {one.path, other.path} == {("8",), ("9",)} and end == mark
    (folder / "8").unlink()
    assert [(change.path, change.gone) for change in told(compared, mark)[0]] == [(("8",), True)]


def test_who_begins_is_not_told_what_it_never_knew(folder: File, medium: Medium) -> None:
    for number in range(4):
        (folder / str(number)).write_bytes(b"")
    compared = comparison(medium)
    [first], part = told(compared, most=1)
    (folder / "new").write_bytes(b"")
    told(compared)
    (folder / "new").unlink()
    (folder / first.path[0]).unlink()
    rest, _ = told(compared, part)
    assert [change.path for change in rest if change.gone] == [first.path]
    assert len(rest) == 4


def test_a_large_collection_that_is_gone(folder: File, medium: Medium) -> None:
    """More than one critical section may change; each row has a number of its own, and only the collection is told."""
    (folder / "d" / "e").mkdir(parents=True)
    for number in range(2100):
        (folder / "d" / "e" / str(number)).write_bytes(b"")
    compared = comparison(medium, most_gone=10_000)
    changes, mark = told(compared)
    assert len(changes) == 2102
    shutil.rmtree(folder / "d")
    changes, mark = told(compared, mark)
    assert changes == [Change(("d",), True, True, True)]
    assert medium.state.snapshot.present(("d", "e")) == 0
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "e" / "7").write_bytes(b"")
    changes, _ = told(compared, mark)
    assert {change.path: change.gone for change in changes} == {
        ("d",): False,
        ("d", "e"): False,
        ("d", "e", "7"): False,
    }
    everything = numbers(medium)
    assert len(everything) == len(set(everything)) == 2102


def test_a_few_of_many_are_gone(folder: File, medium: Medium) -> None:
    for number in range(700):
        (folder / str(number)).write_bytes(b"")
    compared = comparison(medium)
    _, mark = told(compared)
    for number in (0, 350, 699):
        (folder / str(number)).unlink()
    (folder / "x").write_bytes(b"")
    changes, mark = told(compared, mark)
    assert {change.path[0]: change.gone for change in changes} == {"0": True, "350": True, "699": True, "x": False}
    assert told(compared, mark) == ([], mark)


def test_looking_is_older_than_writing(folder: File, medium: Medium) -> None:
    """Somebody else compares between the listing and its judgement: what it found is not undone."""
    (folder / "old").write_bytes(b"1")
    other = comparison(medium)
    _, mark = told(other)
    (folder / "gone").write_bytes(b"1")
    done: list[Mark] = []

    def meanwhile() -> None:
        if not done:
            (folder / "gone").unlink()
            (folder / "old").write_bytes(b"12")
            (folder / "new").write_bytes(b"1")
            done.append(told(other, mark)[1])

    changes, end = told(comparison(medium, then=meanwhile), mark)
    assert {change.path[0]: change.gone for change in changes} == {"old": False, "new": False}
    assert end == done[0] and told(other, end) == ([], end)


def test_a_collection_goes_while_it_is_compared(folder: File, medium: Medium) -> None:
    """Nothing below it is taken for present afterwards, whoever finds out first."""
    (folder / "c" / "d").mkdir(parents=True)
    (folder / "c" / "d" / "f").write_bytes(b"")
    other = comparison(medium)

    def meanwhile() -> None:
        if (folder / "c").exists() and medium.state.snapshot.present(("c",)):
            shutil.rmtree(folder / "c")
            told(other)

    told(comparison(medium, then=meanwhile))
    assert told(other)[0] == []
    rows = medium.state.snapshot.rows([("c",), ("c", "d"), ("c", "d", "f")])
    assert all(row.gone for row in rows.values())


def test_a_collection_above_comes_back_with_its_member(folder: File, medium: Medium) -> None:
    compared = comparison(medium)
    (folder / "c").mkdir()
    _, mark = told(compared)
    (folder / "c").rmdir()
    told(compared)
    (folder / "c").mkdir()
    (folder / "c" / "f").write_bytes(b"")
    # Only the collection itself is compared, and its row was gone.
    told(compared, path=("c",))
    shutil.rmtree(folder / "c")
    assert told(compared, mark)[0] == [Change(("c",), True, True, True)]


def test_steps_hold_nothing(folder: File, medium: Medium) -> None:
    """Between two steps somebody else may write, and an answer may be given up."""
    for number in range(600):
        (folder / str(number)).write_bytes(b"")
    compared = comparison(medium)
    steps = compared.compare((), True)
    next(steps)
    with medium.critical_section(), medium.state.writing() as state:
        state.set_properties(("1",), {"x": "<x/>"})
    steps.close()  # type: ignore[attr-defined]
    assert len(told(compared)[0]) == 600


def test_threads_find_each_change_once(folder: File, medium: Medium) -> None:
    compared = comparison(medium)
    stop = threading.Event()
    failures: list[BaseException] = []

    def follow() -> None:
        known: set[str] = set()
        since: Mark | None = None
        try:
            while True:
                last = stop.is_set()
                changes, since = told(compared, since, most=7)
                for change in changes:
                    (known.discard if change.gone else known.add)(change.path[0])
                if last and not changes:
                    break
            assert known == {path.name for path in folder.iterdir()} - {".partwise"}
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(120):
        (folder / f"{number % 40}").write_bytes(b"")
        if number % 3:
            with contextlib.suppress(FileNotFoundError):
                (folder / f"{number // 2}").unlink()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    everything = numbers(medium)
    assert len(everything) == len(set(everything))


def test_only_collections(folder: File, medium: Medium) -> None:
    (folder / "f").write_bytes(b"")
    compared = comparison(medium)
    for path in (("f",), ("nothing",), (".partwise",)):
        with pytest.raises(NotFound):
            next(compared.compare(path, True))
        with pytest.raises(NotFound):
            compared.changes(path, True, None, 1)


def test_the_rows(medium: Medium) -> None:
    """Names whose bytes lie around the separator, and not UTF-8."""
    snapshot = medium.state.snapshot
    paths: list[Path] = [("a",), ("a", "b"), ("a", "b", "c"), ("a.",), ("a0",), ("\udcff",), ("\udcff", "é")]
    with snapshot.writing() as notes:
        for path in paths:
            notes.note(path, Seen(COLLECTION if len(path) < 3 else FILE, "x", False))
    assert snapshot.rows([*paths, ("b",)]) == {
        path: Seen(COLLECTION if len(path) < 3 else FILE, "x", False) for path in paths
    }
    found: list[Path] = []
    last: Path | None = ()
    while last is not None and (last := snapshot.next_collection((), last)) is not None:
        found.append(last)
    assert sorted(found) == sorted(path for path in paths if len(path) < 3)
    assert found.index(("a",)) < found.index(("a", "b"))
    assert snapshot.next_collection(("a",), ("a",)) == ("a", "b")
    assert snapshot.next_collection(("a",), ("a", "b")) is None
    assert [row.path for row in snapshot.changes(("a",), True, 0, 100, 9, known=0)] == [("a", "b"), ("a", "b", "c")]
    assert [row.path for row in snapshot.changes(("a",), False, 0, 100, 9, known=0)] == [("a", "b")]
    assert (snapshot.newest(("a",)), snapshot.newest(), snapshot.newest(("a0",))) == (3, 7, 0)
    with snapshot.writing() as notes:
        assert notes.lose_below(("a",), 9) == 2
    assert (snapshot.newest(("a",)), snapshot.present(("a",)), snapshot.is_flat(("\udcff",))) == (9, 0, False)
