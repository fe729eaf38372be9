"""OPTIONS (RFC 9110 §9.3.7)."""

from __future__ import annotations

from aiohttp import hdrs, web

from partwise.actions.methods import COLLECTION, CONTAINERS, SERVICE, allowed
from partwise.handlers.context import Call


async def options(call: Call) -> web.Response:
    """``Allow`` for what stands there now. No ``DAV`` header: class 1 is announced when all of it is there."""
    services, target = call.services, call.target
    if target.service:
        methods: tuple[str, ...] = SERVICE
    else:
        methods = await services.hop.run(allowed, services.store, target.path)
    headers: dict[str, str] = {hdrs.ALLOW: ", ".join(methods), hdrs.CACHE_CONTROL: "no-store"}
    if methods == COLLECTION:
        headers["Accept-Post"] = ", ".join(CONTAINERS)
    return web.Response(headers=headers)
