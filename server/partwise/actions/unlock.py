"""UNLOCK (RFC 4918 §9.11)."""

from __future__ import annotations

from partwise.actions.gate import Gate
from partwise.errors import NotFound, NotLockedHere, UnsupportedType
from partwise.protocol.paths import Path
from partwise.storage.base import Resource, Store


def unlock(store: Store, path: Path, token: str, gate: Gate, *, bodied: bool) -> None:
    """End a lock, through its root or any member it covers (§9.11: the whole lock goes).

    Raises NotFound, NotLockedHere, NotAllowed, UnsupportedType, PreconditionFailed.
    """
    standing = _standing(store, path)
    locks = store.locks_on(path)
    # Whoever deletes a file by hand leaves its lock, which can still be ended.
    if standing is None and not any(lock.root == path for lock in locks):
        raise NotFound("There is nothing under this address.")
    gate.check_if()
    if bodied:
        raise UnsupportedType("UNLOCK takes no body.")
    gate.check_conditions(standing)
    found = next((lock for lock in locks if lock.token == token), None)
    if found is None:
        raise NotLockedHere("No lock with this token covers the resource; it may have expired.")
    gate.require_creator(found)
    if not store.unlock(token):
        raise NotLockedHere("The lock has ended already.")


def _standing(store: Store, path: Path) -> Resource | None:
    try:
        return store.stat(path)
    except NotFound:
        return None
