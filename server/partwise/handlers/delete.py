"""DELETE."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from partwise.actions import delete as action
from partwise.actions.gate import Gate
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.protocol.conditions import Conditions


async def delete(call: Call) -> web.Response:
    call.services.policy.require_write()
    gate = Gate(Conditions.parse(call.header), if_header=call.header("If"))
    target, bodied = call.target, has_body(call.request)
    await call.services.hop.run(
        action.delete, call.services.store, target.path, gate, slash=target.slash, bodied=bodied
    )
    return web.Response(status=HTTPStatus.NO_CONTENT)
