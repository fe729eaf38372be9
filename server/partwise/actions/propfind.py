"""PROPFIND (RFC 4918 §9.1): a walk rendered as it goes, at constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain

from partwise.actions.blocks import blocks
from partwise.actions.properties import LIVE, element, empty, split
from partwise.errors import DAV_NS, TooLarge
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, propstat_response
from partwise.protocol.paths import Mount, Path, encode_segment
from partwise.protocol.preferences import Depth
from partwise.protocol.propfind import AllProp, Prop, PropName
from partwise.storage.base import Resource, Store

#: Properties that one request may name, and the characters that their names may take in an answer.
MAX_NAMES = 256
MAX_NAMED = 16 * 1024

Asked = AllProp | PropName | Prop
Propstats = list[tuple[int, str]]


def propfind(store: Store, mount: Mount, path: Path, depth: Depth, asked: Asked) -> Iterator[bytes]:
    """The multistatus document in blocks of about 64 KiB. Raises NotFound before the first."""
    target = store.stat(path)
    propstats = _plan(asked)
    responses = _responses(mount, propstats, _resources(store, target, depth))
    return blocks(chain((MULTISTATUS_OPEN,), responses, (MULTISTATUS_CLOSE,)))


def _responses(
    mount: Mount, propstats: Callable[[Resource], Propstats], resources: Iterable[Resource]
) -> Iterator[str]:
    parent: Path | None = None
    prefix = ""
    for resource in resources:
        path = resource.path
        if not path:
            href = mount.href(())
        else:
            # Most siblings follow each other: what they share is encoded once.
            if path[:-1] != parent:
                parent = path[:-1]
                prefix = mount.href(parent, collection=True)
            href = f"{prefix}{encode_segment(path[-1])}{'/' if resource.collection else ''}"
        yield propstat_response(href, propstats(resource))


def _resources(store: Store, target: Resource, depth: Depth) -> Iterable[Resource]:
    if depth is Depth.ZERO or not target.collection:
        return (target,)
    below = store.members(target.path) if depth is Depth.ONE else store.walk(target.path)
    return chain((target,), below)


def _plan(asked: Asked) -> Callable[[Resource], Propstats]:
    """How the propstats of each resource are made, decided once per request."""
    match asked:
        case PropName():
            return _names
        case AllProp(include=include):
            return _values([f"{{{DAV_NS}}}{name}" for name in LIVE], include)
        case Prop(names=names):
            return _values((), names)


def _names(resource: Resource) -> Propstats:
    return [(HTTPStatus.OK, "".join(f"<D:{name}/>" for name, value in LIVE.items() if value(resource) is not None))]


def _values(all_of: Iterable[str], named: Iterable[str]) -> Callable[[Resource], Propstats]:
    """``all_of``: left out where a resource lacks them; ``named``: asked for by name, so 404 where it does."""
    named = tuple(dict.fromkeys(named))
    if len(named) > MAX_NAMES or sum(len(empty(name)) for name in named) > MAX_NAMED:
        # What one resource lacks is told for every resource: a small body would make a very large answer.
        raise TooLarge(f"Ask for {MAX_NAMES} properties at most, with shorter names.", limit=MAX_NAMES)
    found: list[tuple[str, str | None]] = [(split(name)[1], None) for name in all_of]
    for name in named:
        namespace, local = split(name)
        if namespace == DAV_NS and local in LIVE:
            if (local, None) not in found:
                found.append((local, empty(name)))
        else:
            found.append(("", empty(name)))
    plan = [(local, LIVE.get(local), missing) for local, missing in found]

    def propstats(resource: Resource) -> Propstats:
        present, absent = "", ""
        for local, value_of, missing in plan:
            value = None if value_of is None else value_of(resource)
            if value is not None:
                present += element(local, value)
            elif missing is not None:
                absent += missing
        answer: Propstats = []
        if present or not absent:
            answer.append((HTTPStatus.OK, present))
        if absent:
            answer.append((HTTPStatus.NOT_FOUND, absent))
        return answer

    return propstats
