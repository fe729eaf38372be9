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
from collections import deque
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
    """Publishes what is submitted, in order of submission but for who may go ahead."""

    def __init__(
        self, store: Store, told: Callable[[], None] = lambda: None, threads: OneAtATime | None = None
    ) -> None:
        """``told`` is called when everybody of a group has been told, on the thread that told them."""
        self._store, self._told = store, told
        self._threads = threads or OneAtATime()
        self._waiting: deque[_Submission] = deque()
        self._ahead: deque[_Submission] = deque()
        #: True for each of both, put in after it; None for the end.
        self._arrived: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
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

    def submit(self, publications: Sequence[Publication], done: Done, *, ahead: bool = False) -> None:
        """Hand over sealed uploads. ``done`` gets one result each, in order, on another thread.

        ``ahead``: before what others have waiting, which may be a thousand items of a batch. (For single uploads, of which there
        are always fewer than a group holds, so that others are never kept out.)
        """
        (self._ahead if ahead else self._waiting).append(_Submission(publications, done))
        self._arrived.put(True)

    def close(self) -> None:
        """Publish what was submitted, then end. Blocks until that is done."""
        self._arrived.put(None)
        for thread in self._running:
            thread.join()

    def _flush_all(self) -> None:
        roam()
        last = False
        while not last and self._arrived.get():
            group, last = self._gather()
            self._flushed.put((group, self._flush(_publications(group))))
        self._flushed.put(None)

    def _gather(self) -> tuple[list[_Submission], bool]:
        """One has arrived; and more may have. The bool says that they were the last."""
        group: list[_Submission] = []
        count = 0
        while True:
            group.append((self._ahead or self._waiting).popleft())
            count += len(group[-1].publications)
            if count >= GROUP:
                return group, False
            try:
                if not self._arrived.get_nowait():
                    return group, True
            except queue.Empty:
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
        while not last and self._arrived.get():
            group, last = self._gather()
            self._commit(group, None)
            del group

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
