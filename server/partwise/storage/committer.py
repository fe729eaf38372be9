"""The committer makes everybody's staged uploads durable, in groups: two threads per process, one behind the other.

The first one has the bytes of a group written to the disk, the second one gives them their names. So while one group gets
its names, the disk works on the bytes of the next one, and yet another gathers; the cost of a sync is shared by all that wait
for it. A store that leaves that to the system has the second thread only.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partwise.errors import Failure, TryAgain
from partwise.processors import roam
from partwise.storage.base import Publication, Published, Store
from partwise.storage.one_at_a_time import OneAtATime

log = logging.getLogger(__name__)

Result = Published | Failure
Done = Callable[[Sequence[Result]], None]

#: Publications in one group; bounds the open descriptors and the time of one critical section.
GROUP = 512


@dataclass(frozen=True, slots=True)
class _Submission:
    publications: Sequence[Publication]
    done: Done


class Committer:
    """Publishes what is submitted, in order of submission."""

    def __init__(
        self, store: Store, told: Callable[[], None] = lambda: None, threads: OneAtATime | None = None
    ) -> None:
        """``told`` is called when everybody of a group has been told, on the thread that told them."""
        self._store, self._told = store, told
        self._threads = threads or OneAtATime()
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        #: Groups whose bytes are on the disk, or why they are not. One may wait: so later ones gather before they are flushed.
        self._flushed: queue.Queue[tuple[Sequence[_Submission], Failure | None] | None] = queue.Queue(1)
        works = {"flusher": self._flush_all, "committer": self._publish_flushed}
        if not store.durable:
            # There is nothing to wait for: one thread does it, and nothing need be handed on.
            works = {"committer": self._publish_all}
        self._running = [
            threading.Thread(target=work, name=f"partwise-{name}", daemon=True) for name, work in works.items()
        ]
        for thread in self._running:
            thread.start()

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        """Hand over sealed uploads. ``done`` gets one result each, in order, on another thread."""
        self._queue.put(_Submission(publications, done))

    def close(self) -> None:
        """Publish what was submitted, then end. Blocks until that is done."""
        self._queue.put(None)
        for thread in self._running:
            thread.join()

    def _flush_all(self) -> None:
        roam()
        last = False
        while not last and (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self._flushed.put((group, self._flush(_publications(group))))
        self._flushed.put(None)

    def _gather(self, first: _Submission) -> tuple[list[_Submission], bool]:
        """What has arrived with the first one. The bool says that nothing comes after it."""
        group, count = [first], len(first.publications)
        while count < GROUP:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return group, True
            group.append(more)
            count += len(more.publications)
        return group, False

    def _flush(self, publications: Sequence[Publication]) -> Failure | None:
        try:
            self._store.flush(publications)
        except Failure as failure:
            return failure
        except Exception:
            log.exception("flushing a group of %d failed", len(publications))
            return _store_failed()
        return None

    def _publish_flushed(self) -> None:
        while (flushed := self._flushed.get()) is not None:
            self._commit(*flushed)
            # Nothing of it may live on while the thread waits for more.
            del flushed

    def _publish_all(self) -> None:
        last = False
        while not last and (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self._commit(group, None)
            del first, group

    def _commit(self, group: Sequence[_Submission], failure: Failure | None) -> None:
        publications = _publications(group)
        results = self._publish(publications) if failure is None else _given_up(publications, failure)
        self._tell(group, results)

    def _publish(self, publications: Sequence[Publication]) -> Sequence[Result]:
        try:
            return self._store.publish(publications)
        except Exception:
            # The store's own fault; nobody may be told 201 for it.
            log.exception("publishing a group of %d failed", len(publications))
            return _given_up(publications, _store_failed())

    def _tell(self, group: Sequence[_Submission], results: Sequence[Result]) -> None:
        start = 0
        with self._threads.turn():
            for submission in group:
                stop = start + len(submission.publications)
                try:
                    submission.done(results[start:stop])
                except Exception:
                    log.exception("a report of what was published failed")
                start = stop
        self._told()


def _publications(group: Sequence[_Submission]) -> list[Publication]:
    return [publication for submission in group for publication in submission.publications]


def _given_up(publications: Sequence[Publication], failure: Failure) -> Sequence[Result]:
    for publication in publications:
        # Whatever happens to one group, the next one finds the committer alive.
        with contextlib.suppress(Exception):
            publication.upload.abort()
    return [failure] * len(publications)


def _store_failed() -> Failure:
    return TryAgain("The store failed; nothing was stored. Send it again.")
