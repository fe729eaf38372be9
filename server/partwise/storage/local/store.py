"""Plain files in a plain folder: users see what was uploaded and may change it behind the server's back."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from partwise.errors import Failure
from partwise.storage.base import (
    Changes,
    Check,
    Exists,
    Failed,
    Lock,
    Mark,
    Move,
    Path,
    Properties,
    Publication,
    Published,
    Quota,
    Resource,
)
from partwise.storage.local import publishing, relocation
from partwise.storage.local.beneath import Directories
from partwise.storage.local.comparison import Comparison
from partwise.storage.local.failures import placing
from partwise.storage.local.measure import never
from partwise.storage.local.medium import Medium
from partwise.storage.local.names import Site, is_taken, parent_of
from partwise.storage.local.recovery import CREATED
from partwise.storage.local.staging import LocalUpload
from partwise.storage.local.tree import LocalTree, found, look

__all__ = ["CREATED", "LocalStore"]

log = logging.getLogger(__name__)

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalStore(LocalTree):
    """See ``storage.base.Store`` for every promise.

    ``folder`` is the served folder, ``hidden`` the name inside it under which state and staging are kept. Raises OSError
    if the folder cannot be read and written, StateBroken if its state cannot be used. ``quotas``: the most bytes below a path.
    """

    def __init__(
        self,
        folder: str,
        hidden: str = ".partwise",
        *,
        quotas: Mapping[Path, int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._medium = Medium(folder, hidden, quotas or {}, clock)
        super().__init__(self._medium.root)
        self._state = self._medium.state
        self._staging = self._medium.staging
        self._comparison = Comparison(self._root, self._state, self._medium.critical_section, self._entries)
        log.info("staging uses %s files", "nameless" if self._staging.nameless else "named")

    # -- contents and names

    def stage(self) -> LocalUpload:
        return LocalUpload(self._staging)

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        return publishing.publish(self._medium, publications)

    def make_collection(self, path: Path, check: Check, properties: Properties | None = None) -> None:
        with Directories(self._root) as directories:
            with self._medium.critical_section():
                parent = parent_of(directories, path)
                if is_taken(directories, path):
                    raise Exists
                check(None)
                concerned = bool(properties or self._state.properties([path]))
                try:
                    os.mkdir(path[-1], dir_fd=parent)
                except FileExistsError:
                    raise Exists from None
                except OSError as error:
                    raise placing(error) from None
                try:
                    made = directories.open(path)
                    if concerned:
                        with self._state.writing() as state:
                            state.clear([path])
                            state.set_properties(path, properties or {})
                except BaseException:
                    os.rmdir(path[-1], dir_fd=parent)
                    raise
            self._medium.sync([made, parent], state=concerned)

    def delete(self, path: Path, check: Check) -> None:
        relocation.delete(self._medium, path, check)

    def move(self, move: Move) -> bool:
        return relocation.move(self._medium, move)

    def copy(self, move: Move, infinite: bool, failed: Failed) -> bool:
        return relocation.copy(self._medium, self, move, infinite, failed)

    # -- properties

    def properties(self, paths: Sequence[Path]) -> Mapping[Path, Properties]:
        return self._state.properties(paths)

    def set_properties(
        self, path: Path, changes: Mapping[str, str | None], check: Check, modified_ns: int | None = None
    ) -> None:
        with contextlib.ExitStack() as opened:
            touched: list[int] = []
            with self._medium.critical_section():
                with Directories(self._root) as directories:
                    check(found(directories, path))
                    if modified_ns is not None:
                        touched.append(_open_again(directories, path))
                        opened.callback(os.close, touched[0])
                with contextlib.ExitStack() as undoing:
                    for descriptor in touched:
                        undoing.enter_context(self._touched(descriptor, modified_ns or 0))
                    with self._state.writing() as state:
                        state.set_properties(path, changes)
            self._medium.sync(touched, state=True)

    @contextlib.contextmanager
    def _touched(self, descriptor: int, modified_ns: int) -> Iterator[None]:
        """With another modification time, which stays if the block does not raise."""
        before = os.fstat(descriptor)
        try:
            os.utime(descriptor, ns=(self._staging.clock(), modified_ns))
        except OSError as error:
            raise placing(error) from None
        try:
            yield
        except BaseException:
            os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
            raise

    # -- locks

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        return self._state.locks_on(path)

    def locks_below(self, path: Path) -> tuple[Lock, ...]:
        return self._state.locks_below(path)

    def lock(self, lock: Lock, check: Check) -> Resource | None:
        with contextlib.ExitStack() as opened:
            directories = opened.enter_context(Directories(self._root))
            site = Site(directories)
            with self._medium.critical_section():
                standing = look(directories, lock.root, max(len(lock.root) - 1, 0))
                if standing is not None:
                    check(standing)
                    with self._state.writing() as state:
                        state.add_lock(lock)
                    made, synced = None, []
                else:
                    upload = self.stage()
                    opened.callback(upload.close)
                    made = self._lock_new(lock, Publication(upload, lock.root, len(lock.root) - 1, check), site)
                    synced = [upload.descriptor]
            self._medium.sync([*synced, *site.descriptors()], state=True)
            return made

    def _lock_new(self, lock: Lock, empty: Publication, site: Site) -> Resource:
        """RFC 4918 §7.3: the lock of an unmapped URL makes an empty resource, that lasts."""
        empty.upload.seal(None)
        try:
            placed = publishing.place(empty, site, {})
        except OSError as error:
            raise placing(error) from None
        try:
            with self._state.writing() as state:
                state.clear([lock.root])
                state.add_lock(lock)
        except BaseException:
            placed.undo(self._medium)
            raise
        return placed.published.resource

    def refresh(self, token: str, expires: float) -> Lock | None:
        with self._medium.critical_section(), self._state.writing() as state:
            lock = state.refresh_lock(token, expires)
        self._medium.sync([], state=True)
        return lock

    def unlock(self, token: str) -> bool:
        with self._medium.critical_section(), self._state.writing() as state:
            dropped = state.drop_lock(token)
        self._medium.sync([], state=True)
        return dropped

    # -- what has changed

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
        return self._state.epoch

    def quota(self, path: Path) -> Quota | None:
        return self._medium.quotas.tightest(path)

    def recount(self, stop: Callable[[], bool] = never) -> None:
        """Find what was changed behind the store's back in collections with a quota, if it is time to look.

        It may take long; ``stop`` ends it. Raises OSError, TryAgain.
        """
        self._medium.quotas.recount(stop)

    def used_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def free_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return status.f_bavail * status.f_frsize

    def state_folder(self) -> str:
        return self._medium.folder

    def close(self) -> None:
        self._medium.close()


def _open_again(directories: Directories, path: Path) -> int:
    """A descriptor of what stands there, of its own. Raises NotFound, NotAllowed."""
    canonical, _ = directories.locate(path)
    if not canonical:
        return os.dup(directories.root.descriptor)
    try:
        return os.open(canonical[-1], _READ, dir_fd=directories.open(canonical[:-1]))
    except OSError as error:
        raise placing(error) from None
