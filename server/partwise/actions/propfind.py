"""PROPFIND (RFC 4918 §9.1): a walk rendered as it goes, at constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice

from partwise.actions.blocks import blocks
from partwise.actions.properties import Facts, View, comparing
from partwise.actions.propstats import Asked, Plan, plan_of
from partwise.errors import NotFound
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, propstat_response
from partwise.protocol.paths import Mount, Path, encode_segment
from partwise.protocol.preferences import Depth
from partwise.storage.base import Properties, Resource, Store

#: Resources whose stored properties are read at once: their values are in memory together.
_GROUP = 64


def propfind(
    view: View, path: Path, depth: Depth, asked: Asked, *, minimal: bool = False, root: bool = True
) -> Iterator[bytes]:
    """The multistatus document in blocks of about 64 KiB, empty ones between (``blocks``). Raises NotFound before the first.

    ``minimal`` leaves out what a resource lacks (RFC 8144 §2.1); ``root=False`` the target itself (§3).
    """
    target = view.store.stat(path)
    planned = plan_of(asked, minimal=minimal)
    resources = _resources(view.store, target, depth)
    if not root:
        resources = islice(resources, 1, None)
    found = _with_hrefs(view.mount, _with_stored(view.store, resources, planned.stored))
    # In a listing of a whole tree each collection would be compared again with every one that holds it.
    compares = planned.compares and depth is not Depth.INFINITY
    responses = _compared(view, planned.plan, found) if compares else _responses(view, planned.plan, found)
    return blocks(chain((MULTISTATUS_OPEN,), responses, (MULTISTATUS_CLOSE,)))


def _responses(view: View, plan: Plan, found: Iterable[tuple[str, Resource, Properties]]) -> Iterable[str]:
    return (propstat_response(href, plan(Facts(resource, stored, view))) for href, resource, stored in found)


def _compared(view: View, plan: Plan, found: Iterable[tuple[str, Resource, Properties]]) -> Iterator[str]:
    for one in found:
        with suppress(NotFound):  # gone since it was listed
            yield from comparing(view, one[1])
        yield from _responses(view, plan, [one])
        view.findings.compared.clear()
        yield ""


def _with_stored(store: Store, resources: Iterable[Resource], needed: bool) -> Iterator[tuple[Resource, Properties]]:
    if not needed:
        for resource in resources:
            yield resource, {}
        return
    coming = iter(resources)
    while group := list(islice(coming, _GROUP)):
        stored = store.properties([resource.path for resource in group])
        for resource in group:
            yield resource, stored.get(resource.path, {})


def _with_hrefs(
    mount: Mount, found: Iterable[tuple[Resource, Properties]]
) -> Iterator[tuple[str, Resource, Properties]]:
    parent: Path | None = None
    prefix = ""
    for resource, stored in found:
        path = resource.path
        if not path:
            yield mount.href(()), resource, stored
            continue
        # Most siblings follow each other: what they share is encoded once.
        if path[:-1] != parent:
            parent = path[:-1]
            prefix = mount.href(parent, collection=True)
        yield f"{prefix}{encode_segment(path[-1])}{'/' if resource.collection else ''}", resource, stored


def _resources(store: Store, target: Resource, depth: Depth) -> Iterable[Resource]:
    if depth is Depth.ZERO or not target.collection:
        return (target,)
    below = store.members(target.path) if depth is Depth.ONE else store.walk(target.path)
    return chain((target,), below)
