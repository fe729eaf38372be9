"""The one way in: how a body becomes a sealed upload, for PUT and for every item of a batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from partwise.errors import Failure, LengthMismatch, TryAgain
from partwise.intake.admission import Admission, Bound
from partwise.intake.hashing import Hashing
from partwise.intake.item import Item
from partwise.intake.validators.base import Validator, ValidatorFactory, Waiting
from partwise.protocol.digests import DigestCheck
from partwise.storage.base import Publication, Upload

log = logging.getLogger(__name__)


class Staged(NamedTuple):
    """The body is complete and good. It may be published once every ``waiting`` judge has agreed."""

    publication: Publication
    size: int
    waiting: tuple[Waiting, ...] = ()
    #: Of the body, ``None`` if nobody asked for it.
    sha256: bytes | None = None


class Intake:
    """Admits bodies and judges them while they arrive."""

    def __init__(self, admission: Admission, validators: Sequence[ValidatorFactory]) -> None:
        self.admission = admission
        self._validators = tuple(validators)

    def begin(self, item: Item, *, rehearsal: bool = False) -> Reception:
        """Raises whatever speaks against the item before its first byte (see ``Admission.admit``).

        ``rehearsal``: it is judged only, its bytes are kept nowhere.
        """
        bound = self.admission.admit(item)
        upload = _Nowhere() if rehearsal else self.admission.store.stage()
        return Reception(item, upload, bound, self._validators)

    def take(self, item: Item, data: bytes, *, look: bool = False) -> Staged:
        """A whole body: as :meth:`begin`, :meth:`Reception.write` and :meth:`Reception.finish`, with the same verdict.

        What stands under the name is judged when it is published, and looked at here only for ``look`` and where something
        else speaks against the item: what is told is the first in the order of judgement.
        """
        bound = None if look else self.admission.admit_body(item)
        if bound is None:
            return self._taken(self.begin(item), data)
        try:
            return self._taken(Reception(item, self.admission.store.stage(), bound, self._validators), data)
        except Failure:
            self.admission.admit(item)
            raise

    def _taken(self, reception: Reception, data: bytes) -> Staged:
        try:
            return reception.take(data)
        except BaseException:
            reception.abort()
            raise


class _Nowhere:
    """An upload whose bytes nobody wants."""

    def write(self, data: bytes | memoryview) -> None:
        pass

    def seal(self, modified_ns: int | None) -> None:
        pass

    def fill(self, data: bytes, modified_ns: int | None) -> None:
        pass

    def park(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Reception:
    """One body being received. Every call comes from one thread; after a raised failure only ``abort`` is left."""

    __slots__ = ("_bound", "_digests", "_factories", "_upload", "_validators", "item", "size")

    def __init__(self, item: Item, upload: Upload, bound: Bound, factories: Sequence[ValidatorFactory]) -> None:
        self.item = item
        self.size = 0
        self._factories = factories
        self._validators: tuple[Validator, ...] | None = None
        also = ("sha-256",) if item.hashed else ()
        self._digests = Hashing(DigestCheck(item.digests, *also)) if item.digests or also else None
        self._bound = bound
        self._upload = upload

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes, which must stay as they are until the next call.

        Raises a Failure as soon as one is known; the rest of the body need not be sent.
        """
        self.size += len(data)
        length = self.item.length
        if length is not None and self.size > length:
            raise LengthMismatch(f"The body is longer than the {length} bytes declared.")
        self._bound.check(self.size)
        self._judge(data)
        if self._digests is not None:
            self._digests.update(data)
        self._upload.write(data)

    def take(self, data: bytes) -> Staged:
        """The whole body: :meth:`write`, and :meth:`finish`."""
        item, size = self.item, len(data)
        if self._digests is not None or item.length not in (None, size):
            if data:
                self.write(data)
            return self.finish()
        self.size = size
        self._bound.check(size)
        if data:
            self._judge(data)
        waiting = self._finish_validators() if self._validators else ()
        self._upload.fill(data, item.modified_ns)
        return Staged(Publication(self._upload, item.path, item.existing, item.check, item.properties), size, waiting)

    def _judge(self, data: bytes | memoryview) -> None:
        try:
            if self._validators is None:
                # Only now: an empty body has no contents to judge (Windows and Finder PUT one first).
                self._validators = self._begin_validators()
            if not self._validators:
                return
            # They may keep what they are given.
            whole = bytes(data)
            for validator in self._validators:
                validator.feed(whole)
        except Failure:
            raise
        except Exception:
            raise _validator_failed() from None

    def _begin_validators(self) -> tuple[Validator, ...]:
        candidate = self.item.candidate
        started = []
        # A plain loop, and no comprehension: mostly there is one factory, and it has nothing against the type.
        for factory in self._factories:
            validator = factory(candidate)
            if validator is not None:
                started.append(validator)
        return tuple(started)

    def finish(self) -> Staged:
        """The body has ended. Raises a Failure if it is not to be stored."""
        length = self.item.length
        if length is not None and self.size != length:
            raise LengthMismatch(f"The body has {self.size} bytes, {length} were declared.")
        if self._digests is not None:
            self._digests.verify()
        waiting = self._finish_validators()
        item = self.item
        self._upload.seal(item.modified_ns)
        publication = Publication(self._upload, item.path, item.existing, item.check, item.properties)
        sha256 = None if self._digests is None else self._digests.value("sha-256")
        return Staged(publication, self.size, waiting, sha256)

    def _finish_validators(self) -> tuple[Waiting, ...]:
        if not self._validators:
            return ()
        try:
            answers = [validator.finish() for validator in self._validators or ()]
        except Failure:
            raise
        except Exception:
            raise _validator_failed() from None
        return tuple(answer for answer in answers if answer is not None)

    def abort(self) -> None:
        """Drop what was received."""
        self._upload.abort()


def _validator_failed() -> TryAgain:
    log.exception("a validator failed")
    return TryAgain("The server could not finish judging the item; nothing was stored. Send it again.")
