"""COPY and MOVE (RFC 4918 §9.8, §9.9)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from partwise.actions.gate import Gate
from partwise.errors import Malformed, NotFound, PreconditionFailed, UnsupportedType
from partwise.protocol.paths import Mount, Path, Target
from partwise.protocol.preferences import Depth
from partwise.storage.base import Exists, Failed, Move, Resource, Store


@dataclass(frozen=True, slots=True)
class Relocation:
    """What was asked. ``slash``: the source's name ended with one; ``bodied``: a body came."""

    source: Path
    destination: Path
    overwrite: bool
    slash: bool
    bodied: bool
    depth: Depth = Depth.INFINITY


def destination(field: str | None, mount: Mount, authorities: Collection[str]) -> Target:
    """What ``Destination`` names (RFC 4918 §10.3); ``authorities`` are the names under which the request reached us.

    Raises Malformed, OtherServer, and what a bad name raises.
    """
    if field is None:
        raise Malformed("COPY and MOVE need a Destination header with the new URL.")
    target = mount.locate(field.strip(), authorities)
    if target.service:
        raise mount.reserved()
    mount.check_new(target.path)
    return target


def move(store: Store, asked: Relocation, gate: Gate) -> bool:
    """True if the destination is new.

    Raises Malformed, NotFound, ParentMissing, Overlapping, NotAllowed, UnsupportedType, PreconditionFailed, Locked;
    MemberFailures for locked members on either side: then nothing is moved.
    """

    def check(source: Resource, standing: Resource | None) -> None:
        if asked.depth is not Depth.INFINITY and source.collection:
            raise Malformed("A collection is moved with all its members; send Depth: infinity or none.")
        _check_source(asked, source, gate)
        gate.check_locks(asked.source)
        gate.check_membership(asked.source)
        _check_destination(asked, source, standing, gate)
        gate.check_tree(asked.source)

    try:
        return store.move(Move(asked.source, asked.destination, asked.overwrite, check))
    except Exists:
        raise _taken() from None


def copy(store: Store, asked: Relocation, gate: Gate, failed: Failed) -> bool:
    """True if the destination is new; ``failed`` is told of members that could not be copied. Raises as :func:`move`."""

    def check(source: Resource, standing: Resource | None) -> None:
        if asked.depth is Depth.ONE and source.collection:
            raise Malformed("A collection is copied with Depth: 0 or infinity.")
        _check_source(asked, source, gate)
        _check_destination(asked, source, standing, gate)

    infinite = asked.depth is not Depth.ZERO
    try:
        return store.copy(Move(asked.source, asked.destination, asked.overwrite, check), infinite, failed)
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
