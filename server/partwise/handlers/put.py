"""PUT: one body, through the same intake as the items of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import TypeVar

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.actions.methods import COLLECTION
from partwise.errors import Failure, ForbiddenName, Malformed, NotFound, Success, WrongKind
from partwise.handlers.body import chunks, whole
from partwise.handlers.context import Call
from partwise.handlers.hop import Lane
from partwise.intake.declaration import Declaration, declare
from partwise.intake.item import Item
from partwise.intake.judging import too_late, when_judged
from partwise.intake.pipeline import Intake, Reception, Staged
from partwise.intake.validators.base import Candidate
from partwise.protocol.paths import TRAILING_SLASH, Path
from partwise.protocol.preferences import parse_overwrite
from partwise.storage.base import Published

T = TypeVar("T")

#: A body up to this size is received whole before it is judged.
_SMALL = 64 * 1024


async def put(call: Call) -> web.Response:
    """Store the body under the target. 201 for a new name, 204 for a replaced file; durable when it answers."""
    call.services.policy.require_write()
    if call.header(hdrs.CONTENT_RANGE) is not None:
        # RFC 9110 §14.5: an origin server that does not support partial PUT responds 400.
        raise Malformed("A partial PUT (Content-Range) is not taken here; send the whole file.")
    await check_name(call)
    published = await store_body(call, item_of(call, call.target.path))
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
    declared = declare(call.headers())
    if gate is None:
        gate = _gate(call, declared)
    # An absent Content-Length with a chunked body means: unknown.
    length = call.request.content_length
    candidate = Candidate("/".join(path), declared.essence, declared.charset, length)
    return Item(
        path=path,
        candidate=candidate,
        check=gate.check,
        existing=len(path) - 1,
        length=length,
        digests=declared.digests,
        modified_ns=declared.modified_ns,
        coding=declared.coding,
        check_if=gate.check_if,
    )


def _gate(call: Call, declared: Declaration) -> Gate:
    return Gate(declared.conditions, parse_overwrite(call.header("Overwrite")), call.header("If"))


async def store_body(call: Call, item: Item) -> Published:
    """Receive, judge, store. Raises any Failure, or ClientGone."""
    with call.services.hop.lane() as lane:
        if 0 < (item.length or 0) <= _SMALL and hdrs.EXPECT not in call.request.headers:
            # Most files are small: one hop for all of it.
            body = await whole(call, _SMALL)
            reception, staged = await lane.run(_receive, call.services.intake, item, body)
            return await _store(call, reception, staged, lane)
        reception = await lane.run(call.services.intake.begin, item)
        try:
            async with aclosing(chunks(call)) as arriving:
                async for data in arriving:
                    await lane.run(reception.write, data)
            staged = await lane.run(reception.finish)
        except BaseException:
            await lane.run(reception.abort)
            raise
        return await _store(call, reception, staged, lane)


def _receive(intake: Intake, item: Item, body: bytes) -> tuple[Reception, Staged]:
    reception = intake.begin(item)
    try:
        reception.write(body)
        return reception, reception.finish()
    except BaseException:
        reception.abort()
        raise


async def _store(call: Call, reception: Reception, staged: Staged, lane: Lane) -> Published:
    """From a good body to a durable file. Raises what its judges or the store say."""
    if staged.waiting:
        try:
            await _judged(staged, call.services.config.judge_timeout)
        except BaseException:
            await lane.run(reception.abort)
            raise
    return await _publish(call, staged)


async def _judged(staged: Staged, patience: float) -> None:
    """Wait for the judges that validators asked. Raises their refusal, or TryAgain when they take too long."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Failure | None] = loop.create_future()

    when_judged(staged.waiting, lambda verdict: _deliver(loop, answer, verdict))
    try:
        async with asyncio.timeout(patience):
            verdict = await answer
    except TimeoutError:
        raise too_late() from None
    if verdict is not None:
        raise verdict


def _deliver(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], result: T) -> None:
    """Resolve a future of the event loop from another thread; nobody may be waiting any more."""

    def deliver() -> None:
        if not future.done():
            future.set_result(result)

    loop.call_soon_threadsafe(deliver)


async def _publish(call: Call, staged: Staged) -> Published:
    loop = asyncio.get_running_loop()
    published: asyncio.Future[Published | Failure] = loop.create_future()

    def done(results: Sequence[Published | Failure]) -> None:
        _deliver(loop, published, results[0])

    call.services.committer.submit([staged.publication], done)
    result = await published
    if isinstance(result, Failure):
        raise result
    return result


async def created(call: Call, published: Published) -> web.Response:
    """The answer to a POST that made a member under a name of the server's choice (RFC 5995 §3.1)."""
    mount = call.services.mount
    href = mount.href(published.resource.path)
    location = f"{mount.origin or f'{call.request.scheme}://{call.request.host}'}{href}"
    headers = {hdrs.LOCATION: location, hdrs.CONTENT_LOCATION: href, hdrs.ETAG: f'"{published.resource.etag}"'}
    return web.Response(status=HTTPStatus.CREATED, headers=headers)
