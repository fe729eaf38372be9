"""POST to ``…/dav/bulk``: Nextcloud's bulk upload, through the same engine as every batch."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.batch.doors.bulk import BulkContainer, BulkForm, home
from partwise.errors import Malformed, NotFound, UnsupportedType
from partwise.handlers.context import Call
from partwise.handlers.expect import check_expectation
from partwise.handlers.gating import gate_of
from partwise.handlers.posting import check_coding, check_length, said
from partwise.handlers.upload import Posted, receive
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.multipart import MultipartDecoder
from partwise.protocol.paths import Path, Target
from partwise.storage.base import Resource, Store

_CONTAINER = "multipart/related"


async def bulk_home(call: Call) -> Path | None:
    """The collection that a bulk upload to this target fills; ``None`` where it is no door, or something stands there."""
    collection = home(call.target.path)
    if collection is None or await call.services.hop.run(_stands, call.services.store, call.target.path):
        return None
    return collection


def _stands(store: Store, path: Path) -> bool:
    try:
        store.stat(path)
    except NotFound:
        return False
    return True


async def bulk(call: Call, collection: Path) -> web.StreamResponse:
    """Fill the collection. It was found out before who asks, from which site, and that this person may write.

    200 and a JSON object, whatever becomes of the single files; it is sent when all of them have arrived, because clients
    of Nextcloud read nothing before. What speaks against the request as a whole is answered as by any other POST.
    """
    # The conditions of the request are about the collection, and so are the names within If.
    there = Call(call.services, call.request, Target(collection, True, call.target.query), call.principal)
    decoder, steering = _decoder(call), said(call)
    gate = gate_of(there)
    resource = await call.services.hop.run(_collection, call.services.store, collection)
    await call.services.hop.run(gate.check_if, collection, resource)
    await call.services.hop.run(gate.check_scope, collection)
    check_coding(call)
    check_length(call)
    gate.check_conditions(resource)
    check_expectation(call.request)
    posted = Posted(
        form=BulkForm(),
        container=BulkContainer(call.services.mount, collection),
        decoder=decoder,
        # Its clients know one answer, which tells everything.
        steering=replace(steering, early=False, minimal=None, respond_async=None, final_status=None),
        gate=gate,
        status=HTTPStatus.OK,
    )
    return await receive(there, posted)


def _decoder(call: Call) -> MultipartDecoder:
    """Raises UnsupportedType for another container, Malformed for a missing or illegal boundary."""
    value = call.header(hdrs.CONTENT_TYPE)
    kind = None if value is None else parse_media_type(value)
    if kind is None or kind.essence != _CONTAINER:
        raise UnsupportedType(f"A bulk upload is sent as {_CONTAINER}.", accepted=(_CONTAINER,))
    boundary = kind.parameter("boundary")
    if boundary is None:
        raise Malformed("The Content-Type has no boundary.")
    return MultipartDecoder(boundary.encode("utf-8", "surrogateescape"))


def _collection(store: Store, path: Path) -> Resource:
    resource = store.stat(path)
    if not resource.collection:
        raise NotFound("There is no collection that these files could be stored in.")
    return resource
