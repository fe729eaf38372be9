"""Large pieces of a body are hashed in a thread beside the one that writes them: a hash takes longer than all the rest."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from partwise.processors import roam
from partwise.protocol.digests import DigestCheck

#: Of smaller pieces the way to another thread costs more than it saves.
_WORTH = 128 * 1024
#: More would only take turns on the processors.
_THREADS = 2

# Its threads begin with the first large piece, which is after a worker has been forked.
_beside = ThreadPoolExecutor(_THREADS, thread_name_prefix="partwise-hash", initializer=roam)


class Hashing:
    """As a ``DigestCheck``; a piece must stay as it is until the next call. Used by one thread at a time."""

    def __init__(self, check: DigestCheck) -> None:
        self._check = check
        self._running: Future[None] | None = None

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the body."""
        self._settle()
        if len(data) < _WORTH:
            self._check.update(data)
        else:
            self._running = _beside.submit(self._check.update, data)

    def value(self, algorithm: str) -> bytes | None:
        """See ``DigestCheck.value``."""
        self._settle()
        return self._check.value(algorithm)

    def verify(self) -> None:
        """See ``DigestCheck.verify``."""
        self._settle()
        self._check.verify()

    def _settle(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
