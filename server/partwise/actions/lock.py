"""LOCK (RFC 4918 §9.10): a new lock, or a new end for one."""

from __future__ import annotations

from dataclasses import dataclass

from partwise.actions.gate import Gate, unique
from partwise.actions.members import MemberFailures
from partwise.errors import Depends, Failure, LockConflict, Malformed, NotFound, RefreshFailed
from partwise.protocol.paths import Path
from partwise.storage.base import Lock, Resource, Store

#: Locks that may cover one resource; shared ones have no other bound. Each is told in every ``lockdiscovery``, that of an
#: inherited one for every member too.
MAX_COVERING = 32


@dataclass(frozen=True, slots=True)
class Granted:
    """``created``: the name was unmapped and is an empty file now (RFC 4918 §7.3)."""

    lock: Lock
    created: bool


def lock(store: Store, asked: Lock, gate: Gate, *, slash: bool) -> Granted:
    """Grant a lock. ``slash``: the name ended with one.

    Raises LockConflict; MemberFailures if a member's lock stands in the way; NotFound, ParentMissing, Locked,
    PreconditionFailed, OutOfSpace.
    """
    root = asked.root

    def check(standing: Resource | None) -> None:
        if slash and (standing is None or not standing.collection):
            raise NotFound(
                "There is no collection under this address; make it first, or lock the name without a slash."
            )
        gate.check_if(root, standing)
        conflicts = [other for other in store.locks_on(root) if asked.exclusive or other.exclusive]
        if conflicts:
            raise _conflict(gate, conflicts[0])
        if standing is None:
            gate.check_membership(root)
        gate.check_conditions(standing)
        if asked.infinite:
            _check_members(store, asked, gate)
        _check_room(store, asked, gate)

    return Granted(asked, store.lock(asked, check) is not None)


def _check_members(store: Store, asked: Lock, gate: Gate) -> None:
    barring = [other for other in store.locks_below(asked.root) if asked.exclusive or other.exclusive]
    if not barring:
        return
    # RFC 4918 §9.10.3: the member with its 423, and the Request-URI with 424.
    failures: list[tuple[str, Failure]] = [
        (gate.root_href(other.root), _conflict(gate, other)) for other in unique(barring)
    ]
    depends = Depends("The lock was not granted, because a member is locked already.")
    raise MemberFailures([*failures, (gate.root_href(asked.root), depends)])


def _check_room(store: Store, asked: Lock, gate: Gate) -> None:
    covered = [asked.root]
    if asked.infinite:
        covered += [other.root for other in unique(store.locks_below(asked.root))]
    for root in covered:
        standing = store.locks_on(root)
        if len(standing) >= MAX_COVERING:
            text = f"{MAX_COVERING} locks cover this resource already; wait until one is unlocked or has expired."
            raise LockConflict(text, href=gate.root_href(standing[0].root))


def _conflict(gate: Gate, other: Lock) -> LockConflict:
    return LockConflict(
        "Another lock stands in the way; wait until it is unlocked or has expired.", href=gate.root_href(other.root)
    )


def refresh(store: Store, path: Path, gate: Gate, expires: float) -> Lock:
    """Give the lock whose token ``If`` holds a new end (§9.10.2). Raises Malformed, RefreshFailed, NotAllowed."""
    tokens = frozenset() if gate.if_header is None else gate.if_header.tokens
    if len(tokens) != 1:
        raise Malformed("A LOCK without a body refreshes a lock: name it by its token in If, one token only.")
    (token,) = tokens
    found = _covering(store, path, token)
    if found is None:
        raise _gone()
    gate.require_creator(found)
    gate.check_if()
    refreshed = store.refresh(token, expires)
    if refreshed is None:
        raise _gone()
    return refreshed


def _covering(store: Store, path: Path, token: str) -> Lock | None:
    """The lock with this token in whose scope the resource at ``path`` lies.

    A name that nothing stands under is a member of no collection (RFC 4918 §6.1), so it is in no scope but that of a lock
    which was asked for under it.
    """
    found = next((lock for lock in store.locks_on(path) if lock.token == token), None)
    if found is None or found.root == path:
        return found
    try:
        store.stat(path)
    except NotFound:
        return None
    return found


def _gone() -> RefreshFailed:
    return RefreshFailed("No lock with this token covers the resource; it may have expired. Lock it again.")
