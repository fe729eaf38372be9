"""What stands under the names that an operation is about to change, and whether it may."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from partwise.errors import NotAllowed, NotFound, ParentMissing, WrongKind
from partwise.storage.base import Path, Publication, Resource, Upload
from partwise.storage.local.beneath import Directories
from partwise.storage.local.failures import overlapping, taken
from partwise.storage.local.ledger import Ledger
from partwise.storage.local.tree import NO_PARENT, found
from partwise.storage.sql.intents import Identity


class Site:
    """Where one operation writes: its open directories, those whose names changed, and the collections it made."""

    def __init__(self, directories: Directories) -> None:
        self.directories = directories
        self.touched: set[Path] = set()
        self.made: list[Path] = []
        #: What is placed here counts, if there are quotas.
        self.ledger: Ledger | None = None
        #: Where the old contents are to be kept, if everything must be undoable.
        self.aside: Mapping[Upload, Name] = {}

    def descriptors(self) -> list[int]:
        """Of the directories whose names changed; they are open already."""
        return [self.directories.open(path) for path in self.touched]


class Name:
    """A name in an open directory; itself, and never what a link under it leads to.

    ``place`` is its path in the tree, or the name alone in the folder where the store keeps what it takes away.
    """

    __slots__ = ("name", "parent", "place")

    def __init__(self, parent: int, name: str, place: Path | None = None) -> None:
        self.parent, self.name = parent, name
        self.place: Path | str = name if place is None else place

    def is_directory(self) -> bool:
        """A link is none. Raises OSError."""
        return stat.S_ISDIR(self.status().st_mode)

    def status(self) -> os.stat_result:
        """Raises OSError."""
        return os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)

    def identity(self) -> Identity:
        """Of the name itself, a link not followed. Raises OSError."""
        status = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        return status.st_dev, status.st_ino

    def keep(self, aside: Name) -> None:
        """Give the file a second name, where that is possible: else it leaves its own. Raises OSError."""
        try:
            os.link(self.name, aside.name, src_dir_fd=self.parent, dst_dir_fd=aside.parent, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:
            self.rename(aside)

    def rename(self, to: Name) -> None:
        """rename(2): what stands there is replaced, if both are files or ``to`` is an empty directory. Raises OSError."""
        os.rename(self.name, to.name, src_dir_fd=self.parent, dst_dir_fd=to.parent)


def parent_of(directories: Directories, path: Path) -> int:
    """The directory in which a name is to be. Raises ParentMissing, ForbiddenName for the state folder's name."""
    if directories.root.is_hidden(path):
        raise taken()
    try:
        return directories.open(path[:-1])
    except NotFound:
        raise ParentMissing(NO_PARENT) from None


def make_parent(publication: Publication, site: Site) -> int:
    """The collection that receives the item, made if that is allowed. Raises as :func:`parent_of`, OSError."""
    parent = publication.path[:-1]
    # The items of one upload mostly come into the same few collections.
    known = site.directories.opened(parent)
    if known is not None:
        if not parent and site.directories.root.is_hidden(publication.path):
            raise taken()
        return known
    base = publication.path[: publication.existing]
    descriptor = parent_of(site.directories, (*base, publication.path[len(base)]))
    try:
        for length in range(len(base) + 1, len(parent) + 1):
            descriptor, made = site.directories.make(parent[:length])
            if made:
                site.touched.update((parent[:length], parent[: length - 1]))
                site.made.append(parent[:length])
    except (NotFound, FileExistsError):
        raise ParentMissing(NO_PARENT) from None
    return descriptor


def is_open(directories: Directories, path: Path) -> bool:
    """Is it a collection that we may enter?"""
    try:
        directories.open(path)
    except (NotFound, NotAllowed):
        return False
    return True


def is_taken(directories: Directories, path: Path) -> bool:
    """Does anything stand there, served or not?"""
    if not path:
        return True
    try:
        directories.status(path)
    except NotFound:
        return False
    return True


def replaceable(directories: Directories, path: Path) -> Resource | None:
    """What a move or copy would replace; ``None`` if the name is free.

    Raises ParentMissing, ForbiddenName for what clients cannot see (a link that leads out, a device).
    """
    parent_of(directories, path)
    if not is_taken(directories, path):
        return None
    try:
        return found(directories, path)
    except NotFound:
        raise taken() from None


def writable(directories: Directories, path: Path) -> tuple[Path, os.stat_result] | None:
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
        raise taken() from None
    if stat.S_ISDIR(standing[1].st_mode):
        raise collection_in_the_way()
    return standing


def collection_in_the_way() -> WrongKind:
    return WrongKind("A collection stands under this name; a file cannot take its place.")


def canonical(directories: Directories, path: Path) -> Path:
    """A path that need not exist, with the links above it resolved."""
    try:
        return (*directories.root.canonical(path[:-1]), *path[-1:])
    except (NotFound, NotAllowed):
        return path


def refuse_overlap(source: Path, destination: Path, *, member: bool = False) -> None:
    """Raises Overlapping if both are the same, or one lies in the other; ``member``: the destination may lie below."""
    shared = min(len(source), len(destination))
    if source[:shared] == destination[:shared] and not (member and len(destination) > len(source)):
        raise overlapping()
