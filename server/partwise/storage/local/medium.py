"""What every change of the local store is made with: the folder, staging, the state, and one critical section."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from partwise.errors import TryAgain
from partwise.storage.base import Lock, Path
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.durable import FULL, Durability
from partwise.storage.local.failures import not_durable
from partwise.storage.local.folder import Folder
from partwise.storage.local.journal import Step
from partwise.storage.local.ledger import Ledger, Limits
from partwise.storage.local.quota import Quotas
from partwise.storage.local.recovery import recover
from partwise.storage.local.staging import NO_SPACE, Staging, space_or_raise
from partwise.storage.local.upload import LocalUpload
from partwise.storage.one_at_a_time import OneAtATime
from partwise.storage.sql.intents import Intent, Verb
from partwise.storage.sql.state import Changes, State


class Recorded(Protocol):
    """The state as writers need it (``storage.sql.state.State``, or ``storage.sql.joint.JointState``)."""

    def properties(self, paths: Sequence[Path]) -> dict[Path, dict[str, str]]: ...

    def locks_on(self, path: Path) -> tuple[Lock, ...]: ...

    def has_locks(self) -> bool: ...

    def locks_below(self, path: Path) -> tuple[Lock, ...]: ...

    def writing(self) -> AbstractContextManager[Changes]: ...

    def intend(self, intent: Intent) -> int: ...

    def fulfilling(self, number: int) -> AbstractContextManager[Changes]: ...


class AnyMedium(ABC):
    """What a change is made with, by itself or as a part of a transaction.

    ``staging`` is where what is taken out of the tree is kept; ``journalled``: it must stay there until the end, and every
    step is announced.
    """

    root: Root
    staging: Folder
    journalled: bool

    @property
    @abstractmethod
    def state(self) -> Recorded: ...

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """The quotas."""

    @abstractmethod
    def critical_section(self) -> AbstractContextManager[None]:
        """One writer at a time, across threads and processes. Raises TryAgain."""

    @abstractmethod
    def section(self) -> AbstractContextManager[Ledger]:
        """The critical section for what changes how much collections with a quota hold. Raises TryAgain."""

    @abstractmethod
    def turn(self) -> AbstractContextManager[None]:
        """For the part of a change that runs much Python."""

    @abstractmethod
    def about_to(self, *steps: Step) -> None:
        """Announce steps. Raises OutOfSpace, TryAgain: then they must not be done."""

    @abstractmethod
    def sync_contents(self, uploads: Sequence[LocalUpload]) -> None:
        """Make the bytes of sealed uploads durable. Raises OutOfSpace, TryAgain."""

    @abstractmethod
    def sync(self, descriptors: Iterable[int], *, state: bool) -> None:
        """Make names durable, and what was committed to the state. Raises TryAgain."""

    @abstractmethod
    def discard(self, trash: str | None) -> None:
        """Remove what was moved into staging, out of the tree."""

    def intend(self, intent: Intent) -> int:
        """Record what is about to be done to names and state. Raises OutOfSpace, TryAgain: then it must not be done."""
        return self.state.intend(intent)

    def forget(self, path: Path, intent: int | None) -> None:
        """What was known about a path and all below it, and its locks. Raises OutOfSpace, TryAgain."""
        with self.state.writing() if intent is None else self.state.fulfilling(intent) as state:
            state.clear_tree(path)
            state.drop_locks_in(path)

    def has_state(self, path: Path) -> bool:
        """Is anything known about this path, or are there locks at or below it?"""
        if self.state.properties([path]) or self.state.locks_below(path):
            return True
        return any(lock.root == path for lock in self.state.locks_on(path))


class Medium(AnyMedium):
    """Held by one store for its life. Raises as LocalStore."""

    staging: Staging
    journalled = False

    def __init__(
        self,
        folder: str,
        hidden: str,
        quotas: Mapping[Path, int],
        clock: Callable[[], float] = time.time,
        durability: Durability = FULL,
        threads: OneAtATime | None = None,
    ) -> None:
        self._threads = threads or OneAtATime()
        self.durability = durability
        with contextlib.ExitStack() as opened:
            self.root = Root(folder, hidden)
            opened.callback(self.root.close)
            self.folder = os.path.join(self.root.folder, hidden)
            self._state = State(self.folder)
            opened.callback(self._state.close)
            self.staging = Staging(os.path.join(self.folder, "staging"), durability)
            opened.callback(self.staging.close)
            self._writer = os.open(
                os.path.join(self.folder, "writer.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
            )
            opened.callback(os.close, self._writer)
            # flock(2) excludes processes; threads share the descriptor and need a lock of their own.
            self._thread_lock = threading.Lock()
            self.quotas = Quotas(self.root, self._state, self.folder, quotas, self.critical_section, clock)
            self._closing = opened.pop_all()
        with self._alone():
            self._recover()  # what was interrupted before this start

    @property
    def state(self) -> State:
        return self._state

    @property
    def limits(self) -> Limits:
        return self.quotas.limits

    @contextlib.contextmanager
    def critical_section(self) -> Iterator[None]:
        with self._alone():
            # What a killed writer had begun is finished first, and what fails in here and could not be undone at the end.
            if self.state.interrupted() and not self._recover():
                raise TryAgain("The server could not undo what was interrupted; nothing was changed. Try again later.")
            try:
                yield
            finally:
                if self.state.interrupted():
                    self._recover()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._thread_lock:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
            try:
                with self.state.fresh():
                    yield
            finally:
                fcntl.flock(self._writer, fcntl.LOCK_UN)

    def _recover(self) -> bool:
        """True but if the names are as half a transaction has left them."""
        trash: list[str] = []
        with Directories(self.root) as directories:
            sound = recover(self.state, directories, self.staging, self.folder, trash)
        for name in trash:
            self.discard(name)
        return sound

    def intend(self, intent: Intent) -> int:
        number = super().intend(intent)
        known = intent.replaced is not None or intent.verb is Verb.MAKE
        if known or any(self.state.knows(path) for path in {intent.source, intent.destination}):
            # The new name may reach the disk before the log does: after a power cut nobody would know what was begun.
            self.sync([], state=True)
        return number

    def section(self) -> AbstractContextManager[Ledger]:
        return self.quotas.section()

    def turn(self) -> AbstractContextManager[None]:
        return self._threads.turn()

    def about_to(self, *steps: Step) -> None:
        """Nobody needs to know."""

    def sync_contents(self, uploads: Sequence[LocalUpload]) -> None:
        waiting = [upload for upload in uploads if not upload.synced]
        if not waiting:
            return
        try:
            if any(upload.parked for upload in waiting):
                self.durability.sync_all(self.staging.descriptor)
            else:
                self.durability.sync([upload.descriptor for upload in waiting], self.staging.descriptor)
        except OSError as error:
            if error.errno in NO_SPACE:
                # Some file systems look for room only now, and those of a network may only now be told.
                raise space_or_raise(error) from None
            raise not_durable(error) from None
        for upload in waiting:
            upload.synced = True

    def sync(self, descriptors: Iterable[int], *, state: bool) -> None:
        try:
            logs = [self.state.descriptor()] if state else []
            self.durability.sync([*descriptors, *logs], self.root.descriptor)
        except OSError as error:
            raise not_durable(error) from None

    def discard(self, trash: str | None) -> None:
        if trash is not None:
            self.staging.remove(trash)

    def close(self) -> None:
        self._closing.close()
