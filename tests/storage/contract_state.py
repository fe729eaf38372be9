"""The storage contract: stored properties and locks."""

from __future__ import annotations

import time

import pytest
from tests.storage.contract_tools import (
    anything,
    contents,
    give,
    has,
    lock_of,
    never,
    nothing_there,
    publication,
    put,
    tokens,
    tree,
)

from partwise.errors import NotFound, ParentMissing, PreconditionFailed
from partwise.storage.base import Lock, Path, Published, Store


class StateContract:
    """Needs a fixture ``store``."""

    # -- properties

    def test_properties(self, store: Store) -> None:
        put(store, ("a",), b"1")
        store.make_collection(("c",), anything)
        before = store.stat(("a",))
        for path in [(), ("a",), ("c",)]:
            give(store, path, p="1", q="2")
            give(store, path, p=None, r="<x>\U0001f600</x>", absent=None)
            assert has(store, path) == {"q": "2", "r": "<x>\U0001f600</x>"}
        assert set(store.properties([(), ("a",), ("c",), ("nothing",)])) == {(), ("a",), ("c",)}
        assert store.properties([]) == {}
        assert store.stat(("a",)) == before

    def test_a_refused_change(self, store: Store) -> None:
        put(store, ("a",), b"1", modified_ns=10**18)
        give(store, ("a",), p="1")
        with pytest.raises(PreconditionFailed):
            store.set_properties(("a",), {"p": "2"}, never, 5)
        with pytest.raises(NotFound):
            give(store, ("nothing",), p="1")
        assert has(store, ("a",)) == {"p": "1"}
        assert store.stat(("a",)).modified_ns == 10**18
        assert has(store, ("nothing",)) == {}

    @pytest.mark.parametrize("path", [(), ("a",), ("c",)])
    def test_a_modification_time_with_properties(self, store: Store, path: Path) -> None:
        put(store, ("a",), b"1")
        store.make_collection(("c",), anything)
        store.set_properties(path, {"p": "1"}, anything, 10**18 + 1000)
        assert store.stat(path).modified_ns == 10**18 + 1000
        assert has(store, path) == {"p": "1"}

    def test_published_with_properties(self, store: Store) -> None:
        put(store, ("a",), b"1", properties={"p": "1", "q": "1", "absent": None})
        assert has(store, ("a",)) == {"p": "1", "q": "1"}
        put(store, ("a",), b"2", properties={"q": None, "r": "2"})
        assert has(store, ("a",)) == {"p": "1", "r": "2"}
        put(store, ("a",), b"3")
        assert has(store, ("a",)) == {"p": "1", "r": "2"}
        put(store, ("a",), b"4", properties={"p": "4"}, check=never)
        assert has(store, ("a",)) == {"p": "1", "r": "2"}

    def test_one_name_twice_in_a_group(self, store: Store) -> None:
        """The last one's properties, as if each had come alone."""
        put(store, ("a",), b"0", properties={"p": "1"})
        values = ["2", "1"]
        answers = store.publish(
            [publication(store, ("a",), value.encode(), properties={"p": value}) for value in values]
        )
        assert [isinstance(answer, Published) for answer in answers] == [True, True]
        assert (contents(store, ("a",)), has(store, ("a",))) == (b"1", {"p": "1"})
        store.publish([publication(store, ("b",), b"", properties={"p": value}) for value in values])
        assert has(store, ("b",)) == {"p": "1"}

    def test_a_collection_with_properties(self, store: Store) -> None:
        store.make_collection(("c",), anything, {"p": "1"})
        assert has(store, ("c",)) == {"p": "1"}
        with pytest.raises(PreconditionFailed):
            store.make_collection(("d",), never, {"p": "1"})
        with pytest.raises(ParentMissing):
            store.make_collection(("x", "d"), anything, {"p": "1"})
        assert has(store, ("d",)) == has(store, ("x", "d")) == {}
        assert tree(store) == {"c": None}

    def test_deleted_properties_do_not_come_back(self, store: Store) -> None:
        put(store, ("c", "d", "a"), b"1", existing=0)
        paths = [("c",), ("c", "d"), ("c", "d", "a")]
        for path in paths:
            give(store, path, p="1")
        store.delete(("c",), anything)
        assert store.properties(paths) == {}
        put(store, ("c", "d", "a"), b"1", existing=0)
        assert store.properties(paths) == {}

    # -- locks

    def test_the_scope_of_a_lock(self, store: Store) -> None:
        """RFC 4918 §6.1."""
        put(store, ("c", "d", "a"), b"1", existing=0)
        deep, flat = lock_of(("c",), "urn:deep", infinite=True), lock_of(("c", "d"), "urn:flat", exclusive=False)
        assert store.lock(deep, anything) is None
        assert store.lock(flat, anything) is None
        assert store.locks_on(("c",)) == (deep,)
        assert set(store.locks_on(("c", "d"))) == {deep, flat}
        assert store.locks_on(("c", "d", "a")) == store.locks_on(("c", "new")) == (deep,)
        assert store.locks_on(()) == store.locks_on(("c2",)) == ()
        assert store.locks_below(()) == (deep, flat)
        assert store.locks_below(("c",)) == (flat,)
        assert store.locks_below(("c", "d")) == ()

    def test_a_lock_makes_an_empty_file(self, store: Store) -> None:
        """RFC 4918 §7.3: it stays when the lock is gone, and has no properties of an earlier owner of its name."""
        made = store.lock(lock_of(("a",)), nothing_there)
        assert made == store.stat(("a",)) and made is not None and made.size == 0
        assert store.unlock("urn:t") and not store.unlock("urn:t")
        assert tree(store) == {"a": b""}

    def test_a_lock_that_is_refused(self, store: Store) -> None:
        put(store, ("f",), b"1")
        for path in [("a",), ("f",)]:
            with pytest.raises(PreconditionFailed):
                store.lock(lock_of(path), never)
            assert store.locks_on(path) == ()
        for path in [("x", "a"), ("f", "a")]:
            with pytest.raises(ParentMissing):
                store.lock(lock_of(path), anything)
        assert tree(store) == {"f": b"1"}

    def test_the_check_of_a_lock_sees_the_others(self, store: Store) -> None:
        put(store, ("a",), b"1")
        seen: list[tuple[Lock, ...]] = []
        for token in ("urn:1", "urn:2"):
            store.lock(lock_of(("a",), token, exclusive=False), lambda _: seen.append(store.locks_on(("a",))))
        assert [tokens(locks) for locks in seen] == [[], ["urn:1"]]

    def test_the_end_of_a_lock(self, store: Store) -> None:
        put(store, ("a",), b"1")
        lock = lock_of(("a",))
        store.lock(lock, anything)
        later = lock.expires + 1000
        assert store.refresh("urn:t", later) == lock._replace(expires=later)
        assert store.locks_on(("a",)) == (lock._replace(expires=later),)
        assert store.refresh("urn:other", later) is None
        assert store.refresh("urn:t", time.time() - 1) is not None
        assert store.locks_on(("a",)) == store.locks_below(()) == ()
        assert store.refresh("urn:t", later) is None
        assert not store.unlock("urn:t")

    def test_locks_end_with_what_they_lock(self, store: Store) -> None:
        """RFC 4918 §9.6: those rooted at what is deleted, and below."""
        put(store, ("c", "a"), b"1", existing=0)
        put(store, ("c2",), b"1")
        for path, token in [(("c",), "urn:c"), (("c", "a"), "urn:a"), (("c2",), "urn:c2")]:
            store.lock(lock_of(path, token), anything)
        store.delete(("c",), anything)
        assert tokens(store.locks_below(())) == ["urn:c2"]
        store.delete(("c2",), anything)
        assert store.locks_below(()) == ()

    def test_replaced_contents_stay_locked(self, store: Store) -> None:
        store.lock(lock_of(("a",)), anything)
        put(store, ("a",), b"1")
        assert tokens(store.locks_on(("a",))) == ["urn:t"]
