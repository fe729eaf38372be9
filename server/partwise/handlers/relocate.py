"""COPY and MOVE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import relocate as action
from partwise.actions.members import FailedMembers
from partwise.actions.relocate import Relocation
from partwise.errors import Success, reason
from partwise.handlers.answer import XML
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.handlers.gating import destination, gate_of
from partwise.handlers.stream import stream_blocks
from partwise.protocol.preferences import Depth, parse_depth, parse_overwrite
from partwise.protocol.quirks import means_all_members


async def move(call: Call) -> web.StreamResponse:
    call.require_write()
    asked, services = _asked(call), call.services
    made = await services.hop.run_writing(action.move, services.store, asked, gate_of(call))
    return _answer(call, asked, made)


async def copy(call: Call) -> web.StreamResponse:
    """Also a 207, when members could not be copied; the others were (RFC 4918 §9.8.3)."""
    call.require_write()
    asked, services = _asked(call), call.services
    if asked.depth is Depth.ONE and means_all_members(call.header(hdrs.USER_AGENT)):
        asked = replace(asked, depth=Depth.INFINITY)
    failed = FailedMembers(services.mount.href, services.store.state_folder())
    try:
        made = await services.hop.run_writing(action.copy, services.store, asked, gate_of(call), failed.add)
        if failed.count:
            return await _multistatus(call, failed.document())
    finally:
        failed.close()
    return _answer(call, asked, made)


def _asked(call: Call) -> Relocation:
    target = destination(call)
    overwrite = parse_overwrite(call.header("Overwrite"))
    depth = parse_depth(call.header("Depth"), Depth.INFINITY)
    return Relocation(call.target.path, target.path, overwrite, call.target.slash, has_body(call.request), depth)


async def _multistatus(call: Call, blocks: Iterator[bytes]) -> web.StreamResponse:
    status = HTTPStatus.MULTI_STATUS
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store"}
    return await stream_blocks(call, status, headers, blocks, reason=reason(status))


def _answer(call: Call, asked: Relocation, made: bool) -> web.Response:
    outcome = Success.CREATED if made else Success.REPLACED
    headers = {hdrs.LOCATION: call.services.mount.href(asked.destination)} if made else {}
    return web.Response(status=outcome.status, headers=headers)
