"""From a part to an item: what its header fields declare, and the gate that judges it."""

from __future__ import annotations

from partwise.actions.gate import Gate
from partwise.batch.containers import ItemPart
from partwise.intake.declaration import declare
from partwise.intake.item import Item
from partwise.intake.kept import kept
from partwise.intake.validators.base import Candidate
from partwise.protocol.if_header import parse_if
from partwise.protocol.paths import Path
from partwise.protocol.preferences import parse_overwrite


def item_of(part: ItemPart, gate: Gate, collection: Path, *, hashed: bool, late: bool = False) -> Item:
    """An item of a batch that was posted to ``collection`` under this ``gate``; ``hashed``: its digest is wanted;
    ``late``: something is to happen to its name first.

    Raises Malformed for a header field that cannot be read.
    """
    assert part.path is not None
    declared = declare(part.headers)
    field, said = part.headers.get("if"), part.headers.get("overwrite")
    if field is not None or said is not None or not declared.conditions.is_unconditional:
        gate = Gate(
            gate.store,
            gate.mount,
            part.path,
            gate.locate,
            gate.principal,
            declared.conditions,
            # Of a PUT in a part of type application/http; the containers let no other have one.
            gate.overwrite if said is None else parse_overwrite(said),
            None if field is None else parse_if(field),
            gate.tokens,
        )
    stored = kept(declared, part.path[-1])
    write = gate.write(part.path, len(collection))
    return Item(
        path=part.path,
        candidate=Candidate("/".join(part.path), declared.essence, declared.charset, declared.length),
        check=write.whole,
        existing=len(collection),
        length=declared.length if part.promised else None,
        digests=declared.digests,
        modified_ns=declared.modified_ns,
        coding=declared.coding,
        check_first=write.first,
        properties={**stored, **part.properties} if part.properties else stored,
        hashed=hashed,
        late=late,
    )
