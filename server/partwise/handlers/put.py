"""PUT: one body, through the same intake as the items of a batch."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.actions.methods import COLLECTION
from partwise.errors import ForbiddenName, LengthMismatch, NotFound, Success, WrongKind
from partwise.handlers.body import deliver, whole
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.handlers.splice import store_spliced
from partwise.handlers.storing import store, store_whole
from partwise.intake.declaration import DECLARING, Declaration, declare
from partwise.intake.item import Item
from partwise.intake.kept import CHANGED, kept
from partwise.intake.validators.base import Candidate
from partwise.protocol.partial import parse_content_range
from partwise.protocol.paths import TRAILING_SLASH, Path
from partwise.protocol.preferences import parse_overwrite
from partwise.protocol.quirks import expected_length
from partwise.storage.base import Published

#: A body up to this size is received whole before it is judged.
_SMALL = 64 * 1024
#: Who sends one of these wants to know what stands there: so it is looked at before anything is written.
_CONDITIONAL = (
    *(hdrs.IF_MATCH, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE, hdrs.IF_RANGE),
    *("If", "Overwrite"),
)


async def put(call: Call) -> web.Response:
    """Store the body under the target, or in a part of it (``Content-Range``); durable when it answers."""
    call.require_write()
    field = call.header(hdrs.CONTENT_RANGE)
    update = None if field is None else parse_content_range(field)
    await check_name(call)
    item = item_of(call, call.target.path)
    if update is None:
        return stored(call, await store_body(call, item))
    # RFC 9110 §14.5 allows a partial PUT by agreement; Apache's mod_dav set the terms.
    return stored(call, await store_spliced(call, item, update, create=True))


def stored(call: Call, published: Published) -> web.Response:
    """201 for a new name, 204 for a replaced file, with its ETag."""
    outcome = Success.CREATED if published.created else Success.REPLACED
    headers: dict[str, str] = {hdrs.ETAG: f'"{published.resource.etag}"'}
    if call.header("X-OC-Mtime") is not None:
        headers["X-OC-Mtime"] = "accepted"
    return web.Response(status=outcome.status, headers=headers)


async def check_name(call: Call) -> None:
    """Raises MalformedName or ForbiddenName for a name that nobody may use, WrongKind for that of a collection."""
    target, services = call.target, call.services
    services.mount.check_new(target.path)
    if not target.path:
        raise WrongKind("This is a collection; PUT stores a file.", accepted=COLLECTION)
    if target.slash:
        try:
            standing = await services.hop.run(services.store.stat, target.path)
        except NotFound:
            standing = None
        if standing is None or not standing.collection:
            raise ForbiddenName(TRAILING_SLASH)


def item_of(call: Call, path: Path, gate: Gate | None = None) -> Item:
    """What the headers of the request declare. Raises Malformed."""
    declared = declare(call.headers(DECLARING))
    if gate is None:
        gate = _gate(call, declared)
    # An absent Content-Length with a chunked body means: unknown.
    length = call.request.content_length
    expected = _expected(call) if length is None else length
    candidate = Candidate("/".join(path), declared.essence, declared.charset, expected)
    write = gate.write(path, len(path) - 1)
    return Item(
        path=path,
        candidate=candidate,
        check=write.whole,
        existing=len(path) - 1,
        length=length,
        digests=declared.digests,
        modified_ns=declared.modified_ns,
        coding=declared.coding,
        check_first=write.first,
        properties=kept(declared, path[-1]) if path else CHANGED,
    )


def _gate(call: Call, declared: Declaration) -> Gate:
    return gate_of(call, declared.conditions, overwrite=parse_overwrite(call.header("Overwrite")))


async def store_body(call: Call, item: Item) -> Published:
    """Receive, judge, store. Raises any Failure, or ClientGone."""
    with call.services.hop.lane() as lane:
        if 0 < (item.length or 0) <= _SMALL and hdrs.EXPECT not in call.request.headers:
            # Most files are small: one hop for all of it.
            conditional = any(name in call.request.headers for name in _CONDITIONAL)
            return await store_whole(call, item, await whole(call, _SMALL), lane, conditional=conditional)
        reception = await lane.run(call.services.intake.begin, item)
        try:
            await deliver(call, lane, reception.write)
            if item.length is None and reception.size < (_expected(call) or 0):
                raise LengthMismatch("The upload ended before the length that it announced; nothing was stored.")
            staged = await lane.run(reception.finish)
        except BaseException:
            await lane.run(reception.abort)
            raise
        return await store(call, staged, lane)


def _expected(call: Call) -> int | None:
    return expected_length(call.header("X-Expected-Entity-Length"))


async def created(call: Call, published: Published) -> web.Response:
    """The answer to a POST that made a member under a name of the server's choice (RFC 5995 §3.1)."""
    mount = call.services.mount
    href = mount.href(published.resource.path)
    location = f"{mount.origin or f'{call.request.scheme}://{call.request.host}'}{href}"
    headers = {hdrs.LOCATION: location, hdrs.CONTENT_LOCATION: href, hdrs.ETAG: f'"{published.resource.etag}"'}
    return web.Response(status=HTTPStatus.CREATED, headers=headers)
