"""MKCOL (RFC 4918 §9.3)."""

from __future__ import annotations

from partwise.actions.gate import Gate
from partwise.actions.methods import allowed
from partwise.errors import WrongKind
from partwise.protocol.paths import Path
from partwise.storage.base import Exists, Store


def make_collection(store: Store, path: Path, gate: Gate) -> None:
    """Raises WrongKind (405) if something stands there, ParentMissing, PreconditionFailed, OutOfSpace."""
    try:
        if not path:
            raise Exists
        store.make_collection(path, gate.check)
    except Exists:
        # RFC 4918 §9.3.1: "405 (Method Not Allowed) - MKCOL can only be executed on an unmapped URL."
        raise WrongKind("Something stands under this name already.", accepted=allowed(store, path)) from None
