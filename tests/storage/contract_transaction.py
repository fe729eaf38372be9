"""The storage contract: transactions, and uploads that wait long."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Mapping

import pytest
from tests.storage.contract_tools import (
    anything,
    contents,
    copy,
    give,
    has,
    lock_of,
    move,
    never,
    nothing_there,
    publication,
    put,
    tokens,
    tree,
)

from partwise.errors import Failure, NotFound, ParentMissing, PreconditionFailed
from partwise.storage.base import Exists, Path, Publication, Published, Store

Write = Callable[[Store], object]


class Enough(Exception):
    """What a block raises to undo everything."""


def parked(store: Store, path: Path, data: bytes, existing: int | None = None) -> Publication:
    made = publication(store, path, data, existing=existing)
    made.upload.park()
    return made


def fill(store: Store) -> None:
    """Files and collections with properties and locks."""
    for name in ("a", "b"):
        put(store, (name,), name.encode(), modified_ns=1_000_000_000)
        put(store, (f"c{name}", "deep", "x"), b"x" + name.encode(), existing=0, modified_ns=1)
        for path in ((name,), (f"c{name}",), (f"c{name}", "deep", "x")):
            give(store, path, p="/".join(path))
    for root in (("a",), ("ca", "deep"), ("cb",)):
        store.lock(lock_of(root, "urn:" + "/".join(root), infinite=True), anything)


def picture(store: Store) -> object:
    """All that clients can see, but for the moments of births and entity tags."""
    paths = [(), *(member.path for member in store.walk(()))]
    return (
        tree(store),
        {path: {**values, **_undated(values)} for path, values in store.properties(paths).items()},
        {path: tokens(store.locks_on(path)) for path in [*paths, ("new",), ("new", "m")]},
        tokens(store.locks_below(())),
        {member.path: member.modified_ns for member in store.walk(()) if not member.collection},
    )


def _undated(values: Mapping[str, str]) -> dict[str, str]:
    return {name: "some day" for name in values if name == "{DAV:}creationdate"}


def puts(store: Store, path: Path, data: bytes = b"new", existing: int | None = None) -> None:
    [answer] = store.publish([parked(store, path, data, existing)])
    assert isinstance(answer, Published)
    assert store.stat(path)._replace(created_ns=0) == answer.resource


def in_new_collection(store: Store) -> None:
    store.make_collection(("new",), anything, {"q": "1"})
    puts(store, ("new", "m"))


def published_then_moved(store: Store) -> None:
    puts(store, ("new",))
    assert move(store, ("new",), ("b",)) is False


def deleted_then_published(store: Store) -> None:
    for name in ("a", "ca"):
        store.delete((name,), anything)
        puts(store, (name,))
        assert has(store, (name,)) == {}


def moved_around(store: Store) -> None:
    for source, destination in (("ca", "new"), ("cb", "ca"), ("new", "cb"), ("a", "new"), ("b", "a"), ("new", "b")):
        assert move(store, (source,), (destination,)) is True
    assert tree(store, ("ca",)) == {"deep": None, "deep/x": b"xb"}


def into_what_was_moved(store: Store) -> None:
    move(store, ("ca",), ("new",))
    puts(store, ("new", "deep", "x"))
    puts(store, ("new", "deep", "y"))
    puts(store, ("ca", "1", "2", "3"), existing=0)
    store.delete(("new",), anything)


def published_twice(store: Store) -> None:
    group = [parked(store, ("a",), b"1"), publication(store, ("a",), b"22"), parked(store, ("new",), b"3")]
    again = store.publish([*group, publication(store, ("new",), b"4", check=nothing_there)])
    assert [isinstance(answer, Published) for answer in again] == [True, True, True, False]
    assert contents(store, ("a",)) == b"22"
    puts(store, ("new",), b"5")


def failed_and_went_on(store: Store) -> None:
    refused = store.publish(
        [publication(store, ("new", "m"), b"1"), publication(store, ("a",), b"1", check=never), parked(store, (), b"")]
    )
    assert not any(isinstance(answer, Published) for answer in refused)
    with pytest.raises(NotFound):
        store.delete(("missing",), anything)
    with pytest.raises(Exists):
        move(store, ("a",), ("b",), overwrite=False)
    with pytest.raises(Exists):
        store.make_collection(("ca",), anything)
    with pytest.raises(ParentMissing):
        copy(store, ("ca",), ("missing", "a"))
    puts(store, ("b",), b"22")


def with_locks(store: Store) -> None:
    made = store.lock(lock_of(("new",), "urn:new"), anything)
    assert made is not None and tokens(store.locks_on(("new",))) == ["urn:new"]
    assert store.unlock("urn:a") and store.locks_on(("a",)) == ()
    store.delete(("cb",), anything)
    assert tokens(store.locks_below(())) == ["urn:ca/deep", "urn:new"]
    assert store.refresh("urn:cb", 4e9) is None


WRITES: dict[str, Write] = {
    "put-new": lambda store: puts(store, ("new",)),
    "put-deep": lambda store: puts(store, ("new", "1", "2"), existing=0),
    "replace": lambda store: puts(store, ("a",)),
    "replace-large": lambda store: puts(store, ("a",), b"x" * 400_000),
    "mkcol": lambda store: store.make_collection(("new",), anything, {"p": "1"}),
    "delete-file": lambda store: store.delete(("a",), anything),
    "delete-tree": lambda store: store.delete(("ca",), anything),
    "move-file": lambda store: move(store, ("a",), ("new",)),
    "move-file-over-file": lambda store: move(store, ("a",), ("b",)),
    "move-file-over-tree": lambda store: move(store, ("a",), ("cb",)),
    "move-tree-over-tree": lambda store: move(store, ("ca",), ("cb",)),
    "move-tree-over-file": lambda store: move(store, ("ca",), ("b",)),
    "copy-file": lambda store: copy(store, ("a",), ("new",)),
    "copy-file-over-file": lambda store: copy(store, ("a",), ("b",)),
    "copy-tree": lambda store: copy(store, ("ca",), ("new",)),
    "copy-tree-over-tree": lambda store: copy(store, ("ca",), ("cb",)),
    "properties": lambda store: store.set_properties(("a",), {"p": None, "r": "2"}, anything),
    "modified": lambda store: store.set_properties(("a",), {"p": "2"}, anything, 5_000_000_000),
    "in-new-collection": in_new_collection,
    "published-then-moved": published_then_moved,
    "deleted-then-published": deleted_then_published,
    "moved-around": moved_around,
    "into-what-was-moved": into_what_was_moved,
    "published-twice": published_twice,
    "failed-and-went-on": failed_and_went_on,
    "with-locks": with_locks,
}


def anything_after_anything(store: Store, seed: int) -> None:
    """Forty writes; some of them are refused."""
    chance = random.Random(seed)
    paths: list[Path] = [
        (*above, name) for above in ((), ("ca",), ("cb", "deep")) for name in ("a", "b", "ca", "cb", "x")
    ]

    def write(number: int) -> object:
        one, other = chance.choice(paths), chance.choice(paths)
        match chance.randrange(6):
            case 0:
                group = [
                    publication(
                        store, path, b"%d" % number, existing=0, modified_ns=number, properties={"n": str(number)}
                    )
                    for path in (one, other)
                ]
                group[1].upload.park()
                return store.publish(group)
            case 1:
                return store.make_collection(one, anything, {"n": str(number)})
            case 2:
                return store.delete(one, anything)
            case 3:
                return move(store, one, other)
            case 4:
                return copy(store, one, other)
            case _:
                return store.set_properties(one, {"m": str(number)}, anything, modified_ns=number)

    for number in range(40):
        with contextlib.suppress(Failure, Exists):
            write(number)


class TransactionContract:
    @pytest.mark.parametrize("name", WRITES)
    def test_all_or_nothing(self, store: Store, name: str) -> None:
        fill(store)
        before = picture(store)
        with pytest.raises(Enough), store.transaction() as joint:
            WRITES[name](joint)
            seen = picture(joint)
            assert seen != before
            raise Enough
        assert picture(store) == before
        with store.transaction() as joint:
            WRITES[name](joint)
            seen = picture(joint)
        after = picture(store)
        assert after[:2] + after[4:] == seen[:2] + seen[4:]  # type: ignore[index]
        assert after == seen

    @pytest.mark.parametrize("seed", range(6))
    def test_anything_after_anything(self, store: Store, seed: int) -> None:
        """As without a transaction, if it ends well; else as if nothing had been done."""
        fill(store)
        before = picture(store)
        with pytest.raises(Enough), store.transaction() as joint:
            anything_after_anything(joint, seed)
            assert picture(joint) != before
            raise Enough
        assert picture(store) == before
        with store.transaction() as joint:
            anything_after_anything(joint, seed)
        together = picture(store)
        for member in list(store.members(())):
            store.delete(member.path, anything)
        fill(store)
        assert picture(store) == before
        anything_after_anything(store, seed)
        assert picture(store) == together

    def test_entity_tags_are_final(self, store: Store) -> None:
        put(store, ("old",), b"1")
        with store.transaction() as joint:
            answers = joint.publish([parked(joint, ("old",), b"2"), parked(joint, ("c", "new"), b"3", 0)])
        for answer in answers:
            assert isinstance(answer, Published)
            assert store.stat(answer.resource.path)._replace(created_ns=0) == answer.resource
        assert [answer.created for answer in answers if isinstance(answer, Published)] == [False, True]

    def test_other_writers_wait(self, store: Store) -> None:
        put(store, ("a",), b"1")
        entered, done = threading.Event(), threading.Event()

        def write() -> None:
            entered.set()
            put(store, ("a",), b"333")
            done.set()

        thread = threading.Thread(target=write)
        with store.transaction() as joint:
            puts(joint, ("a",), b"22")
            thread.start()
            entered.wait()
            assert not done.wait(0.05)
            assert contents(joint, ("a",)) == b"22"
        thread.join()
        assert contents(store, ("a",)) == b"333"

    def test_one_that_does_nothing(self, store: Store) -> None:
        with store.transaction():
            pass
        with pytest.raises(Enough), store.transaction():
            raise Enough
        assert tree(store) == {}

    def test_refusals_are_told_as_always(self, store: Store) -> None:
        with pytest.raises(PreconditionFailed), store.transaction() as joint:
            puts(joint, ("a", "b"), existing=0)
            [answer] = joint.publish([publication(joint, ("a", "c"), b"1", check=never)])
            assert isinstance(answer, PreconditionFailed)
            raise answer
        assert tree(store) == {}

    @pytest.mark.parametrize("size", [0, 10, 300_000, 4_200_000])
    def test_parked_uploads(self, store: Store, size: int) -> None:
        put(store, ("old",), b"old")
        before = len(os.listdir("/proc/self/fd"))
        waiting = [parked(store, path, b"x" * size) for path in (("old",), ("new",))]
        dropped = parked(store, ("dropped",), b"x" * size)
        assert len(os.listdir("/proc/self/fd")) == before
        for _ in range(2):
            dropped.upload.abort()
        for answer in store.publish(waiting):
            assert isinstance(answer, Published)
            assert store.stat(answer.resource.path)._replace(created_ns=0) == answer.resource
        assert tree(store) == {"old": b"x" * size, "new": b"x" * size}

    def test_many_parked_uploads_hold_few_descriptors(self, store: Store) -> None:
        waiting = [parked(store, ("c", str(number)), b"1", 0) for number in range(600)]
        most = len(os.listdir("/proc/self/fd")) + 20

        def few(_: object) -> None:
            assert len(os.listdir("/proc/self/fd")) < most

        with store.transaction() as joint:
            answers = joint.publish([Publication(one.upload, one.path, 0, few) for one in waiting])
        assert all(isinstance(answer, Published) for answer in answers)
        assert len(tree(store)) == 601
