"""PROPFIND."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import propfind as action
from partwise.actions.gate import Gate
from partwise.errors import FiniteDepth, NotFound, reason
from partwise.handlers.answer import XML
from partwise.handlers.body import whole
from partwise.handlers.context import Call
from partwise.handlers.gating import reading, view_of
from partwise.handlers.listings import MOST_ASKED, MOST_EACH, Question
from partwise.handlers.preferring import preferences
from partwise.handlers.stream import stream_blocks
from partwise.protocol.preferences import Depth, parse_depth
from partwise.protocol.xml_bodies import parse_propfind
from partwise.storage.base import Witness

_STATUS = HTTPStatus.MULTI_STATUS
#: Clients ask the same again and again, each with words of its own; what is refused is not remembered.
_parsed = lru_cache(64)(parse_propfind)


async def propfind(call: Call) -> web.StreamResponse:
    """A 207 streamed while the tree is walked. A missing target is a 404 before any of it."""
    services, target = call.services, call.target
    call.require_read()
    # RFC 4918 §9.1: "Servers SHOULD treat a request without a Depth header as if a 'Depth: infinity' header was included."
    depth = parse_depth(call.header("Depth"), Depth.INFINITY)
    gate = reading(call)
    body = await whole(call, services.config.max_protocol_body)
    wishes = preferences(call)
    # RFC 8144 §3: depth-noroot is for a Depth of 1 or infinity.
    noroot = wishes.noroot and depth is not Depth.ZERO
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: XML,
        hdrs.CACHE_CONTROL: "no-store",
        **wishes.applied(minimal=True, noroot=noroot),
    }
    question = Question(target.path, target.slash, depth, body, wishes.minimal, not noroot, call.principal)
    answer = _Answer(call, question, gate)
    if gate is not None or depth is Depth.INFINITY or len(body) > MOST_ASKED:
        return await answer.stream(headers, answer.blocks(headers))
    listings = services.listings
    document = listings.find(question) or await listings.wait(question)
    if document is not None:
        # No hop: see storage.local.witnesses. Only collections are kept.
        _add_location(call, headers)
        return web.Response(status=_STATUS, reason=reason(_STATUS), headers=headers, body=document)
    if not listings.is_worth_keeping(question):
        return await answer.stream(headers, answer.blocks(headers))
    with listings.coming(question), answer:
        response = await answer.stream(headers, answer.watched(headers))
        answer.keep()
        return response


def _add_location(call: Call, headers: dict[str, str]) -> None:
    if not call.target.slash:
        headers[hdrs.CONTENT_LOCATION] = call.services.mount.href(call.target.path, collection=True)


class _Answer:
    """The document that one request is answered with, made on a thread, and who can tell how long it is true."""

    def __init__(self, call: Call, question: Question, gate: Gate | None) -> None:
        self._call, self._question, self._gate = call, question, gate
        self._view = view_of(call)
        self._witness: Witness | None = None
        self._gathered: list[bytes] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._witness is not None:
            self._witness.close()

    async def stream(self, headers: dict[str, str], blocks: Iterator[bytes]) -> web.StreamResponse:
        brief = self._question.depth is Depth.ZERO
        return await stream_blocks(self._call, _STATUS, headers, blocks, reason=reason(_STATUS), brief=brief)

    def blocks(self, headers: dict[str, str], *, watched: bool = False) -> Iterator[bytes]:
        """See ``actions.propfind``; all that comes before it is done with the first block too, in the same hop."""
        services, question = self._call.services, self._question
        asked = (_parsed if len(question.body) <= MOST_ASKED else parse_propfind)(question.body)
        if question.depth is Depth.INFINITY and not services.config.infinite_depth:
            raise FiniteDepth("Depth: infinity is not allowed here; ask for Depth: 1, collection by collection.")
        if watched:
            self._witness = action.witness_of(self._view, question.path, question.depth, asked)
        resource = services.store.stat(question.path)
        if question.slash and not resource.collection:
            raise NotFound("There is no collection under this address.")
        # RFC 4918 §10.4.3: a request of any method fails when no list holds.
        if self._gate is not None:
            self._gate.check_if(question.path, resource)
        if resource.collection:
            _add_location(self._call, headers)
        yield from action.propfind(
            self._view,
            question.path,
            question.depth,
            asked,
            minimal=question.minimal,
            root=question.root,
            target=resource,
            witness=self._witness,
        )

    def watched(self, headers: dict[str, str]) -> Iterator[bytes]:
        """As :meth:`blocks`; they are gathered for :meth:`keep`."""
        size = 0
        for block in self.blocks(headers, watched=True):
            size += len(block)
            if self._witness is not None:
                if size <= MOST_EACH:
                    self._gathered.append(block)
                else:
                    self._gathered.clear()
            yield block

    def keep(self) -> None:
        """The document is complete."""
        if self._witness is not None and self._gathered:
            self._call.services.listings.keep(self._question, b"".join(self._gathered), self._witness)
            self._witness = None
