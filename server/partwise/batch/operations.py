"""An operation inside a batch: a request in a part of type ``application/http``, done by the actions of its verb.

The same gate judges it as the request of its own that it could have been; what a 207 would tell of several members or
properties is told in one row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from partwise.actions import extended_mkcol, methods, relocate
from partwise.actions.delete import delete
from partwise.actions.gate import Gate
from partwise.actions.make_collection import make_collection
from partwise.actions.members import MemberFailures
from partwise.actions.property_changes import Outcome
from partwise.actions.proppatch import proppatch
from partwise.errors import (
    Depends,
    Failure,
    ForbiddenName,
    Issue,
    LengthMismatch,
    Malformed,
    NotImplementedHere,
    Success,
    WrongKind,
)
from partwise.intake.declaration import declare
from partwise.protocol.http_request import RequestHead
from partwise.protocol.if_header import parse_if
from partwise.protocol.multistatus import MAX_ISSUES
from partwise.protocol.paths import TRAILING_SLASH, Mount, Path, Target
from partwise.protocol.preferences import Depth, parse_depth, parse_overwrite
from partwise.protocol.property_update import parse_property_update
from partwise.storage.base import Store

_KNOWN = {*methods.COLLECTION, *methods.FILE, *methods.UNMAPPED}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one part asks for; ``target`` as :func:`aim` found it, ``headers`` by their lower-case names."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Performed:
    """It was done, durably. ``location``: the href of what is new elsewhere than under the target."""

    status: HTTPStatus
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the batch gives to each of its operations.

    ``collection`` is what was posted to: nothing is reached but what lies below. ``authorities`` are the names under which
    the request reached this server. ``gate``: who asks, the tokens submitted with the whole batch, and in ``overwrite``
    what COPY and MOVE do that say nothing themselves. ``most``: bytes that the properties of a resource may have together.
    """

    store: Store
    gate: Gate
    collection: Path
    authorities: Collection[str]
    most: int

    @property
    def mount(self) -> Mount:
        return self.gate.mount


def aim(head: RequestHead, mount: Mount, collection: Path, authorities: Collection[str]) -> Target:
    """What the operation is about. PUT is judged here too: its body is an item like others.

    Raises NotImplementedHere, WrongKind for methods that a batch does not take; OtherServer, ForbiddenName outside of the
    collection, Malformed, MalformedName.
    """
    if head.method not in METHODS:
        if head.method not in _KNOWN:
            raise NotImplementedHere(f"The method {head.method[:40]} is not known here.")
        taken = ", ".join(METHODS)
        raise WrongKind(f"A batch takes {taken}; send {head.method} as a request of its own.", accepted=METHODS)
    target = mount.locate(head.target, authorities)
    if target.service:
        raise mount.reserved()
    if mount.is_hidden(target.path):
        raise mount.hidden_name()
    # Properties of the collection may be set; it is not for its own batch to remove or replace it.
    _require_below(target.path, collection, itself=head.method == "PROPPATCH")
    if head.method == "PUT":
        mount.check_new(target.path)
        if target.slash:
            raise ForbiddenName(TRAILING_SLASH)
        if "content-range" in head.headers:
            # RFC 9110 §14.5: where it is not understood, a part would be stored as if it were the whole.
            raise Malformed("A batch stores whole files; send a PUT with Content-Range as a request of its own.")
    return target


def _require_below(path: Path, collection: Path, *, itself: bool = False) -> None:
    least = len(collection) + (0 if itself else 1)
    if len(path) < least or path[: len(collection)] != collection:
        raise ForbiddenName("An operation of a batch reaches only what lies below the collection that was posted to.")


def perform(operation: Operation, around: Surroundings) -> Performed:
    """Do it; durable when this returns, or when the transaction ends whose store is given.

    Any method of :data:`METHODS` but PUT. Raises what the request of its own would be refused with; where several members
    or properties failed, the first with the others as issues.
    """
    declared = declare(operation.headers)
    if declared.length is not None and declared.length != len(operation.body):
        raise LengthMismatch(
            f"The body of the request in this part has {len(operation.body)} bytes, not {declared.length} as declared."
        )
    tagged = operation.headers.get("if")
    gate = replace(
        around.gate,
        store=around.store,
        path=operation.target.path,
        conditions=declared.conditions,
        overwrite=True,
        if_header=None if tagged is None else parse_if(tagged),
    )
    try:
        return _VERBS[operation.method](operation, around, gate)
    except MemberFailures as members:
        raise _first_member(members.failures, len(members.failures), "Nothing was changed") from None


def _delete(operation: Operation, around: Surroundings, gate: Gate) -> Performed:
    target = operation.target
    delete(around.store, target.path, gate, slash=target.slash, bodied=bool(operation.body), depth=_depth(operation))
    return Performed(Success.REPLACED.status)


def _mkcol(operation: Operation, around: Surroundings, gate: Gate) -> Performed:
    path = operation.target.path
    around.mount.check_new(path)
    properties: Mapping[str, str] | None = None
    refusal: Exception | None = None
    if operation.body:
        refusal = extended_mkcol.unfit(operation.headers.get("content-type"))
        if refusal is None:
            properties, refusal = extended_mkcol.asked(operation.body, around.most)
    try:
        make_collection(around.store, path, gate, properties, refusal)
    except extended_mkcol.MkcolRefused as refused:
        raise _first_property(refused.outcome) from None
    return Performed(Success.CREATED.status)


def _copy(operation: Operation, around: Surroundings, gate: Gate) -> Performed:
    asked, failed = _relocation(operation, around), _FirstMembers(around.mount)
    made = relocate.copy(around.store, asked, gate, failed.add)
    if failed.count:
        raise _first_member(failed.first, failed.count, "The others were copied")
    return _relocated(asked, around, made=made)


def _move(operation: Operation, around: Surroundings, gate: Gate) -> Performed:
    asked = _relocation(operation, around)
    return _relocated(asked, around, made=relocate.move(around.store, asked, gate))


def _proppatch(operation: Operation, around: Surroundings, gate: Gate) -> Performed:
    target, changes = operation.target, parse_property_update(operation.body)
    outcome = proppatch(around.store, target.path, changes, gate, slash=target.slash, most=around.most)
    if not outcome.done:
        raise _first_property(outcome)
    return Performed(Success.GOOD.status)


_VERBS: Mapping[str, Callable[[Operation, Surroundings, Gate], Performed]] = {
    "DELETE": _delete,
    "MKCOL": _mkcol,
    "COPY": _copy,
    "MOVE": _move,
    "PROPPATCH": _proppatch,
}
#: What a part of type ``application/http`` may ask for.
METHODS = ("PUT", *_VERBS)


def _depth(operation: Operation) -> Depth:
    return parse_depth(operation.headers.get("depth"), Depth.INFINITY)


def _relocation(operation: Operation, around: Surroundings) -> relocate.Relocation:
    destination = relocate.destination(operation.headers.get("destination"), around.mount, around.authorities)
    _require_below(destination.path, around.collection)
    said = operation.headers.get("overwrite")
    overwrite = around.gate.overwrite if said is None else parse_overwrite(said)
    source = operation.target
    return relocate.Relocation(
        source.path, destination.path, overwrite, source.slash, bool(operation.body), _depth(operation)
    )


def _relocated(asked: relocate.Relocation, around: Surroundings, *, made: bool) -> Performed:
    if made:
        return Performed(Success.CREATED.status, around.mount.href(asked.destination))
    return Performed(Success.REPLACED.status)


@dataclass(slots=True)
class _FirstMembers:
    """Members that could not be copied: the first are kept, all are counted."""

    mount: Mount
    first: list[tuple[str, Failure]] = field(default_factory=list)
    count: int = 0

    def add(self, path: Path, failure: Failure) -> None:
        self.count += 1
        if len(self.first) < MAX_ISSUES:
            self.first.append((self.mount.href(path), failure))


def _first_member(failures: Sequence[tuple[str, Failure]], count: int, others: str) -> Failure:
    href, first = failures[0]
    issues = tuple(Issue(failure.text, path=member) for member, failure in failures[:MAX_ISSUES])
    # Those beyond are counted only.
    issues += (Issue(""),) * (count - len(issues))
    which = f"the member {href} failed" if count == 1 else f"{count} members failed, the first is {href}"
    sentence = f"{others}; {which}. {first.text}"
    return type(first)(sentence, issues=issues, href=first.href or href)


def _first_property(outcome: Outcome) -> Failure:
    wrong = {name: failure for name, failure in outcome.failures.items() if failure is not None}
    spoken = [failure for failure in wrong.values() if not isinstance(failure, Depends)]
    issues = tuple(Issue(f"{name}: {failure.text}") for name, failure in wrong.items())
    first = spoken[0]
    return type(first)(first.text, issues=issues, limit=first.limit, accepted=first.accepted, href=first.href)
