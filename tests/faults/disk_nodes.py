"""Files and directories of which a part is on the disk already."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: What a collection holds by itself.
COLLECTION = "a collection"
#: What stands under a name: bytes, a collection, or nothing.
Standing = bytes | str | None


class File:
    """Its bytes, and when they were last modified if somebody has said so, in nanoseconds since 1970."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.modified: int | None = None

    def write(self, at: int, data: bytes) -> None:
        self.resize(max(at, len(self.data)))
        self.data[at : at + len(data)] = data

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def copied(self) -> File:
        other = File(self.data)
        other.modified = self.modified
        return other


class Folder:
    """Its names."""

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}

    def give(self, name: str, node: Node | None) -> None:
        if node is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = node

    def copied(self) -> Folder:
        other = Folder()
        other.entries = dict(self.entries)
        return other


Content = File | Folder
Change = Callable[[Content], None]


@dataclass(frozen=True)
class Stamp:
    """A file gets another modification time."""

    modified: int

    def __call__(self, content: Content) -> None:
        file(content).modified = self.modified


class Node:
    """A file or a directory, whatever it is named: ``now``, and as it is on the disk (``kept``).

    ``waiting``: the changes that are not on the disk yet, each with the line in which its call returned; ``settled``: that
    line of the last one that is. ``number``: that of its inode, if the trace told it.
    """

    def __init__(self, now: Content, kept: Content) -> None:
        self.now, self.kept = now, kept
        self.waiting: list[tuple[int, Change]] = []
        self.settled = 0
        self.number: int | None = None

    @property
    def file(self) -> File:
        assert isinstance(self.now, File)
        return self.now

    @property
    def folder(self) -> Folder:
        assert isinstance(self.now, Folder)
        return self.now

    def change(self, line: int, change: Change) -> None:
        change(self.now)
        self.waiting.append((line, change))

    def sync(self, before: int, *, data_only: bool = False) -> None:
        """What had returned before that line is on the disk; ``data_only``: but for what fdatasync(2) leaves out."""
        waiting, self.waiting = self.waiting, []
        for line, change in waiting:
            if line < before and not (data_only and isinstance(change, Stamp)):
                change(self.kept)
                self.settled = line
            else:
                self.waiting.append((line, change))

    def left(self, cut: Cut) -> Content:
        """What a power cut leaves: what is on the disk, and some of what waits."""
        some = cut.some(self.waiting, names=isinstance(self.kept, Folder))
        left = self.kept.copied() if some else self.kept
        for _, change in some:
            change(left)
        return left


@dataclass(frozen=True)
class Cut:
    """A power cut. Without a chance it leaves nothing that it need not.

    Of names a beginning is left, for they are changed in order, and of bytes any part. ``until``: it is a beginning of all
    that was done to any directory, up to that line, as on file systems with one journal; else of each directory by itself.
    """

    chance: random.Random | None = None
    until: int | None = None

    def some(self, waiting: list[tuple[int, Change]], *, names: bool) -> list[tuple[int, Change]]:
        if names and self.until is not None:
            return [each for each in waiting if each[0] < self.until]
        if self.chance is None:
            return []
        if names:
            return waiting[: self.chance.randrange(len(waiting) + 1)]
        return [each for each in waiting if self.chance.random() < 0.5]


def new_file(data: bytes = b"") -> Node:
    """Durable with these bytes."""
    return Node(File(data), File(data))


def new_folder() -> Node:
    return Node(Folder(), Folder())


def tree(names: Mapping[str, Standing]) -> Node:
    """A directory that holds these names, durably; each one after the directory that it lies in."""
    top = new_folder()
    for name, held in names.items():
        *above, last = name.split("/")
        node = new_file(held) if isinstance(held, bytes) else new_folder()
        place = top
        for part in above:
            place = place.folder.entries[part]
        give(place.now, last, node)
        give(place.kept, last, node)
    return top


def make(node: Node, path: Path, cut: Cut, made: dict[Node, Path]) -> None:
    """Make what a power cut leaves of it. ``made``: where files with two names have one already."""
    content = node.left(cut)
    if isinstance(content, Folder):
        path.mkdir(exist_ok=True)
        for name, below in content.entries.items():
            make(below, path / name, cut, made)
    elif node in made:
        os.link(made[node], path)
    else:
        made[node] = path
        path.write_bytes(content.data)
        if content.modified is not None:
            os.utime(path, ns=(content.modified, content.modified))


def give(content: Content, name: str, node: Node | None) -> None:
    """A change of a directory: a name is given, or taken away."""
    assert isinstance(content, Folder)
    content.give(name, node)


def file(content: Content) -> File:
    """What a change of a file concerns."""
    assert isinstance(content, File)
    return content
