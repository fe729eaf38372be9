"""PROPFIND (RFC 4918 §9.1): a walk rendered as it goes, at constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain

from partwise.actions.blocks import blocks
from partwise.actions.properties import Source, View, comparing
from partwise.actions.propstats import Asked, Planned, plan_of
from partwise.actions.rows import Rows
from partwise.errors import NotFound
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN
from partwise.protocol.paths import Path
from partwise.protocol.preferences import Depth
from partwise.storage.base import Resource, Witness


def propfind(
    view: View,
    path: Path,
    depth: Depth,
    asked: Asked,
    *,
    minimal: bool = False,
    root: bool = True,
    target: Resource | None = None,
    witness: Witness | None = None,
) -> Iterator[bytes]:
    """The multistatus document in blocks of about 64 KiB, empty ones between (``blocks``). Raises NotFound before the first.

    ``minimal`` leaves out what a resource lacks (RFC 8144 §2.1); ``root=False`` the target itself (§3). ``target`` is what
    stands there, if that was looked up already; ``witness`` one that :func:`witness_of` gave before.
    """
    planned = plan_of(asked, minimal=minimal)
    if target is None:
        target = view.store.stat(path)
    groups = _groups(view, target, depth, planned, witness)
    if root:
        groups = chain(((target,),), groups)
    rows = Rows(view, planned)
    # In a listing of a whole tree each collection would be compared again with every one that holds it.
    compares = planned.compares and depth is not Depth.INFINITY
    responses = _compared(view, rows, groups) if compares else map(rows.render, groups)
    return blocks(chain((MULTISTATUS_OPEN,), responses, (MULTISTATUS_CLOSE,)))


def witness_of(view: View, path: Path, depth: Depth, asked: Asked) -> Witness | None:
    """Who sees when the answer to this question has become another one; ``None`` if nobody can.

    Made before the question is answered.
    """
    planned = plan_of(asked, minimal=False)
    if depth is Depth.INFINITY or planned.needs(Source.ELSEWHERE):
        return None
    locks = planned.needs(Source.LOCKS)
    witness = view.store.witness(path, stored=planned.stored, locks=locks)
    if witness is None or not locks:
        return witness
    # The time that a lock has left is another one each second.
    kept = False
    try:
        kept = not view.store.has_locks()
    finally:
        if not kept:
            witness.close()
    return witness if kept else None


def _groups(
    view: View, target: Resource, depth: Depth, planned: Planned, witness: Witness | None
) -> Iterable[Sequence[Resource]]:
    if depth is Depth.ZERO or not target.collection:
        return ()
    born = planned.needs(Source.BIRTH)
    return view.store.scan(target.path, depth is Depth.INFINITY, born=born, witness=witness)


def _compared(view: View, rows: Rows, groups: Iterable[Sequence[Resource]]) -> Iterator[str]:
    for group in groups:
        for resource in group:
            with suppress(NotFound):  # gone since it was listed
                yield from comparing(view, resource)
            yield rows.render((resource,))
            view.findings.compared.clear()
            yield ""
