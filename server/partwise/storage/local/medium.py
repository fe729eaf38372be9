"""What every change of the local store is made with: the folder, staging, the state, and one critical section."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from partwise.storage.base import Path
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.durable import sync
from partwise.storage.local.failures import not_durable
from partwise.storage.local.quota import Quotas
from partwise.storage.local.recovery import recover
from partwise.storage.local.staging import Staging
from partwise.storage.sql.state import State


class Medium:
    """Held by one store for its life. Raises as LocalStore."""

    def __init__(
        self, folder: str, hidden: str, quotas: Mapping[Path, int], clock: Callable[[], float] = time.time
    ) -> None:
        with contextlib.ExitStack() as opened:
            self.root = Root(folder, hidden)
            opened.callback(self.root.close)
            self.folder = os.path.join(self.root.folder, hidden)
            self.state = State(self.folder)
            opened.callback(self.state.close)
            self.staging = Staging(os.path.join(self.folder, "staging"))
            opened.callback(self.staging.close)
            self._writer = os.open(
                os.path.join(self.folder, "writer.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
            )
            opened.callback(os.close, self._writer)
            # flock(2) excludes processes; threads share the descriptor and need a lock of their own.
            self._thread_lock = threading.Lock()
            self.quotas = Quotas(self.root, self.state, self.folder, quotas, self.critical_section, clock)
            self._closing = opened.pop_all()
        with self.critical_section():
            pass  # for what was interrupted before this start

    @contextlib.contextmanager
    def critical_section(self) -> Iterator[None]:
        """One writer at a time, across threads and processes."""
        with self._thread_lock:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
            try:
                with self.state.fresh(), self._recovered():
                    yield
            finally:
                fcntl.flock(self._writer, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _recovered(self) -> Iterator[None]:
        """What a killed writer had begun is finished first, and what fails in here and could not be undone at the end."""
        self._recover()
        try:
            yield
        finally:
            self._recover()

    def _recover(self) -> None:
        if self.state.interrupted():
            with Directories(self.root) as directories:
                for trash in recover(self.state, directories, self.staging):
                    self.discard(trash)

    def sync(self, descriptors: Iterable[int], *, state: bool) -> None:
        """Make names durable, and what was committed to the state. Raises TryAgain."""
        try:
            sync([*descriptors, *([self.state.descriptor()] if state else [])], self.root.descriptor)
        except OSError as error:
            raise not_durable(error) from None

    def discard(self, trash: str | None) -> None:
        """Remove what was moved into staging, out of the tree."""
        if trash is not None:
            self.staging.remove(trash)

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

    def close(self) -> None:
        self._closing.close()
