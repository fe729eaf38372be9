"""PROPPATCH."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import proppatch as action
from partwise.errors import reason
from partwise.handlers.answer import XML
from partwise.handlers.body import whole
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.handlers.preferring import preferences
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, text
from partwise.protocol.property_update import parse_property_update


async def proppatch(call: Call) -> web.Response:
    """A 207 with one response (RFC 4918 §9.2.1); with ``return=minimal`` a success has no body (RFC 8144 §2.2)."""
    call.require_write()
    services, target = call.services, call.target
    gate = gate_of(call)
    # A Depth is not defined for PROPPATCH; webdavclient3 sends "Depth: 1". Nothing but the resource itself is changed.
    body = await whole(call, services.config.max_protocol_body)
    changes = await services.hop.run(parse_property_update, body)
    outcome = await services.hop.run_writing(
        action.proppatch,
        services.store,
        target.path,
        changes,
        gate,
        slash=target.slash,
        most=services.config.max_properties_size,
    )
    wishes = preferences(call)
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store", **wishes.applied(minimal=True)}
    if wishes.minimal and outcome.done:
        return web.Response(status=HTTPStatus.OK, headers=headers)
    href = services.mount.href(target.path, collection=target.slash)
    document = (
        f"{MULTISTATUS_OPEN}<D:response><D:href>{text(href)}</D:href>{outcome.propstats()}</D:response>\n"
        f"{MULTISTATUS_CLOSE}"
    )
    status = HTTPStatus.MULTI_STATUS
    return web.Response(
        status=status,
        reason=reason(status),
        body=document.encode("utf-8", "replace"),
        headers={hdrs.CONTENT_TYPE: XML, **headers},
    )
