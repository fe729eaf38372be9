"""What the file system knows about a file, as a resource of the store."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import threading
from collections.abc import Callable

from partwise.storage.base import Path, Resource

Birth = Callable[[int, str], int | None]

_KIND = 0o170000  # S_IFMT
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
    born = _birth(directory, name)
    created = min(status.st_mtime_ns, status.st_ctime_ns) if born is None else born
    if stat.S_ISDIR(status.st_mode):
        return Resource(path, True, 0, status.st_mtime_ns, None, created)
    return Resource(path, False, status.st_size, status.st_mtime_ns, _etag(status), created)


def just_made(path: Path, status: os.stat_result) -> Resource:
    """As :func:`resource`, of a file that was given its name this moment; when it was made nobody asks."""
    return _made(Resource, (path, False, status.st_size, status.st_mtime_ns, _etag(status), 0))


def unborn(path: Path, status: os.stat_result) -> Resource:
    """As :func:`resource`, with nobody asked when it was made: ``created_ns`` is 0."""
    modified = status.st_mtime_ns
    if status.st_mode & _KIND == stat.S_IFDIR:
        return _made(Resource, (path, True, 0, modified, None, 0))
    return _made(Resource, (path, False, status.st_size, modified, _etag(status), 0))


def _etag(status: os.stat_result) -> str:
    # Twice as fast as an f-string, which matters where a million are listed.
    return "%x-%x-%x-%x" % (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)  # noqa: UP031
