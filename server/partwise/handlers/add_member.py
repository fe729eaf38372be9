"""``<collection>?add-member``: POST stores one new member under a name of the server's choice (RFC 5995)."""

from __future__ import annotations

import mimetypes
import secrets
from urllib.parse import unquote

from aiohttp import hdrs, web

from partwise.errors import Failure, NotFound, PreconditionFailed
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of
from partwise.handlers.put import created, item_of, store_body
from partwise.intake.declaration import declare
from partwise.protocol.paths import MAX_SEGMENT, Path

#: Names tried before it is given up: with a random part in each but the first, a second clash is no accident.
_TRIES = 3


async def add_member(call: Call) -> web.Response:
    """201 with the ``Location`` of the new member. The target is known to be a collection."""
    name = await _free_name(call)
    # The name must be new; should somebody take it while the body arrives, nobody's file is replaced.
    gate = gate_of(call, declare(call.headers()).conditions, overwrite=False)
    published = await store_body(call, item_of(call, (*call.target.path, name), gate))
    return await created(call, published)


async def _free_name(call: Call) -> str:
    stem, ending = _suggested(call.header("Slug"), call.request.headers.get(hdrs.CONTENT_TYPE))
    for attempt in range(_TRIES):
        name = f"{stem}{ending}" if attempt == 0 and stem else f"{stem or 'item'}-{secrets.token_hex(6)}{ending}"
        path = (*call.target.path, name)
        try:
            call.services.mount.check_new(path)
        except Failure:
            stem = ""
            continue
        if await call.services.hop.run(_is_free, call, path):
            return name
    raise PreconditionFailed("No free name was found for the new member; send it again with another Slug.")


def _is_free(call: Call, path: Path) -> bool:
    try:
        call.services.store.stat(path)
    except NotFound:
        return True
    return False


def _suggested(slug: str | None, content_type: str | None) -> tuple[str, str]:
    """Stem and ending of a name: from ``Slug`` (RFC 5023 §9.7: percent-encoded UTF-8), else by the media type."""
    text = unquote(slug or "", errors="replace").replace("/", "-").replace("\\", "-").strip(" .")
    clean = "".join(character for character in text if character.isprintable())
    stem, dot, ending = clean.rpartition(".")
    if not stem or len(ending) > 10 or " " in ending:
        stem, dot, ending = clean, "", ""
    if not ending:
        essence = (content_type or "").partition(";")[0].strip().lower()
        return _cut(stem), mimetypes.guess_extension(essence) or ""
    return _cut(stem), dot + ending


def _cut(stem: str) -> str:
    """Short enough that a random part and an ending still fit into a segment."""
    return stem.encode("utf-8", "ignore")[: MAX_SEGMENT - 64].decode("utf-8", "ignore")
