"""Staging: bytes on their way into the tree, where no client can see them.

Where the file system has nameless files (``O_TMPFILE``) a crash leaves nothing behind; elsewhere files
have names in a folder of their own per process, swept when that process is gone.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable

from partwise.errors import OutOfSpace
from partwise.storage.local.durable import FULL, Durability
from partwise.storage.local.folder import Folder

log = logging.getLogger(__name__)

_START_LOCK = "start.lock"

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def space_or_raise(error: OSError) -> OutOfSpace:
    """The meaning of a failed write, if it is a full disk; any other error is raised again."""
    if error.errno in NO_SPACE:
        return OutOfSpace("There is no room left on the server for this item.")
    raise error


def link(descriptor: int, directory: int, name: str) -> None:
    """Give a nameless file a name. Raises FileExistsError if the name is taken."""
    # Without dst_dir_fd the standard library takes link(2), which does not follow /proc/self/fd: EXDEV.
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


class Staging(Folder):
    """The folder of one process for uploads, beneath the state folder (``parent``)."""

    def __init__(self, parent: str, durability: Durability = FULL, clock: Callable[[], int] = time.time_ns) -> None:
        self.clock = clock
        os.makedirs(parent, mode=0o700, exist_ok=True)
        # Two processes that start at once must not sweep what the other has made but not locked yet.
        with open(os.path.join(os.path.dirname(parent), _START_LOCK), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.folder = os.path.join(parent, f"{os.getpid()}-{secrets.token_hex(4)}")
            os.mkdir(self.folder, mode=0o700)
            super().__init__(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), durability)
            # This lock tells other processes that the folder is in use; the kernel drops it with the process.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sweep(parent)
        self.nameless = self._probe_nameless()
        #: Bytes of uploads that are neither published nor aborted, in memory or in files.
        self.held = 0
        self._counting = threading.Lock()

    def _sweep(self, parent: str) -> None:
        """Remove what processes that are gone left behind."""
        swept = 0
        for entry in os.scandir(parent):
            if not entry.is_dir(follow_symlinks=False):
                continue
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            else:
                name = self.name()
                os.rename(entry.path, os.path.join(self.folder, name))
                self.remove(name)
                swept += 1
            finally:
                os.close(descriptor)
        if swept:
            log.warning(
                "what %d process%s left in staging when killed has been removed", swept, "" if swept == 1 else "es"
            )

    def _probe_nameless(self) -> bool:
        """Can a nameless file be made here and be given a name later? (Some file systems and containers cannot.)"""
        if not hasattr(os, "O_TMPFILE"):
            return False
        name = self.name()
        try:
            descriptor = os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            link(descriptor, self.descriptor, name)
            os.unlink(name, dir_fd=self.descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def hold(self, size: int) -> None:
        """So many bytes more, or fewer."""
        with self._counting:
            self.held += size

    def create(self) -> tuple[int, str | None]:
        """A new empty file: its descriptor, and its name in the folder if it has one."""
        if self.nameless:
            return os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), None
        name = self.name()
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        return os.open(name, flags, 0o666, dir_fd=self.descriptor), name

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.descriptor)
