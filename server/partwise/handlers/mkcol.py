"""MKCOL, and with a body extended MKCOL (RFC 5689)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.extended_mkcol import MkcolRefused, asked, unfit
from partwise.actions.make_collection import make_collection
from partwise.handlers.answer import XML
from partwise.handlers.body import has_body, whole
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of


async def mkcol(call: Call) -> web.Response:
    """201; 424 with what was wrong with the properties, and then nothing is made (RFC 5689 §3)."""
    services = call.services
    call.require_write()
    services.mount.check_new(call.target.path)
    gate = gate_of(call)
    properties, refusal = await _asked(call) if has_body(call.request) else (None, None)
    try:
        await services.hop.run_writing(make_collection, services.store, call.target.path, gate, properties, refusal)
    except MkcolRefused as refused:
        return web.Response(
            status=HTTPStatus.FAILED_DEPENDENCY,
            body=refused.document().encode(),
            headers={hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store"},
        )
    return web.Response(status=HTTPStatus.CREATED)


async def _asked(call: Call) -> tuple[Mapping[str, str] | None, Exception | None]:
    services, refusal = call.services, unfit(call.header(hdrs.CONTENT_TYPE))
    if refusal is not None:
        return None, refusal
    body = await whole(call, services.config.max_protocol_body)
    return await services.hop.run(asked, body, services.config.max_properties_size)
