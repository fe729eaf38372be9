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
    path, existing = part.path, len(collection)
    stored = kept(declared, path[-1])
    write = gate.write(path, existing)
    # By position: it takes half the time, and there is one for each item.
    return Item(
        path,
        Candidate("/".join(path), declared.essence, declared.charset, declared.length),
        write.whole,
        existing,
        declared.length if part.promised else None,
        declared.digests,
        declared.modified_ns,
        declared.coding,
        write.first,
        {**stored, **part.properties} if part.properties else stored,
        hashed,
        late,
    )
