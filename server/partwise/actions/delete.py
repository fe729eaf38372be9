"""DELETE (RFC 4918 §9.6)."""

from __future__ import annotations

from partwise.actions.gate import Gate
from partwise.errors import Malformed, NotFound, UnsupportedType
from partwise.protocol.paths import Path
from partwise.protocol.preferences import Depth
from partwise.storage.base import Resource, Store


def delete(store: Store, path: Path, gate: Gate, *, slash: bool, bodied: bool, depth: Depth) -> None:
    """Remove a file, or a collection with all its members. ``slash``: the name ended with one; ``bodied``: a body came.

    Raises Malformed, NotFound, NotAllowed, UnsupportedType, PreconditionFailed, Locked; MemberFailures for locked members: then
    nothing is removed, since a collection that is half there helps nobody.
    """

    def check(standing: Resource | None) -> None:
        if depth is not Depth.INFINITY and standing is not None and standing.collection:
            # RFC 4918 §9.6.1: it "MUST act as if a 'Depth: infinity' header was used on it".
            raise Malformed("A collection is deleted with all its members; send Depth: infinity or none.")
        if slash and standing is not None and not standing.collection:
            raise NotFound("There is no collection under this address.")
        gate.check_if(path, standing)
        gate.check_locks(path)
        gate.check_membership(path)
        if bodied:
            # RFC 4918 §8.4: a body where none is defined is refused with 415.
            raise UnsupportedType("DELETE takes no body.")
        gate.check_conditions(standing)
        gate.check_tree(path)

    store.delete(path, check)
