"""Plain files in a plain folder: users see what was uploaded and may change it behind the server's back."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from partwise.errors import Failure
from partwise.storage.base import AtHand, Changes, Mark, Path, Publication, Published, Quota, Store
from partwise.storage.local import publishing
from partwise.storage.local.at_hand import Reader
from partwise.storage.local.comparison import Comparison
from partwise.storage.local.durable import FULL, LeftToSystem
from partwise.storage.local.measure import never
from partwise.storage.local.medium import Medium
from partwise.storage.local.recovery import CREATED
from partwise.storage.local.status import just_made
from partwise.storage.local.transaction import TransactionMedium, begun
from partwise.storage.local.witnesses import LocalWitness, Notices
from partwise.storage.local.writer import LocalWriter
from partwise.storage.one_at_a_time import OneAtATime

__all__ = ["CREATED", "LocalStore"]

log = logging.getLogger(__name__)

#: Uploads that a transaction publishes at once; bounds its open descriptors.
_GROUP = 256


class LocalStore(LocalWriter):
    """See ``storage.base.Store`` for every promise.

    ``folder`` is the served folder, ``hidden`` the name inside it under which state and staging are kept. Raises OSError
    if the folder cannot be read and written, StateBroken if its state cannot be used. ``quotas``: the most bytes below a path.
    Not ``durable``: what returns survives a kill of the process, and a power cut some seconds later.
    """

    _medium: Medium

    def __init__(
        self,
        folder: str,
        hidden: str = ".partwise",
        *,
        quotas: Mapping[Path, int] | None = None,
        clock: Callable[[], float] = time.time,
        durable: bool = True,
        threads: OneAtATime | None = None,
    ) -> None:
        durability = FULL if durable else LeftToSystem()
        medium = Medium(folder, hidden, quotas or {}, clock, durability, threads or OneAtATime())
        super().__init__(medium, medium.staging)
        self._comparison = Comparison(self._root, medium.state, medium.critical_section, self._entries)
        self._reader = Reader(self._root)
        self.notices = Notices(self._root)
        log.info("staging uses %s files", "nameless" if self._staging.nameless else "named")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Store]:
        with begun(self._medium) as medium:
            yield Transaction(self, medium)

    def at_hand(self, path: Path, most: int) -> AtHand | None:
        stored = self._medium.state.known_properties(path)
        if stored is None:
            return None
        found = self._reader.read(path, most)
        return None if found is None else AtHand(just_made(path, found[0]), found[1], stored)

    # -- what has changed

    def witness(self, path: Path, *, stored: bool, locks: bool) -> LocalWitness | None:
        unchanged = self._medium.state.unchanged(properties=stored, locks=locks) if stored or locks else None
        return self.notices.witness(path, unchanged)

    def compare(self, path: Path, infinite: bool) -> Iterator[None]:
        return self._comparison.compare(path, infinite)

    def changes(self, path: Path, infinite: bool, since: Mark | None, most: int) -> Changes:
        found = self._comparison.changes(path, infinite, since, most)
        # No number that a client was told may be given to something else after a power cut.
        self._medium.sync([], state=True)
        return found

    # -- the rest

    @property
    def epoch(self) -> str:
        """Of the state; another one means that it was made anew."""
        return self._medium.state.epoch

    def quota(self, path: Path) -> Quota | None:
        return self._medium.quotas.tightest(path)

    def recount(self, stop: Callable[[], bool] = never) -> None:
        """Find what was changed behind the store's back in collections with a quota, if it is time to look.

        It may take long; ``stop`` ends it. Raises OSError, TryAgain.
        """
        self._medium.quotas.recount(stop)

    def staged(self) -> int:
        """Bytes of uploads of this process that are neither published nor aborted."""
        return self._staging.held

    def state_folder(self) -> str:
        return self._medium.folder

    def close(self) -> None:
        self.notices.close()
        self._medium.close()


class Transaction(LocalWriter):
    """A store whose changes are one (``storage.base.Store.transaction``)."""

    def __init__(self, store: LocalStore, medium: TransactionMedium) -> None:
        super().__init__(medium, store._staging)
        self._store = store

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        groups = [publications[start : start + _GROUP] for start in range(0, len(publications), _GROUP)]
        return [answer for group in groups for answer in publishing.publish(self._medium, group)]

    def at_hand(self, path: Path, most: int) -> AtHand | None:
        """Nothing is, within a transaction."""
        return None

    def transaction(self) -> contextlib.AbstractContextManager[Store]:
        raise RuntimeError("a transaction within a transaction")

    def witness(self, path: Path, *, stored: bool, locks: bool) -> None:
        """What a transaction does is not to be kept."""

    def compare(self, path: Path, infinite: bool) -> Iterator[None]:
        """What it changes is noted when it has ended."""
        return iter(())

    def changes(self, path: Path, infinite: bool, since: Mark | None, most: int) -> Changes:
        return self._store.changes(path, infinite, since, most)

    def quota(self, path: Path) -> Quota | None:
        """As it was before."""
        return self._store.quota(path)

    def state_folder(self) -> str:
        return self._store.state_folder()

    def close(self) -> None:
        """It ends with its block."""
