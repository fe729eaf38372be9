"""Plain files in a plain folder: users see what was uploaded and may change it behind the server's back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from partwise.errors import (
    Failure,
    ForbiddenName,
    NotAllowed,
    NotFound,
    Overlapping,
    ParentMissing,
    TryAgain,
    WrongKind,
)
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
from partwise.storage.local.beneath import Directories, Root, absent_or_raise
from partwise.storage.local.copying import copy_file, copy_tree
from partwise.storage.local.durable import sync
from partwise.storage.local.exchange import exchange
from partwise.storage.local.staging import LocalUpload, Staging, space_or_raise
from partwise.storage.local.status import resource
from partwise.storage.local.tree import NO_PARENT, LocalTree, found, look
from partwise.storage.sql.state import State

log = logging.getLogger(__name__)

#: Kept by the store: when a file whose contents were replaced was made, in nanoseconds since 1970.
CREATED = "{DAV:}creationdate"


class LocalStore(LocalTree):
    """See ``storage.base.Store`` for every promise.

    ``folder`` is the served folder, ``hidden`` the name inside it under which state and staging are kept. Raises OSError
    if the folder cannot be read and written, StateBroken if its state cannot be used.
    """

    def __init__(self, folder: str, hidden: str = ".partwise") -> None:
        super().__init__(Root(folder, hidden))
        self._hidden = os.path.join(self._root.folder, hidden)
        self._state = State(self._hidden)
        self._staging = Staging(os.path.join(self._hidden, "staging"))
        self._writer = os.open(os.path.join(self._hidden, "writer.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # flock(2) excludes processes; threads share the descriptor and need a lock of their own.
        self._thread_lock = threading.Lock()
        log.info("staging uses %s files", "nameless" if self._staging.nameless else "named")

    # -- publishing

    def stage(self) -> LocalUpload:
        return LocalUpload(self._staging)

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        uploads = [_local(publication) for publication in publications]
        try:
            try:
                sync([upload.descriptor for upload in uploads if not upload.synced], self._staging.descriptor)
            except OSError as error:
                return [_not_stored(error)] * len(publications)
            with Directories(self._root) as directories:
                site = _Site(directories)
                with self._critical_section():
                    known = self._state.properties([publication.path for publication in publications])
                    answers = [self._publish_one(publication, site) for publication in publications]
                    results, kept = self._keep(publications, answers, known, site.made)
                try:
                    self._sync(directories, site.touched, state=kept)
                except OSError as error:
                    # The names may or may not survive a power cut: nobody is told that they do.
                    return [_not_stored(error)] * len(publications)
            return results
        finally:
            for upload in uploads:
                try:
                    upload.close()
                except OSError:
                    log.exception("a staged file could not be given back")

    def _keep(
        self,
        publications: Sequence[Publication],
        answers: Sequence[tuple[Published | Failure, Resource | None]],
        known: Mapping[Path, Properties],
        made: Sequence[Path],
    ) -> tuple[list[Published | Failure], bool]:
        """Write what changes in the stored properties of what was placed; True if somebody relies on it being durable.

        An answer is the result, and what stood there before.
        """
        cleared = list(self._state.properties(made)) if made else []
        changed: dict[int, dict[str, str | None]] = {}
        relied = False
        for index, (publication, (answer, before)) in enumerate(zip(publications, answers, strict=True)):
            if isinstance(answer, Failure):
                continue
            path = publication.path
            has = known.get(path, {})
            if before is None and has:
                cleared.append(path)
                has = {}
            changes = {name: value for name, value in publication.properties.items() if has.get(name) != value}
            relied = relied or bool(changes)
            if before is not None and CREATED not in has:
                changes[CREATED] = str(before.created_ns)
            if changes:
                changed[index] = changes
        results: list[Published | Failure] = [answer for answer, _ in answers]
        if cleared or changed:
            try:
                with self._state.writing() as state:
                    state.clear(cleared)
                    for index, changes in changed.items():
                        state.set_properties(publications[index].path, changes)
            except Failure as failure:
                for index in changed:
                    if publications[index].properties:
                        results[index] = failure
        return results, relied

    def _publish_one(self, publication: Publication, site: _Site) -> tuple[Published | Failure, Resource | None]:
        try:
            return self._place(publication, site)
        except Failure as failure:
            return failure, None
        except OSError as error:
            try:
                return _placing(error), None
            except OSError:
                return _not_stored(error), None

    def _place(self, publication: Publication, site: _Site) -> tuple[Published, Resource | None]:
        """Most names are new: so it is tried as one, and looked at only if something stands there."""
        try:
            publication.check(None)
            return self._place_new(publication, site), None
        except (FileExistsError, Failure) as hindrance:
            existing = _writable(site.directories, publication.path)
            if existing is None:
                if isinstance(hindrance, Failure):
                    raise
                raise TryAgain("Somebody else changed this name at the same moment. Send it again.") from None
        return self._replace(publication, existing, site)

    def _place_new(self, publication: Publication, site: _Site) -> Published:
        upload, path = _local(publication), publication.path
        upload.link(_parent(publication, site), path[-1])
        site.touched.add(path[:-1])
        return Published(True, resource(path, os.fstat(upload.descriptor), upload.descriptor))

    def _replace(
        self,
        publication: Publication,
        existing: tuple[Path, os.stat_result],
        site: _Site,
    ) -> tuple[Published, Resource]:
        upload, path = _local(publication), publication.path
        canonical, status = existing
        parent = site.directories.open(canonical[:-1])
        before = resource(path, status, parent, canonical[-1])
        publication.check(before)
        os.fchmod(upload.descriptor, stat.S_IMODE(status.st_mode))
        upload.replace(parent, canonical[-1])
        site.touched.add(canonical[:-1])
        return Published(False, resource(path, os.fstat(upload.descriptor), upload.descriptor)), before

    # -- collections, removal

    def make_collection(self, path: Path, check: Check, properties: Mapping[str, str] | None = None) -> None:
        with Directories(self._root) as directories:
            with self._critical_section():
                try:
                    parent = directories.open(path[:-1])
                except NotFound:
                    raise ParentMissing(NO_PARENT) from None
                if _anything(directories, path):
                    raise Exists
                check(None)
                left = self._state.properties([path])
                try:
                    os.mkdir(path[-1], dir_fd=parent)
                except FileExistsError:
                    raise Exists from None
                except OSError as error:
                    raise _placing(error) from None
                if left or properties:
                    try:
                        with self._state.writing() as state:
                            state.clear([path])
                            state.set_properties(path, properties or {})
                    except Failure:
                        os.rmdir(path[-1], dir_fd=parent)
                        raise
            self._sync(directories, (path, path[:-1]), state=bool(left or properties))

    def delete(self, path: Path, check: Check) -> None:
        if not path:
            raise NotAllowed("The served folder itself cannot be deleted.")
        with Directories(self._root) as directories:
            with self._critical_section():
                standing = found(directories, path)
                check(standing)
                parent = directories.open(path[:-1])
                trash = self._take_away(parent, path[-1])
                concerned = standing.collection or self._has_state(path)
                if concerned:
                    with self._state.writing() as state:
                        state.clear_tree(path)
                        state.drop_locks_in(path)
            self._sync(directories, (path[:-1],), state=concerned)
        self._discard(trash)

    def _has_state(self, path: Path) -> bool:
        return bool(self._state.properties([path])) or any(lock.root == path for lock in self._state.locks_on(path))

    def _take_away(self, parent: int, name: str) -> str | None:
        """Remove a name. A collection moves into staging as a whole, so that no reader sees half of it deleted."""
        try:
            # The name itself: a link is removed, never what it leads to.
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
                return None
            trash = self._staging.name()
            os.rename(name, trash, src_dir_fd=parent, dst_dir_fd=self._staging.descriptor)
        except OSError as error:
            raise _removing(error) from None
        return trash

    def _discard(self, trash: str | None) -> None:
        if trash is not None:
            # Out of the tree already; what cannot be removed now is swept at the next start.
            self._staging.remove(trash)

    # -- moving, copying

    def move(self, move: Move) -> bool:
        _refuse_overlap(move.source, move.destination)
        with Directories(self._root) as directories:
            with self._critical_section():
                source = found(directories, move.source)
                standing = self._judge(move, source, directories)
                try:
                    names = _Names(directories, move.source), _Names(directories, move.destination)
                    trash = self._rename(*names, replacing=standing is not None)
                except NotFound:
                    raise ParentMissing(NO_PARENT) from None
                with self._state.writing() as state:
                    state.drop_locks_in(move.source)
                    for lock in self._state.locks_below(move.destination):
                        state.drop_lock(lock.token)
                    state.move_tree(move.source, move.destination)
            self._sync(directories, {move.source[:-1], move.destination[:-1]}, state=True)
        self._discard(trash)
        return standing is None

    def _judge(self, move: Move, source: Resource, directories: Directories) -> Resource | None:
        """What stands at the destination, if it may be replaced."""
        standing = _replaceable(directories, move.destination)
        move.check(source, standing)
        if standing is not None and not move.overwrite:
            raise Exists
        return standing

    def _rename(self, source: _Names, destination: _Names, *, replacing: bool) -> str | None:
        """Give the source the destination's name. What stood there is in staging then, under the name that is told."""
        try:
            if not replacing or not (source.is_directory() or destination.is_directory()):
                # rename(2) replaces a file by a file in one step.
                os.rename(source.name, destination.name, src_dir_fd=source.parent, dst_dir_fd=destination.parent)
                return None
            if exchange(source.parent, source.name, destination.parent, destination.name):
                return self._take_away(source.parent, source.name)
            trash = self._take_away(destination.parent, destination.name)
            os.rename(source.name, destination.name, src_dir_fd=source.parent, dst_dir_fd=destination.parent)
            return trash
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise _overlapping() from None
            raise _removing(error) from None

    def copy(self, move: Move, infinite: bool, failed: Failed) -> bool:
        below = len(move.destination) > len(move.source) and move.destination[: len(move.source)] == move.source
        if infinite or not below:
            _refuse_overlap(move.source, move.destination)
        with Directories(self._root) as directories:
            source = found(directories, move.source)
            self._judge(move, source, directories)
            if infinite and source.collection:
                # A link may make one lie in the other under another name.
                _refuse_overlap(
                    directories.locate(move.source)[0], _canonical(directories, move.destination), only_below=True
                )
        if source.collection:
            return self._copy_tree(move, source, infinite, failed)
        return self._copy_file(move, source)

    def _copy_file(self, move: Move, source: Resource) -> bool:
        upload = copy_file(self, self._staging, move.source)
        try:
            sync([] if upload.synced else [upload.descriptor], self._staging.descriptor)
            with Directories(self._root) as directories:
                site = _Site(directories)
                trash = None
                with self._critical_section():
                    standing = self._judge(move, source, directories)
                    destination = move.destination
                    if standing is not None and not stat.S_ISREG(directories.status(destination).st_mode):
                        trash = self._take_away(directories.open(destination[:-1]), destination[-1])
                    publication = Publication(upload, destination, len(destination) - 1, lambda _: None)
                    try:
                        self._place(publication, site)
                    except OSError as error:
                        raise _placing(error) from None
                    self._copy_state(move, infinite=False)
                self._sync(directories, site.touched, state=True)
        finally:
            upload.close()
        self._discard(trash)
        return standing is None

    def _copy_tree(self, move: Move, source: Resource, infinite: bool, failed: Failed) -> bool:
        copied = copy_tree(self, self._staging, move.source, infinite, failed)
        try:
            # Everything that was copied, in one go.
            sync([self._staging.descriptor] * 8, self._staging.descriptor)
            with Directories(self._root) as directories:
                trash = None
                with self._critical_section():
                    standing = self._judge(move, source, directories)
                    try:
                        destination = _Names(directories, move.destination)
                    except NotFound:
                        raise ParentMissing(NO_PARENT) from None
                    made = _Names(directories, (copied,), self._staging.descriptor)
                    trash = self._rename(made, destination, replacing=standing is not None)
                    copied = ""
                    self._copy_state(move, infinite=infinite)
                self._sync(directories, (move.destination[:-1], move.destination), state=True)
        finally:
            self._discard(copied or None)
        self._discard(trash)
        return standing is None

    def _copy_state(self, move: Move, *, infinite: bool) -> None:
        with self._state.writing() as state:
            for lock in self._state.locks_below(move.destination):
                state.drop_lock(lock.token)
            state.copy_tree(move.source, move.destination, infinite, (CREATED,))

    # -- state

    def properties(self, paths: Sequence[Path]) -> Mapping[Path, Properties]:
        return self._state.properties(paths)

    def set_properties(
        self, path: Path, changes: Mapping[str, str | None], check: Check, modified_ns: int | None = None
    ) -> None:
        with Directories(self._root) as directories:
            with self._critical_section():
                check(found(directories, path))
                with self._state.writing() as state:
                    state.set_properties(path, changes)
                    if modified_ns is not None:
                        self._touch(directories, path, modified_ns)
            self._sync(directories, (), state=True)

    def _touch(self, directories: Directories, path: Path, modified_ns: int) -> None:
        canonical, _ = directories.locate(path)
        try:
            if not canonical:
                os.utime(self._root.descriptor, ns=(self._staging.clock(), modified_ns))
                return
            parent = directories.open(canonical[:-1])
            os.utime(canonical[-1], ns=(self._staging.clock(), modified_ns), dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            raise _placing(error) from None

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        return self._state.locks_on(path)

    def locks_below(self, path: Path) -> tuple[Lock, ...]:
        return self._state.locks_below(path)

    def lock(self, lock: Lock, check: Check) -> Resource | None:
        upload: LocalUpload | None = None
        try:
            with Directories(self._root) as directories:
                site = _Site(directories)
                made: Resource | None = None
                with self._critical_section():
                    standing = look(directories, lock.root, max(len(lock.root) - 1, 0))
                    if standing is None:
                        upload = self.stage()
                        upload.seal(None)
                        publication = Publication(upload, lock.root, len(lock.root) - 1, check)
                        try:
                            published, _ = self._place(publication, site)
                        except OSError as error:
                            raise _placing(error) from None
                        made = published.resource
                    else:
                        check(standing)
                    with self._state.writing() as state:
                        if made is not None:
                            state.clear([lock.root])
                        state.add_lock(lock)
                self._sync(directories, site.touched, state=True)
            return made
        finally:
            if upload is not None:
                upload.close()

    def refresh(self, token: str, expires: float) -> Lock | None:
        with self._critical_section(), self._state.writing() as state:
            lock = state.refresh_lock(token, expires)
        self._sync_state()
        return lock

    def unlock(self, token: str) -> bool:
        with self._critical_section(), self._state.writing() as state:
            dropped = state.drop_lock(token)
        self._sync_state()
        return dropped

    # -- the critical section, durability

    @contextlib.contextmanager
    def _critical_section(self) -> Iterator[None]:
        """One writer at a time, across threads and processes."""
        with self._thread_lock:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
            try:
                with self._state.fresh():
                    yield
            finally:
                fcntl.flock(self._writer, fcntl.LOCK_UN)

    def _sync(self, directories: Directories, touched: Iterable[Path], *, state: bool) -> None:
        """Make names durable, and what was committed to the state. Raises OSError."""
        descriptors = [directories.open(path) for path in touched]
        if state:
            descriptors.append(self._state.descriptor())
        sync(descriptors, self._root.descriptor)

    def _sync_state(self) -> None:
        sync([self._state.descriptor()], self._root.descriptor)

    # -- the rest

    @property
    def epoch(self) -> str:
        """Of the state; another one means that it was made anew."""
        return self._state.epoch

    def free_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return status.f_bavail * status.f_frsize

    def state_folder(self) -> str:
        return self._hidden

    def close(self) -> None:
        self._staging.close()
        self._state.close()
        os.close(self._writer)
        self._root.close()


class _Site:
    """Where one operation writes: its open directories, those whose names changed, and the collections it made."""

    def __init__(self, directories: Directories) -> None:
        self.directories = directories
        self.touched: set[Path] = set()
        self.made: list[Path] = []


class _Names:
    """A name in an open directory. Raises NotFound if the directory does not exist."""

    def __init__(self, directories: Directories, path: Path, parent: int | None = None) -> None:
        self.name = path[-1]
        self.parent = directories.open(path[:-1]) if parent is None else parent

    def is_directory(self) -> bool:
        return stat.S_ISDIR(os.stat(self.name, dir_fd=self.parent, follow_symlinks=False).st_mode)


def _parent(publication: Publication, site: _Site) -> int:
    """The collection that receives the item, made if that is allowed."""
    base, parent = publication.path[: publication.existing], publication.path[:-1]
    try:
        descriptor = site.directories.open(base)
        for length in range(len(base) + 1, len(parent) + 1):
            descriptor, made = site.directories.make(parent[:length])
            if made:
                site.touched.update((parent[:length], parent[: length - 1]))
                site.made.append(parent[:length])
    except (NotFound, FileExistsError):
        raise ParentMissing(NO_PARENT) from None
    return descriptor


def _local(publication: Publication) -> LocalUpload:
    assert isinstance(publication.upload, LocalUpload), "an upload is published by the store that staged it"
    return publication.upload


def _anything(directories: Directories, path: Path) -> bool:
    try:
        directories.status(path)
    except NotFound:
        return False
    return True


def _canonical(directories: Directories, path: Path) -> Path:
    """A path that need not exist, with the links above it resolved."""
    try:
        return (*directories.root.canonical(path[:-1]), path[-1])
    except NotFound:
        return path


def _refuse_overlap(source: Path, destination: Path, *, only_below: bool = False) -> None:
    """Raises Overlapping, NotAllowed for the root."""
    if not source and not destination:
        raise _overlapping()
    if destination[: len(source)] == source or (not only_below and source[: len(destination)] == destination):
        raise _overlapping()


def _overlapping() -> Overlapping:
    return Overlapping("Source and destination are the same or one lies in the other; choose another destination.")


def _replaceable(directories: Directories, path: Path) -> Resource | None:
    """What a move or copy would replace; ``None`` if the name is free.

    Raises ParentMissing, ForbiddenName for what clients cannot see (a link that leads out, a device).
    """
    try:
        directories.open(path[:-1])
    except NotFound:
        raise ParentMissing(NO_PARENT) from None
    if not _anything(directories, path):
        return None
    try:
        return found(directories, path)
    except NotFound:
        raise _taken() from None


def _taken() -> ForbiddenName:
    return ForbiddenName(
        "The name is taken by something that is not served, such as a link that leads out of the folder."
    )


def _writable(directories: Directories, path: Path) -> tuple[Path, os.stat_result] | None:
    """The file that a publication would replace; ``None`` if the name is free.

    Raises WrongKind for a collection, ForbiddenName for what clients cannot see (a link that leads out, a device).
    """
    try:
        standing = path, directories.status(path)
    except NotFound:
        return None
    try:
        if not stat.S_ISREG(standing[1].st_mode):
            standing = directories.locate(path)
    except NotFound:
        raise _taken() from None
    if stat.S_ISDIR(standing[1].st_mode):
        raise WrongKind("A collection stands under this name; a file cannot take its place.")
    return standing


def _not_stored(error: OSError) -> Failure:
    log.error("a group could not be made durable: %s", os.strerror(error.errno or 0))
    return TryAgain("The server could not make the item durable; nothing was stored. Send it again.")


def _placing(error: OSError) -> Failure:
    """The meaning of a failed mkdir, link or rename; an error without one is raised again."""
    if error.errno == errno.ENOENT:
        return ParentMissing(NO_PARENT)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed("The server's account may not write in this collection.")
    return space_or_raise(error)


def _removing(error: OSError) -> Failure:
    """The meaning of a failed rename or removal; an error without one is raised again."""
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return NotAllowed("Another file system is mounted here; it cannot be moved or deleted.")
    return absent_or_raise(error)
