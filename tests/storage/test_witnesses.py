"""Who sees that a listing has become old: every change right after it was made, without waiting."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.storage.contract import anything, publication, put
from tests.storage.contract_tools import give, lock_of, move

from partwise.storage.base import Witness
from partwise.storage.local import file_systems, witnesses
from partwise.storage.local.store import LocalStore

pytestmark = pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="only Linux tells of changes")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(folder: Path, clock: Clock) -> Iterator[LocalStore]:
    """Serves ``a/b`` with files and collections; time stands still."""
    (folder / "a" / "b" / "inner").mkdir(parents=True)
    (folder / "a" / "other").mkdir()
    for name in ("file", "second"):
        (folder / "a" / "b" / name).write_bytes(b"12345")
    with closing(LocalStore(os.fspath(folder), durable=False)) as store:
        store.notices.clock = clock
        yield store
        assert not store.notices._live, "every watch has ended"


@pytest.fixture
def listed(store: LocalStore) -> Iterator[Witness]:
    """Who watches ``a/b`` since before it was listed."""
    witness = scanned(store)
    assert witness.holds() and witness.holds()
    yield witness
    witness.close()


def scanned(store: LocalStore, *path: str, stored: bool = False, locks: bool = False) -> Witness:
    path = path or ("a", "b")
    witness = store.witness(path, stored=stored, locks=locks)
    assert witness is not None
    for _ in store.scan(path, False, born=False, witness=witness):
        pass
    return witness


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None)
    assert libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0


def _replaced(folder: Path) -> None:
    (folder / "b").rename(folder / "gone")
    (folder / "b").mkdir()


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


BY_HAND: dict[str, Callable[[Path], object]] = {
    "create": lambda a: (a / "b" / "new").touch(),
    "append": lambda a: _append(a / "b" / "file"),
    "truncate": lambda a: os.truncate(a / "b" / "file", 1),
    "chmod": lambda a: (a / "b" / "file").chmod(0o600),
    "touch": lambda a: os.utime(a / "b" / "file", (1, 1)),
    "rename": lambda a: (a / "b" / "file").rename(a / "b" / "renamed"),
    "move in": lambda a: (a / "other").rename(a / "b" / "other"),
    "move out": lambda a: (a / "b" / "inner").rename(a / "inner"),
    "move over": lambda a: (a / "b" / "second").rename(a / "b" / "file"),
    "exchange members": lambda a: _exchange(a / "b" / "file", a / "b" / "second"),
    "delete": lambda a: (a / "b" / "file").unlink(),
    "make a collection": lambda a: (a / "b" / "new").mkdir(),
    "remove a collection": lambda a: (a / "b" / "inner").rmdir(),
    "symbolic link": lambda a: (a / "b" / "new").symlink_to(a),
    "hard link inside": lambda a: (a / "b" / "new").hardlink_to(a / "b" / "file"),
    "touch the collection": lambda a: os.utime(a / "b", (1, 1)),
    "chmod the collection": lambda a: (a / "b").chmod(0o700),
    "replace the collection": _replaced,
    "exchange the collection": lambda a: _exchange(a / "b", a / "other"),
    "move the parent": lambda a: a.rename(a.parent / "z"),
    "touch an inner collection": lambda a: os.utime(a / "b" / "inner", (1, 1)),
}


@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND)
def test_changes_by_hand(folder: Path, listed: Witness, change: Callable[[Path], object]) -> None:
    change(folder / "a")
    assert not listed.holds()
    assert not listed.holds()


def test_another_parent(folder: Path, store: LocalStore, listed: Witness) -> None:
    """The collection is the same as before, but another one stands under its path."""
    (folder / "x" / "b").mkdir(parents=True)
    _exchange(folder / "a", folder / "x")
    assert not listed.holds()


def test_time_of_an_inner_collection(folder: Path, listed: Witness) -> None:
    """No event comes of it: only the collection itself is watched."""
    os.utime(folder / "a" / "b" / "inner", ns=(1, 1))
    (folder / "a" / "b" / "inner" / "new").touch()
    assert not listed.holds()


def test_what_is_not_concerned(folder: Path, listed: Witness) -> None:
    (folder / "a" / "other" / "new").touch()
    (folder / "a" / "b" / "file").read_bytes()
    os.listdir(folder / "a" / "b")
    assert listed.holds()


BY_STORE: dict[str, Callable[[LocalStore], object]] = {
    "put": lambda store: put(store, ("a", "b", "new")),
    "replace": lambda store: put(store, ("a", "b", "file"), b"12345"),
    "make_collection": lambda store: store.make_collection(("a", "b", "new"), anything),
    "delete": lambda store: store.delete(("a", "b", "file"), anything),
    "delete all": lambda store: store.delete(("a", "b"), anything),
    "delete the parent": lambda store: store.delete(("a",), anything),
    "move": lambda store: move(store, ("a", "b", "file"), ("a", "b", "new")),
    "move out": lambda store: move(store, ("a", "b", "inner"), ("new",)),
    "move over": lambda store: move(store, ("a", "other"), ("a", "b")),
    "move the parent": lambda store: move(store, ("a",), ("z",)),
    "touch": lambda store: store.set_properties(("a", "b", "file"), {}, anything, 1_000_000_000),
    "lock a new name": lambda store: store.lock(lock_of(("a", "b", "new")), anything),
}


@pytest.mark.parametrize("other_process", [False, True])
@pytest.mark.parametrize("change", BY_STORE.values(), ids=BY_STORE)
def test_changes_by_stores(
    folder: Path, store: LocalStore, listed: Witness, change: Callable[[LocalStore], object], other_process: bool
) -> None:
    with closing(LocalStore(os.fspath(folder), durable=False)) as other:
        change(other if other_process else store)
    assert not listed.holds()


def test_transactions(store: LocalStore, listed: Witness) -> None:
    with store.transaction() as within:
        assert within.witness(("a", "b"), stored=False, locks=False) is None
        within.publish([publication(within, ("a", "b", "new"), b"1")])
    assert not listed.holds()


@pytest.mark.parametrize("other_process", [False, True])
def test_stored_properties_and_locks(folder: Path, store: LocalStore, other_process: bool) -> None:
    with (
        closing(LocalStore(os.fspath(folder), durable=False)) as other,
        closing(scanned(store)) as files_only,
        closing(scanned(store, stored=True)) as stored,
    ):
        changing = other if other_process else store
        assert stored.holds()
        give(changing, ("a", "b", "file"), **{"{urn:x}p": "<p/>"})
        assert not stored.holds()
        with closing(scanned(store, stored=True)) as stored:
            assert stored.holds()
            move(changing, ("a", "b", "file"), ("elsewhere",))
            assert not stored.holds()
        with closing(scanned(store, locks=True)) as locks:
            assert locks.holds()
            changing.lock(lock_of(("a", "b", "second")), anything)
            assert not locks.holds()
        with closing(scanned(store, locks=True)) as locks:
            assert locks.holds()
            changing.unlock("urn:t")
            assert not locks.holds()
        assert not files_only.holds(), "a file was moved"


def test_properties_do_not_concern_who_tells_none(store: LocalStore, listed: Witness) -> None:
    give(store, ("a", "b", "file"), **{"{urn:x}p": "<p/>"})
    store.lock(lock_of(("a", "b", "file")), anything)
    assert listed.holds()


def test_time(listed: Witness, clock: Clock) -> None:
    """What no event tells, a write through a mapping of memory or another name, shows within 100 ms."""
    clock.now = 0.089
    assert listed.holds()
    clock.now = 0.09
    assert not listed.holds()
    clock.now = 0.0
    assert not listed.holds()


def test_the_time_runs_from_before_the_listing(store: LocalStore, clock: Clock) -> None:
    with closing(store.witness(("a", "b"), stored=False, locks=False)) as witness:  # type: ignore[type-var]
        assert witness is not None
        clock.now = 0.091
        list(store.scan(("a", "b"), False, witness=witness))
        assert not witness.holds()


def test_members_that_can_be_changed_from_elsewhere(folder: Path, store: LocalStore) -> None:
    (folder / "hard").hardlink_to(folder / "a" / "b" / "file")
    with closing(scanned(store)) as witness:
        assert not witness.holds()
    (folder / "hard").unlink()
    with closing(scanned(store)) as witness:
        assert witness.holds()
    (folder / "a" / "b" / "link").symlink_to(folder / "hard")
    with closing(scanned(store)) as witness:
        assert not witness.holds()


def test_many_inner_collections(folder: Path, store: LocalStore) -> None:
    for number in range(witnesses.MOST_INNER):
        (folder / "a" / "other" / str(number)).mkdir()
    with closing(scanned(store, "a", "other")) as witness:
        assert witness.holds()
    (folder / "a" / "other" / "more").mkdir()
    with closing(scanned(store, "a", "other")) as witness:
        assert not witness.holds()


def test_what_has_no_witness(folder: Path, store: LocalStore) -> None:
    (folder / "link").symlink_to(folder / "a")
    for path in [("missing",), ("a", "b", "file"), ("link",), ("link", "b"), (".partwise",), ("x" * 300,)]:
        assert store.witness(path, stored=False, locks=False) is None


def test_the_root(folder: Path, store: LocalStore) -> None:
    with closing(store.witness((), stored=False, locks=False)) as witness:  # type: ignore[type-var]
        assert witness is not None
        list(store.scan((), False, witness=witness))
        assert witness.holds()
        (folder / "new").touch()
        assert not witness.holds()


def test_watches_are_bounded_and_shared(folder: Path, store: LocalStore) -> None:
    several = [scanned(store) for _ in range(300)]
    assert len(store.notices._live) == 1
    several[0].close()
    several[0].close()
    assert several[1].holds() and not several[0].holds()
    for number in range(witnesses.MOST_WATCHES - 1):
        (folder / f"c{number}").mkdir()
        several.append(scanned(store, f"c{number}"))
    assert store.witness(("a", "other"), stored=False, locks=False) is None
    several.pop().close()
    several.append(scanned(store, "a", "other"))
    (folder / "a" / "b" / "new").touch()
    assert not several[1].holds() and not several[2].holds() and several[-1].holds()
    for witness in several:
        witness.close()


def test_an_event_nobody_has_looked_at_is_not_lost(folder: Path, store: LocalStore, listed: Witness) -> None:
    """The watch of the first has ended with its event when the second is made."""
    (folder / "a" / "b" / "new").touch()
    with closing(scanned(store)) as second:
        assert not listed.holds()
        assert second.holds()
        (folder / "a" / "b" / "newer").touch()
        assert not second.holds()


def test_events_that_are_lost(store: LocalStore, listed: Witness) -> None:
    """The kernel's queue is full: whatever was watched may have changed."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 20_000:
        pytest.skip("the queue is long here")
    with closing(scanned(store, "a", "other")) as other:
        directory = os.open(store.notices.root.folder, os.O_RDONLY)
        # Each watch that is removed is an event.
        for _ in range(most + 1):
            store.notices.release(store.notices._watch(directory) or 0)
        os.close(directory)
        assert not listed.holds() and not other.holds()
    with closing(scanned(store)) as again:
        assert again.holds()


def test_a_store_that_is_closed(folder: Path) -> None:
    store = LocalStore(os.fspath(folder), durable=False)
    (folder / "a" / "b").mkdir(parents=True)
    witness = scanned(store)
    store.close()
    assert not witness.holds()
    witness.close()
    store.close()


def test_one_thread_does_not_wait_for_another(store: LocalStore, listed: Witness) -> None:
    with store.notices._lock:
        assert not listed.holds()


def test_where_nothing_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "local", lambda descriptor: None)
    with closing(LocalStore(os.fspath(folder), durable=False)) as store:
        assert store.witness((), stored=False, locks=False) is None
        assert list(store.scan((), False)) == []
