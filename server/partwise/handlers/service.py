"""The server's own resources below the service prefix: batches, the schemas of documents, and the principal who asks."""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

from partwise.actions.methods import SERVICE
from partwise.errors import NotFound, WrongKind
from partwise.handlers.batches import batches
from partwise.handlers.context import Call
from partwise.handlers.options import options

_SCHEMAS = Path(__file__).parent.parent / "xml_schemas"
#: Read once: a client names one of these, never a path.
_DOCUMENTS = {path.name: path.read_bytes() for path in _SCHEMAS.glob("*.xsd")}

_READING = {"GET", "HEAD"}
_WRITING = {"PUT", "MKCOL", "POST"}


async def service(call: Call) -> web.StreamResponse:
    """``/-/batches/<id>`` and ``/-/schemas/<name>.xsd``. Nothing can be written here."""
    method = call.request.method
    if method in _WRITING:
        raise call.services.mount.reserved()
    if call.target.path[:1] == ("batches",):
        return await batches(call)
    if method == "OPTIONS":
        return await options(call)
    if method not in _READING:
        raise WrongKind("The server's own resources can only be read.", accepted=SERVICE)
    call.require_read()
    if call.target.path in ((), ("schemas",)):
        return _index(call)
    if len(call.target.path) == 2 and call.target.path[0] == "schemas":
        document = _DOCUMENTS.get(call.target.path[1])
        if document is not None:
            return web.Response(body=document, headers={hdrs.CONTENT_TYPE: "application/xml"})
    if call.principal is not None and call.target.path == ("principals", call.principal):
        # RFC 5397 §3: what current-user-principal leads to; nobody sees anybody else.
        return web.Response(text=f"{call.principal}\n", headers={"X-Content-Type-Options": "nosniff"})
    raise NotFound("There is nothing under this address.")


def _index(call: Call) -> web.Response:
    """The absolute URLs' paths, one a line, for people and scripts."""
    lines = (call.services.mount.service_href("schemas", name) for name in sorted(_DOCUMENTS))
    return web.Response(text="".join(f"{line}\n" for line in lines))
