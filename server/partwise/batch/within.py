"""The store as the gate of a batch sees it: within the transaction in which the batch is stored as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from partwise.storage.base import Lock, Path, Store


class Within:
    """``store`` until :meth:`within` says otherwise. Used by the lane of the batch, and by publishers while nothing else is.

    An item that is published in a transaction is judged by the locks and resources that those before it have left there.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        # Asked several times for each item: by name it is found faster.
        return self._store.locks_on(path)

    def has_locks(self) -> bool:
        return self._store.has_locks()

    @property
    def store(self) -> Store:
        """What to give to a gate."""
        return cast(Store, self)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Store]:
        """As that of the store; within the block the gate sees what the transaction has done."""
        outside = self._store
        with outside.transaction() as store:
            self._store = store
            try:
                yield store
            finally:
                self._store = outside
