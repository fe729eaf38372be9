"""The report sync-collection (RFC 6578): what has changed in a collection since a client asked last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, islice

from partwise.actions.blocks import blocks
from partwise.actions.properties import Facts, View, comparing
from partwise.actions.propstats import Planned, plan_of
from partwise.actions.sync_token import read_token, write_token
from partwise.errors import NotFound, Truncated, UnsupportedReport, UnsupportedTraversal
from partwise.protocol.multistatus import (
    MULTISTATUS_CLOSE,
    MULTISTATUS_OPEN,
    propstat_response,
    status_response,
    text,
)
from partwise.protocol.paths import Path
from partwise.protocol.propfind import Prop
from partwise.storage.base import Change, Resource

#: Resources whose stored properties are read at once: their values are in memory together.
_GROUP = 64


@dataclass(frozen=True, slots=True)
class Sync:
    """``token``: empty for all there is. ``names``: properties wanted. ``most``: responses at most, one at least."""

    token: str
    infinite: bool
    names: tuple[str, ...]
    most: int
    minimal: bool = False


def compare(view: View, path: Path, asked: Sync) -> Iterator[None]:
    """Find out what has changed, in small steps; to be exhausted before :func:`sync`.

    Raises NotFound, InvalidSyncToken for what is no token at all, UnsupportedReport for a file.
    """
    if not view.store.stat(path).collection:
        raise UnsupportedReport("Only a collection can be asked for what has changed in it.")
    if asked.token:
        read_token(asked.token)
    yield from view.store.compare(path, asked.infinite)


def sync(view: View, path: Path, asked: Sync) -> Iterator[bytes]:
    """The multistatus in blocks of about 64 KiB.

    Raises NotFound, TooLarge, InvalidSyncToken before the first.
    """
    planned = plan_of(Prop(asked.names), minimal=asked.minimal)
    since = read_token(asked.token) if asked.token else None
    found = view.store.changes(path, asked.infinite, since, asked.most)
    ending = ""
    if found.more:
        # RFC 6578 §3.6: "a response containing a DAV:response element … for the request-URI" with a status of 507.
        failure = Truncated("There are more changes; ask for them with the sync-token of this answer.")
        ending = status_response(view.mount.href(path, collection=True), failure.status, failure)
    ending += f"<D:sync-token>{text(write_token(found.mark))}</D:sync-token>\n{MULTISTATUS_CLOSE}"
    responses = _responses(view, found.changes, planned, asked.infinite)
    return blocks(chain((MULTISTATUS_OPEN,), responses, (ending,)))


def _responses(view: View, changes: Iterable[Change], planned: Planned, infinite: bool) -> Iterator[str]:
    coming = iter(changes)
    while group := list(islice(coming, _GROUP)):
        standing = [None if change.gone else _look(view, change.path) for change in group]
        paths = [resource.path for resource in standing if resource is not None]
        properties = view.store.properties(paths) if planned.stored and paths else {}
        for change, resource in zip(group, standing, strict=True):
            if resource is None:
                # RFC 6578 §3.5.2; and the truth of a member that went away just now.
                href = view.mount.href(change.path, collection=change.collection)
                yield status_response(href, HTTPStatus.NOT_FOUND)
                continue
            href = view.mount.href(change.path, collection=resource.collection)
            if infinite and not change.compared:
                yield _untraversed(href)
                continue
            if planned.compares and resource.collection:
                if infinite:
                    # It was compared with the collection that was asked about.
                    view.findings.compared.add(change.path)
                with suppress(NotFound):  # gone just now
                    yield from comparing(view, resource)
            yield propstat_response(href, planned.plan(Facts(resource, properties.get(change.path, {}), view)))
            if planned.compares:
                view.findings.compared.clear()
                yield ""


def _untraversed(href: str) -> str:
    # RFC 6578 §3.3: a collection below that cannot be followed is told as such; a client asks for it by itself.
    failure = UnsupportedTraversal("This is a link to a collection; ask for what has changed in it by itself.")
    return status_response(href, failure.status, failure)


def _look(view: View, path: Path) -> Resource | None:
    try:
        return view.store.stat(path)
    except NotFound:
        return None
