"""One batch on its way: sent, followed, taken up again after a lost connection, until every item has a fate.

The promise: an item whose row was read as stored is stored; one without such a row is sent again, in a new batch, after
the end of the old one is known. So nothing is sent twice but what may not have been stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

import aiohttp

from partwise.client.attempt import PASSING, Attempt, Options, Row
from partwise.client.items import Item
from partwise.client.pacing import Pause, Watch
from partwise.client.rows import Reader, reader_for
from partwise.client.wire import Wire, explain, retry_after

__all__ = ["Progress", "Upload"]

#: Seconds without a byte in either direction after which a connection counts as lost.
STALLED = 60.0
#: Seconds without a row after which a batch whose connection was lost is cancelled.
ORPHANED = 30.0
#: How often a file that changes while it is read is sent.
_TORN = 3
#: How often a server must say that it does not know a batch.
_UNKNOWN = 3
_ACCEPT = "application/x-ndjson, application/xml;q=0.5"

_LOST = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Progress(NamedTuple):
    """What happens to a batch between its rows. ``event``: begun, sent, waiting or ended; ``batch`` counts from 1.

    ``items`` and ``bytes`` are those of the batch when it begins, and those sent since the last event after that.
    ``waiting`` has a ``reason``, and ``seconds`` until the next try.
    """

    event: str
    batch: int
    items: int = 0
    bytes: int = 0
    reason: str = ""
    seconds: float = 0.0


class Upload:
    """Batch number ``number``. ``tell`` takes final rows, ``show`` takes progress."""

    def __init__(
        self,
        wire: Wire,
        number: int,
        items: Sequence[Item],
        options: Options,
        readers: Executor,
        tell: Callable[[list[Row]], None],
        show: Callable[[Progress], None],
    ) -> None:
        self._wire = wire
        self._number = number
        self._waiting = list(items)
        self._options = options
        self._readers = readers
        self._tell = tell
        self._show = show
        self._most = len(self._waiting)
        self._early = True
        self._pause = Pause(options.patience)
        self._torn: Counter[str] = Counter()

    async def run(self) -> None:
        """Ends when every item has had its row."""
        total = sum(item.size for item in self._waiting)
        self._show(Progress("begun", self._number, len(self._waiting), total))
        while self._waiting:
            attempt = Attempt(self._waiting[: self._most], self._options, self._tell, self._wire.named)
            fate = await self._send(attempt)
            if fate.lost:
                self._early = False
                await self._take_up(attempt)
            self._give_up_torn(attempt)
            left = attempt.left()
            self._waiting[: len(attempt.items)] = left
            self._most = fate.most or self._most
            if len(left) < len(attempt.items) or fate.at_once:
                self._pause.reset()
            if left and not fate.at_once:
                await self._wait(fate, attempt)
        self._show(Progress("ended", self._number))

    def _give_up_torn(self, attempt: Attempt) -> None:
        self._torn.update(attempt.torn)
        often = {name for name in attempt.torn if self._torn[name] >= _TORN}
        attempt.refuse(None, "The file changed each time it was read; what is stored may be a mixture.", often)

    async def _wait(self, fate: _Fate, attempt: Attempt) -> None:
        """Before what is left is sent again; or it is given up."""
        status, why = (fate.status, fate.why) if fate.why else attempt.again or (None, "The server's report lacks it.")
        seconds = self._pause.next(fate.after)
        if seconds is None:
            self._tell([Row(item, status, why) for item in self._waiting])
            self._waiting = []
            return
        self._show(Progress("waiting", self._number, reason=why, seconds=seconds))
        await asyncio.sleep(seconds)

    # -- sending

    async def _send(self, attempt: Attempt) -> _Fate:
        self._begun = 0
        headers = {"Accept": _ACCEPT, "Content_Type": attempt.parts.content_type}
        if attempt.named:
            headers["Idempotency_Key"] = attempt.key
        url = self._wire.address.below("", self._query())
        try:
            async with (
                Watch(STALLED) as watch,
                contextlib.aclosing(_Body(attempt.blocks, self._readers, partial(self._sent, attempt, watch))) as body,
                self._wire.request("POST", url, body, **headers) as response,
            ):
                watch.touch()
                self._wire.meet(response)
                reader = reader_for(response.content_type)
                if reader is None or response.status >= HTTPStatus.BAD_REQUEST:
                    return await self._refused(attempt, response)
                await self._follow(attempt, response, reader, watch)
        except _LOST as error:
            return _Fate(lost=True, why=_sentence(error))
        if attempt.state is None:
            return _Fate(lost=True, why="The server ended its report too early.")
        return _Fate(why="" if attempt.state == "complete" else "The server ended the batch before all was sent.")

    def _query(self) -> str:
        said = {"atomic": self._options.atomic, "dry-run": self._options.dry_run}
        fields = [f"{name}=1" for name, value in said.items() if value]
        # A proxy that stops forwarding behind an early answer is not tempted twice.
        return "&".join(fields if self._early else [*fields, "early=0"])

    def _sent(self, attempt: Attempt, watch: Watch, size: int) -> None:
        watch.touch()
        begun = len(attempt.parts.sent)
        self._show(Progress("sent", self._number, begun - self._begun, size))
        self._begun = begun

    async def _follow(self, attempt: Attempt, response: aiohttp.ClientResponse, reader: Reader, watch: Watch) -> None:
        async for data in response.content.iter_any():
            rows = reader.feed(data)
            if rows or watch.any_byte:
                watch.touch()
            attempt.take(rows)
        attempt.end(reader.state)

    async def _refused(self, attempt: Attempt, response: aiohttp.ClientResponse) -> _Fate:
        """The whole request was refused: what is to become of its items."""
        status, why = response.status, await explain(response)
        if status == HTTPStatus.NOT_IMPLEMENTED and attempt.named:
            self._wire.named = False
            return _Fate(at_once=True)
        if status in PASSING:
            return _Fate(why=why, after=retry_after(response), status=status)
        count = len(attempt.items)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and count > 1 and not self._options.atomic:
            return _Fate(at_once=True, most=count // 2)
        if status < HTTPStatus.BAD_REQUEST:
            why = why if status >= HTTPStatus.MULTIPLE_CHOICES else "The server's answer is no report of a batch."
            status = HTTPStatus.BAD_GATEWAY
        attempt.refuse(status, why)
        return _Fate()

    # -- after a lost connection

    async def _take_up(self, attempt: Attempt) -> None:
        """Learn from the batch resource what became of the items that were sent. An item that it does not know stays."""
        if not attempt.named:
            return
        pause, cancel, unknown = Pause(self._options.patience), False, 0
        while attempt.state is None:
            why = "The server still waits for the upload that broke off."
            try:
                if not await self._read_batch(attempt, cancel=cancel):
                    # What was on its way when the connection broke may reach the server after the question does.
                    unknown += 1
                    if unknown == _UNKNOWN:
                        return
            except _LOST as error:
                why = _sentence(error)
                # The server is bound to notice that we are gone; if it does not, it is told.
                cancel = cancel or isinstance(error, TimeoutError)
            if attempt.state is None:
                seconds = pause.next()
                if seconds is None:
                    return
                self._show(Progress("waiting", self._number, reason=why, seconds=seconds))
                await asyncio.sleep(seconds)

    async def _read_batch(self, attempt: Attempt, *, cancel: bool) -> bool:
        """False: the server does not know this batch."""
        for place in self._wire.batch_places():
            url = self._wire.address.at(place + attempt.key, f"from={attempt.read + 1}")
            if cancel:
                async with Watch(STALLED), self._wire.request("DELETE", url.with_query(None)):
                    pass
            async with (
                Watch(STALLED if cancel else ORPHANED, any_byte=False) as watch,
                self._wire.request("GET", url, Accept=_ACCEPT) as response,
            ):
                reader = reader_for(response.content_type)
                if response.status in PASSING:
                    raise aiohttp.ClientError(await explain(response))
                if response.status != HTTPStatus.OK or reader is None:
                    continue
                self._wire.batches = place
                await self._follow(attempt, response, reader, watch)
                return True
        return False


class _Body:
    """Blocks of a body, read by a thread; the next one while one is being sent. ``sent`` is told the size of each."""

    def __init__(self, blocks: Generator[bytes], readers: Executor, sent: Callable[[int], None]) -> None:
        self._blocks = blocks
        self._readers = readers
        self._sent = sent
        self._last = 0
        self._read()

    def _read(self) -> None:
        self._reading = asyncio.get_running_loop().run_in_executor(self._readers, next, self._blocks, None)

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._last:
            self._sent(self._last)
        # Shielded: who sends may be cancelled, and the thread has to be waited for all the same.
        block = await asyncio.shield(self._reading)
        if block is None:
            raise StopAsyncIteration
        self._last = len(block)
        self._read()
        return block

    async def aclose(self) -> None:
        """Waits for the thread; no file is open any more."""
        await asyncio.wait([self._reading])
        self._blocks.close()


class _Fate(NamedTuple):
    """How an attempt ended. ``lost``: nobody knows yet what was stored; ``at_once``: try again without a pause, with at
    most ``most`` items; ``after``: seconds that the server asked for."""

    lost: bool = False
    why: str = ""
    at_once: bool = False
    most: int = 0
    after: float | None = None
    status: int | None = None


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "The server did not answer in time."
    if isinstance(error, aiohttp.ClientConnectorError):
        return "The server cannot be reached."
    if isinstance(error, ValueError):
        return "The server's report cannot be read."
    return "The connection was lost."
