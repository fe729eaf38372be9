"""How bytes and names reach stable storage on this operating system."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence

#: From so many descriptors on, one syncfs(2) costs less than a sync of each.
_SYNCFS_FROM = 4


def _load_syncfs() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = [ctypes.c_int], ctypes.c_int
    return lambda descriptor: int(function(descriptor))


_syncfs = _load_syncfs()


#: sync_file_range(2): begin to write, wait for nothing.
_SYNC_FILE_RANGE_WRITE = 2


def _load_sync_file_range() -> Callable[[int, int, int, int], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_sync_file_range = _load_sync_file_range()


class Durability:
    """Full: what is acknowledged survives a power cut."""

    #: Does anything here wait for the disk?
    waits = True

    def sync(self, descriptors: Sequence[int], file_system: int) -> None:
        """See :func:`sync`."""
        sync(descriptors, file_system)

    def sync_all(self, file_system: int) -> None:
        """See :func:`sync_all`."""
        sync_all(file_system)

    def sync_one(self, descriptor: int) -> None:
        """Raises OSError."""
        os.fsync(descriptor)

    def begin(self, descriptor: int, start: int, count: int) -> None:
        """This part of a file will be synced later; its disk may work on it meanwhile."""
        if _sync_file_range is not None:
            # What it cannot do, and what goes wrong on the disk, the sync of the file finds out.
            _sync_file_range(descriptor, start, count, _SYNC_FILE_RANGE_WRITE)


class LeftToSystem(Durability):
    """What is acknowledged survives a kill of the server; the system writes it back some time later, as it likes."""

    waits = False

    def sync(self, descriptors: Sequence[int], file_system: int) -> None:
        pass

    def sync_all(self, file_system: int) -> None:
        pass

    def sync_one(self, descriptor: int) -> None:
        pass

    def begin(self, descriptor: int, start: int, count: int) -> None:
        pass


FULL = Durability()


def sync(descriptors: Sequence[int], file_system: int) -> None:
    """Return when the data and metadata behind all descriptors are on stable storage.

    ``file_system`` is any descriptor on the file system that holds all of them. It must have been opened before the data
    was written: Linux reports write errors of syncfs(2) only to descriptors older than the error. Raises OSError when a
    sync failed; the data must then be given up, since a second sync would report success for pages that were dropped.
    """
    if len(descriptors) >= _SYNCFS_FROM and _syncfs is not None:
        sync_all(file_system)
        return
    for descriptor in descriptors:
        os.fsync(descriptor)


def sync_all(file_system: int) -> None:
    """As :func:`sync`, for everything that was written to the file system before. Raises OSError."""
    if _syncfs is None:
        os.sync()
    elif _syncfs(file_system) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
