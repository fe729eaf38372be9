"""The walk of a partial update, shared by PATCH and by PUT with ``Content-Range``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from aiohttp import hdrs

from partwise.actions.splice import Changed, Splice
from partwise.handlers.body import chunks, whole
from partwise.handlers.context import Call
from partwise.handlers.hop import Lane
from partwise.handlers.storing import store
from partwise.intake.declaration import declare
from partwise.intake.item import Item
from partwise.protocol.digests import Expected
from partwise.protocol.partial import Update
from partwise.storage.base import Published

#: A body up to this size is received whole, so that it can be tried again when the file changes under it.
_SMALL = 64 * 1024
#: Each try copies the whole file. Updates of one process wait for their turn, and of several processes that update a file at
#: once one gets through with each try.
_TRIES = 20

# RFC 9530 §2, RFC 1864: these cover the bytes of the message. The others cover the file.
_OF_THE_BODY = ("content-digest", "content-md5")
_OF_THE_FILE = ("repr-digest", "oc-checksum")


async def store_spliced(call: Call, item: Item, update: Update, *, create: bool) -> Published:
    """Receive the body, judge and store the whole. ``item`` as the request declares it; ``create``: a missing file can be
    begun.

    A small body is put into the file as it is at that moment. Of a larger one, which is not kept, the client is told to
    send it again (TryAgain) if the file was changed meanwhile. Raises any Failure, or ClientGone.
    """
    length = update.body_length(item.length)
    headers = call.headers()
    item = item._replace(length=length, digests=_digests(headers, _OF_THE_FILE))
    promised = _digests(headers, _OF_THE_BODY)
    declared = call.request.content_length
    if declared is None or declared > _SMALL or hdrs.EXPECT in call.request.headers:
        return await _once(call, Splice(call.services.store, item, update, promised, create), None)
    body, tries = await whole(call, _SMALL), _TRIES
    async with call.services.turns.of(item.path):
        while True:
            tries -= 1
            try:
                return await _once(call, Splice(call.services.store, item, update, promised, create), body)
            except Changed:
                if not tries:
                    raise


def _digests(headers: Mapping[str, str], names: tuple[str, ...]) -> tuple[Expected, ...]:
    return declare({name: headers[name] for name in names if name in headers}).digests


async def _once(call: Call, splice: Splice, body: bytes | None) -> Published:
    with call.services.hop.lane() as lane:
        return await _on(lane, call, splice, body)


async def _on(lane: Lane, call: Call, splice: Splice, body: bytes | None) -> Published:
    try:
        await lane.run(splice.begin, call.services.intake, call.target.slash)
        await _copy(lane, splice)
        if body is None:
            # What is copied takes room as well.
            async with aclosing(chunks(call, lambda waited: True)) as arriving:
                async for data in arriving:
                    await lane.run(splice.write, data)
                    del data  # as in chunks()
        else:
            await lane.run(splice.write, body)
        await lane.run(splice.end_body)
        await _copy(lane, splice)
        staged = await lane.run(splice.finish)
    except BaseException:
        await lane.run(splice.abort)
        raise
    return await store(call, staged, lane)


async def _copy(lane: Lane, splice: Splice) -> None:
    while await lane.run(splice.copy):
        pass
