"""REPORT (RFC 3253 §3.6): sync-collection and expand-property."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import expand, sync
from partwise.errors import Malformed, NotFound, UnsupportedReport, UnsupportedTraversal, reason
from partwise.handlers.answer import XML
from partwise.handlers.body import whole
from partwise.handlers.context import Call
from partwise.handlers.gating import authorities, view_of
from partwise.handlers.preferring import Wishes, preferences
from partwise.handlers.stream import stream_blocks
from partwise.protocol.preferences import Depth, parse_depth
from partwise.protocol.reports import ExpandProperty, SyncCollection, UnknownReport, parse_report

#: Seconds.
_HOP = 0.005


async def report(call: Call) -> web.StreamResponse:
    """A 207, streamed. What a resource cannot be asked for is refused with ``D:supported-report``."""
    call.require_read()
    services, target = call.services, call.target
    # RFC 3253 §3.6: "If a Depth header is not included, … a Depth of 0".
    depth = parse_depth(call.header("Depth"), Depth.ZERO)
    body = await whole(call, services.config.max_protocol_body)
    resource = await services.hop.run(services.store.stat, target.path)
    if target.slash and not resource.collection:
        raise NotFound("There is no collection under this address.")
    asked = await services.hop.run(parse_report, body)
    wishes = preferences(call)
    match asked:
        case SyncCollection():
            return await _sync(call, _sync_of(call, asked, depth, wishes), wishes)
        case ExpandProperty():
            if depth is not Depth.ZERO:
                raise Malformed("expand-property tells of one resource; send Depth: 0 or none.")
            names = authorities(call)
            blocks = await services.hop.run(
                expand.expand,
                view_of(call),
                target.path,
                asked,
                lambda reference: services.mount.locate(reference, names),
                minimal=wishes.minimal,
            )
            return await _multistatus(call, blocks, wishes)
        case UnknownReport():
            raise UnsupportedReport("This report is not known here; supported-report-set lists those that are.")


def _sync_of(call: Call, asked: SyncCollection, depth: Depth, wishes: Wishes) -> sync.Sync:
    config = call.services.config
    infinite = asked.infinite
    if infinite is None:
        # Drafts before the RFC had no sync-level, and meant the Depth header.
        if depth is Depth.ZERO:
            raise Malformed("The sync-collection body needs a sync-level of 1 or infinite.")
        infinite = depth is Depth.INFINITY
    elif depth is not Depth.ZERO:
        # RFC 6578 §3.2: "This report is only defined when the Depth header has value '0'; other values result in a 400".
        raise Malformed("sync-collection needs Depth: 0 or none; its sync-level tells how deep to look.")
    if infinite and not config.infinite_depth:
        raise UnsupportedTraversal("A sync-level of infinite is not allowed here; ask collection by collection.")
    most = config.max_sync if asked.limit is None else min(asked.limit, config.max_sync)
    return sync.Sync(asked.token, infinite, asked.names, most, wishes.minimal)


async def _sync(call: Call, asked: sync.Sync, wishes: Wishes) -> web.StreamResponse:
    view, path = view_of(call), call.target.path
    with call.services.hop.walk() as lane:
        # Step by step: an upload may share the lane.
        steps = await lane.run(sync.compare, view, path, asked)
        try:
            while await lane.run(_advance, steps):
                transport = call.request.transport
                if transport is None or transport.is_closing():
                    raise ConnectionResetError("the client went away")
        finally:
            await lane.run(_close, steps)
        blocks = await lane.run(sync.sync, view, path, asked)
    return await _multistatus(call, blocks, wishes)


def _advance(steps: Iterator[None]) -> bool:
    """As many small steps as are worth a hop; False after the last."""
    end = time.monotonic() + _HOP
    while next(steps, steps) is None:
        if time.monotonic() >= end:
            return True
    return False


def _close(steps: Iterator[None]) -> None:
    close = getattr(steps, "close", None)
    if close is not None:
        close()


async def _multistatus(call: Call, blocks: Iterator[bytes], wishes: Wishes) -> web.StreamResponse:
    status = HTTPStatus.MULTI_STATUS
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: XML,
        hdrs.CACHE_CONTROL: "no-store",
        **wishes.applied(minimal=True),
    }
    return await stream_blocks(call, status, headers, blocks, reason=reason(status))
