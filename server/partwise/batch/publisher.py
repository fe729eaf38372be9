"""What happens to what is good: stored at once, held until all of the batch is good, or only judged."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from partwise.batch.judging import judging
from partwise.batch.operations import Performed
from partwise.errors import Failure, RolledBack, TryAgain
from partwise.storage.base import Publication, Published, Store
from partwise.storage.committer import GROUP, Committer

log = logging.getLogger(__name__)


class Rehearsed(NamedTuple):
    """It would have been stored. ``created``: under a new name."""

    created: bool


#: What became of a body.
Fate = Published | Rehearsed | Failure
Done = Callable[[Sequence[Fate]], None]
#: Changes the store that it is given, through the gate. Raises a Failure.
Act = Callable[[Store], Performed]
Acted = Callable[[Performed | Failure], None]


class Publisher(Protocol):
    """Called by the session's lane, and by the threads of judges."""

    #: Is the fate of what is good unknown until the end of the batch?
    holds: bool
    #: Is nothing stored in truth?
    rehearses: bool

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        """Sealed uploads on their way. ``done`` gets one fate each, in order, on any thread."""

    def act(self, act: Act, done: Acted) -> None:
        """Something else to be done."""

    def conclude(self, failed: bool) -> None:
        """Nothing is on its way any more; ``failed``: an item of the batch was refused, or the upload broke off.

        May be called early, and more than once, of a batch that has failed.
        """


class Committing:
    """Everything is stored as it comes."""

    holds = False
    rehearses = False

    def __init__(self, store: Store, committer: Committer) -> None:
        self._store = store
        self._committer = committer

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        self._committer.submit(publications, done)

    def act(self, act: Act, done: Acted) -> None:
        done(_attempt(lambda: act(self._store)))

    def conclude(self, failed: bool) -> None:
        pass


class Rehearsing:
    """Nothing is stored: what would become of it is judged by what stands now."""

    holds = False
    rehearses = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        done([rehearse(self._store, publication) for publication in publications])

    def act(self, act: Act, done: Acted) -> None:
        done(_attempt(lambda: act(judging(self._store))))

    def conclude(self, failed: bool) -> None:
        pass


class _Refused(Exception):
    """Undoes a transaction in which something was refused."""


def rehearse(store: Store, publication: Publication) -> Rehearsed | Failure:
    """Judge as publishing would."""
    try:
        standing = store.look(publication.path, publication.existing)
        publication.check(standing)
        return Rehearsed(standing is None)
    except Failure as failure:
        return failure


@dataclass(slots=True)
class _Step:
    """One thing that belongs to the whole; exactly one of ``publications`` and ``act`` is used."""

    done: Callable[[list[Fate | Performed]], None]
    publications: list[Publication] = field(default_factory=list)
    act: Act | None = None
    fates: list[Fate | Performed] = field(default_factory=list)

    def __len__(self) -> int:
        return 1 if self.act is not None else len(self.publications)


class Whole:
    """All or nothing: what is good is held, and stored in one transaction at the end. ``rehearsal``: not even then."""

    holds = True

    def __init__(self, store: Store, *, rehearsal: bool = False) -> None:
        self._store = store
        self.rehearses = rehearsal
        # Judges hand in what they agreed to, on their threads.
        self._lock = threading.Lock()
        self._steps: list[_Step] = []
        self._failure: Failure | None = None

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        step = _Step(lambda fates: done([_no_act(fate) for fate in fates]), list(publications))
        try:
            for publication in publications if self._failure is None else ():
                publication.upload.park()
        except Failure as failure:
            self._failure = failure
        except Exception:
            log.exception("an item of a batch could not be put aside")
            self._failure = _store_failed()
        if self._failure is not None:
            # What is not parked would keep a descriptor until the end.
            self._abort(step)
        with self._lock:
            self._steps.append(step)

    def act(self, act: Act, done: Acted) -> None:
        with self._lock:
            self._steps.append(_Step(lambda fates: done(_no_body(fates[0])), act=act))

    def conclude(self, failed: bool) -> None:
        with self._lock:
            steps, self._steps = self._steps, []
        failure = self._failure
        if failure is None and failed:
            failure = RolledBack("The item was good; it was not stored because the upload was to be stored as a whole.")
        if failure is None:
            failure = self._store_all(steps)
        for step in steps:
            if failure is not None:
                self._give_up(step, failure)
            step.done(step.fates)

    def _store_all(self, steps: Sequence[_Step]) -> Failure | None:
        """What became of all that have no failure of their own, ``None`` if everything was stored."""
        try:
            with self._together() as store:
                for step in steps:
                    self._take(step, store)
                    if any(isinstance(fate, Failure) for fate in step.fates):
                        raise _Refused
        except _Refused:
            return RolledBack("The item was good; another item of the upload was refused, so nothing was stored.")
        except Failure as failure:
            return failure
        except Exception:
            log.exception("storing a batch as a whole failed")
            return _store_failed()
        return None

    def _together(self) -> contextlib.AbstractContextManager[Store]:
        # A transaction that is undone would be seen by others meanwhile, and change entity tags.
        return contextlib.nullcontext(judging(self._store)) if self.rehearses else self._store.transaction()

    def _take(self, step: _Step, store: Store) -> None:
        if step.act is not None:
            act = step.act
            step.fates = [_attempt(lambda: act(store))]
        elif self.rehearses:
            step.fates = [rehearse(store, publication) for publication in step.publications]
        else:
            for start in range(0, len(step.publications), GROUP):
                step.fates += store.publish(step.publications[start : start + GROUP])

    def _give_up(self, step: _Step, failure: Failure) -> None:
        own: list[Fate | Performed] = [fate if isinstance(fate, Failure) else failure for fate in step.fates]
        step.fates = [*own, *[failure] * (len(step) - len(own))]
        self._abort(step)

    def _abort(self, step: _Step) -> None:
        for publication in step.publications:
            # Whatever happens to one, the others are given up too.
            with contextlib.suppress(Exception):
                publication.upload.abort()


def _store_failed() -> Failure:
    return TryAgain("The store failed; nothing was stored. Send it again.")


def _attempt(act: Callable[[], Performed]) -> Performed | Failure:
    try:
        return act()
    except Failure as failure:
        return failure
    except Exception:
        log.exception("an operation of a batch failed")
        return TryAgain("The server failed for a reason of its own. Try again.")


def _no_act(fate: Fate | Performed) -> Fate:
    assert not isinstance(fate, Performed)
    return fate


def _no_body(fate: Fate | Performed) -> Performed | Failure:
    assert isinstance(fate, (Performed, Failure))
    return fate
