"""The collections of a batch: a directory in an archive."""

from __future__ import annotations

from dataclasses import replace

from partwise.actions.gate import Gate
from partwise.actions.make_collection import make_collection
from partwise.batch.operations import Performed
from partwise.errors import NotFound, Success, WrongKind
from partwise.protocol.paths import Path
from partwise.storage.base import Store


def make_path(store: Store, gate: Gate, path: Path, existing: int) -> Performed:
    """Make a collection, and those that are missing above it but for the first ``existing`` segments.

    Raises WrongKind if a file stands there, ParentMissing, Locked, OutOfSpace.
    """
    made = False
    for length in range(existing + 1, len(path) + 1):
        made = _make(store, gate, path[:length])
    return Performed(Success.CREATED.status if made else Success.REPLACED.status)


def _make(store: Store, gate: Gate, path: Path) -> bool:
    """Was it made? False: it is there."""
    if _stands(store, path):
        return False
    try:
        make_collection(store, path, replace(gate, store=store, path=path))
    except WrongKind:
        # Somebody else was quicker.
        if _stands(store, path):
            return False
        raise
    return True


def _stands(store: Store, path: Path) -> bool:
    """Raises WrongKind if it is a file."""
    try:
        collection = store.stat(path).collection
    except NotFound:
        return False
    if not collection:
        raise WrongKind("A file stands under this name; a collection cannot take its place.")
    return True
