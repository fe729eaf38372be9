"""Verifying passwords: slow on purpose, so it is done in threads of its own, and remembered for a while."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from partwise.auth import hashes
from partwise.auth.credentials import Credentials
from partwise.auth.htpasswd import Users
from partwise.errors import TooManyRequests
from partwise.processors import roam

#: Verifications at a time; each keeps one core busy.
_THREADS = 2
#: Verifications that may wait. Beyond, a flood of wrong passwords would keep everybody waiting.
_WAITING = 64
#: Users whose last success is remembered, and for how many seconds.
_KEPT = 1000
_KEEP = 300.0


class Verifier:
    """Answers whether passwords match. Successes are remembered: a client sends its password with every request.

    What is remembered is a keyed digest of user, password and stored hash; the key never leaves the process. A changed
    hash is thus another question. Failures are never remembered. ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        threads: int = _THREADS,
        waiting: int = _WAITING,
        kept: int = _KEPT,
        keep: float = _KEEP,
        clock: Callable[[], float] = time.monotonic,
        matches: Callable[[bytes, str], bool] = hashes.matches,
    ) -> None:
        self._most = threads + waiting
        self._kept = kept
        self._keep = keep
        self._clock = clock
        self._matches = matches
        self._key = secrets.token_bytes(32)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="partwise-password", initializer=roam)
        self._lock = threading.Lock()
        #: Digest and end of validity, by user, the least recently used first.
        self._successes: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        #: What is being verified now, by digest.
        self._running: dict[bytes, Future[bool]] = {}

    def decoy(self, users: Users, user: str) -> str | None:
        """What to verify in place of the hash of a user that does not exist; always the same for one name.

        None if there are no users at all, and so nothing to hide.
        """
        if not users.decoys:
            return None
        chosen = int.from_bytes(hmac.digest(self._key, b"decoy" + user.encode(), "sha256")[:8], "big")
        return users.decoys[chosen % len(users.decoys)]

    def remembers(self, credentials: Credentials, stored: str) -> bool:
        """Did these credentials match this hash not long ago?"""
        digest = self._digest(credentials, stored)
        with self._lock:
            success = self._successes.get(credentials.user)
            if success is None:
                return False
            if self._clock() >= success[1]:
                del self._successes[credentials.user]
                return False
            if not hmac.compare_digest(success[0], digest):
                return False
            self._successes.move_to_end(credentials.user)
            return True

    def verify(self, credentials: Credentials, stored: str) -> Future[bool]:
        """The verification of these credentials; the same for all who ask while it runs, so nobody may cancel it.

        Raises TooManyRequests; the future may raise TryAgain.
        """
        digest = self._digest(credentials, stored)
        with self._lock:
            if (running := self._running.get(digest)) is not None:
                return running
            if len(self._running) >= self._most:
                raise TooManyRequests("Too many passwords wait to be verified. Try again in a few seconds.")
            future = self._executor.submit(self._work, credentials, stored, digest)
            self._running[digest] = future
            return future

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _work(self, credentials: Credentials, stored: str, digest: bytes) -> bool:
        right = False
        try:
            right = self._matches(credentials.password, stored)
        finally:
            with self._lock:
                del self._running[digest]
                if right:
                    self._remember(credentials.user, digest)
        return right

    def _remember(self, user: str, digest: bytes) -> None:
        self._successes[user] = digest, self._clock() + self._keep
        self._successes.move_to_end(user)
        while len(self._successes) > self._kept:
            self._successes.popitem(last=False)

    def _digest(self, credentials: Credentials, stored: str) -> bytes:
        # Neither a user name nor a hash holds a NUL, and the password is what is between.
        message = b"\0".join((credentials.user.encode(), credentials.password, stored.encode()))
        return hmac.digest(self._key, message, "sha256")
