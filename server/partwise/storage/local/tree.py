"""Reading plain files in a plain folder, whatever somebody does to them behind the server's back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import cast

from partwise.errors import NotAllowed, NotFound, ParentMissing
from partwise.storage.base import Path, Resource, Witness
from partwise.storage.local.beneath import Directories, Root, absent_or_raise
from partwise.storage.local.scanning import Identity, Scan
from partwise.storage.local.status import resource
from partwise.storage.local.witnesses import LocalWitness

NO_PARENT = "The parent of this name does not exist or is not a collection."

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

#: A member, and the identity of what it leads to if it is a link.
Entry = tuple[Resource, Identity | None]


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


def found(directories: Directories, path: Path) -> Resource:
    """What stands under the path. Raises NotFound."""
    canonical, status = directories.locate(path)
    if not canonical:
        return resource(path, status, directories.root.descriptor)
    return resource(path, status, directories.open(canonical[:-1]), canonical[-1])


def look(directories: Directories, path: Path, existing: int) -> Resource | None:
    """See ``storage.base.Store.look``."""
    try:
        return found(directories, path)
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


def _in_the_way(directories: Directories, path: Path) -> bool:
    """Does something other than a collection stand here? (One may have been made since it was looked for.)"""
    try:
        return not stat.S_ISDIR(directories.status(path).st_mode)
    except NotFound:
        return False


class LocalTree:
    """The reading half of the local store (``storage.base.Store``)."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def stat(self, path: Path) -> Resource:
        with Directories(self._root) as directories:
            return found(directories, path)

    def look(self, path: Path, existing: int) -> Resource | None:
        with Directories(self._root) as directories:
            return look(directories, path, existing)

    def permissions(self, path: Path) -> int:
        """The mode of what stands there. Raises NotFound."""
        with Directories(self._root) as directories:
            return directories.locate(path)[1].st_mode

    def members(self, path: Path) -> Iterator[Resource]:
        entries = self._entries(path)
        return (member for member, _ in entries)

    def walk(self, path: Path) -> Iterator[Resource]:
        steps = self.steps(path)
        return (member for member, _ in steps)

    def steps(self, path: Path) -> Iterator[tuple[Resource, bool]]:
        """As :meth:`walk`, and whether the member leads to what was entered already, so that its members are left out."""
        return self._walk(self._entries(path))

    def _walk(self, entries: Iterator[Entry]) -> Iterator[tuple[Resource, bool]]:
        levels, entered = [entries], set[Identity]()
        while levels:
            for member, linked in levels[-1]:
                yield member, linked in entered
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

    def scan(
        self, path: Path, infinite: bool, *, born: bool = True, witness: Witness | None = None
    ) -> Iterator[Sequence[Resource]]:
        told = witness if isinstance(witness, LocalWitness) else None
        listing = Scan(self._root, self._follow, born=born, witness=told)
        descriptor = self._open_collection(path)
        if infinite:
            return listing.descendants(path, descriptor, self._open_collection)
        return listing.members(path, descriptor)

    def _open_collection(self, path: Path) -> int:
        with Directories(self._root) as directories:
            # Opened anew: a duplicate would share its place in the listing with whoever else lists the same collection.
            try:
                return os.open(".", _DIRECTORY, dir_fd=directories.open(path))
            except OSError as error:
                raise absent_or_raise(error) from None

    def _entries(self, path: Path) -> Iterator[Entry]:
        entries = self._scan(path, self._open_collection(path))
        next(entries)  # a generator that never began would not close what it holds
        return cast(Iterator[Entry], entries)

    def _scan(self, path: Path, descriptor: int) -> Iterator[Entry | None]:
        try:
            yield None
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    member = self._entry((*path, entry.name), entry, descriptor)
                    if member is not None:
                        yield member
        finally:
            os.close(descriptor)

    def _entry(self, path: Path, entry: os.DirEntry[str], directory: int) -> Entry | None:
        if len(path) == 1 and self._root.is_hidden(path):
            return None
        try:
            if entry.is_symlink():
                return self._follow(path)
            status = entry.stat(follow_symlinks=False)
            if self._root.is_state(status):
                return None
        except (NotFound, NotAllowed, OSError):
            return None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return None
        return resource(path, status, directory, entry.name), None

    def _follow(self, path: Path) -> tuple[Resource, Identity]:
        """What a link leads to. Raises NotFound, NotAllowed."""
        with Directories(self._root) as directories:
            _, status = directories.locate(path)
            return found(directories, path), (status.st_dev, status.st_ino)

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
        return LocalFile(descriptor, resource(path, status, descriptor))
