"""The ledger of a batch: the fate of every item, from its complete body to its row.

Fed by the session's lane, resolved by the committer and by judges, on their own threads; therefore with a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from partwise.batch.outcome import Outcome
from partwise.batch.report import Report
from partwise.errors import Duplicate, Failure, Success
from partwise.intake.judging import too_late, when_judged
from partwise.intake.pipeline import Staged
from partwise.protocol.paths import Path
from partwise.storage.base import Published
from partwise.storage.committer import Committer


@dataclass(frozen=True, slots=True)
class Heading:
    """What a row says of an item whatever becomes of it. ``target`` is the href of its path, ``None`` if it has none."""

    index: int
    name: str
    path: Path | None = None
    target: str | None = None
    content_id: str | None = None
    digest: str | None = None


#: The verdict on a complete body.
Verdict = Staged | Failure


@dataclass(slots=True)
class _Pending:
    """A staged item on its way, and the later items of the same name, whose fate hangs on it."""

    behind: list[tuple[Heading, Verdict]] = field(default_factory=list)


class Ledger:
    """``item_href(index)`` names an item that has no usable or no unused target."""

    def __init__(self, report: Report, committer: Committer, item_href: Callable[[int], str]) -> None:
        self._report = report
        self._committer = committer
        self._item_href = item_href
        self._lock = threading.RLock()
        #: Every target named in the report so far, and whether an item of this request was stored there.
        self._told: dict[str, bool] = {}
        self._pending: dict[str, _Pending] = {}
        self._waiting: dict[int, tuple[Heading, Staged]] = {}
        self._ready: list[tuple[Heading, Staged]] = []

    def duplicate(self, heading: Heading) -> Failure | None:
        """Was an earlier item of this name stored? (One that is still on its way is judged when it has arrived.)"""
        assert heading.target is not None
        with self._lock:
            return _duplicate(heading.target) if self._told.get(heading.target) else None

    def refuse(self, heading: Heading, failure: Failure) -> None:
        """The item is not stored."""
        with self._lock:
            pending = None if heading.target is None else self._pending.get(heading.target)
            if pending is not None:
                pending.behind.append((heading, failure))
                return
            outcome = self._refused(heading, failure)
        self._report.settle([outcome])

    def stage(self, heading: Heading, staged: Staged) -> None:
        """The body is complete and good; it is published with the next :meth:`flush`, or when its judges agree."""
        assert heading.target is not None
        with self._lock:
            # An earlier one may have been stored since this one began.
            stored = self._told.get(heading.target, False)
            pending = self._pending.get(heading.target)
            if pending is not None:
                pending.behind.append((heading, staged))
                return
            if not stored:
                self._pending[heading.target] = _Pending()
        if stored:
            staged.publication.upload.abort()
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
        if verdict is None:
            self._submit([entry])
        else:
            self._drop([entry], verdict)

    def expire(self) -> None:
        """The judges have had their time: what still waits is not stored."""
        with self._lock:
            late, self._waiting = list(self._waiting.values()), {}
        self._drop(late, too_late())

    def _drop(self, entries: Sequence[tuple[Heading, Staged]], failure: Failure) -> None:
        for _, staged in entries:
            staged.publication.upload.abort()
        self._settle([(heading, failure) for heading, _ in entries])

    def flush(self) -> None:
        """Hand what is ready to the committer."""
        with self._lock:
            ready, self._ready = self._ready, []
        if ready:
            self._submit(ready)

    def _submit(self, ready: Sequence[tuple[Heading, Staged]]) -> None:
        def done(results: Sequence[Published | Failure]) -> None:
            self._settle(list(zip((heading for heading, _ in ready), results, strict=True)))

        self._committer.submit([staged.publication for _, staged in ready], done)

    def _settle(self, fates: Sequence[tuple[Heading, Published | Failure]]) -> None:
        """Final fates of items on their way, and of those behind them."""
        outcomes: list[Outcome] = []
        next_in_line: list[tuple[Heading, Staged]] = []
        with self._lock:
            for heading, fate in fates:
                assert heading.target is not None
                pending = self._pending.pop(heading.target)
                if isinstance(fate, Failure):
                    outcomes.append(self._refused(heading, fate))
                    self._advance(heading.target, pending, outcomes, next_in_line)
                else:
                    outcomes.append(self._stored(heading, fate))
                    outcomes += self._duplicates(heading.target, pending)
        self._report.settle(outcomes)
        for heading, staged in next_in_line:
            self._set_out(heading, staged)
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
            next_in_line.append((heading, verdict))
            return

    def _duplicates(self, target: str, pending: _Pending) -> list[Outcome]:
        for _, verdict in pending.behind:
            if not isinstance(verdict, Failure):
                verdict.publication.upload.abort()
        return [self._refused(heading, _duplicate(target)) for heading, _ in pending.behind]

    def _href(self, heading: Heading) -> str:
        """An href appears once in a document (RFC 4918 §14.24)."""
        if heading.target is None or heading.target in self._told:
            return self._item_href(heading.index)
        self._told[heading.target] = False
        return heading.target

    def _refused(self, heading: Heading, failure: Failure) -> Outcome:
        return Outcome(
            heading.index,
            self._href(heading),
            failure.status,
            heading.name,
            content_id=heading.content_id,
            failure=failure,
        )

    def _stored(self, heading: Heading, published: Published) -> Outcome:
        assert heading.target is not None
        href = self._href(heading)
        self._told[heading.target] = True
        return Outcome(
            heading.index,
            href,
            (Success.CREATED if published.created else Success.REPLACED).status,
            heading.name,
            size=published.resource.size,
            etag=f'"{published.resource.etag}"',
            digest=heading.digest,
            content_id=heading.content_id,
            location=None if href == heading.target else heading.target,
        )


def _duplicate(target: str) -> Failure:
    return Duplicate("An earlier item of this upload was stored under the same name.", href=target)
