"""COPY and MOVE (RFC 4918 §9.8, §9.9)."""

from __future__ import annotations

from dataclasses import dataclass

from partwise.actions.gate import Gate
from partwise.actions.members import FailedMembers
from partwise.errors import NotFound, PreconditionFailed, UnsupportedType
from partwise.protocol.paths import Path
from partwise.storage.base import Exists, Move, Resource, Store


@dataclass(frozen=True, slots=True)
class Relocation:
    """What was asked. ``slash``: the source's name ended with one; ``bodied``: a body came."""

    source: Path
    destination: Path
    overwrite: bool
    slash: bool
    bodied: bool


def move(store: Store, asked: Relocation, gate: Gate) -> bool:
    """True if the destination is new.

    Raises NotFound, ParentMissing, Overlapping, NotAllowed, UnsupportedType, PreconditionFailed, Locked; MemberFailures for
    locked members on either side: then nothing is moved.
    """

    def check(source: Resource, standing: Resource | None) -> None:
        _check_source(asked, source, gate)
        gate.check_locks(asked.source)
        gate.check_membership(asked.source)
        _check_destination(asked, source, standing, gate)
        gate.check_tree(asked.source)

    try:
        return store.move(Move(asked.source, asked.destination, asked.overwrite, check))
    except Exists:
        raise _taken() from None


def copy(store: Store, asked: Relocation, gate: Gate, *, infinite: bool, failed: FailedMembers) -> bool:
    """True if the destination is new; ``failed`` is told of members that could not be copied. Raises as :func:`move`."""

    def check(source: Resource, standing: Resource | None) -> None:
        _check_source(asked, source, gate)
        _check_destination(asked, source, standing, gate)

    try:
        return store.copy(Move(asked.source, asked.destination, asked.overwrite, check), infinite, failed.add)
    except Exists:
        raise _taken() from None


def _check_source(asked: Relocation, source: Resource, gate: Gate) -> None:
    if asked.slash and not source.collection:
        raise NotFound("There is no collection under this address.")
    gate.check_if(asked.source, source)


def _check_destination(asked: Relocation, source: Resource, standing: Resource | None, gate: Gate) -> None:
    gate.check_locks(asked.destination)
    gate.check_membership(asked.destination)
    if asked.bodied:
        # RFC 4918 §8.4: a body where none is defined is refused with 415.
        raise UnsupportedType("COPY and MOVE take no body.")
    gate.check_conditions(source)
    if standing is not None:
        if not asked.overwrite:
            raise _taken()
        # RFC 4918 §9.8.4: what is overwritten is deleted first, with all its members.
        gate.check_tree(asked.destination)


def _taken() -> PreconditionFailed:
    return PreconditionFailed("Something stands at the destination, and overwriting was forbidden.")
