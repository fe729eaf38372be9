"""DELETE."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from partwise.actions import delete as action
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.protocol.preferences import Depth, parse_depth


async def delete(call: Call) -> web.Response:
    call.require_write()
    services, target = call.services, call.target
    await services.hop.run_writing(
        action.delete,
        services.store,
        target.path,
        gate_of(call),
        slash=target.slash,
        bodied=has_body(call.request),
        depth=parse_depth(call.header("Depth"), Depth.INFINITY),
    )
    return web.Response(status=HTTPStatus.NO_CONTENT)
