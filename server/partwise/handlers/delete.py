"""DELETE."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from partwise.actions import delete as action
from partwise.actions.gate import Gate
from partwise.errors import UnsupportedType
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.protocol.conditions import Conditions


async def delete(call: Call) -> web.Response:
    call.services.policy.require_write()
    gate = Gate(Conditions.parse(call.header), if_header=call.header("If"))
    if has_body(call.request):
        # RFC 4918 §8.4: a body where none is defined is refused with 415.
        raise UnsupportedType("DELETE takes no body.")
    target = call.target
    await call.services.hop.run(action.delete, call.services.store, target.path, gate, slash=target.slash)
    return web.Response(status=HTTPStatus.NO_CONTENT)
