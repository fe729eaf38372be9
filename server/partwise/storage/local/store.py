"""Plain files in a plain folder: users see what was uploaded and may change it behind the server's back."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import cast

from partwise.errors import Failure, ForbiddenName, NotAllowed, NotFound, ParentMissing, TryAgain, WrongKind
from partwise.storage.base import Check, Exists, Path, Publication, Published, Resource
from partwise.storage.local.beneath import Directories, Root, absent_or_raise
from partwise.storage.local.durable import sync
from partwise.storage.local.staging import LocalUpload, Staging, space_or_raise

log = logging.getLogger(__name__)

NO_PARENT = "The parent of this name does not exist or is not a collection."

#: A member, and the identity of what it leads to if it is a link.
Entry = tuple[Resource, tuple[int, int] | None]


def resource(path: Path, status: os.stat_result) -> Resource:
    """A status as a resource. A strong ETag: inode, size, mtime and ctime together change with every change of contents."""
    if stat.S_ISDIR(status.st_mode):
        return Resource(path, True, 0, status.st_mtime_ns, None)
    etag = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
    return Resource(path, False, status.st_size, status.st_mtime_ns, etag)


class LocalFile:
    """A file open for reading."""

    def __init__(self, descriptor: int, found: Resource) -> None:
        self._descriptor = descriptor
        self.resource = found

    def fileno(self) -> int:
        return self._descriptor

    def read(self, offset: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, offset)

    def close(self) -> None:
        os.close(self._descriptor)


class LocalStore:
    """See ``storage.base.Store`` for every promise.

    ``folder`` is the served folder, ``hidden`` the name inside it under which state and staging are kept. Raises OSError
    if the folder cannot be read and written.
    """

    def __init__(self, folder: str, hidden: str = ".partwise") -> None:
        self._root = Root(folder, hidden)
        self._state = os.path.join(self._root.folder, hidden)
        self._staging = Staging(os.path.join(self._state, "staging"))
        self._writer = os.open(os.path.join(self._state, "writer.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # flock(2) excludes processes; threads share the descriptor and need a lock of their own.
        self._thread_lock = threading.Lock()
        log.info("staging uses %s files", "nameless" if self._staging.nameless else "named")

    # -- reading

    def stat(self, path: Path) -> Resource:
        with Directories(self._root) as directories:
            _, status = directories.locate(path)
        return resource(path, status)

    def look(self, path: Path, existing: int) -> Resource | None:
        with Directories(self._root) as directories:
            try:
                _, status = directories.locate(path)
                return resource(path, status)
            except NotFound:
                for length in range(len(path) - 1, 0, -1):
                    above = path[:length]
                    try:
                        directories.open(above)
                        return None
                    except NotFound:
                        if length <= existing or _in_the_way(directories, above):
                            raise ParentMissing(NO_PARENT) from None
                return None

    def members(self, path: Path) -> Iterator[Resource]:
        entries = self._entries(path)
        return (member for member, _ in entries)

    def walk(self, path: Path) -> Iterator[Resource]:
        return self._walk(self._entries(path))

    def _walk(self, entries: Iterator[Entry]) -> Iterator[Resource]:
        levels, entered = [entries], set[tuple[int, int]]()
        while levels:
            for member, linked in levels[-1]:
                yield member
                if not member.collection or linked in entered:
                    continue
                if linked is not None:
                    entered.add(linked)
                try:
                    levels.append(self._entries(member.path))
                except (NotFound, NotAllowed):  # gone, or closed to us, since it was listed
                    continue
                break
            else:
                levels.pop()

    def _entries(self, path: Path) -> Iterator[Entry]:
        with Directories(self._root) as directories:
            descriptor = os.dup(directories.open(path))
        entries = self._scan(path, descriptor)
        next(entries)  # a generator that never began would not close what it holds
        return cast(Iterator[Entry], entries)

    def _scan(self, path: Path, descriptor: int) -> Iterator[Entry | None]:
        try:
            yield None
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    found = self._entry((*path, entry.name), entry)
                    if found is not None:
                        yield found
        finally:
            os.close(descriptor)

    def _entry(self, path: Path, entry: os.DirEntry[str]) -> Entry | None:
        if len(path) == 1 and self._root.is_hidden(path):
            return None
        try:
            if entry.is_symlink():
                with Directories(self._root) as directories:
                    _, status = directories.locate(path)
                return resource(path, status), (status.st_dev, status.st_ino)
            status = entry.stat(follow_symlinks=False)
            if self._root.is_state(status):
                return None
        except (NotFound, NotAllowed, OSError):
            return None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return None
        return resource(path, status), None

    def open(self, path: Path) -> LocalFile:
        with Directories(self._root) as directories:
            canonical, status = directories.locate(path)
            if not stat.S_ISREG(status.st_mode):
                raise NotFound("There is no file under this address.")
            # O_NONBLOCK: should a pipe take the file's place just now, opening it must not wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                descriptor = os.open(canonical[-1], flags, dir_fd=directories.open(canonical[:-1]))
            except OSError as error:
                raise absent_or_raise(error) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise NotFound("There is no file under this address.")
        return LocalFile(descriptor, resource(path, status))

    # -- writing

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
                touched: set[Path] = set()
                with self._critical_section():
                    results = [self._publish_one(publication, directories, touched) for publication in publications]
                try:
                    sync([directories.open(path) for path in touched], self._root.descriptor)
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

    def _publish_one(
        self, publication: Publication, directories: Directories, touched: set[Path]
    ) -> Published | Failure:
        try:
            return self._place(publication, directories, touched)
        except Failure as failure:
            return failure
        except OSError as error:
            try:
                return _placing(error)
            except OSError:
                return _not_stored(error)

    def _place(self, publication: Publication, directories: Directories, touched: set[Path]) -> Published:
        """Most names are new: so it is tried as one, and looked at only if something stands there."""
        try:
            publication.check(None)
            return self._place_new(publication, directories, touched)
        except (FileExistsError, Failure) as hindrance:
            existing = _writable(directories, publication.path)
            if existing is None:
                if isinstance(hindrance, Failure):
                    raise
                raise TryAgain("Somebody else changed this name at the same moment. Send it again.") from None
        return self._replace(publication, existing, directories, touched)

    def _place_new(self, publication: Publication, directories: Directories, touched: set[Path]) -> Published:
        upload, path = _local(publication), publication.path
        upload.link(self._parent(publication, directories, touched), path[-1])
        touched.add(path[:-1])
        return Published(True, resource(path, os.fstat(upload.descriptor)))

    def _replace(
        self,
        publication: Publication,
        existing: tuple[Path, os.stat_result],
        directories: Directories,
        touched: set[Path],
    ) -> Published:
        upload, path = _local(publication), publication.path
        canonical, status = existing
        publication.check(resource(path, status))
        parent = directories.open(canonical[:-1])
        os.fchmod(upload.descriptor, stat.S_IMODE(status.st_mode))
        upload.replace(parent, canonical[-1])
        touched.add(canonical[:-1])
        return Published(False, resource(path, os.fstat(upload.descriptor)))

    def _parent(self, publication: Publication, directories: Directories, touched: set[Path]) -> int:
        """The collection that receives the item, made if that is allowed."""
        base, parent = publication.path[: publication.existing], publication.path[:-1]
        try:
            descriptor = directories.open(base)
            for length in range(len(base) + 1, len(parent) + 1):
                descriptor, made = directories.make(parent[:length])
                if made:
                    touched.update((parent[:length], parent[: length - 1]))
        except (NotFound, FileExistsError):
            raise ParentMissing(NO_PARENT) from None
        return descriptor

    def make_collection(self, path: Path, check: Check) -> None:
        with Directories(self._root) as directories, self._critical_section():
            try:
                parent = directories.open(path[:-1])
            except NotFound:
                raise ParentMissing(NO_PARENT) from None
            if _anything(directories, path):
                raise Exists
            check(None)
            try:
                os.mkdir(path[-1], dir_fd=parent)
            except FileExistsError:
                raise Exists from None
            except OSError as error:
                raise _placing(error) from None
            os.fsync(directories.open(path))
            os.fsync(parent)

    def delete(self, path: Path, check: Check) -> None:
        if not path:
            raise NotAllowed("The served folder itself cannot be deleted.")
        with Directories(self._root) as directories:
            with self._critical_section():
                _, status = directories.locate(path)
                check(resource(path, status))
                parent = directories.open(path[:-1])
                trash = self._take_away(parent, path[-1])
            os.fsync(parent)
        if trash is not None:
            # Out of the tree already; what cannot be removed now is swept at the next start.
            self._staging.remove(trash)

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
            if error.errno in (errno.EBUSY, errno.EXDEV):
                raise NotAllowed("Another file system is mounted here; it cannot be deleted.") from None
            raise absent_or_raise(error) from None
        return trash

    @contextlib.contextmanager
    def _critical_section(self) -> Iterator[None]:
        """One writer at a time, across threads and processes."""
        with self._thread_lock:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._writer, fcntl.LOCK_UN)

    # -- the rest

    def free_space(self) -> int | None:
        status = os.fstatvfs(self._root.descriptor)
        return status.f_bavail * status.f_frsize

    def state_folder(self) -> str:
        return self._state

    def close(self) -> None:
        self._staging.close()
        os.close(self._writer)
        self._root.close()


def _local(publication: Publication) -> LocalUpload:
    assert isinstance(publication.upload, LocalUpload), "an upload is published by the store that staged it"
    return publication.upload


def _anything(directories: Directories, path: Path) -> bool:
    try:
        directories.status(path)
    except NotFound:
        return False
    return True


def _in_the_way(directories: Directories, path: Path) -> bool:
    """Does something other than a collection stand here? (One may have been made since it was looked for.)"""
    try:
        return not stat.S_ISDIR(directories.status(path).st_mode)
    except NotFound:
        return False


def _writable(directories: Directories, path: Path) -> tuple[Path, os.stat_result] | None:
    """The file that a publication would replace; ``None`` if the name is free.

    Raises WrongKind for a collection, ForbiddenName for what clients cannot see (a link that leads out, a device).
    """
    try:
        found = path, directories.status(path)
    except NotFound:
        return None
    try:
        if not stat.S_ISREG(found[1].st_mode):
            found = directories.locate(path)
    except NotFound:
        raise ForbiddenName(
            "The name is taken by something that is not served, such as a link that leads out of the folder."
        ) from None
    if stat.S_ISDIR(found[1].st_mode):
        raise WrongKind("A collection stands under this name; a file cannot take its place.")
    return found


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
