"""Changing plain files in a plain folder, by itself or within a transaction."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from partwise.errors import Failure
from partwise.storage.base import (
    Check,
    Exists,
    Failed,
    Lock,
    Move,
    Path,
    Properties,
    Publication,
    Published,
    Resource,
)
from partwise.storage.local import publishing, relocation
from partwise.storage.local.beneath import Directories
from partwise.storage.local.failures import placing
from partwise.storage.local.journal import Made, Placed, Touched
from partwise.storage.local.medium import AnyMedium
from partwise.storage.local.names import Site, is_taken, parent_of
from partwise.storage.local.staging import Staging
from partwise.storage.local.status import resource
from partwise.storage.local.tree import LocalTree, found, look
from partwise.storage.local.upload import LocalUpload
from partwise.storage.sql.intents import UNBORN, Identity, Intent, Verb

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalWriter(LocalTree):
    """The writing half of the local store (``storage.base.Store``), with what it reads in order to write."""

    def __init__(self, medium: AnyMedium, staging: Staging) -> None:
        super().__init__(medium.root)
        self._medium, self._state, self._staging = medium, medium.state, staging

    # -- contents and names

    def stage(self) -> LocalUpload:
        return LocalUpload(self._staging)

    @property
    def durable(self) -> bool:
        return self._staging.durability.waits

    def flush(self, publications: Sequence[Publication]) -> None:
        self._medium.sync_contents([publishing.local(publication) for publication in publications])

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
                number = self._intend(path, UNBORN) if concerned else None
                self._medium.about_to(Made(path))
                try:
                    os.mkdir(path[-1], dir_fd=parent)
                except FileExistsError:
                    raise Exists from None
                except OSError as error:
                    raise placing(error) from None
                try:
                    made = directories.open(path)
                    if number is not None:
                        with self._state.fulfilling(number) as state:
                            state.clear([path])
                            state.set_properties(path, properties or {})
                except BaseException:
                    os.rmdir(path[-1], dir_fd=parent)
                    raise
            self._medium.sync([made, parent], state=concerned)

    def _intend(self, path: Path, identity: Identity) -> int:
        """Something is about to be made of which something is to be known from the start."""
        return self._medium.intend(Intent(Verb.MAKE, path, path, identity))

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
                    standing = found(directories, path)
                    check(standing)
                    if modified_ns is not None:
                        self._medium.about_to(Touched(path, standing.modified_ns))
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

    def has_locks(self) -> bool:
        return self._state.has_locks()

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
        upload = publishing.local(empty)
        upload.seal(None)
        number = self._intend(lock.root, upload.identity())
        self._medium.about_to(Placed(lock.root, upload.identity()))
        try:
            placed = publishing.place(empty, site, {})
        except OSError as error:
            raise placing(error) from None
        try:
            with self._state.fulfilling(number) as state:
                state.clear([lock.root])
                state.add_lock(lock)
        except BaseException:
            placed.undo(self._medium)
            raise
        return resource(lock.root, os.fstat(upload.descriptor), upload.descriptor)

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

    # -- the rest

    def used_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def free_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return status.f_bavail * status.f_frsize


def _open_again(directories: Directories, path: Path) -> int:
    """A descriptor of what stands there, of its own. Raises NotFound, NotAllowed."""
    canonical, _ = directories.locate(path)
    if not canonical:
        return os.dup(directories.root.descriptor)
    try:
        return os.open(canonical[-1], _READ, dir_fd=directories.open(canonical[:-1]))
    except OSError as error:
        raise placing(error) from None
