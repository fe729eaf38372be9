"""POST to a collection: a batch of items, judged one by one and reported while they arrive."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.actions.methods import FILE
from partwise.batch.containers import Container, Decoder
from partwise.batch.forms import choose_form
from partwise.batch.opening import open_container
from partwise.errors import CrossSite, NotFound, WrongKind
from partwise.handlers.add_member import add_member
from partwise.handlers.bulk import bulk, bulk_home
from partwise.handlers.context import Call
from partwise.handlers.expect import check_expectation
from partwise.handlers.gating import gate_of
from partwise.handlers.multiput import is_multiput, multiput
from partwise.handlers.posting import check_length, said
from partwise.handlers.upload import Posted, receive
from partwise.protocol.conditions import Conditions
from partwise.protocol.media_types import MediaType, parse_media_type
from partwise.protocol.query import parse_query
from partwise.storage.base import Resource


async def post(call: Call) -> web.StreamResponse:
    """Everything that speaks against the whole request is said here, before the head of a 207 can be sent."""
    call.require_write()
    check_origin(call)
    if (home := await bulk_home(call)) is not None:
        return await bulk(call, home)
    kind, conditions, steering = _content_type(call), Conditions.parse(call.header), said(call)
    collection = await call.services.hop.run(_collection, call)
    gate = gate_of(call, conditions)
    await call.services.hop.run(_judge, gate, collection)
    if "add-member" in dict(parse_query(call.target.query)):
        gate.check_conditions(collection)
        return await add_member(call)
    if is_multiput(kind):
        return await multiput(call, collection, steering, gate)
    container, decoder = _open(call, kind)
    form = choose_form(call.header(hdrs.ACCEPT))
    check_length(call)
    gate.check_conditions(collection)
    check_expectation(call.request)
    return await receive(call, Posted(form, container, decoder, steering, gate))


def check_origin(call: Call) -> None:
    """A page of another site must not make its visitor's browser write here. Raises CrossSite."""
    request, mount = call.request, call.services.mount
    origin = request.headers.get(hdrs.ORIGIN)
    foreign = (
        origin is not None and origin.lower() != (mount.origin or "").lower() and not _same_host(origin, request.host)
    )
    if foreign or request.headers.get("Sec-Fetch-Site", "").lower() == "cross-site":
        raise CrossSite("This form was sent by a page of another site; open the folder here and send it again.")


def _same_host(origin: str, host: str) -> bool:
    # The scheme is not compared: behind a proxy that ends TLS, the browser's differs from ours.
    return urlsplit(origin).netloc.lower() == host.lower()


def _collection(call: Call) -> Resource:
    resource = call.services.store.stat(call.target.path)
    if not resource.collection:
        if call.target.slash:
            raise NotFound("There is no collection under this address.")
        raise WrongKind("Items can be posted to a collection only; this is a file.", accepted=FILE)
    return resource


def _judge(gate: Gate, collection: Resource) -> None:
    gate.check_if(collection.path, collection)
    gate.check_scope(collection.path)


def _content_type(call: Call) -> MediaType | None:
    value = call.header(hdrs.CONTENT_TYPE)
    return None if value is None else parse_media_type(value)


def _open(call: Call, kind: MediaType | None) -> tuple[Container, Decoder]:
    services = call.services
    return open_container(
        kind,
        call.header(hdrs.CONTENT_ENCODING),
        services.mount,
        call.target.path,
        call.request.host,
        services.store.state_folder(),
        limit=services.config.max_batch_size,
        members=services.config.max_items,
    )
