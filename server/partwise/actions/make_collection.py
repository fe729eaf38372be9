"""MKCOL (RFC 4918 §9.3), and with properties (RFC 5689)."""

from __future__ import annotations

from collections.abc import Mapping

from partwise.actions.gate import Gate
from partwise.actions.methods import allowed
from partwise.errors import WrongKind
from partwise.protocol.paths import Path
from partwise.storage.base import Exists, Resource, Store


def make_collection(
    store: Store,
    path: Path,
    gate: Gate,
    properties: Mapping[str, str] | None = None,
    refusal: Exception | None = None,
) -> None:
    """``refusal`` is what speaks against the properties that were asked for; it is raised if nothing else is.

    Raises WrongKind (405) if something stands there, ParentMissing, PreconditionFailed, Locked, OutOfSpace.
    """

    def check(standing: Resource | None) -> None:
        gate.check_if(path, standing)
        gate.check_locks(path)
        gate.check_membership(path)
        gate.check_conditions(standing)
        if refusal is not None:
            raise refusal

    try:
        if not path:
            raise Exists
        store.make_collection(path, check, properties)
    except Exists:
        # RFC 4918 §9.3.1: "405 (Method Not Allowed) - MKCOL can only be executed on an unmapped URL."
        raise WrongKind("Something stands under this name already.", accepted=allowed(store, path)) from None
