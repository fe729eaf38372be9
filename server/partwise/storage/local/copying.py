"""Copies of files and trees, made in staging so that they can appear at once."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Generator
from typing import NamedTuple, cast

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Failed, Path, Resource
from partwise.storage.local.durable import Durability
from partwise.storage.local.failures import not_durable
from partwise.storage.local.folder import Folder
from partwise.storage.local.staging import NO_SPACE, space_or_raise
from partwise.storage.local.tree import LocalTree

#: Bytes that one call of copy_file_range(2) may copy; on some file systems they share their blocks.
_PIECE = 64 * 1024 * 1024
_READ = 1024 * 1024

# What copy_file_range(2) says where it cannot do it.
_UNABLE = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: A copied directory must stay writable for us, or it could not be moved to its place.
_OURS = 0o700


Steps = Generator[tuple[Resource, bool], None, None]


class Copied(NamedTuple):
    """A durable copy: its name in staging, and the entity tag of the file that it was made of."""

    name: str
    etag: str | None


def copy(tree: LocalTree, staging: Folder, source: Resource, infinite: bool, failed: Failed) -> Copied:
    """Copy what is at ``source.path`` into staging.

    Modification times and permissions are kept. Raises NotFound, also when it is of another kind now, NotAllowed, OutOfSpace,
    TryAgain or OSError, and leaves nothing then.
    """
    name = staging.name()
    try:
        if not source.collection:
            return Copied(name, _copy_file(tree, source.path, name, staging.descriptor, staging.durability).etag)
        _copy_tree(tree, staging, source.path, name, infinite, failed)
        _durable(staging.durability.sync_all, staging.descriptor)
    except BaseException as error:
        staging.remove(name)
        if isinstance(error, OSError):
            raise space_or_raise(error) from None
        raise
    return Copied(name, None)


def weigh(tree: LocalTree, source: Resource, infinite: bool, inner: Collection[Path]) -> dict[Path, int]:
    """Bytes of the files that :func:`copy` would copy, as ``measure`` tells them: also of those that cannot be read.

    Raises NotFound, NotAllowed.
    """
    sums = dict.fromkeys(((), *inner), 0)
    if not source.collection:
        sums[()] = source.size
    elif infinite:
        with contextlib.closing(cast(Steps, tree.steps(source.path))) as steps:
            for member, _ in steps:
                sums[()] += member.size
                path = member.path[len(source.path) :]
                for place in inner:
                    if path[: len(place)] == place:
                        sums[place] += member.size
    return sums


def copy_contents(source: int, destination: int) -> None:
    """All bytes of one descriptor to the other, from the beginning. Raises OSError."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source, destination, _PIECE):
                pass
            return
        except OSError as error:
            if error.errno not in _UNABLE or os.lseek(destination, 0, os.SEEK_CUR):
                raise
    while data := os.read(source, _READ):
        view = memoryview(data)
        while view:
            view = view[os.write(destination, view) :]


def _copy_tree(tree: LocalTree, staging: Folder, source: Path, name: str, infinite: bool, failed: Failed) -> None:
    with contextlib.ExitStack() as top:
        descriptor = _make_folder(tree, source, name, staging.descriptor)
        copied = [(source, descriptor)]
        # Whatever is still open at the end.
        top.callback(_close, copied)
        if infinite:
            steps = top.enter_context(contextlib.closing(cast(Steps, tree.steps(source))))
            _copy_members(tree, steps, copied, failed)


def _durable(sync: Callable[[int], None], descriptor: int) -> None:
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise not_durable(error) from None


def _close(copied: list[tuple[Path, int]]) -> None:
    for _, descriptor in copied:
        os.close(descriptor)


def _copy_members(tree: LocalTree, steps: Steps, copied: list[tuple[Path, int]], failed: Failed) -> None:
    """``copied`` holds the copies of the collections that the walk is in, from the source on, and their descriptors."""
    left_out: Path | None = None
    for member, repeated in steps:
        path = member.path
        if left_out is not None and path[: len(left_out)] == left_out:
            continue
        left_out = None
        while path[:-1] != copied[-1][0]:
            os.close(copied.pop()[1])
        try:
            if repeated:
                raise NotAllowed("The link leads to a collection that another link led to already; copy it by itself.")
            _copy_member(tree, member, copied)
        except NotFound:
            # Gone since it was listed: a copy of now does not have it.
            left_out = path
        except NotAllowed as failure:
            left_out = path
            failed(path, failure)


def _copy_member(tree: LocalTree, member: Resource, copied: list[tuple[Path, int]]) -> None:
    directory, name = copied[-1][1], member.path[-1]
    if member.collection:
        copied.append((member.path, _make_folder(tree, member.path, name, directory)))
    else:
        _copy_file(tree, member.path, name, directory)


def _make_folder(tree: LocalTree, source: Path, name: str, directory: int) -> int:
    """An empty copy of a collection; its descriptor."""
    mode = tree.permissions(source) & 0o777 | _OURS
    # A collection whose members cannot be listed must not be copied as an empty one.
    cast(Steps, tree.members(source)).close()
    os.mkdir(name, _OURS, dir_fd=directory)
    descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    os.fchmod(descriptor, mode)
    return descriptor


def _copy_file(
    tree: LocalTree, source: Path, name: str, directory: int, durability: Durability | None = None
) -> Resource:
    """What was copied. Without a durability it is made durable later."""
    with contextlib.closing(tree.open(source)) as file:
        descriptor = os.open(name, _NEW, 0o600, dir_fd=directory)
        try:
            copy_contents(file.fileno(), descriptor)
            os.utime(descriptor, ns=(file.resource.modified_ns, file.resource.modified_ns))
            os.fchmod(descriptor, os.stat(file.fileno()).st_mode & 0o777)
            if durability is not None:
                _durable(durability.sync_one, descriptor)
        finally:
            os.close(descriptor)
        return file.resource
