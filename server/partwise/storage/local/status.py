"""What the file system knows about a file, as a resource of the store."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import repeat

from partwise.storage.base import Path, Resource
from partwise.storage.columns import Members
from partwise.storage.local.born import Born

Birth = Callable[[int, str], int | None]

#: Inode, size, mtime and ctime.
_ETAG = "%x-%x-%x-%x"
#: A Resource from all of its fields, without the function call that a named tuple's own constructor is.
_made: Callable[[type[Resource], tuple[Path, bool, int, int, str | None, int]], Resource] = tuple.__new__

# statx(2), struct statx: what is known at byte 0; the birth time at byte 80 as seconds and nanoseconds.
_MASK_BIRTH = 0x800
_SIZE = 256
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000


def _load() -> Birth:
    """The time of birth is not in os.stat_result on Linux; ``None`` where it is not known."""
    if not sys.platform.startswith("linux"):
        return _unknown
    try:
        # PyDLL keeps the interpreter lock: the call is shorter than giving it away and getting it back.
        function = ctypes.PyDLL(None).statx
    except (OSError, AttributeError):
        return _unknown
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
    function.restype = ctypes.c_int
    local, unpack = threading.local(), struct.Struct("=I76xqI").unpack_from
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

    def birth(descriptor: int, name: str) -> int | None:
        buffer = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = ctypes.create_string_buffer(_SIZE)
        flags = _AT_SYMLINK_NOFOLLOW if name else _AT_EMPTY_PATH
        if function(descriptor, name.encode(encoding, errors), flags, _MASK_BIRTH, buffer) != 0:
            return None
        known, seconds, nanoseconds = unpack(buffer)
        return seconds * 1_000_000_000 + nanoseconds if known & _MASK_BIRTH else None

    return birth


def _unknown(descriptor: int, name: str) -> int | None:
    return None


_birth = _load()


def tells_birth(directory: int) -> bool:
    """Is the time of birth known on the medium of this directory? Else ``created_ns`` is a guess that changes."""
    return _birth(directory, "") is not None


def resource(path: Path, status: os.stat_result, directory: int, name: str = "") -> Resource:
    """A status as a resource. ``directory`` and ``name`` say where it was read: without a name of the descriptor itself.

    A strong ETag: inode, size, mtime and ctime together change with every change of contents.
    """
    created = _created(name, status, directory)
    if stat.S_ISDIR(status.st_mode):
        return Resource(path, True, 0, status.st_mtime_ns, None, created)
    return Resource(path, False, status.st_size, status.st_mtime_ns, _etag(status), created)


def just_made(path: Path, status: os.stat_result) -> Resource:
    """As :func:`resource`, of a file of which nobody asks when it was made: ``created_ns`` is 0."""
    return _made(Resource, (path, False, status.st_size, status.st_mtime_ns, _etag(status), 0))


def files(parent: Path, names: Sequence[str], statuses: Sequence[os.stat_result], directory: int | None) -> Members:
    """Of each file what :func:`resource` says; ``created_ns`` is 0 without the directory's descriptor."""
    sizes = [status.st_size for status in statuses]
    modified = [status.st_mtime_ns for status in statuses]
    inodes = [status.st_ino for status in statuses]
    changed = [status.st_ctime_ns for status in statuses]
    etags = list(map(_ETAG.__mod__, zip(inodes, sizes, modified, changed, strict=True)))
    return Members(parent, False, names, sizes, modified, etags, _births(names, statuses, directory))


def born_files(parent: Path, names: Sequence[str], found: Born) -> Members:
    """As :func:`files`."""
    etags = list(map(_ETAG.__mod__, zip(found.inodes, found.sizes, found.modified_ns, found.changed_ns, strict=True)))
    return Members(parent, False, names, found.sizes, found.modified_ns, etags, found.created_ns)


def collections(
    parent: Path, names: Sequence[str], statuses: Sequence[os.stat_result], directory: int | None
) -> Members:
    """As :func:`files`."""
    nothing, modified = [0] * len(names), [status.st_mtime_ns for status in statuses]
    return Members(parent, True, names, nothing, modified, [None] * len(names), _births(names, statuses, directory))


def _births(names: Sequence[str], statuses: Sequence[os.stat_result], directory: int | None) -> list[int]:
    if directory is None:
        return [0] * len(names)
    return list(map(_created, names, statuses, repeat(directory)))


def _created(name: str, status: os.stat_result, directory: int) -> int:
    born = _birth(directory, name)
    return min(status.st_mtime_ns, status.st_ctime_ns) if born is None else born


def _etag(status: os.stat_result) -> str:
    # Twice as fast as an f-string, which matters where a million are listed.
    return _ETAG % (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
