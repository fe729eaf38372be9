"""The session of one upload: from the bytes of a multipart body to items judged, staged and reported.

Synchronous, and pinned to one thread for life (parsers of validators must not wander between threads): ``feed`` and
``finish`` and ``abort`` come from the session's lane. A call does a bounded step of work and says whether more is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from partwise.actions.gate import UNCONDITIONAL, Gate
from partwise.batch import steering as steer
from partwise.batch.containers import Container, EmptyChoice, Field, FormContainer, ItemPart
from partwise.batch.ledger import Heading, Ledger
from partwise.batch.steering import Steering
from partwise.errors import Failure, Malformed, MalformedName, TooLarge, TryAgain
from partwise.intake.declaration import declare
from partwise.intake.item import Item
from partwise.intake.kept import kept
from partwise.intake.pipeline import Intake, Reception
from partwise.intake.validators.base import Candidate
from partwise.protocol.digests import format_sha256
from partwise.protocol.if_header import parse_if
from partwise.protocol.multipart import (
    NEED_DATA,
    End,
    Event,
    MultipartDecoder,
    PartBegin,
    PartBroken,
    PartData,
    PartEnd,
)
from partwise.protocol.paths import Mount, Path

log = logging.getLogger(__name__)

#: Items begun in one step, so that the event loop gets the interpreter back.
STEP_ITEMS = 128
#: What a form field costs beyond its value, so that empty ones are bounded too.
_FIELD_COST = 64
#: Characters of a client's name for an item that are kept.
_NAME = 500


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``items`` in one batch; ``fields``: bytes of all form fields together."""

    items: int = 200_000
    fields: int = 65_536


class _Mode(Enum):
    BETWEEN = auto()
    FIELD = auto()
    EMPTY = auto()
    ITEM = auto()
    SKIPPING = auto()


def meaning(error: Exception) -> Failure:
    """What went wrong with one item. A fault of the server's own is that item's 503; its neighbours are not concerned."""
    if isinstance(error, Failure):
        return error
    log.error("an item failed", exc_info=error)
    return TryAgain("The server failed while it received the item; nothing was stored. Send it again.")


class BatchSession:
    """Judges one batch posted to ``collection``. Every item ends as one row of the ledger's report."""

    def __init__(
        self,
        *,
        decoder: MultipartDecoder,
        container: Container,
        collection: Path,
        mount: Mount,
        gate: Gate,
        intake: Intake,
        ledger: Ledger,
        steering: Steering,
        limits: BatchLimits,
    ) -> None:
        self._decoder = decoder
        self._container = container
        self._collection = collection
        self._mount = mount
        # What the whole request submits counts for each item; its conditions were about the collection.
        tokens = gate.tokens if gate.if_header is None else gate.tokens | gate.if_header.tokens
        self._gate = replace(gate, conditions=UNCONDITIONAL, if_header=None, tokens=tokens)
        self._intake = intake
        self._ledger = ledger
        self._request_steering = steering
        self._field_steering = Steering()
        self._limits = limits
        self._mode = _Mode.BETWEEN
        self._heading: Heading | None = None
        self._reception: Reception | None = None
        self._field = ("", bytearray())
        self._field_bytes = 0
        self._on: dict[type[Event], Callable[[Event], None]] = {
            PartBegin: self._begin,
            PartBroken: self._broken,
            PartData: self._data,
            PartEnd: self._end_part,
            End: lambda event: None,
        }
        #: Items begun so far, which is the number of rows there will be.
        self.begun = 0
        #: Form fields that mean nothing.
        self.ignored = 0

    @property
    def steering(self) -> Steering:
        """What the client wants; final from the first item on."""
        return self._field_steering.under(self._request_steering)

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
        stop = self.begun + STEP_ITEMS
        try:
            while self.begun < stop:
                event = self._decoder.next_event()
                if event is NEED_DATA:
                    return False
                self._on[type(event)](event)
            return True
        finally:
            self._ledger.flush()

    def abort(self, failure: Failure | None) -> None:
        """The upload ends here. ``failure`` is told in a row, as that of the item in progress if there is one.

        Without a failure (the client went away) the item in progress is told to be cut short.
        """
        if self._reception is not None:
            self._reception.abort()
            self._reception = None
        if self._heading is None and failure is not None:
            self._heading = self._next_heading("")
        if self._heading is not None:
            self._ledger.refuse(self._heading, failure or Malformed("The upload broke off in the middle of this item."))
            self._heading = None
        self._mode = _Mode.SKIPPING
        self._ledger.flush()

    # -- parts

    def _next_heading(self, name: str, path: Path | None = None, content_id: str | None = None) -> Heading:
        self.begun += 1
        target = None if path is None else self._mount.href(path)
        return Heading(self.begun, name[:_NAME], path, target, None if content_id is None else content_id[:_NAME])

    def _begin(self, event: Event) -> None:
        assert isinstance(event, PartBegin)
        part = self._container.part(event.headers)
        if isinstance(part, Field):
            self._mode = _Mode.FIELD
            self._field = (part.name, bytearray())
            self._count_field(_FIELD_COST)
        elif isinstance(part, EmptyChoice):
            self._mode = _Mode.EMPTY
            self._count_field(_FIELD_COST)
        else:
            self._check_count()
            self._begin_item(part)

    def _check_count(self) -> None:
        if self.begun >= self._limits.items:
            raise TooLarge(
                f"An upload may hold {self._limits.items} items at most; send the rest in another one.",
                limit=self._limits.items,
            )

    def _broken(self, event: Event) -> None:
        assert isinstance(event, PartBroken)
        self._check_count()
        self._ledger.refuse(self._next_heading(""), event.failure)
        self._mode = _Mode.SKIPPING

    def _begin_item(self, part: ItemPart) -> None:
        self._heading = heading = self._next_heading(part.name, part.path, part.content_id)
        if part.failure is not None:
            self._refuse(part.failure)
            return
        try:
            item = self._item(part)
            duplicate = self._ledger.duplicate(heading)
            if duplicate is not None:
                raise duplicate
            self._reception = self._intake.begin(item)
        except Exception as error:
            self._refuse(meaning(error))
            return
        self._mode = _Mode.ITEM

    def _item(self, part: ItemPart) -> Item:
        """What the headers of the part declare. Raises Malformed."""
        assert part.path is not None
        declared = declare(part.headers)
        field = part.headers.get("if")
        gate = replace(
            self._gate,
            path=part.path,
            conditions=declared.conditions,
            overwrite=self.steering.overwrite is not False,
            if_header=None if field is None else parse_if(field),
        )
        write = gate.write(part.path, len(self._collection))
        candidate = Candidate("/".join(part.path), declared.essence, declared.charset, declared.length)
        return Item(
            path=part.path,
            candidate=candidate,
            check=write.whole,
            existing=len(self._collection),
            length=declared.length if part.promised else None,
            digests=declared.digests,
            modified_ns=declared.modified_ns,
            coding=declared.coding,
            check_first=write.first,
            properties=kept(declared, part.path[-1]),
        )

    def _refuse(self, failure: Failure) -> None:
        """The item in progress is refused; its remaining bytes are skipped."""
        assert self._heading is not None
        if self._reception is not None:
            self._reception.abort()
            self._reception = None
        self._ledger.refuse(self._heading, failure)
        self._heading = None
        self._mode = _Mode.SKIPPING

    def _data(self, event: Event) -> None:
        assert isinstance(event, PartData)
        if self._mode is _Mode.ITEM:
            assert self._reception is not None
            try:
                self._reception.write(event.data)
            except Exception as error:
                self._refuse(meaning(error))
        elif self._mode is _Mode.FIELD:
            self._count_field(len(event.data))
            self._field[1].extend(event.data)
        elif self._mode is _Mode.EMPTY:
            self._heading = self._next_heading("")
            self._refuse(MalformedName("The part holds a file without a name."))

    def _end_part(self, event: Event) -> None:
        mode, self._mode = self._mode, _Mode.BETWEEN
        if mode is _Mode.FIELD:
            self._end_field()
        elif mode is _Mode.ITEM:
            self._end_item()

    def _end_item(self) -> None:
        assert self._heading is not None and self._reception is not None
        try:
            staged = self._reception.finish()
        except Exception as error:
            self._refuse(meaning(error))
            self._mode = _Mode.BETWEEN
            return
        heading, self._heading = self._heading, None
        digest = next((d for d in self._reception.item.digests if d.algorithm == "sha-256"), None)
        self._reception = None
        if digest is not None:
            heading = Heading(
                heading.index,
                heading.name,
                heading.path,
                heading.target,
                heading.content_id,
                format_sha256(digest.value),
            )
        self._ledger.stage(heading, staged)

    # -- form fields

    def _count_field(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > self._limits.fields:
            raise TooLarge(
                f"The fields of the form are larger than {self._limits.fields} bytes together.",
                limit=self._limits.fields,
            )

    def _end_field(self) -> None:
        name, raw = self._field
        value = raw.decode("utf-8", "replace")
        if name == "_charset_" and isinstance(self._container, FormContainer):
            self._container.use_charset(value)
        elif not steer.is_steering(name, value):
            self.ignored += 1
        elif self.begun:
            raise Malformed(f"The field {name!r} steers the upload and must stand before the first file.")
        else:
            self._field_steering = self._field_steering.with_field(name, value)
