"""OPTIONS (RFC 9110 §9.3.7, RFC 4918 §10.1)."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs, web

from partwise.actions.methods import COLLECTION, CONTAINERS, FILE, PATCHES, SERVICE, UNMAPPED, allowed
from partwise.handlers.context import Call

#: RFC 4918 §18, RFC 5689 §3.1, and the names that SabreDAV and Nextcloud gave their extensions.
_CLASSES = "1, 2, 3, extended-mkcol, sabredav-partialupdate, nextcloud-checksum-update"

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
        headers["Accept-Post"] = ", ".join(CONTAINERS)
    elif methods == FILE:
        headers["Accept-Patch"] = ", ".join(PATCHES)
    return web.Response(headers=headers)
