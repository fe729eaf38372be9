"""The walk of one upload: bytes to its lane, outcomes to its log, the log to its response; each at its own pace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from aiohttp import web

from partwise.actions.gate import Gate
from partwise.batch.containers import Container
from partwise.batch.forms import Form
from partwise.batch.ledger import Ledger
from partwise.batch.report import Report
from partwise.batch.session import BatchLimits, BatchSession
from partwise.batch.steering import Steering
from partwise.errors import Failure, OutOfSpace, TooLarge, TryAgain, reason
from partwise.handlers.answer import form_headers
from partwise.handlers.body import ClientGone, chunks
from partwise.handlers.context import Call
from partwise.handlers.early import may_be_early
from partwise.handlers.follow import KEEP_ALIVE, Signal, follow
from partwise.handlers.hop import Lane
from partwise.protocol.multipart import MultipartDecoder

log = logging.getLogger(__name__)

#: Items that may be on their way at once: two groups of the committer. More, and reading waits.
ON_THEIR_WAY = 512


class Upload:
    """One batch being received. :meth:`run` gives its response, already sent."""

    def __init__(
        self,
        call: Call,
        form: Form,
        container: Container,
        decoder: MultipartDecoder,
        steering: Steering,
        limits: BatchLimits,
        gate: Gate,
    ) -> None:
        services = call.services
        self._call = call
        self._form = form
        self._home = services.mount.href(call.target.path, collection=True)
        self._report: Report = services.archive.create()
        self._signal = Signal(self._report)
        self._ledger = Ledger(self._report, services.committer, self._item_href)
        self._session = BatchSession(
            decoder=decoder,
            container=container,
            collection=call.target.path,
            mount=services.mount,
            gate=gate,
            intake=services.intake,
            ledger=self._ledger,
            steering=steering,
            limits=limits,
        )
        self._received = 0
        self._response: web.StreamResponse | None = None

    def _item_href(self, index: int) -> str:
        return f"{self._home}?batch={self._report.batch}&item={index}"

    async def run(self) -> web.StreamResponse:
        """Raises a Failure only if nothing was judged before it: then it is the answer to the whole request."""
        refusal: Failure | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell())
                try:
                    with self._call.services.hop.lane() as lane:
                        await self._receive(lane)
                except Failure as failure:
                    refusal = failure
                    telling.cancel()
        finally:
            self._report.close()
        if refusal is not None:
            raise refusal
        assert self._response is not None
        if self._response.prepared:
            await self._response.write_eof()
        return self._response

    # -- receiving

    async def _receive(self, lane: Lane) -> None:
        state = "aborted"
        try:
            async with aclosing(chunks(self._call)) as arriving:
                async for data in arriving:
                    self._count(len(data))
                    await self._steps(lane, partial(self._session.feed, data))
            await self._steps(lane, self._session.finish)
            state = "complete"
        except ClientGone:
            await lane.run(self._session.abort, None)
        except Failure as failure:
            if not self._session.begun:
                raise
            await lane.run(self._session.abort, failure)
        except BaseException:
            await lane.run(self._session.abort, TryAgain("The server failed while it received the upload."))
            self._report.end(state, self._session.ignored)
            raise
        await self._settled(0)
        self._report.end(state, self._session.ignored)

    async def _steps(self, lane: Lane, step: Callable[[], bool]) -> None:
        """All steps that one chunk needs, or the end of the body."""
        more = await lane.run(step)
        while more:
            await self._settled(ON_THEIR_WAY)
            more = await lane.run(self._session.feed, b"")
        await self._settled(ON_THEIR_WAY)

    def _count(self, size: int) -> None:
        self._received += size
        limit = self._call.services.config.max_batch_size
        if limit is not None and self._received > limit:
            raise TooLarge(f"An upload may have {limit} bytes at most; send it in parts.", limit=limit)
        if self._report.full:
            raise OutOfSpace("There is no room left on the server, not even for the report.")

    async def _settled(self, on_their_way: int) -> None:
        """Wait until at most so many items have no fate yet: the back-pressure, and the end."""
        timeout = self._call.services.config.judge_timeout
        while self._session.begun - self._report.count > on_their_way:
            before = self._report.count
            if not await self._signal.wait(timeout) and self._report.count == before:
                self._ledger.expire()

    # -- telling

    async def _tell(self) -> None:
        """The response: early, with the first outcome, or held until the request has ended."""
        report, services = self._report, self._call.services
        signal = Signal(report)
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
        return may_be_early(self._call.request, self._call.services.config, self._session.steering.early)

    def _head(self, *, early: bool) -> web.StreamResponse:
        mount = self._call.services.mount
        headers = form_headers(self._form) | {
            # nginx would collect rows until its buffer is full.
            "X-Accel-Buffering": "no",
            "Link": f'<{mount.service_href("schemas", "multistatus.xsd")}>; rel="describedby"',
        }
        if early:
            headers["Incremental"] = "?1"
        if self._session.steering.minimal:
            headers["Preference-Applied"] = "return=minimal"
        status = HTTPStatus.MULTI_STATUS
        response = web.StreamResponse(status=status, reason=reason(status), headers=headers)
        if self._report.summary.state == "aborted":
            response.force_close()
        return response
