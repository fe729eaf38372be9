"""The one gate before any write: may this request change what stands at the target now?

It is asked at admission, so that a refusal costs no bytes, and again inside the store's critical section, where the
answer counts. First ``If`` (412), then locks (423); then, after what is judged about a body, the conditions of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from partwise.actions.members import MemberFailures
from partwise.errors import Failure, Locked, NotAllowed, NotFound, PreconditionFailed
from partwise.protocol.conditions import Conditions, Verdict
from partwise.protocol.etags import ETag
from partwise.protocol.if_header import If, State
from partwise.protocol.paths import Mount, Path
from partwise.storage.base import Lock, Resource, Store

UNCONDITIONAL = Conditions()

#: Finds what a tag of ``If`` names; raises a Failure if it does not lie here.
Locate = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Gate:
    """The conditions of one request, and who asks.

    ``path`` is what untagged lists of ``if_header`` are about; ``tokens`` are lock tokens that were submitted with the
    request besides those in ``if_header`` (the items of a batch fall under those of the whole).
    """

    store: Store
    mount: Mount
    path: Path
    locate: Locate
    principal: str | None = None
    conditions: Conditions = UNCONDITIONAL
    overwrite: bool = True
    if_header: If | None = None
    tokens: frozenset[str] = frozenset()

    # -- one resource

    def write(self, path: Path, existing: int) -> Write:
        """The judgement of contents to be stored under ``path``, of which the first ``existing`` segments exist."""
        return Write(self, path, existing)

    def check_if(self, path: Path | None = None, standing: Resource | None = None) -> None:
        """Raises PreconditionFailed. What stands at ``path`` is known to be ``standing``."""
        if self.if_header is None:
            return

        def state(tag: str | None) -> State | None:
            try:
                named = self.path if tag is None else self.locate(tag)
            except Failure:
                return None
            resource = standing if named == path else self._look_up(named)
            return State(etag_of(resource), frozenset(lock.token for lock in self.store.locks_on(named)))

        if not self.if_header.holds(state):
            raise PreconditionFailed("No list of the request's If holds: a resource has changed, or a lock is gone.")

    def _look_up(self, path: Path) -> Resource | None:
        try:
            return self.store.stat(path)
        except NotFound:
            return None

    def check_conditions(self, standing: Resource | None) -> None:
        """``If-Match`` and its kin, and Overwrite. Raises PreconditionFailed."""
        if not self.overwrite and standing is not None:
            raise PreconditionFailed("Something stands under this name, and overwriting was forbidden.")
        if self.conditions.is_unconditional:
            return
        verdict = self.conditions.evaluate(
            False,
            standing is not None,
            etag_of(standing),
            None if standing is None else standing.modified_ns / 1e9,
        )
        if verdict is not Verdict.PASS:
            raise PreconditionFailed("The resource is not in the state that the request's conditions ask for.")

    # -- locks

    def holds(self, lock: Lock) -> bool:
        """Was the lock's token submitted, by its creator? (RFC 4918 §6.4: nobody else may use it.)"""
        submitted = lock.token in self.tokens or (self.if_header is not None and lock.token in self.if_header.tokens)
        return submitted and lock.principal == self.principal

    def check_locks(self, path: Path) -> None:
        """May the resource itself be changed? Raises Locked.

        RFC 4918 §7.1: a shared lock lets through whoever submits the token of any lock that covers the resource.
        """
        locks = self.store.locks_on(path)
        if locks and not any(self.holds(lock) for lock in locks):
            raise self._locked(locks[0])

    def check_membership(self, path: Path, existing: int | None = None) -> None:
        """May a member be added to or taken from the collections above ``path``? Raises Locked.

        RFC 4918 §7.4: a lock on a collection, also of depth 0, protects which members it has. Only collections that
        exist can lose or gain one: the first ``existing`` segments, the whole parent if not said, and what is made below.
        """
        first = len(path) - 1 if existing is None else existing
        for length in range(first, len(path)):
            self.check_locks(path[:length])

    def check_scope(self, path: Path) -> None:
        """Raises Locked if a lock of depth infinity covers every member of the collection, and no token was submitted.

        With any token each member is judged for itself: it may have a lock of its own.
        """
        if self.tokens or (self.if_header is not None and self.if_header.tokens):
            return
        for lock in self.store.locks_on(path):
            if lock.infinite:
                raise self._locked(lock)

    def check_tree(self, path: Path) -> None:
        """May everything below ``path`` be changed? Raises MemberFailures that names locked members.

        Each is judged as by :meth:`check_locks`: of shared locks one token is enough.
        """
        roots = dict.fromkeys(lock.root for lock in self.store.locks_below(path))
        failures: dict[Path, Failure] = {}
        for root in roots:
            self._try(root, failures)
        for root in (path, *roots):
            self._check_inside(root, failures)
        if failures:
            raise MemberFailures([(self.root_href(member), failure) for member, failure in failures.items()])

    def _try(self, member: Path, failures: dict[Path, Failure]) -> bool:
        try:
            self.check_locks(member)
        except Locked as failure:
            failures[member] = failure
        return member not in failures

    def _check_inside(self, root: Path, failures: dict[Path, Failure]) -> None:
        """A token of depth 0 lets through to the collection, not to members under another's shared lock of depth infinity."""
        locks = [lock for lock in self.store.locks_on(root) if lock.infinite]
        if root in failures or not locks or any(self.holds(lock) for lock in locks):
            return
        standing = self._look_up(root)
        if standing is not None and standing.collection:
            # One is enough to refuse it all.
            all(self._try(member.path, failures) for member in self.store.walk(root))

    def _locked(self, lock: Lock) -> Locked:
        return Locked(
            "The resource is locked; submit the lock's token in If, or wait until it is unlocked.",
            href=self.root_href(lock.root),
        )

    def root_href(self, root: Path) -> str:
        standing = self._look_up(root)
        return self.mount.href(root, collection=standing is not None and standing.collection)

    def require_creator(self, lock: Lock) -> None:
        """Raises NotAllowed for somebody else's lock."""
        if lock.principal != self.principal:
            raise NotAllowed("The lock belongs to somebody else; only who made it can use its token.")


def unique(locks: Iterable[Lock]) -> list[Lock]:
    """One lock of each root."""
    return list({lock.root: lock for lock in locks}.values())


class Write(NamedTuple):
    """The judgement of one write of contents; :meth:`first` and :meth:`whole` are checks of the store."""

    gate: Gate
    path: Path
    existing: int

    def first(self, standing: Resource | None) -> None:
        """What is judged before anything about the body. Raises PreconditionFailed (``If``), Locked."""
        gate = self.gate
        if gate.if_header is not None:
            gate.check_if(self.path, standing)
        # Most stores have no lock most of the time.
        if gate.store.has_locks():
            gate.check_locks(self.path)
            if standing is None:
                gate.check_membership(self.path, self.existing)

    def whole(self, standing: Resource | None) -> None:
        """Raises PreconditionFailed, Locked. ``standing`` is what the target is now, ``None`` if nothing."""
        gate = self.gate
        # Of most items there is nothing to ask first, and each is asked.
        if gate.if_header is not None or gate.store.has_locks():
            self.first(standing)
        gate.check_conditions(standing)


def etag_of(resource: Resource | None) -> ETag | None:
    """The entity tag of a file; collections have none."""
    return None if resource is None or resource.etag is None else ETag(resource.etag)
