"""Copies of files and trees, made in staging so that they can appear at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Failed, Path, Resource
from partwise.storage.local.staging import LocalUpload, Staging, space_or_raise
from partwise.storage.local.tree import LocalTree

#: Bytes that one call of copy_file_range(2) may copy; on some file systems they share their blocks.
_PIECE = 64 * 1024 * 1024
_READ = 1024 * 1024

# What copy_file_range(2) says where it cannot do it.
_UNABLE = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


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


def copy_file(tree: LocalTree, staging: Staging, path: Path) -> LocalUpload:
    """A sealed upload with the contents and the modification time of a file. Raises NotFound, OutOfSpace."""
    file = tree.open(path)
    upload = LocalUpload(staging)
    try:
        upload.fill(lambda descriptor: copy_contents(file.fileno(), descriptor), file.resource.size)
        upload.seal(file.resource.modified_ns)
    except BaseException:
        upload.abort()
        raise
    finally:
        file.close()
    return upload


def copy_tree(tree: LocalTree, staging: Staging, source: Path, infinite: bool, failed: Failed) -> str:
    """A folder in staging with copies of all members; its name there. Raises OutOfSpace, and leaves nothing then."""
    name = staging.name()
    os.mkdir(name, dir_fd=staging.descriptor)
    if not infinite:
        return name
    try:
        _copy_members(tree, staging, source, name, failed)
    except BaseException:
        staging.remove(name)
        raise
    return name


def _copy_members(tree: LocalTree, staging: Staging, source: Path, name: str, failed: Failed) -> None:
    copied: list[tuple[Path, int]] = [(source, os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=staging.descriptor))]
    left_out: Path | None = None
    members: Iterator[Resource] = tree.walk(source)
    try:
        for member in members:
            path = member.path
            if left_out is not None and path[: len(left_out)] == left_out:
                continue
            left_out = None
            while path[:-1] != copied[-1][0]:
                os.close(copied.pop()[1])
            try:
                _copy_member(tree, member, copied)
            except (NotFound, NotAllowed) as failure:
                if isinstance(failure, NotFound):
                    continue  # gone since it was listed: a copy of now does not have it
                left_out = path
                failed(path, failure)
            except OSError as error:
                raise space_or_raise(error) from None
    finally:
        getattr(members, "close", lambda: None)()
        for _, descriptor in copied:
            os.close(descriptor)


def _copy_member(tree: LocalTree, member: Resource, copied: list[tuple[Path, int]]) -> None:
    directory, name = copied[-1][1], member.path[-1]
    if member.collection:
        # A collection whose members cannot be listed must not be copied as an empty one.
        tree.members(member.path)
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        copied.append((member.path, below))
        return
    file = tree.open(member.path)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        descriptor = os.open(name, flags, os.stat(file.fileno()).st_mode & 0o777, dir_fd=directory)
        try:
            copy_contents(file.fileno(), descriptor)
            os.utime(descriptor, ns=(file.resource.modified_ns, file.resource.modified_ns))
        finally:
            os.close(descriptor)
    finally:
        file.close()
