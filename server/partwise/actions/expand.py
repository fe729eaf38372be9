"""The report expand-property (RFC 3253 §3.8): properties, and those of the resources that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain

from partwise.actions.blocks import blocks
from partwise.actions.properties import Facts, View, comparing, is_live
from partwise.actions.propstats import plan_of
from partwise.errors import DAV_NS, Failure, NotAllowed, NotFound, Truncated
from partwise.protocol.hrefs import split_at_hrefs
from partwise.protocol.multistatus import (
    MULTISTATUS_CLOSE,
    MULTISTATUS_OPEN,
    propstat_response,
    status_response,
    text,
)
from partwise.protocol.paths import Target
from partwise.protocol.propfind import Prop
from partwise.protocol.reports import Expand, ExpandProperty
from partwise.storage.base import Path

#: Responses in one answer: each may hold as many hrefs again.
MAX_RESPONSES = 1000
#: Collections whose sync-tokens are told in one answer: all below each is compared, and they may lie in each other.
MAX_TOKENS = 10

#: What a reference names on this server. Raises Failure for anything else.
Locate = Callable[[str], Target]

# A client's element may bind the prefix, or a default namespace, to something else.
_BARE, _BOUND = "<D:response>", f'<D:response xmlns="" xmlns:D="{DAV_NS}">'


def expand(view: View, path: Path, asked: ExpandProperty, locate: Locate, *, minimal: bool = False) -> Iterator[bytes]:
    """The multistatus with one response. Raises NotFound, TooLarge before the first block.

    Live properties are told as they are: none refers to a resource that has properties here.
    """
    view.store.stat(path)
    for level in _levels(asked.properties):
        plan_of(Prop(tuple(wanted.name for wanted in level)), minimal=minimal)
    expansion = _Expansion(view, locate, minimal)
    return blocks(chain((MULTISTATUS_OPEN,), expansion.response(path, asked.properties), (MULTISTATUS_CLOSE,)))


def _levels(properties: tuple[Expand, ...]) -> Iterator[tuple[Expand, ...]]:
    yield properties
    for wanted in properties:
        if wanted.nested:
            yield from _levels(wanted.nested)


@dataclass(slots=True)
class _Expansion:
    """One answer in the making; ``count`` is how many responses it holds so far."""

    view: View
    locate: Locate
    minimal: bool
    count: int = 0

    def response(self, path: Path, wanted: tuple[Expand, ...]) -> Iterator[str]:
        """In pieces, so that many nested values need not be held at once. Raises NotFound, NotAllowed."""
        self.count += 1
        view = self.view
        resource = view.store.stat(path)
        stored = view.store.properties([path]).get(path, {})
        nested = [one for one in wanted if one.nested and one.name in stored and not is_live(one.name)]
        planned = plan_of(Prop(tuple(one.name for one in wanted if one not in nested)), minimal=self.minimal)
        href = view.mount.href(path, collection=resource.collection)
        if planned.compares and len(view.findings.compared) < MAX_TOKENS:
            yield from comparing(view, resource)
        propstats = planned.plan(Facts(resource, stored, view))
        if not nested:
            yield propstat_response(href, propstats)
            return
        # What is expanded comes after the others that were found. XML has no NUL, so that the place cannot be mistaken.
        found = "".join(properties for status, properties in propstats if status == HTTPStatus.OK)
        others = [propstat for propstat in propstats if propstat[0] != HTTPStatus.OK]
        before, _, after = propstat_response(href, [(HTTPStatus.OK, found + "\0"), *others]).partition("\0")
        yield before
        for one in nested:
            yield from self._value(stored[one.name], one.nested)
        yield after

    def _value(self, element: str, wanted: tuple[Expand, ...]) -> Iterator[str]:
        value = split_at_hrefs(element)
        first, *others = value.pieces
        yield first
        for reference, piece in zip(value.references, others, strict=True):
            yield from self._referred(reference, wanted)
            if piece:
                yield piece

    def _referred(self, reference: str, wanted: tuple[Expand, ...]) -> Iterator[str]:
        try:
            target = self.locate(reference)
        except Failure:
            target = None
        if target is None or target.service or target.query:
            yield _plain(reference)
            return
        href = self.view.mount.href(target.path, collection=target.slash)
        if self.count >= MAX_RESPONSES:
            failure = Truncated(f"An answer holds {MAX_RESPONSES} resources at most; ask for this one by itself.")
            yield _bound(status_response(href, failure.status, failure))
            return
        try:
            pieces = self.response(target.path, wanted)
            while not (first := next(pieces)):
                yield ""
        except (NotFound, NotAllowed) as failure:
            yield _bound(status_response(href, failure.status))
            return
        yield _bound(first)
        yield from pieces


def _plain(reference: str) -> str:
    return f'<D:href xmlns:D="{DAV_NS}">{text(reference)}</D:href>'


def _bound(response: str) -> str:
    return response.replace(_BARE, _BOUND, 1)
