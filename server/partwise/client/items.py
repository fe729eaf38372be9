"""What is to be sent: the files of a source, with the names that they will have on the server."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Findings", "Item", "Skipped", "find"]


#: Bytes of the head of a part, at most, without the name.
_HEAD = 384


class Item(NamedTuple):
    """One file. ``name`` is relative to the collection, its segments joined by ``/``; bytes that are not UTF-8 are
    surrogates. ``size`` in bytes and ``mtime_ns`` (since 1970) are as they were when the file was found."""

    name: str
    file: str
    size: int
    mtime_ns: int


class Skipped(NamedTuple):
    """Something that is not sent. ``broken``: it should have been, but cannot be read."""

    name: str
    reason: str
    broken: bool = False


@dataclass(slots=True)
class Findings:
    """What :func:`find` found. ``folders`` are the names of all folders that were walked.

    ``scopes`` are the names of the folders that sources stand for, ``""`` for the collection itself: below them, the
    source says what there is; elsewhere it says nothing.
    """

    items: list[Item] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Is anything missing that should have been found?"""
        return any(skipped.broken for skipped in self.skipped)


def find(sources: Iterable[str], *, follow: bool = False, hidden: str = ".partwise") -> Findings:
    """The files of the sources, sorted by name within a folder.

    A folder is sent with its name, as ``cp -r`` does; with a slash at its end (or as ``.`` or ``..``) only what it
    holds is, as ``rsync`` does. Symbolic links are skipped unless ``follow``; devices, sockets and pipes are, always, and
    so is a folder called ``hidden``, in which a partwise server keeps its state.

    Raises ValueError, with a sentence for people, for a source that is not there and for two that have one name.
    """
    found = Findings()
    taken: dict[str, str] = {}
    for source in sources:
        name = _name(source)
        try:
            status = os.stat(source)
        except OSError as error:
            raise ValueError(f"{source!r} cannot be read: {error.strerror}.") from None
        if stat.S_ISDIR(status.st_mode):
            found.scopes.append(name)
            _walk(found, os.fspath(source), name, _Rules(follow, hidden))
        elif stat.S_ISREG(status.st_mode) and name:
            found.items.append(Item(name, source, status.st_size, status.st_mtime_ns))
        else:
            raise ValueError(f"{source!r} is neither a file nor a folder.")
    for item in found.items:
        other = taken.setdefault(item.name, item.file)
        if other != item.file:
            raise ValueError(f"{other!r} and {item.file!r} would both be sent as {item.name!r}.")
    if len(taken) != len(found.items):
        found.items = list({item.name: item for item in found.items}.values())
    return found


def _name(source: str) -> str:
    """Under which name a source is sent; none for what a folder holds."""
    last = os.path.basename(source)
    return "" if last in ("", ".", "..") else last


class _Rules(NamedTuple):
    follow: bool
    hidden: str


def _walk(found: Findings, folder: str, name: str, rules: _Rules) -> None:
    # Without recursion: a tree may be deeper than the stack. The ancestors end the loops that links can make.
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(folder, name, frozenset())]
    while waiting:
        folder, name, above = waiting.pop()
        found.folders.add(name)
        prefix = name + "/" if name else ""
        below: list[tuple[str, str, frozenset[tuple[int, int]]]] = []
        try:
            if rules.follow:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in above:
                    found.skipped.append(Skipped(name, "a link to a folder that holds it"))
                    continue
                above |= {(status.st_dev, status.st_ino)}
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=_entry_name):
                    if _look(found, entry, prefix + entry.name, rules):
                        below.append((entry.path, prefix + entry.name, above))
        except OSError as error:
            found.skipped.append(Skipped(name or folder, f"cannot be read: {error.strerror}", True))
        waiting.extend(reversed(below))


_entry_name: Callable[[os.DirEntry[str]], str] = lambda entry: entry.name  # noqa: E731


def _look(found: Findings, entry: os.DirEntry[str], name: str, rules: _Rules) -> bool:
    """Take one entry of a folder. True: it is a folder, to be walked."""
    try:
        if entry.is_symlink() and not rules.follow:
            found.skipped.append(Skipped(name, "a symbolic link"))
        elif entry.is_dir():
            if entry.name != rules.hidden:
                return True
            found.skipped.append(Skipped(name, "a folder in which a server keeps its state"))
        elif entry.is_file():
            status = entry.stat()
            found.items.append(Item(name, entry.path, status.st_size, status.st_mtime_ns))
        else:
            broken_link = entry.is_symlink()
            found.skipped.append(Skipped(name, "a link to nothing" if broken_link else "no ordinary file"))
    except OSError as error:
        found.skipped.append(Skipped(name, f"cannot be read: {error.strerror}", True))
    return False


def split(items: Iterable[Item], most_items: int, most_bytes: int) -> Iterator[list[Item]]:
    """Batches of at most so many items and bytes, heads of parts included; a larger item has a batch of its own."""
    batch: list[Item] = []
    room = most_bytes
    for item in items:
        if batch and (len(batch) >= most_items or _share(item) > room):
            yield batch
            batch, room = [], most_bytes
        batch.append(item)
        room -= _share(item)
    if batch:
        yield batch


def _share(item: Item) -> int:
    # Percent-encoding triples a byte at most, and a character has four at most; the other headers are short.
    return item.size + 12 * len(item.name) + _HEAD
