"""MKCOL."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from partwise.actions.gate import Gate
from partwise.actions.make_collection import make_collection
from partwise.errors import UnsupportedType
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.protocol.conditions import Conditions


async def mkcol(call: Call) -> web.Response:
    services = call.services
    services.policy.require_write()
    services.mount.check_new(call.target.path)
    gate = Gate(Conditions.parse(call.header), if_header=call.header("If"))
    if has_body(call.request):
        # RFC 4918 §9.3: "If the server receives a MKCOL request entity type it does not support or understand, it MUST
        # respond with a 415".
        raise UnsupportedType("MKCOL takes no body here.")
    await services.hop.run(make_collection, services.store, call.target.path, gate)
    return web.Response(status=HTTPStatus.CREATED)
