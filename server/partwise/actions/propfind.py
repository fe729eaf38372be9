"""PROPFIND (RFC 4918 §9.1): a walk rendered as it goes, at constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain, islice

from partwise.actions.blocks import blocks
from partwise.actions.properties import LIVE, Facts, View, dead, element, empty, is_live, needs_stored
from partwise.errors import DAV_NS, TooLarge
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, propstat_response
from partwise.protocol.paths import Mount, Path, encode_segment
from partwise.protocol.preferences import Depth
from partwise.protocol.propfind import AllProp, Prop, PropName
from partwise.storage.base import Properties, Resource, Store

#: Properties that one request may name, and the characters that their names may take in an answer.
MAX_NAMES = 256
MAX_NAMED = 16 * 1024

#: Resources whose stored properties are read at once: their values are in memory together.
_GROUP = 64

Asked = AllProp | PropName | Prop
Propstats = list[tuple[int, str]]
Plan = Callable[[Facts], Propstats]


def propfind(
    view: View, path: Path, depth: Depth, asked: Asked, *, minimal: bool = False, root: bool = True
) -> Iterator[bytes]:
    """The multistatus document in blocks of about 64 KiB. Raises NotFound before the first.

    ``minimal`` leaves out what a resource lacks (RFC 8144 §2.1); ``root=False`` the target itself (§3).
    """
    target = view.store.stat(path)
    plan, stored = plan_of(asked, minimal=minimal)
    resources = _resources(view.store, target, depth)
    if not root:
        resources = islice(resources, 1, None)
    pieces = (
        propstat_response(href, plan(Facts(resource, properties, view)))
        for href, resource, properties in _with_hrefs(view.mount, _with_stored(view.store, resources, stored))
    )
    return blocks(chain((MULTISTATUS_OPEN,), pieces, (MULTISTATUS_CLOSE,)))


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


def plan_of(asked: Asked, *, minimal: bool) -> tuple[Plan, bool]:
    """How the propstats of each resource are made, decided once per request; and whether stored properties are needed.

    Raises TooLarge for too many names.
    """
    match asked:
        case PropName():
            return _names, True
        case AllProp(include=include):
            names = [f"{{{DAV_NS}}}{name}" for name, live in LIVE.items() if live.in_allprop]
            return _values(names, _bounded(include), with_dead=True, minimal=minimal), True
        case Prop(names=names):
            named = _bounded(names)
            return _values((), named, with_dead=False, minimal=minimal), any(map(needs_stored, named))


def _names(facts: Facts) -> Propstats:
    live = "".join(f"<D:{name}/>" for name, entry in LIVE.items() if entry.value(facts) is not None)
    return [(HTTPStatus.OK, live + "".join(map(empty, dead(facts.stored))))]


def _bounded(names: Iterable[str]) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(names))
    if len(named) > MAX_NAMES or sum(len(empty(name)) for name in named) > MAX_NAMED:
        # What one resource lacks is told for every resource: a small body would make a very large answer.
        raise TooLarge(f"Ask for {MAX_NAMES} properties at most, with shorter names.", limit=MAX_NAMES)
    return named


def _values(all_of: Iterable[str], named: tuple[str, ...], *, with_dead: bool, minimal: bool) -> Plan:
    """``all_of``: left out where a resource lacks them; ``named``: asked for by name, so 404 where it does."""
    plan: dict[str, str | None] = dict.fromkeys(all_of)
    for name in named:
        # What allprop tells anyway needs no second place.
        if not (with_dead and not is_live(name)):
            plan.setdefault(name, None if minimal else empty(name))
        elif not minimal:
            plan[name] = empty(name)
    entries = tuple(plan.items())

    def propstats(facts: Facts) -> Propstats:
        present, absent = "", ""
        for name, missing in entries:
            value = element(name, facts)
            if value is not None:
                present += value
            elif missing is not None:
                absent += missing
        if with_dead and facts.stored:
            present += "".join(value for name, value in dead(facts.stored).items() if name not in plan)
        answer: Propstats = []
        if present or not absent:
            answer.append((HTTPStatus.OK, present))
        if absent:
            answer.append((HTTPStatus.NOT_FOUND, absent))
        return answer

    return propstats
