"""OPTIONS (RFC 9110 §9.3.7, RFC 4918 §10.1)."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs, web

from partwise.actions.methods import COLLECTION, CONTAINERS, FILE, PATCHES, SERVICE, UNMAPPED, allowed
from partwise.handlers.context import Call
from partwise.handlers.limiting import limits_of
from partwise.protocol.limits import limits_json, limits_xml
from partwise.protocol.media_types import choose, parse_accept

#: RFC 4918 §18, RFC 5689 §3.1, and the names that SabreDAV and Nextcloud gave their extensions.
_CLASSES = "1, 2, 3, extended-mkcol, sabredav-partialupdate, nextcloud-checksum-update"

#: How the limits of a collection are told.
_LIMITS = {"application/xml": limits_xml, "text/xml": limits_xml, "application/json": limits_json}

#: Every method that fits something.
EVERY = tuple(dict.fromkeys((*COLLECTION, *FILE, *UNMAPPED)))


def compliance(methods: Sequence[str]) -> dict[str, str]:
    """What every answer to OPTIONS says. Windows mounts a server only if it finds ``MS-Author-Via: DAV``."""
    return {
        hdrs.ALLOW: ", ".join(methods),
        "DAV": _CLASSES,
        "MS-Author-Via": "DAV",
        hdrs.CACHE_CONTROL: "no-store",
    }


async def options(call: Call) -> web.Response:
    """``Allow`` for what stands there now, and the classes of RFC 4918 that hold here."""
    services, target = call.services, call.target
    if target.service:
        return web.Response(headers={hdrs.ALLOW: ", ".join(SERVICE), hdrs.CACHE_CONTROL: "no-store"})
    methods = await services.hop.run(allowed, services.store, target.path)
    headers = compliance(methods)
    if methods == COLLECTION:
        return _of_collection(call, headers)
    if methods == FILE:
        headers["Accept-Patch"] = ", ".join(PATCHES)
    return web.Response(headers=headers)


def _of_collection(call: Call, headers: dict[str, str]) -> web.Response:
    """With the limits for an upload as its body, if a type for them is named."""
    headers["Accept-Post"] = ", ".join(CONTAINERS)
    headers[hdrs.VARY] = hdrs.ACCEPT
    kind = _named(call.header(hdrs.ACCEPT))
    if kind is None:
        return web.Response(headers=headers)
    body = _LIMITS[kind](limits_of(call.services.config)).encode()
    # RFC 8259 §11 defines no charset for JSON.
    headers[hdrs.CONTENT_TYPE] = kind if kind == "application/json" else f"{kind}; charset=utf-8"
    return web.Response(body=body, headers=headers)


def _named(accept: str | None) -> str | None:
    """Clients of WebDAV send OPTIONS without ``Accept`` or with ``*/*``, and expect ``Content-Length: 0``."""
    named = [one for one in parse_accept(accept or "") if f"{one.type}/{one.subtype}" in _LIMITS and one.q]
    return choose(accept, tuple(_LIMITS)) if named else None
