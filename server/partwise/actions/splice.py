"""A partial update: a whole new file made of old bytes, the body, and old bytes; judged and published like any other.

Readers see the old file or the new, never a mix. Nothing is locked while the body arrives: should the file change
meanwhile, what was made of its old bytes is refused when it is to be published.
"""

from __future__ import annotations

from collections.abc import Iterator

from partwise.actions.methods import COLLECTION
from partwise.actions.properties import CONTENT_TYPE
from partwise.errors import LengthMismatch, NotFound, RangeUnsatisfiable, TryAgain, WrongKind
from partwise.intake.item import Item
from partwise.intake.pipeline import Intake, Reception, Staged
from partwise.protocol.digests import DigestCheck, Expected
from partwise.protocol.partial import Update
from partwise.protocol.served_types import served_type
from partwise.storage.base import OpenFile, Resource, Store

#: Old bytes copied in one step; a step must be short, others wait for the same lane.
BLOCK = 1024 * 1024


class Changed(TryAgain):
    """The file is no longer the one whose old bytes were taken."""

    def __init__(self) -> None:
        super().__init__("Somebody else changed the file at the same moment; nothing was stored. Send it again.")


class Splice:
    """One new file in the making.

    :meth:`begin`, :meth:`copy` until it says no, :meth:`write` …, :meth:`end_body`, :meth:`copy` again, :meth:`finish`.
    All calls come from one thread; after a raised failure only :meth:`abort` is left.

    ``item`` declares the whole file, but for its ``length``, which is that of the body; a media type of ``None`` stands for
    what the file is served as. ``promised`` are digests of the body. ``create``: a missing file can be begun.
    """

    def __init__(self, store: Store, item: Item, update: Update, promised: tuple[Expected, ...], create: bool) -> None:
        self._store = store
        self._item = item
        self._update = update
        self._digests = DigestCheck(promised)
        self._create = create
        self._start = 0
        self._received = 0
        self._file: OpenFile | None = None
        #: What ``_file`` was when it was opened.
        self._base: Resource | None = None
        self._reception: Reception | None = None
        self._old: Iterator[bytes] = iter(())

    @property
    def _size(self) -> int:
        return 0 if self._base is None else self._base.size

    def begin(self, intake: Intake, slash: bool) -> Reception:
        """All that can be judged before the first byte. ``slash``: the target's name ended with one.

        Raises NotFound, WrongKind, RangeUnsatisfiable, and what ``Admission.admit`` raises.
        """
        self._open(slash)
        kind = self._item.candidate.media_type
        if kind is None and self._base is not None:
            # Nothing is guessed from the name: a file in parts is not whole until the last one has come.
            kind = self._store.properties([self._item.path]).get(self._item.path, {}).get(CONTENT_TYPE)
            kind = None if kind is None else kind.partition(";")[0].strip()
            if kind is None and not intake.admission.accepted.allows(None):
                # Where only some types are taken, the name must say which one this is.
                kind = served_type(self._item.path[-1])
        item = self._item._replace(candidate=self._item.candidate._replace(media_type=kind), check=self._check)
        # Conditions come first: of a file that was changed they tell more than a range that fits no longer.
        intake.admission.admit(item)
        self._start = self._update.start(self._size)
        if self._base is None and self._start:
            raise RangeUnsatisfiable("There is no file yet; begin it with its first byte.", limit=0)
        length = None if item.length is None else max(self._size, self._start + item.length)
        self._reception = intake.begin(item._replace(length=length, candidate=item.candidate._replace(length=length)))
        self._old = self._blocks(0, self._start)
        return self._reception

    def _open(self, slash: bool) -> None:
        try:
            self._file = self._store.open(self._item.path)
        except NotFound:
            if self._create:
                return
            if self._store.stat(self._item.path).collection:
                text = "This is a collection; only a file can be changed in part."
                raise WrongKind(text, accepted=COLLECTION) from None
            raise
        self._base = self._file.resource
        if slash:
            raise NotFound("There is no collection under this address.")

    def _check(self, standing: Resource | None) -> None:
        # The client's own conditions first: who sent some is told that they failed.
        self._item.check(standing)
        base = None if self._base is None else self._base.etag
        if (None if standing is None else standing.etag) != base:
            raise Changed

    def _blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """The old file from ``start`` up to ``stop``, zeros behind its end."""
        while start < stop:
            if self._file is None or start >= self._size:
                block = bytes(min(BLOCK, stop - start))
            else:
                block = self._file.read(start, min(BLOCK, stop - start, self._size - start))
                if not block:
                    raise Changed  # cut short by hand
            yield block
            start += len(block)

    def copy(self) -> bool:
        """A block of old bytes; false when there are no more of them here."""
        block = next(self._old, None)
        if block is None:
            return False
        self._into().write(block)
        return True

    def write(self, data: bytes) -> None:
        """The next bytes of the body. Raises a Failure as soon as one is known."""
        self._received += len(data)
        if self._item.length is not None and self._received > self._item.length:
            raise self._mismatch()
        if data:
            self._digests.update(data)
            self._into().write(data)

    def end_body(self) -> None:
        """The body has ended. Raises LengthMismatch or DigestMismatch."""
        if self._item.length is not None and self._received != self._item.length:
            raise self._mismatch()
        self._digests.verify()
        self._old = self._blocks(self._start + self._received, self._size)

    def _mismatch(self) -> LengthMismatch:
        return LengthMismatch(f"The range has {self._item.length} bytes; the body must have as many.")

    def finish(self) -> Staged:
        """The whole is complete. Raises a Failure if it is not to be stored."""
        staged = self._into().finish()
        self._close()
        return staged

    def _into(self) -> Reception:
        assert self._reception is not None, "begin comes first"
        return self._reception

    def abort(self) -> None:
        """Drop what was received."""
        self._close()
        if self._reception is not None:
            self._reception.abort()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
