"""The ledger of a batch: the fate of every item, from its complete body to its row.

Fed by the session's lane, resolved by the committer and by judges, on their own threads; therefore with a lock.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from partwise.batch.operations import Performed
from partwise.batch.outcome import Outcome
from partwise.batch.publisher import Act, Fate, Publisher, Rehearsed
from partwise.batch.report import Report
from partwise.errors import Duplicate, Failure, RolledBack, Success
from partwise.intake.judging import too_late, when_judged
from partwise.intake.pipeline import Staged
from partwise.protocol.paths import Path
from partwise.storage.base import Published

log = logging.getLogger(__name__)


class Heading(NamedTuple):
    """What a row says of an item whatever becomes of it. ``target`` is the href of its path, ``None`` if it has none."""

    # (It hides a method of tuples that nobody needs.)
    index: int  # type: ignore[assignment]
    name: str
    path: Path | None = None
    target: str | None = None
    content_id: str | None = None
    digest: str | None = None
    #: Of an operation.
    method: str | None = None
    #: By which a later try recognises it.
    operation: str | None = None


#: The verdict on a complete body.
Verdict = Staged | Failure


class _Pending:
    """A staged item on its way, and the later items of the same name, whose fate hangs on it."""

    __slots__ = ("_behind", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self._behind: list[tuple[Heading, Verdict]] | None = None

    @property
    def behind(self) -> list[tuple[Heading, Verdict]]:
        """In their order. Most items have nobody behind them."""
        if self._behind is None:
            self._behind = []
        return self._behind

    @property
    def is_followed(self) -> bool:
        return bool(self._behind)


class Ledger:
    """``item_href(index)`` names an item that has no usable or no unused target.

    ``publisher`` is asked once, when the first item is good: then the client has said what it wants. ``progress`` is called
    (from any thread) when an item was judged.
    """

    def __init__(
        self,
        report: Report,
        publisher: Callable[[], Publisher],
        item_href: Callable[[int], str],
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._report = report
        self._choose_publisher = publisher
        self._item_href = item_href
        self._progress = progress
        #: Items and operations that were refused.
        self.failures = 0
        self._lock = threading.RLock()
        #: Every target named in the report so far, and whether an item of this request was stored there.
        self._told: dict[str, bool] = {}
        self._pending: dict[str, _Pending] = {}
        self._waiting: dict[int, tuple[Heading, Staged]] = {}
        #: Items whose judges have answered, or had their time, and that are just being handed on.
        self._leaving = 0
        self._ready: list[tuple[Heading, Staged]] = []

    @cached_property
    def publisher(self) -> Publisher:
        """What happens to what is good. Its first use decides."""
        return self._choose_publisher()

    def decide(self) -> None:
        """Ask for the publisher now."""
        self.publisher  # noqa: B018

    @property
    def waiting(self) -> int:
        """Items whose judges have not answered, or whose answer is not known to the publisher or the report yet."""
        with self._lock:
            return len(self._waiting) + self._leaving

    def duplicate(self, heading: Heading) -> Failure | None:
        """Was an earlier item of this name stored? (One that is still on its way is judged when it has arrived.)"""
        assert heading.target is not None
        with self._lock:
            held = self.publisher.holds and heading.target in self._pending
            return _duplicate(heading.target) if held or self._told.get(heading.target) else None

    def is_on_its_way(self, target: str) -> bool:
        """Has an item of this name no fate yet, though what follows it would be done at once?"""
        with self._lock:
            return target in self._pending and not self.publisher.holds

    def refuse(self, heading: Heading, failure: Failure) -> None:
        """The item is not stored."""
        with self._lock:
            pending = None if heading.target is None else self._pending.get(heading.target)
            if pending is not None and not self.publisher.holds:
                pending.behind.append((heading, failure))
                return
            outcome = self._refused(heading, failure)
        self._report.settle([outcome])

    def replay(self, heading: Heading, earlier: Outcome, *, frees: bool = False) -> None:
        """The item was stored, or the operation done, by an earlier try, as told there. ``frees`` as in :meth:`act`."""
        with self._lock:
            href = self._href(heading)
            location = None if href == heading.target else heading.target
            if earlier.method is not None and earlier.location not in (None, heading.target):
                location = earlier.location
            outcome = earlier._replace(
                index=heading.index,
                href=href,
                name=heading.name,
                location=location,
                replayed=True,
                earlier=False,
            )
            if heading.target is not None and (outcome.method is None or frees):
                self._told[heading.target] = not frees
        self._report.settle([outcome])

    def act(self, heading: Heading, act: Act, *, frees: bool = False) -> None:
        """Something else than storing a body; ``frees``: afterwards the target can be stored under again."""
        self.flush()
        self.publisher.act(act, lambda result: self._acted(heading, result, frees))

    def _acted(self, heading: Heading, result: Performed | Failure, frees: bool) -> None:
        with self._lock:
            if isinstance(result, Failure):
                outcome = self._refused(heading, result)
            else:
                outcome = self._performed(heading, result)
                if frees and heading.target is not None:
                    self._told[heading.target] = False
        self._report.settle([outcome])

    def _performed(self, heading: Heading, performed: Performed) -> Outcome:
        href = self._href(heading)
        outcome = Outcome(
            heading.index,
            href,
            performed.status,
            heading.name,
            content_id=heading.content_id,
            method=heading.method,
            operation=heading.operation,
        )
        if self.publisher.rehearses:
            return outcome._replace(status=Success.GOOD.status, would=performed.status)
        location = performed.location or (None if href == heading.target else heading.target)
        return outcome._replace(location=location)

    def conclude(self, *, broken: bool = False) -> None:
        """No more items come; ``broken``: the upload broke off."""
        self.publisher.conclude(broken or self.failures > 0)

    def stage(self, heading: Heading, staged: Staged) -> None:
        """The body is complete and good; it is published with the next :meth:`flush`, or when its judges agree."""
        assert heading.target is not None
        with self._lock:
            # An earlier one may have been stored since this one began.
            stored = self._told.get(heading.target, False)
            pending = self._pending.get(heading.target)
            if pending is not None and self.publisher.holds:
                stored = True
            elif pending is not None:
                pending.behind.append((heading, staged))
                return
            if not stored:
                self._pending[heading.target] = _Pending(heading.index)
                if not staged.waiting:
                    self._ready.append((heading, staged))
                    return
        if stored:
            _give_up(staged)
            self.refuse(heading, _duplicate(heading.target))
        else:
            self._set_out(heading, staged)

    def _set_out(self, heading: Heading, staged: Staged) -> None:
        with self._lock:
            if not staged.waiting:
                self._ready.append((heading, staged))
                return
            self._waiting[heading.index] = (heading, staged)
        when_judged(staged.waiting, lambda verdict: self._judged(heading.index, verdict))

    def _judged(self, index: int, verdict: Failure | None) -> None:
        with self._lock:
            entry = self._waiting.pop(index, None)
            if entry is None:  # expired meanwhile
                return
            self._leaving += 1
        with self._handing_on(1):
            if verdict is None:
                self._submit([entry])
            else:
                self._drop([entry], verdict)

    @contextlib.contextmanager
    def _handing_on(self, count: int) -> Iterator[None]:
        """Only then may the batch be concluded: what is handed on later would have no fate, or its failure no effect."""
        try:
            yield
        finally:
            with self._lock:
                self._leaving -= count
            self._progress()

    def expire(self, failure: Failure | None = None) -> None:
        """What still waits is not stored: ``failure`` says why, or the judges have had their time."""
        with self._lock:
            late, self._waiting = list(self._waiting.values()), {}
            self._leaving += len(late)
        with self._handing_on(len(late)):
            self._drop(late, failure or too_late())

    def _drop(self, entries: Sequence[tuple[Heading, Staged]], failure: Failure) -> None:
        for _, staged in entries:
            _give_up(staged)
        self._settle([((heading, staged.size), failure) for heading, staged in entries])

    def flush(self) -> None:
        """Hand what is ready to the committer."""
        with self._lock:
            ready, self._ready = self._ready, []
        if ready:
            self._submit(ready)
        if self.failures and self.publisher.holds:
            # Their fate is known now: neither rows nor bytes need be kept until the end.
            self.publisher.conclude(True)

    def _submit(self, ready: Sequence[tuple[Heading, Staged]]) -> None:
        entries = [(heading, staged.size) for heading, staged in ready]

        def done(results: Sequence[Fate]) -> None:
            self._settle(list(zip(entries, results, strict=True)))

        self.publisher.submit([staged.publication for _, staged in ready], done)

    def _settle(self, fates: Sequence[tuple[tuple[Heading, int], Fate]]) -> None:
        """Final fates of items on their way, and of those behind them."""
        outcomes: list[Outcome] = []
        next_in_line: list[tuple[Heading, Staged]] = []
        with self._lock:
            for (heading, size), fate in fates:
                assert heading.target is not None
                pending = self._pending.pop(heading.target)
                if isinstance(fate, Failure):
                    outcomes.append(self._refused(heading, fate))
                    self._advance(heading.target, pending, outcomes, next_in_line)
                else:
                    outcomes.append(self._good(heading, fate, size))
                    if pending.is_followed:
                        outcomes += self._duplicates(heading.target, pending)
        self._report.settle(outcomes)
        for heading, staged in next_in_line:
            self._set_out(heading, staged)
        if next_in_line or self.publisher.holds:
            # Else what is ready waits for the end of the lane's step, so that groups are few and large.
            self.flush()

    def _advance(
        self, target: str, pending: _Pending, outcomes: list[Outcome], next_in_line: list[tuple[Heading, Staged]]
    ) -> None:
        """The first of a name was refused: the next is judged normally."""
        behind = pending.behind
        while behind:
            heading, verdict = behind.pop(0)
            if isinstance(verdict, Failure):
                outcomes.append(self._refused(heading, verdict))
                continue
            self._pending[target] = pending
            pending.index = heading.index
            next_in_line.append((heading, verdict))
            return

    def _duplicates(self, target: str, pending: _Pending) -> list[Outcome]:
        for _, verdict in pending.behind:
            if not isinstance(verdict, Failure):
                _give_up(verdict)
        return [self._refused(heading, _duplicate(target)) for heading, _ in pending.behind]

    def _href(self, heading: Heading) -> str:
        """An href appears once in a document (RFC 4918 §14.24)."""
        if heading.target is None or heading.target in self._told:
            return self._item_href(heading.index)
        pending = self._pending.get(heading.target)
        if pending is not None and pending.index != heading.index:
            # It belongs to one that is held.
            return self._item_href(heading.index)
        self._told[heading.target] = False
        return heading.target

    def _refused(self, heading: Heading, failure: Failure) -> Outcome:
        # What others' failures do to it is none of its own.
        self.failures += not isinstance(failure, RolledBack)
        return Outcome(
            heading.index,
            self._href(heading),
            failure.status,
            heading.name,
            content_id=heading.content_id,
            failure=failure,
            method=heading.method,
            operation=heading.operation,
        )

    def _good(self, heading: Heading, fate: Published | Rehearsed, size: int) -> Outcome:
        assert heading.target is not None
        href = heading.target if heading.target not in self._told else self._href(heading)
        self._told[heading.target] = True
        status = (Success.CREATED if fate.created else Success.REPLACED).status
        if isinstance(fate, Rehearsed):
            good = Success.GOOD.status
            return Outcome(
                heading.index, href, good, heading.name, size, None, heading.digest, heading.content_id, would=status
            )
        return Outcome(
            heading.index,
            href,
            status,
            heading.name,
            size,
            f'"{fate.resource.etag}"',
            heading.digest,
            heading.content_id,
            None if href == heading.target else heading.target,
        )


def _give_up(staged: Staged) -> None:
    try:
        staged.publication.upload.abort()
    except OSError:
        # Nothing of it is visible; its row must be told whatever is left of it.
        log.exception("a staged file could not be given back")


def _duplicate(target: str) -> Failure:
    return Duplicate("An earlier item of this upload was stored under the same name.", href=target)
