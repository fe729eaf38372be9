"""PATCH: a part of a file is overwritten, or appended to (SabreDAV's "HTTP PATCH support", RFC 5789)."""

from __future__ import annotations

from aiohttp import web

from partwise.actions.methods import COLLECTION, PATCHES
from partwise.errors import UnsupportedType, WrongKind
from partwise.handlers.context import Call
from partwise.handlers.put import item_of, stored
from partwise.handlers.recalculate import RECALCULATE, recalculate
from partwise.handlers.splice import store_spliced
from partwise.intake.item import Item
from partwise.intake.kept import CHECKSUMS
from partwise.protocol.partial import parse_update_range
from partwise.storage.base import Resource


async def patch(call: Call) -> web.Response:
    """The body goes where ``X-Update-Range`` says. 204 with the new ETag; the file must exist."""
    if call.header(RECALCULATE) is not None:
        return await recalculate(call)
    call.require_write()
    if not call.target.path:
        raise WrongKind("This is a collection; only a file can be changed in part.", accepted=COLLECTION)
    update = parse_update_range(call.header("X-Update-Range"))
    item = _of_the_file(item_of(call, call.target.path))
    return stored(call, await store_spliced(call, item, update, create=False))


def _of_the_file(item: Item) -> Item:
    """The media type of the request is that of the change, not of the file."""
    sent, check_first = item.candidate.media_type, item.check_first

    def check(standing: Resource | None) -> None:
        if check_first is not None:
            check_first(standing)
        if sent not in PATCHES:
            # RFC 5789 §2.2: 415 for "a patch document format not supported by the server"
            text = f"A PATCH is taken as {PATCHES[0]} only, not as {sent or 'a body of no media type'}."
            raise UnsupportedType(text, accepted=PATCHES)

    candidate = item.candidate._replace(media_type=None, charset=None)
    return item._replace(candidate=candidate, check_first=check, properties={CHECKSUMS: None})
