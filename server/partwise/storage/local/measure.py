"""How many bytes the files of a tree take."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from partwise.storage.base import Path
from partwise.storage.local.beneath import Root

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Gone since it was listed, or closed to us: what we cannot read was not stored by us.
_LEFT_OUT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM}


class Stopped(Exception):
    """Whoever asked does not want to know any more."""


def never() -> bool:
    """Measure to the end."""
    return False


def measure(
    root: Root, directory: int, name: str, inner: Collection[Path] = (), stop: Callable[[], bool] = never
) -> dict[Path, int]:
    """Sizes of all files at and below a name in an open directory, by ``()``; and by each relative path of ``inner`` of
    those at and below it.

    A name that does not exist takes nothing, nor does a link: what it leads to counts where it lies. The state folder is left
    out. Raises OSError, and Stopped as soon as ``stop`` says so.
    """
    sums = dict.fromkeys(((), *inner), 0)
    for path, size in _files(root, directory, name, stop):
        sums[()] += size
        for place in inner:
            if path[: len(place)] == place:
                sums[place] += size
    return sums


def _files(root: Root, directory: int, name: str, stop: Callable[[], bool]) -> Iterator[tuple[Path, int]]:
    """Every file, by its path below the name, and its size."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        _raise_if_unexpected(error)
        return
    if stat.S_ISREG(status.st_mode):
        yield (), status.st_size
        return
    levels: list[_Level] = []
    try:
        _enter(levels, root, (), directory, name)
        while levels:
            path, descriptor, entries, held = levels[-1]
            entry = next(entries, None)
            if entry is None:
                levels.pop()
                held.close()
            elif entry.is_dir(follow_symlinks=False):
                if stop():
                    raise Stopped
                _enter(levels, root, (*path, entry.name), descriptor, entry.name)
            elif entry.is_file(follow_symlinks=False):
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except OSError as error:
                    _raise_if_unexpected(error)
                    continue
                yield (*path, entry.name), size
    finally:
        for level in levels:
            level.held.close()


class _Level(NamedTuple):
    """A folder that is being read; ``held`` is given back at its end."""

    path: Path
    descriptor: int
    entries: Iterator[os.DirEntry[str]]
    held: contextlib.ExitStack


def _enter(levels: list[_Level], root: Root, path: Path, directory: int, name: str) -> None:
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError as error:
        _raise_if_unexpected(error)
        return
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, descriptor)
        if not root.is_state(os.fstat(descriptor)):
            entries = opened.enter_context(os.scandir(descriptor))
            levels.append(_Level(path, descriptor, entries, opened.pop_all()))


def _raise_if_unexpected(error: OSError) -> None:
    if error.errno not in _LEFT_OUT:
        raise error
