"""Small files that the kernel has in memory, read without waiting: one look that either succeeds at once or says nothing.

Most GETs of small files find names and contents in the kernel's caches. Then a thread would cost far more than the reading:
a hop takes two changes of threads and some twenty system calls of the interpreter's lock. But only the kernel knows whether a
look-up would go to the disk, and it says so when it is asked in a certain way: openat2(2) with RESOLVE_CACHED, preadv2(2)
with RWF_NOWAIT. Where either is not available, everything is read the other way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable

from partwise.storage.base import Path
from partwise.storage.local import file_systems
from partwise.storage.local.beneath import Root

_OPENAT2 = 437  # the same number on every architecture
# Of <linux/openat2.h>: beneath the descriptor, through no link and into no other mount, from the cache of names alone.
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _CACHED = 0x01, 0x02, 0x04, 0x08, 0x20
_RESOLVE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH | _CACHED
# O_PATH: only the name is looked up. Nobody must notice that a pipe or a device was asked for what it is.
_LOOK = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Names that are remembered as those of files, so that they are looked up once only. If one of them becomes that of a pipe or
#: a device, which nobody but its owner can bring about, it is opened for a moment, once.
_MOST_FILES = 50_000
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

#: The file's status, and its contents.
Found = tuple[os.stat_result, bytes]


def _syscall(flags: int) -> Callable[[int, bytes], int] | None:
    """Opens a name below a descriptor; below 0 if that is not possible at once."""
    if not sys.platform.startswith("linux") or not _NOWAIT or not hasattr(os, "O_PATH"):
        return None
    try:
        # PyDLL keeps the interpreter lock: the call is shorter than giving it away and getting it back.
        function = ctypes.PyDLL(None).syscall
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_long
    how = ctypes.create_string_buffer(struct.pack("=QQQ", flags, 0, _RESOLVE), 24)
    address = ctypes.addressof(how)

    def open_name(descriptor: int, path: bytes, how: object = how) -> int:  # holds on to the memory of the argument
        return int(function(_OPENAT2, descriptor, path, address, 24))

    return open_name


_look, _open = _syscall(_LOOK), _syscall(_READ)


class Reader:
    """Reads below one root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        found = None if _look is None else file_systems.local(root.descriptor)
        # Where all contents are in memory, not waiting cannot be asked for, nor need it be.
        self._flags = 0 if found is not None and found.in_memory else _NOWAIT
        self._able = found is not None
        self._files: set[bytes] = set()

    def read(self, path: Path, most: int) -> Found | None:
        """The whole of a file of ``most`` bytes at most; ``None`` if it is not there, or not at once."""
        if not self._able or _open is None or not path:
            return None
        # Each directory on the way would have to be compared with the state folder. It lies in the root, and among the names
        # that some file system takes for the same, whatever it folds, only that of ASCII letters alone is known without.
        if (len(path) > 1 and not path[0].isascii()) or self._root.is_hidden(path):
            return None
        name = os.fsencode("/".join(path))
        if name not in self._files and not self._is_file(name):
            return None
        descriptor = _open(self._root.descriptor, name)
        if descriptor < 0:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self._files.discard(name)
                return None
            # More than none: an empty file has no page that could be in memory, nor is there anything to win.
            if not 0 < status.st_size <= most:
                return None
            content = bytearray(status.st_size)
            if os.preadv(descriptor, [content], 0, self._flags) != status.st_size:
                return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                # zfs, which cannot be asked not to wait.
                self._able = False
            return None  # most of all BlockingIOError
        finally:
            os.close(descriptor)
        return status, bytes(content)

    def _is_file(self, name: bytes) -> bool:
        assert _look is not None
        descriptor = _look(self._root.descriptor, name)
        if descriptor < 0:
            return False
        try:
            found = stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
        if found:
            if len(self._files) >= _MOST_FILES:
                self._files.clear()
            self._files.add(name)
        return found
