"""MKCOL, and with a body extended MKCOL (RFC 5689)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.extended_mkcol import MkcolRefused, initial_properties
from partwise.actions.make_collection import make_collection
from partwise.errors import UnsupportedType
from partwise.handlers.answer import XML
from partwise.handlers.body import has_body, whole
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.property_update import parse_mkcol

_XML_TYPES = ("application/xml", "text/xml")


async def mkcol(call: Call) -> web.Response:
    """201; 424 with what was wrong with the properties, and then nothing is made (RFC 5689 §3)."""
    services = call.services
    call.require_write()
    services.mount.check_new(call.target.path)
    gate = gate_of(call)
    properties, refusal = await _asked(call) if has_body(call.request) else (None, None)
    try:
        await services.hop.run(make_collection, services.store, call.target.path, gate, properties, refusal)
    except MkcolRefused as refused:
        return web.Response(
            status=HTTPStatus.FAILED_DEPENDENCY,
            body=refused.document().encode(),
            headers={hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store"},
        )
    return web.Response(status=HTTPStatus.CREATED)


async def _asked(call: Call) -> tuple[Mapping[str, str] | None, Exception | None]:
    """The properties that the body asks for, or what speaks against them: it counts only where a collection can be made."""
    services, kind = call.services, call.header(hdrs.CONTENT_TYPE)
    if kind is None or parse_media_type(kind).essence not in _XML_TYPES:
        # RFC 4918 §9.3: "If the server receives a MKCOL request entity type it does not support or understand, it MUST
        # respond with a 415".
        sentence = "The body of MKCOL must be XML (RFC 5689), or there must be none."
        return None, UnsupportedType(sentence, accepted=_XML_TYPES)
    body = await whole(call, services.config.max_protocol_body)
    changes = await services.hop.run(parse_mkcol, body)
    try:
        return initial_properties(changes, services.config.max_properties_size), None
    except MkcolRefused as refused:
        return None, refused
