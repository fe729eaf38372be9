"""PROPPATCH (RFC 4918 §9.2): all changes in document order, or none."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.actions.gate import Gate
from partwise.actions.property_changes import Outcome, check_size, plan
from partwise.errors import NotFound, OutOfSpace
from partwise.protocol.paths import Path
from partwise.protocol.property_update import Change
from partwise.storage.base import Resource, Store


def proppatch(store: Store, path: Path, changes: Sequence[Change], gate: Gate, *, slash: bool, most: int) -> Outcome:
    """``most``: bytes that the stored properties of one resource may have together.

    Raises NotFound, PreconditionFailed, Locked, OutOfSpace.
    """
    outcome, stored, modified_ns = plan(changes)

    def check(standing: Resource | None) -> None:
        if slash and standing is not None and not standing.collection:
            raise NotFound("There is no collection under this address.")
        gate.check_if(path, standing)
        gate.check_locks(path)
        gate.check_conditions(standing)
        if stored:
            check_size({**store.properties([path]).get(path, {}), **stored}, most)

    if not outcome.done:
        # Nothing will be changed; what speaks against the whole request comes first all the same.
        check(store.stat(path))
        return outcome
    try:
        store.set_properties(path, stored, check, modified_ns)
    except OutOfSpace as full:
        return Outcome(dict.fromkeys(outcome.failures, full))
    return outcome
