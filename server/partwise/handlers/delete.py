"""DELETE."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from partwise.actions import delete as action
from partwise.errors import Malformed
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.protocol.preferences import Depth, parse_depth


async def delete(call: Call) -> web.Response:
    call.require_write()
    gate, target, bodied = gate_of(call), call.target, has_body(call.request)
    depth = parse_depth(call.header("Depth"), Depth.INFINITY)
    store = call.services.store
    if depth is not Depth.INFINITY and await call.services.hop.run(_is_collection, call):
        # RFC 4918 §9.6.1: it "MUST act as if a 'Depth: infinity' header was used on it".
        raise Malformed("A collection is deleted with all its members; send Depth: infinity or none.")
    await call.services.hop.run(action.delete, store, target.path, gate, slash=target.slash, bodied=bodied)
    return web.Response(status=HTTPStatus.NO_CONTENT)


def _is_collection(call: Call) -> bool:
    return call.services.store.stat(call.target.path).collection
