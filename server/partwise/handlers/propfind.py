"""PROPFIND."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import propfind as action
from partwise.errors import FiniteDepth, NotFound, reason
from partwise.handlers.answer import XML
from partwise.handlers.body import whole
from partwise.handlers.context import Call
from partwise.handlers.gating import reading, view_of
from partwise.handlers.preferring import preferences
from partwise.handlers.stream import stream_blocks
from partwise.protocol.preferences import Depth, parse_depth
from partwise.protocol.xml_bodies import parse_propfind


async def propfind(call: Call) -> web.StreamResponse:
    """A 207 streamed while the tree is walked. A missing target is a 404 before any of it."""
    services, target = call.services, call.target
    call.require_read()
    # RFC 4918 §9.1: "Servers SHOULD treat a request without a Depth header as if a 'Depth: infinity' header was included."
    depth = parse_depth(call.header("Depth"), Depth.INFINITY)
    gate = reading(call)
    body = await whole(call, services.config.max_protocol_body)
    asked = await services.hop.run(parse_propfind, body)
    if depth is Depth.INFINITY and not services.config.infinite_depth:
        raise FiniteDepth("Depth: infinity is not allowed here; ask for Depth: 1, collection by collection.")
    resource = await services.hop.run(services.store.stat, target.path)
    if target.slash and not resource.collection:
        raise NotFound("There is no collection under this address.")
    # RFC 4918 §10.4.3: a request of any method fails when no list holds.
    if gate is not None:
        await services.hop.run(gate.check_if, target.path, resource)
    wishes = preferences(call)
    # RFC 8144 §3: depth-noroot is for a Depth of 1 or infinity.
    noroot = wishes.noroot and depth is not Depth.ZERO
    blocks = await services.hop.run(
        action.propfind, view_of(call), target.path, depth, asked, minimal=wishes.minimal, root=not noroot
    )
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: XML,
        hdrs.CACHE_CONTROL: "no-store",
        **wishes.applied(minimal=True, noroot=noroot),
    }
    if resource.collection and not target.slash:
        headers[hdrs.CONTENT_LOCATION] = services.mount.href(target.path, collection=True)
    status = HTTPStatus.MULTI_STATUS
    return await stream_blocks(call, status, headers, blocks, reason=reason(status))
