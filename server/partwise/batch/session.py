"""The session of one upload: from the bytes of a container to items judged, staged and reported.

Synchronous, and pinned to one thread for life (parsers of validators must not wander between threads): ``feed`` and
``finish`` and ``abort`` come from the session's lane. A call does a bounded step of work and says whether more is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from partwise.actions.gate import UNCONDITIONAL, Gate
from partwise.batch.containers import (
    CollectionPart,
    Container,
    Decoder,
    EmptyChoice,
    Field,
    ItemPart,
    OperationPart,
    Part,
)
from partwise.batch.declaring import item_of
from partwise.batch.embedded import Embedded
from partwise.batch.fields import COST, FormFields
from partwise.batch.ledger import Heading, Ledger
from partwise.batch.limits import BatchLimits
from partwise.batch.making import make_path
from partwise.batch.operations import Operation, Performed, Surroundings, aim, perform
from partwise.batch.outcome import Outcome
from partwise.batch.replaying import Operations, Replay
from partwise.batch.steering import Steering
from partwise.errors import Depends, Failure, Malformed, MalformedName, TooLarge, TryAgain
from partwise.intake.item import Item
from partwise.intake.pipeline import Intake, Reception, Staged
from partwise.protocol.digests import format_sha256
from partwise.protocol.http_request import RequestHead
from partwise.protocol.multipart import (
    NEED_DATA,
    End,
    Event,
    PartBegin,
    PartBroken,
    PartData,
    PartEnd,
    PartFailed,
    PartWhole,
)
from partwise.protocol.paths import Mount, Path
from partwise.storage.base import Store
from partwise.storage.one_at_a_time import OneAtATime

log = logging.getLogger(__name__)

#: Items begun and bytes taken in one step, so that the event loop gets the interpreter back.
STEP_ITEMS, STEP_BYTES = 128, 1024 * 1024
#: Characters of a client's name for an item that are kept.
_NAME = 500


class Earlier(Protocol):
    """Rows of earlier tries of a named batch."""

    def earlier(self, target: str) -> Outcome | None:
        """That of an item that was stored there."""

    def earlier_operation(self, operation: str) -> Outcome | None:
        """That of an operation that was done."""


def meaning(error: Exception) -> Failure:
    """What went wrong with one item. A fault of the server's own is that item's 503; its neighbours are not concerned."""
    if isinstance(error, Failure):
        return error
    log.error("an item failed", exc_info=error)
    return TryAgain("The server failed while it received the item; nothing was stored. Send it again.")


class BatchSession:
    """Judges one batch posted to ``collection``. Every item ends as one row of the ledger's report.

    ``earlier`` makes it a named batch: what is found there is not stored again. ``authorities``: the names of this server.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        container: Container,
        collection: Path,
        mount: Mount,
        gate: Gate,
        intake: Intake,
        ledger: Ledger,
        steering: Steering,
        limits: BatchLimits,
        authorities: Collection[str] = (),
        earlier: Earlier | None = None,
        threads: OneAtATime | None = None,
    ) -> None:
        self._threads = threads or OneAtATime()
        self._decoder = decoder
        self._container = container
        self._collection = collection
        self._mount = mount
        # What the whole request submits counts for each item; its conditions were about the collection.
        tokens = gate.tokens if gate.if_header is None else gate.tokens | gate.if_header.tokens
        self._request_gate = replace(gate, conditions=UNCONDITIONAL, if_header=None, tokens=tokens)
        self._intake = intake
        self._ledger = ledger
        self._request_steering = steering
        self._limits = limits
        self._authorities = authorities
        self._earlier = earlier
        self._operations = Operations()
        self._fields = FormFields(container, limits.fields)
        self._steer()
        self._heading: Heading | None = None
        self._reception: Reception | None = None
        self._embedded: Embedded | None = None
        #: An operation that waits until everything before it is settled.
        self._deferred: tuple[Heading, Callable[[], None]] | None = None
        self._taken = 0
        #: Items that are whole, and neither judged nor staged yet.
        self._whole: list[tuple[Heading, Item, bytes]] = []
        #: Have operations been put off to the end, so that nobody knows yet what will stand where?
        self._late = False
        #: What happens to the data of the part in progress, and at its end.
        self._on_data: Callable[[bytes], None] = _skip
        self._on_end: Callable[[], None] = _nothing
        self._on: dict[type[Event], Callable[[Event], None]] = {
            PartBegin: self._begin,
            PartBroken: self._broken,
            PartData: self._data,
            PartEnd: self._end_part,
            PartFailed: self._fail_part,
            PartWhole: self._take,
            End: lambda event: None,
        }
        #: Items begun so far, which is the number of rows there will be.
        self.begun = 0

    @property
    def ignored(self) -> int:
        """Form fields that mean nothing."""
        return self._fields.ignored

    def _steer(self) -> None:
        #: What the client wants; final from the first item on.
        self.steering = self._fields.steering.under(self._request_steering)
        self._gate = replace(self._request_gate, overwrite=self.steering.overwrite is not False)

    @property
    def must_settle(self) -> bool:
        """The next step must wait until everything before the last item has its fate, or is held."""
        return self._deferred is not None

    def feed(self, data: bytes) -> bool:
        """Bytes of the body, never none; or none to go on with those received before.

        True: more work is left, call again with ``b""``. Raises a Failure that ends the batch: call :meth:`abort`.
        """
        if data:
            self._decoder.receive(data)
        return self._step()

    def finish(self) -> bool:
        """The body has ended. As :meth:`feed`."""
        self._decoder.receive(b"")
        return self._step()

    def _step(self) -> bool:
        stop, self._taken = self.begun + STEP_ITEMS, 0
        try:
            if self._deferred is not None:
                (_, do), self._deferred = self._deferred, None
                do()
            with self._threads.turn():
                try:
                    return self._go_on(stop)
                finally:
                    self._store_whole()
        finally:
            self._ledger.flush()

    def _go_on(self, stop: int) -> bool:
        while self.begun < stop and self._taken < STEP_BYTES and self._deferred is None:
            event = self._decoder.next_event()
            if event is NEED_DATA:
                return False
            kind = type(event)
            if kind is not PartWhole:
                self._store_whole()
            self._on[kind](event)
        return True

    def abort(self, failure: Failure | None) -> None:
        """The upload ends here. ``failure`` is told in a row, as that of the item in progress if there is one.

        Without a failure (the client went away) the item in progress is told to be cut short.
        """
        if self._deferred is not None:
            (self._heading, _), self._deferred = self._deferred, None
        if self._heading is None and failure is not None:
            self._heading = self._next_heading("")
        if self._heading is not None:
            self._refuse(failure or Malformed("The upload broke off in the middle of this item."))
        self._ledger.flush()

    # -- parts

    def _next_heading(
        self, name: str, path: Path | None = None, content_id: str | None = None, *, collection: bool = False
    ) -> Heading:
        if not self.begun:
            # From here on the client has said what it wants.
            self._ledger.decide()
        self.begun += 1
        target = None if path is None else self._mount.href(path, collection=collection)
        return Heading(self.begun, name[:_NAME], path, target, None if content_id is None else content_id[:_NAME])

    def _begin(self, event: Event) -> None:
        assert isinstance(event, PartBegin)
        self._begin_part(self._container.part(event.headers))

    def _begin_part(self, part: Part) -> None:
        match part:
            case Field():
                self._fields.begin(part.name)
                self._on_data, self._on_end = self._fields.add, self._end_field
                return
            case EmptyChoice():
                self._fields.count(COST)
                self._on_data, self._on_end = self._unnamed, _nothing
                return
        self._check_count()
        match part:
            case ItemPart():
                self._heading = self._next_heading(part.name, part.path, part.content_id)
                self._attempt(part.failure, lambda: self._begin_item(part))
            case CollectionPart():
                self._heading = self._next_heading(part.name, part.path, collection=True)
                self._attempt(part.failure, lambda: self._begin_collection(part.path))
            case OperationPart():
                self._heading = self._next_heading(part.name, None, part.content_id)
                self._attempt(part.failure, lambda: self._begin_operation(part))

    def _take(self, event: Event) -> None:
        """A whole part at once. An item that is stored as it comes takes the short way; all else the way of many pieces."""
        assert isinstance(event, PartWhole)
        data = event.data
        self._taken += len(data)
        part = self._container.part(event.headers)
        if isinstance(part, ItemPart) and part.failure is None and self._is_plain():
            self._check_count()
            self._take_item(part, data)
            return
        self._store_whole()
        self._begin_part(part)
        if data:
            self._on_data(data)
        self._end_part(_PART_END)

    def _is_plain(self) -> bool:
        """Is everything stored as it comes, and what comes new?"""
        steering = self.steering
        return not steering.atomic and not steering.dry_run and self._earlier is None

    def _take_item(self, part: ItemPart, data: bytes) -> None:
        heading = self._next_heading(part.name, part.path, part.content_id)
        try:
            self._require_going_on()
            duplicate = self._ledger.duplicate(heading)
            if duplicate is not None:
                raise duplicate
            item = item_of(part, self._gate, self._collection, hashed=False, late=self._late)
        except Exception as error:
            self._ledger.refuse(heading, meaning(error))
            return
        self._whole.append((heading, item, data))
        if self.steering.max_failures is not None:
            # Whether the next item is judged at all depends on this one.
            self._store_whole()

    def _store_whole(self) -> None:
        """Judge and stage the whole items of this step, one after the other: the processor likes to do one thing at a time."""
        whole, self._whole = self._whole, []
        for heading, item, data in whole:
            try:
                staged = self._intake.take(item, data)
            except Exception as error:
                self._ledger.refuse(heading, meaning(error))
            else:
                self._stage(heading, staged)

    def _stage(self, heading: Heading, staged: Staged) -> None:
        digest = staged.sha256
        self._ledger.stage(heading if digest is None else heading._replace(digest=format_sha256(digest)), staged)

    def _check_count(self) -> None:
        limit = self._limits.whole if self.steering.atomic else self._limits.items
        if self.begun >= limit:
            kind = "An upload that is to be stored as a whole" if self.steering.atomic else "An upload"
            raise TooLarge(f"{kind} may hold {limit} items at most; send the rest in another one.", limit=limit)

    def _attempt(self, failure: Failure | None, step: Callable[[], None]) -> None:
        """One step of the item in progress, which ``failure`` or what the step raises ends."""
        try:
            if failure is not None:
                raise failure
            step()
        except Exception as error:
            self._refuse(meaning(error))

    def _refuse(self, failure: Failure) -> None:
        """The item in progress is refused; its remaining bytes are skipped."""
        assert self._heading is not None
        if self._reception is not None:
            self._reception.abort()
            self._reception = None
        self._ledger.refuse(self._heading, failure)
        self._heading = None
        self._on_data, self._on_end = _skip, _nothing

    def _require_going_on(self) -> None:
        """Raises Depends after as many failures as the client wants to see."""
        most = self.steering.max_failures
        if most is not None and self._ledger.failures >= most:
            raise Depends(f"Not judged: the upload was to stop after {most} of its items had failed.")

    def _broken(self, event: Event) -> None:
        assert isinstance(event, PartBroken)
        self._check_count()
        self._heading = self._next_heading("")
        self._refuse(event.failure)

    def _data(self, event: Event) -> None:
        assert isinstance(event, PartData)
        self._taken += len(event.data)
        self._on_data(event.data)

    def _fail_part(self, event: Event) -> None:
        assert isinstance(event, PartFailed)
        if self._heading is not None:
            self._refuse(event.failure)
        self._on_data, self._on_end = _skip, _nothing

    def _end_part(self, event: Event) -> None:
        on_end, self._on_data, self._on_end = self._on_end, _skip, _nothing
        on_end()

    def _end_field(self) -> None:
        self._fields.end(items=self.begun > 0)
        self._steer()

    def _unnamed(self, data: bytes) -> None:
        self._check_count()
        self._heading = self._next_heading("")
        self._refuse(MalformedName("The part holds a file without a name."))

    # -- items

    def _begin_item(self, part: ItemPart) -> None:
        heading = self._heading
        assert heading is not None and part.path is not None
        self._require_going_on()
        duplicate = self._ledger.duplicate(heading)
        if duplicate is not None:
            raise duplicate
        assert heading.target is not None
        earlier = None if self._earlier is None else self._earlier.earlier(heading.target)
        if earlier is not None:
            self._begin_replay(Replay(self._intake.admission.store, part.path, earlier))
            return
        item = item_of(part, self._gate, self._collection, hashed=self._earlier is not None, late=self._late)
        self._reception = self._intake.begin(item, rehearsal=self.steering.dry_run is True)
        self._on_data, self._on_end = self._receive, self._end_item

    def _begin_replay(self, replay: Replay) -> None:
        def end() -> None:
            self._attempt(None, replay.finish)
            if self._heading is not None:
                heading, self._heading = self._heading, None
                self._ledger.replay(heading, replay.earlier)

        self._on_data, self._on_end = replay.write, end

    def _receive(self, data: bytes) -> None:
        assert self._reception is not None
        try:
            self._reception.write(data)
        except Exception as error:
            self._refuse(meaning(error))

    def _end_item(self) -> None:
        assert self._heading is not None and self._reception is not None
        try:
            staged = self._reception.finish()
        except Exception as error:
            self._refuse(meaning(error))
            return
        heading, self._heading, self._reception = self._heading, None, None
        self._stage(heading, staged)

    # -- collections and operations

    def _begin_collection(self, path: Path | None) -> None:
        assert self._heading is not None and path is not None
        self._require_going_on()
        heading, self._heading = self._heading, None
        gate, existing = self._gate, len(self._collection)

        def make() -> None:
            self._ledger.act(heading, lambda store: make_path(store, gate, path, existing))

        lengths = range(existing + 1, len(path) + 1)
        if any(self._ledger.is_on_its_way(self._mount.href(path[:length])) for length in lengths):
            # An earlier item of that name is a file, if it turns out to be good.
            self._deferred = heading, make
        else:
            # Other items do not stand in its way, and it makes what is missing by itself.
            make()

    def _begin_operation(self, part: OperationPart) -> None:
        self._require_going_on()
        self._embedded = embedded = Embedded(self._limits.operation, part.request)
        self._on_data, self._on_end = self._read_head, self._end_operation
        if embedded.head is not None:
            self._aim(embedded.head)

    def _read_head(self, data: bytes) -> None:
        def step() -> None:
            assert self._embedded is not None
            rest = self._embedded.read_head(data)
            if rest is not None and self._embedded.head is not None:
                self._aim(self._embedded.head)
                if rest:
                    self._on_data(rest)

        self._attempt(None, step)

    def _aim(self, head: RequestHead) -> None:
        """What the operation is about. The body of a PUT is an item like any other."""
        assert self._heading is not None and self._embedded is not None
        target = aim(head, self._mount, self._collection, self._authorities)
        name = self._heading.name or f"{head.method} {head.target}"
        self._heading = self._heading._replace(
            name=name[:_NAME],
            path=target.path,
            # RFC 4918 §5.2: the URL of a collection ends with a slash.
            target=self._mount.href(target.path, collection=head.method == "MKCOL"),
        )
        if head.method == "PUT":
            self._begin_item(ItemPart(name, head.headers, path=target.path, promised=True))
            return
        self._heading = self._heading._replace(method=head.method)
        self._embedded.target = target
        self._on_data, self._on_end = self._read_body, self._end_operation

    def _read_body(self, data: bytes) -> None:
        assert self._embedded is not None
        embedded = self._embedded
        self._attempt(None, lambda: embedded.add(data))

    def _end_operation(self) -> None:
        embedded, self._embedded = self._embedded, None
        assert embedded is not None
        if embedded.head is None:
            self._embedded = embedded
            self._attempt(None, lambda: self._aim(embedded.finish_head()))
            self._end_part(PartEnd())
        elif embedded.target is not None:
            self._perform(embedded.operation())

    def _perform(self, operation: Operation) -> None:
        heading, self._heading = self._heading, None
        assert heading is not None and heading.target is not None
        frees = heading.method in _FREEING
        if self._earlier is not None:
            heading = heading._replace(operation=self._operations.recognise(operation, heading.target))
            earlier = self._earlier.earlier_operation(heading.operation or "")
            if earlier is not None:
                self._ledger.replay(heading, earlier, frees=frees)
                return
        gate, collection, authorities, most = self._gate, self._collection, self._authorities, self._limits.properties

        def act(store: Store) -> Performed:
            return perform(operation, Surroundings(store, gate, collection, authorities, most))

        self._late = self._ledger.publisher.holds
        self._deferred = heading, lambda: self._ledger.act(heading, act, frees=frees)


#: After these the target can be stored under again.
_FREEING = {"DELETE", "MOVE"}


_PART_END = PartEnd()


def _skip(data: bytes) -> None:
    pass


def _nothing() -> None:
    pass
