"""The walk of one upload: bytes to its lane, outcomes to its log, the log to its response; each at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.batch.containers import Container, Decoder
from partwise.batch.forms import Form
from partwise.batch.ledger import Ledger
from partwise.batch.limits import BatchLimits
from partwise.batch.outcome import Summary
from partwise.batch.publisher import Committing, Publisher, Rehearsing, Whole
from partwise.batch.report import Report
from partwise.batch.session import BatchSession
from partwise.batch.steering import Steering
from partwise.batch.within import Within
from partwise.errors import Failure, OutOfSpace, TooLarge, TryAgain, reason
from partwise.handlers.answer import form_headers
from partwise.handlers.arriving import cancelled
from partwise.handlers.body import ClientGone, chunks
from partwise.handlers.cancelling import watch
from partwise.handlers.context import Call
from partwise.handlers.early import may_be_early
from partwise.handlers.follow import KEEP_ALIVE, Signal, follow
from partwise.handlers.gating import authorities
from partwise.handlers.hop import Lane

#: Forms with a schema.
_DESCRIBED = {"application/xml", "text/xml"}
#: Items that may be on their way at once: two groups of the committer. More, and reading waits.
ON_THEIR_WAY = 1024
#: Seconds for what others sent to be stored.
_TAIL = 0.5


@dataclass(frozen=True, slots=True)
class Posted:
    """What was posted, when nothing speaks against the request as a whole.

    ``status`` is that of the response, unless the client asks for another.
    """

    form: Form
    container: Container
    decoder: Decoder
    steering: Steering
    gate: Gate
    status: HTTPStatus = HTTPStatus.MULTI_STATUS


async def receive(call: Call, posted: Posted) -> web.StreamResponse:
    """Receive a batch; gives its response, already sent.

    Raises AlreadyRunning, OutOfSpace, TooManyRequests, TryAgain, and any Failure that came before an item was judged: it is the
    answer to the request.
    """
    services = call.services
    home = services.mount.href(posted.gate.path, collection=True)
    arriving, principal = services.arriving, call.principal
    try:
        arriving.begin_batch(principal)
        try:
            report = await services.hop.run(services.archive.create, principal, home, posted.steering.batch)
        except BaseException:
            arriving.end_batch(principal)
            raise
    except BaseException:
        await services.hop.run(posted.decoder.close)
        raise
    return await _Upload(call, posted, report, home).run()


class _Upload:
    """One batch being received."""

    def __init__(self, call: Call, posted: Posted, report: Report, home: str) -> None:
        services, steering = call.services, posted.steering
        self._call = call
        self._form = posted.form
        self._status = posted.status
        self._decoder = posted.decoder
        self._home = home
        self._report = report
        self._signal = Signal(self._report)
        self._ledger = Ledger(self._report, self._publisher, self._item_href, self._signal.wake)
        self._store = Within(services.store)
        self._session = BatchSession(
            decoder=posted.decoder,
            container=posted.container,
            collection=posted.gate.path,
            mount=services.mount,
            gate=replace(posted.gate, store=self._store.store),
            intake=services.intake,
            ledger=self._ledger,
            steering=steering,
            limits=batch_limits(call),
            authorities=authorities(call),
            earlier=None if steering.batch is None else self._report,
            threads=services.threads,
        )
        self._received = 0
        #: Everything that the client sends was read, or as much of it as ever will be.
        self._read = asyncio.Event()
        #: Was it all of it?
        self._complete = False
        #: Was the batch cancelled while items waited for their judges?
        self._dropped = False
        self._response: web.StreamResponse | None = None

    def _publisher(self) -> Publisher:
        services, steering = self._call.services, self._session.steering
        self._describe()
        if steering.atomic:
            return Whole(self._store.store, rehearsal=steering.dry_run is True)
        if steering.dry_run:
            return Rehearsing(services.store)
        return Committing(services.store, services.committer)

    def _item_href(self, index: int) -> str:
        return f"{self._home}?batch={self._report.batch}&item={index}"

    async def run(self) -> web.StreamResponse:
        """Raises a Failure only if nothing was judged before it: then it is the answer to the whole request."""
        receiving = asyncio.create_task(self._receive_all())
        telling = asyncio.create_task(self._tell())
        try:
            await asyncio.wait([receiving, telling], return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
            await telling
            # What comes is stored also when nobody reads the response.
            await self._read.wait()
        finally:
            telling.cancel()
            # Whoever has the answer may send the next one.
            leave = ExitStack()
            leave.callback(self._call.services.arriving.end_batch, self._call.principal)
            # Its report ends a moment before the task that wrote it.
            if receiving.done() or self._report.ended:
                leave.close()
            self._call.services.background.start(self._close(receiving, telling, leave))
        assert self._response is not None
        if self._response.prepared:
            await self._response.write_eof()
        return self._response

    async def _close(self, receiving: asyncio.Task[None], telling: asyncio.Task[None], leave: ExitStack) -> None:
        # Both may be in a thread that uses the report.
        await asyncio.wait([receiving, telling])
        hop = self._call.services.hop
        leave.close()
        try:
            await hop.run(self._decoder.close)
        finally:
            self._signal.close()
            await hop.run(self._report.close)
        # Whatever it raised was the answer to the request, or is told by the log.
        receiving.exception()

    # -- receiving

    async def _receive_all(self) -> None:
        watching = asyncio.create_task(watch(self._report, self._call.request))
        try:
            with self._call.services.hop.lane() as lane:
                await self._receive(lane)
        finally:
            self._read.set()
            watching.cancel()

    async def _receive(self, lane: Lane) -> None:
        state = "aborted"
        try:
            async with aclosing(chunks(self._call, self._alone)) as arriving:
                async for data in arriving:
                    self._count(len(data))
                    await self._steps(lane, partial(self._session.feed, data))
                    del data  # as in chunks()
            await self._steps(lane, self._session.finish)
            state, self._complete = "complete", True
        except ClientGone:
            await lane.run(self._session.abort, None)
        except Failure as failure:
            if not self._session.begun:
                raise
            await lane.run(self._session.abort, failure)
        except BaseException:
            await lane.run(self._session.abort, TryAgain("The server failed while it received the upload."))
            await lane.run(partial(self._ledger.conclude, broken=True))
            await lane.run(self._end, state)
            raise
        self._read.set()
        await self._judged()
        if self._dropped or (self._report.cancelled and self._ledger.publisher.holds):
            state = "aborted"
        await lane.run(partial(self._ledger.conclude, broken=state != "complete"))
        await self._settled(0)
        await lane.run(self._end, state)

    def _end(self, state: str) -> None:
        if not self._session.begun:
            self._describe()
        self._report.end(state, self._session.ignored)

    def _describe(self) -> None:
        steering = self._session.steering
        self._report.describe(atomic=steering.atomic is True, dry_run=steering.dry_run is True)

    async def _steps(self, lane: Lane, step: Callable[[], bool]) -> None:
        """All steps that one chunk needs, or the end of the body."""
        more = await lane.run(step)
        while more:
            await self._room(0 if self._session.must_settle else ON_THEIR_WAY)
            more = await lane.run(self._session.feed, b"")
        await self._room()

    def _alone(self, waited: float) -> bool:
        """See ``handlers.arriving.Alone``."""
        if self._session.begun and self._ledger.publisher.holds:
            # What others sent before may still be on its way to the store.
            if waited >= _TAIL and not self._ledger.waiting:
                limit = self._call.services.config.max_staging
                raise TooLarge(
                    f"An upload that is to be stored as a whole may hold {limit} bytes at most.", limit=limit
                )
            return False
        # Without a fate is the item in progress alone; all others are stored or refused.
        return self._session.begun - self._report.count <= 1

    def _count(self, size: int) -> None:
        self._received += size
        limit = self._call.services.config.max_batch_size
        if limit is not None and self._received > limit:
            raise TooLarge(f"An upload may have {limit} bytes at most; send it in parts.", limit=limit)
        if self._report.full:
            raise OutOfSpace("There is no room left on the server, not even for the report.")

    async def _room(self, on_their_way: int = ON_THEIR_WAY) -> None:
        """Wait until not too many items are on their way: the back-pressure. An operation that waits is not counted."""
        if self._session.begun and self._ledger.publisher.holds:
            await self._judged(on_their_way)
        else:
            await self._settled(on_their_way + self._session.must_settle)

    async def _settled(self, on_their_way: int) -> None:
        """Wait until at most so many items have no fate yet."""
        await self._wait(lambda: self._session.begun - self._report.count, on_their_way)

    async def _judged(self, waiting: int = 0) -> None:
        """Wait until at most so many items wait for their judges."""
        await self._wait(lambda: self._ledger.waiting, waiting)

    async def _wait(self, left: Callable[[], int], bound: int) -> None:
        timeout = self._call.services.config.judge_timeout
        while (before := left()) > bound:
            if self._report.cancelled and self._ledger.waiting:
                self._dropped = True
                await self._call.services.hop.run(self._ledger.expire, cancelled())
            elif not await self._signal.wait(timeout) and left() >= before:
                await self._call.services.hop.run(self._ledger.expire)

    # -- telling

    async def _tell(self) -> None:
        """The response: early, with the first outcome; held until the request has ended; or a promise, before all is done."""
        report, services = self._report, self._call.services
        if self._session.steering.respond_async:
            await self._read.wait()
            # Before the first item a failure is the answer to the whole request, and on its way.
            if self._session.begun and not report.ended:
                await self._promise()
                return
        with contextlib.closing(Signal(report)) as signal:
            while not report.ended and not (report.count and self._may_be_early()):
                await signal.wait(KEEP_ALIVE)
        response = self._response = self._head(early=not report.ended)
        try:
            await response.prepare(self._call.request)
            await response.write(self._form.head(self._home))
        except ConnectionError:
            return  # nobody reads it; what arrives is stored all the same
        await follow(report, self._form, response, services.hop, minimal=self._session.steering.minimal is True)
        if report.summary.state == "aborted":
            # What is left of the body was not read and cannot be told from a next request.
            response.force_close()

    def _may_be_early(self) -> bool:
        steering = self._session.steering
        # Of a whole batch nothing is known before its end.
        held = steering.final_status or steering.respond_async or steering.atomic
        early = False if held else steering.early
        return may_be_early(self._call.request, self._call.services.config, early)

    async def _promise(self) -> None:
        """RFC 7240 §4.1: what came is judged and stored meanwhile; the batch tells how it ends."""
        status = HTTPStatus.ACCEPTED
        headers = self._links(None) | {
            hdrs.LOCATION: self._monitor(),
            hdrs.CACHE_CONTROL: "no-store",
            "Preference-Applied": "respond-async",
        }
        self._response = web.StreamResponse(status=status, reason=reason(status), headers=headers)
        self._response.content_length = 0
        if not self._complete:
            # As in _tell.
            self._response.force_close()
        await self._response.prepare(self._call.request)

    def _head(self, *, early: bool) -> web.StreamResponse:
        steering, summary = self._session.steering, self._report.summary
        headers = form_headers(self._form) | self._links(self._form.media_type)
        # nginx would collect rows until its buffer is full.
        headers["X-Accel-Buffering"] = "no"
        if early:
            headers["Incremental"] = "?1"
        if steering.minimal:
            headers["Preference-Applied"] = "return=minimal"
        status = final_status(summary) if steering.final_status and summary.state != "running" else self._status
        response = web.StreamResponse(status=status, reason=reason(status), headers=headers)
        if summary.state == "aborted":
            response.force_close()
        return response

    def _monitor(self) -> str:
        return self._call.services.mount.service_href("batches", self._report.batch)

    def _links(self, media_type: str | None) -> dict[str, str]:
        links = f'<{self._monitor()}>; rel="monitor"'
        if media_type in _DESCRIBED:
            schema = self._call.services.mount.service_href("schemas", "multistatus.xsd")
            links += f', <{schema}>; rel="describedby"'
        return {"Link": links}


def batch_limits(call: Call) -> BatchLimits:
    config = call.services.config
    return BatchLimits(
        items=config.max_items,
        whole=min(config.max_items, config.max_atomic_items),
        operation=config.max_protocol_body,
        properties=config.max_properties_size,
    )


def final_status(summary: Summary) -> HTTPStatus:
    """One honest status for the whole: 201 if all is new, 200 if all is good, what all failed with, else 207."""
    statuses = {HTTPStatus(status) for status in summary.statuses}
    if not summary.items or (summary.state == "aborted" and summary.stored):
        return HTTPStatus.MULTI_STATUS
    if statuses == {HTTPStatus.CREATED}:
        return HTTPStatus.CREATED
    if not summary.failed:
        return HTTPStatus.OK
    return statuses.pop() if len(statuses) == 1 else HTTPStatus.MULTI_STATUS
