"""The committer: one thread per process makes everybody's staged uploads durable, in groups.

While one group is being synced the next one gathers; so the cost of a sync is shared by all that wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partwise.errors import Failure, TryAgain
from partwise.storage.base import Publication, Published, Store

log = logging.getLogger(__name__)

Result = Published | Failure
Done = Callable[[Sequence[Result]], None]

#: Publications in one group; bounds the open descriptors and the time of one critical section.
GROUP = 256


@dataclass(frozen=True, slots=True)
class _Submission:
    publications: Sequence[Publication]
    done: Done


class Committer:
    """Publishes what is submitted, in order of submission."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="partwise-committer", daemon=True)
        self._thread.start()

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        """Hand over sealed uploads. ``done`` gets one result each, in order, on the committer's thread."""
        self._queue.put(_Submission(publications, done))

    def close(self) -> None:
        """Publish what was submitted, then end. Blocks until that is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self._publish(group)
            if last:
                return

    def _gather(self, first: _Submission) -> tuple[list[_Submission], bool]:
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

    def _publish(self, group: Sequence[_Submission]) -> None:
        publications = [publication for submission in group for publication in submission.publications]
        try:
            results: Sequence[Result] = self._store.publish(publications)
        except Exception:
            # The store's own fault; nobody may be told 201 for it.
            log.exception("publishing a group of %d failed", len(publications))
            for publication in publications:
                # Whatever happens to one group, the next one finds the committer alive.
                with contextlib.suppress(Exception):
                    publication.upload.abort()
            results = [TryAgain("The store failed; nothing was stored. Send it again.")] * len(publications)
        start = 0
        for submission in group:
            stop = start + len(submission.publications)
            try:
                submission.done(results[start:stop])
            except Exception:
                log.exception("a report of what was published failed")
            start = stop
