"""The local store when its state or a sync fails, and when others change the same names."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.storage.contract_tools import (
    anything,
    contents,
    copy,
    give,
    has,
    lock_of,
    move,
    put,
    tokens,
    tree,
)

from partwise.errors import Failure, NotFound, TryAgain
from partwise.storage.base import Published
from partwise.storage.local import durable
from partwise.storage.local.store import LocalStore

# -- a state that fails


@pytest.fixture
def fails(store: LocalStore, folder: Path) -> Callable[[str, str], contextlib.AbstractContextManager[None]]:
    """The database refuses statements of one kind on one table."""

    @contextlib.contextmanager
    def failing(kind: str, table: str) -> Iterator[None]:
        def run(statement: str) -> None:
            with contextlib.closing(sqlite3.connect(folder / ".partwise" / "state.db")) as connection:
                connection.execute(statement)
                connection.commit()

        run(f"CREATE TRIGGER refuse BEFORE {kind} ON {table} BEGIN SELECT RAISE(ABORT, 'refused by a test'); END")
        try:
            yield
        finally:
            run("DROP TRIGGER refuse")

    return failing


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("INSERT", lambda store: store.set_properties(("s",), {"q": "2", "p": None}, anything, 5)),
        ("INSERT", lambda store: store.set_properties(("c",), {"q": "2"}, anything, 5)),
        ("INSERT", lambda store: store.make_collection(("new",), anything, {"p": "1"})),
        ("INSERT", lambda store: copy(store, ("s",), ("new",))),
        ("INSERT", lambda store: copy(store, ("s",), ("d",))),
        ("INSERT", lambda store: copy(store, ("s",), ("c",))),
        ("INSERT", lambda store: copy(store, ("c",), ("new",))),
        ("INSERT", lambda store: copy(store, ("c",), ("s",))),
        ("INSERT", lambda store: copy(store, ("c",), ("e",))),
        ("UPDATE", lambda store: move(store, ("s",), ("new",))),
        ("UPDATE", lambda store: move(store, ("s",), ("d",))),
        ("UPDATE", lambda store: move(store, ("s",), ("c",))),
        ("UPDATE", lambda store: move(store, ("c",), ("new",))),
        ("UPDATE", lambda store: move(store, ("c",), ("e",))),
        ("UPDATE", lambda store: move(store, ("c",), ("s",))),
        ("DELETE", lambda store: store.delete(("s",), anything)),
        ("DELETE", lambda store: store.delete(("c",), anything)),
    ],
)
def test_all_or_nothing(
    store: LocalStore,
    fails: Callable[[str, str], contextlib.AbstractContextManager[None]],
    kind: str,
    change: Callable[[LocalStore], object],
) -> None:
    """What could not be written down has not happened."""
    for path, data in [(("s",), b"s"), (("d",), b"d"), (("c", "a"), b"a"), (("e", "b"), b"b")]:
        put(store, path, data, existing=0, modified_ns=10**18)
        give(store, path, p=f"of {path}")
    give(store, ("c",), p="1")
    paths = [("s",), ("d",), ("c",), ("c", "a"), ("e", "b"), ("new",)]

    def now() -> tuple[object, ...]:
        times = {member.path: member.modified_ns for member in store.walk(()) if not member.collection}
        return tree(store), times, [has(store, path) for path in paths]

    before = now()
    with fails(kind, "properties"), pytest.raises(TryAgain):
        change(store)
    assert now() == before
    change(store)
    assert now() != before


def test_contents_are_given_back_with_their_properties(
    store: LocalStore, fails: Callable[[str, str], contextlib.AbstractContextManager[None]]
) -> None:
    put(store, ("a",), b"old", properties={"p": "1"})
    put(store, ("b",), b"old")
    with fails("INSERT", "properties"):
        for path in [("a",), ("b",), ("new",)]:
            assert isinstance(put(store, path, b"new", properties={"p": "2"}), TryAgain)
    assert tree(store) == {"a": b"old", "b": b"old"}
    assert [has(store, (name,)) for name in ("a", "b", "new")] == [{"p": "1"}, {}, {}]


def test_no_file_without_its_lock(
    store: LocalStore, fails: Callable[[str, str], contextlib.AbstractContextManager[None]]
) -> None:
    with fails("INSERT", "locks"), pytest.raises(TryAgain):
        store.lock(lock_of(("a",)), anything)
    assert tree(store) == {} and store.locks_on(("a",)) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.delete(("s",), anything),
        lambda store: store.make_collection(("new",), anything),
        lambda store: move(store, ("s",), ("d",)),
        lambda store: copy(store, ("c",), ("d",)),
        lambda store: copy(store, ("s",), ("d",)),
        lambda store: store.set_properties(("s",), {"p": "1"}, anything, 5),
        lambda store: store.lock(lock_of(("s",)), anything),
        lambda store: store.unlock("urn:t"),
        lambda store: store.refresh("urn:t", 1e10),
    ],
)
def test_what_is_not_durable_is_not_answered(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[LocalStore], object]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    put(store, ("s",), b"1")
    put(store, ("c", "a"), b"1", existing=0)
    put(store, ("d",), b"1")
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", fail)
        patch.setattr(durable, "_syncfs", fail)
        with pytest.raises(TryAgain):
            change(store)


# -- changes by hand, changes at once


def test_state_belongs_to_the_path(store: LocalStore, folder: Path) -> None:
    """What stands there keeps it, whoever replaced the contents; an owner that is gone leaves nothing to a new one."""
    for name in ("kept", "gone", "locked", "collection", "moved", "copied"):
        put(store, (name,), b"1")
        give(store, (name,), p=name)
        (folder / name).unlink()
    (folder / "kept").write_bytes(b"by hand")
    assert has(store, ("kept",)) == {"p": "kept"}
    put(store, ("gone",), b"2")
    store.lock(lock_of(("locked",)), anything)
    store.make_collection(("collection",), anything)
    put(store, ("s",), b"3")
    copy(store, ("s",), ("copied",))
    move(store, ("s",), ("moved",))
    assert [has(store, (name,)) for name in ("gone", "locked", "collection", "moved", "copied")] == [{}] * 5


def test_a_copy_while_members_come_and_go(store: LocalStore, folder: Path) -> None:
    """Each member that is copied is whole, and nothing fails because another vanished."""
    bodies = {bytes([65 + number]) * 50_000 for number in range(4)}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for number, body in enumerate(sorted(bodies)):
                put(store, ("c", "x", str(number)), body, existing=0)
                move(store, ("c", "x", str(number)), ("c", f"m{number}"))
            with contextlib.suppress(NotFound):
                store.delete(("c", "x"), anything)

    put(store, ("c", "stays"), min(bodies), existing=0)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(10):
            copy(store, ("c",), ("d",))
            copied = tree(store, ("d",))
            assert copied["stays"] == min(bodies)
            assert {data for data in copied.values() if data is not None} <= bodies
    finally:
        done.set()
        thread.join()


def test_one_destination_for_many(store: LocalStore) -> None:
    """Sources that are moved onto one name at once: each vanishes, and the last stands there, whole."""
    failures: list[BaseException] = []

    def work(own: str) -> None:
        try:
            for number in range(15):
                put(store, (own, own), own.encode(), existing=0)
                put(store, (own, str(number)), b"", existing=0)
                move(store, (own,), ("d",))
        except (Failure, OSError, AssertionError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    [(last, data)] = [(name, data) for name, data in tree(store, ("d",)).items() if not name.isdecimal()]
    assert data == last.encode()
    assert set(tree(store)) == {"d", f"d/{last}", "d/14"}


def test_a_deep_copy(store: LocalStore, folder: Path) -> None:
    path = tuple("a" * 1 for _ in range(100))
    answer = put(store, (*path, "f"), b"1", existing=0)
    assert isinstance(answer, Published)
    copy(store, ("a",), ("b",))
    assert contents(store, ("b", *path[1:], "f")) == b"1"


def test_locks_of_a_name_that_was_replaced_by_hand(store: LocalStore, folder: Path) -> None:
    """A collection that became a file behind the server's back: with it go the locks that were below (RFC 4918 §9.6)."""
    put(store, ("c", "a"), b"1", existing=0)
    store.lock(lock_of(("c", "a")), anything)
    (folder / "c" / "a").unlink()
    (folder / "c").rmdir()
    (folder / "c").write_bytes(b"")
    assert tokens(store.locks_below(())) == ["urn:t"]
    store.delete(("c",), anything)
    assert store.locks_below(()) == ()
