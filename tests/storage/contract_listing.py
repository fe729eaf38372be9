"""Listing many members at once, and knowing when that has become old (``storage.base.Store.scan``, ``witness``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import chain

import pytest
from tests.storage.contract_tools import anything, give, lock_of, move, publication, put

from partwise.errors import NotFound
from partwise.storage.base import Path, Store

CHANGES: dict[str, Callable[[Store], object]] = {
    "publish": lambda store: put(store, ("c", "new")),
    "replace": lambda store: put(store, ("c", "a"), b"1"),
    "delete": lambda store: store.delete(("c", "a"), anything),
    "move": lambda store: move(store, ("c", "a"), ("elsewhere",)),
    "move of it": lambda store: move(store, ("c",), ("d",)),
    "collection": lambda store: store.make_collection(("c", "d"), anything),
    "properties": lambda store: give(store, ("c", "a"), p="<p/>"),
    "lock": lambda store: store.lock(lock_of(("c", "a")), anything),
}


class ListingContract:
    """Needs a fixture ``store``."""

    def test_scan(self, store: Store) -> None:
        names = [*(("c", f"{number}") for number in range(300)), ("c", "d", "a"), ("c", "d", "e", "a"), ("b",)]
        store.publish([publication(store, path, b"1", existing=0) for path in names])
        for path, infinite in [((), False), ((), True), (("c",), False), (("c",), True), (("c", "d", "e"), True)]:
            expected = sorted(store.walk(path) if infinite else store.members(path))
            groups = list(store.scan(path, infinite))
            assert sorted(chain.from_iterable(groups)) == expected
            assert all(0 < len(group) <= 256 and len({one.path[:-1] for one in group}) == 1 for group in groups)
            unborn = chain.from_iterable(store.scan(path, infinite, born=False))
            assert sorted(unborn) == [one._replace(created_ns=0) for one in expected]
        seen: set[Path] = {()}
        for one in chain.from_iterable(store.scan((), True)):
            assert one.path[:-1] in seen, "a collection comes before its members"
            seen.add(one.path)
        next(iter(store.scan((), True)))
        for path in [("missing",), ("b",)]:
            with pytest.raises(NotFound):
                store.scan(path, False)

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_a_witness_sees_every_change(self, store: Store, change: Callable[[Store], object]) -> None:
        put(store, ("c", "a"), b"1", existing=0)
        witness = store.witness(("c",), stored=True, locks=True)
        if witness is None:
            pytest.skip("this store cannot see changes")
        with contextlib.closing(witness):
            list(store.scan(("c",), False, witness=witness))
            change(store)
            assert not witness.holds()
        witness.close()
        assert store.witness(("missing",), stored=True, locks=True) is None
