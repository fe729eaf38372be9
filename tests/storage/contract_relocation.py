"""The storage contract: COPY and MOVE, and what they do to stored properties and locks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.storage.contract_tools import (
    Told,
    anything,
    contents,
    copy,
    created,
    give,
    has,
    lock_of,
    move,
    moving,
    put,
    tokens,
    tree,
)

from partwise.errors import NotAllowed, NotFound, Overlapping, ParentMissing, PreconditionFailed
from partwise.storage.base import Exists, Path, Published, Resource, Store

Verb = Callable[..., bool]

BOTH = pytest.mark.parametrize("verb", [move, copy])
KINDS = ["file", "collection"]


def make(store: Store, kind: str, name: str) -> None:
    if kind == "file":
        put(store, (name,), name.encode())
    else:
        put(store, (name, "in", name), name.encode(), existing=0)
        store.make_collection((name, "empty"), anything)


def expected(kind: str, name: str, was: str) -> dict[str, bytes | None]:
    if kind == "file":
        return {name: was.encode()}
    return {name: None, f"{name}/in": None, f"{name}/in/{was}": was.encode(), f"{name}/empty": None}


class RelocationContract:
    """Needs a fixture ``store``."""

    @BOTH
    @pytest.mark.parametrize("kind", KINDS)
    def test_to_a_free_name(self, store: Store, verb: Verb, kind: str) -> None:
        make(store, kind, "s")
        assert verb(store, ("s",), ("d",)) is True
        stays = {} if verb is move else expected(kind, "s", "s")
        assert tree(store) == stays | expected(kind, "d", "s")

    @BOTH
    @pytest.mark.parametrize("there", KINDS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_onto_what_stands_there(self, store: Store, verb: Verb, kind: str, there: str) -> None:
        make(store, kind, "s")
        make(store, there, "d")
        before = tree(store)
        with pytest.raises(Exists):
            verb(store, ("s",), ("d",), overwrite=False)
        assert tree(store) == before
        assert verb(store, ("s",), ("d",)) is False
        stays = {} if verb is move else expected(kind, "s", "s")
        assert tree(store) == stays | expected(kind, "d", "s")

    @BOTH
    def test_into_another_collection(self, store: Store, verb: Verb) -> None:
        put(store, ("c", "a"), b"1", existing=0)
        store.make_collection(("d",), anything)
        assert verb(store, ("c", "a"), ("d", "b")) is True
        assert contents(store, ("d", "b")) == b"1"

    @BOTH
    def test_times_are_kept(self, store: Store, verb: Verb) -> None:
        put(store, ("c", "a"), b"1", existing=0, modified_ns=10**18)
        verb(store, ("c",), ("d",))
        verb(store, ("d", "a"), ("e",))
        assert store.stat(("e",)).modified_ns == 10**18

    @BOTH
    @pytest.mark.parametrize(
        ("source", "destination", "failure"),
        [
            ((), ("x",), Overlapping),
            (("a",), (), Overlapping),
            (("a",), ("a",), Overlapping),
            (("c",), ("c",), Overlapping),
            (("c",), ("c", "new"), Overlapping),
            (("c",), ("c", "d"), Overlapping),
            (("c", "d"), ("c",), Overlapping),
            (("nothing",), ("new",), NotFound),
            (("a", "x"), ("new",), NotFound),
            (("a",), ("missing", "new"), ParentMissing),
            (("c",), ("missing", "new"), ParentMissing),
            (("c",), ("a", "new"), ParentMissing),
        ],
    )
    def test_refused(self, store: Store, verb: Verb, source: Path, destination: Path, failure: type[Exception]) -> None:
        put(store, ("a",), b"1")
        put(store, ("c", "d", "b"), b"2", existing=0)
        before = tree(store)
        with pytest.raises(failure):
            verb(store, source, destination)
        assert tree(store) == before

    @BOTH
    def test_the_check_is_asked_about_both(self, store: Store, verb: Verb) -> None:
        """Also about what was changed while the copy was made: the last answer counts."""
        put(store, ("a",), b"1")
        put(store, ("b",), b"2")
        wanted = store.stat(("a",)), store.stat(("b",))
        seen: list[tuple[Resource, Resource | None]] = []

        def check(source: Resource, standing: Resource | None) -> None:
            seen.append((source, standing))
            raise PreconditionFailed("no")

        asked = moving(("a",), ("b",), check=check)
        with pytest.raises(PreconditionFailed):
            store.move(asked) if verb is move else store.copy(asked, True, Told())
        assert set(seen) == {wanted}
        assert tree(store) == {"a": b"1", "b": b"2"}

    def test_a_source_that_is_replaced_while_it_is_copied(self, store: Store) -> None:
        """The copy is of what the check was asked about last."""
        put(store, ("a",), b"old")
        last: list[Resource] = []

        def check(source: Resource, standing: Resource | None) -> None:
            last.append(source)
            if len(last) == 1:
                put(store, ("a",), b"new")

        assert store.copy(moving(("a",), ("b",), check=check), True, Told())
        assert contents(store, ("b",)) == b"new"
        assert last[-1] == store.stat(("a",))

    def test_a_source_that_vanishes_while_it_is_copied(self, store: Store) -> None:
        put(store, ("a",), b"old")
        seen: list[Resource] = []

        def check(source: Resource, standing: Resource | None) -> None:
            if not seen:
                seen.append(source)
                store.delete(("a",), anything)

        with pytest.raises(NotFound):
            store.copy(moving(("a",), ("b",), check=check), True, Told())
        assert tree(store) == {}

    def test_copy_without_members(self, store: Store) -> None:
        put(store, ("c", "a"), b"1", existing=0)
        give(store, ("c",), p="of c")
        give(store, ("c", "a"), p="of a")
        assert copy(store, ("c",), ("d",), infinite=False)
        assert copy(store, ("c",), ("c", "e"), infinite=False)
        assert tree(store) == {"c": None, "c/a": b"1", "c/e": None, "d": None}
        assert has(store, ("d",)) == has(store, ("c", "e")) == {"p": "of c"}
        assert has(store, ("d", "a")) == {}
        with pytest.raises(Overlapping):
            copy(store, ("c", "e"), ("c",), infinite=False)

    def test_a_copy_is_independent(self, store: Store) -> None:
        put(store, ("c", "a"), b"1", existing=0)
        copy(store, ("c",), ("d",))
        put(store, ("c", "a"), b"2")
        assert contents(store, ("d", "a")) == b"1"

    # -- properties

    @BOTH
    def test_properties_come_along(self, store: Store, verb: Verb) -> None:
        """RFC 4918 §9.8.2, §9.9.1: with all members; what the destination had is gone."""
        for name in ("s", "d"):
            put(store, (name, "in", name), b"1", existing=0)
            for path in [(name,), (name, "in"), (name, "in", name)]:
                give(store, path, p=f"of {path}")
        give(store, ("d",), other="1")
        verb(store, ("s",), ("d",))
        for path in [(), ("in",), ("in", "s")]:
            assert has(store, ("d", *path)) == {"p": f"of {('s', *path)}"}
            assert has(store, ("s", *path)) == ({} if verb is move else {"p": f"of {('s', *path)}"})
        assert has(store, ("d", "in", "d")) == {}

    def test_creationdate(self, store: Store) -> None:
        """RFC 4918 §15.1: kept by MOVE and when contents are replaced, new for a COPY."""
        put(store, ("a",), b"1")
        first = created(store, ("a",))
        put(store, ("a",), b"22")
        put(store, ("a",), b"333")
        assert created(store, ("a",)) == first
        move(store, ("a",), ("b",))
        assert created(store, ("b",)) == first
        copy(store, ("b",), ("c",))
        assert created(store, ("b",)) == first < created(store, ("c",))
        store.make_collection(("e",), anything)
        move(store, ("b",), ("e", "b"))
        move(store, ("e",), ("f",))
        assert created(store, ("f", "b")) == first
        copy(store, ("f",), ("g",))
        assert created(store, ("g", "b")) > first

    # -- locks

    @BOTH
    @pytest.mark.parametrize("kind", KINDS)
    def test_locks_do_not_move(self, store: Store, verb: Verb, kind: str) -> None:
        """RFC 4918 §7.6; and the destination's own holds its name, while those below go with what is replaced (§9.6)."""
        make(store, "collection", "d")
        make(store, kind, "s")
        store.lock(lock_of(("d",), "urn:own"), anything)
        store.lock(lock_of(("d", "in"), "urn:below"), anything)
        store.lock(lock_of(("s",), "urn:source"), anything)
        below = ("s", "in", "s") if kind == "collection" else ("s",)
        store.lock(lock_of(below, "urn:deep", exclusive=False), anything)
        verb(store, ("s",), ("d",))
        assert tokens(store.locks_on(("d",))) == ["urn:own"]
        assert store.locks_below(("d",)) == ()
        stay = {*tokens(store.locks_on(("s",))), *tokens(store.locks_below(("s",)))}
        assert stay == (set() if verb is move else {"urn:source", "urn:deep"})

    def test_a_lock_above_stays(self, store: Store) -> None:
        put(store, ("c", "a"), b"1", existing=0)
        store.lock(lock_of(("c",), infinite=True), anything)
        move(store, ("c", "a"), ("c", "b"))
        copy(store, ("c", "b"), ("c", "a"))
        store.delete(("c", "a"), anything)
        assert tokens(store.locks_on(("c", "b"))) == ["urn:t"]

    # -- the root

    def test_the_root_stays(self, store: Store) -> None:
        put(store, ("a",), b"1")
        for attempt in (
            lambda: move(store, (), ("d",)),
            lambda: copy(store, (), ("d",)),
            lambda: store.delete((), anything),
        ):
            with pytest.raises((NotAllowed, Overlapping)):
                attempt()
        assert copy(store, (), ("d",), infinite=False)
        assert tree(store) == {"a": b"1", "d": None}
        with pytest.raises(Exists):
            store.make_collection((), anything)
        assert not isinstance(put(store, (), b"x"), Published)
