"""Staging: bytes on their way into the tree, where no client can see them.

A small body stays in memory until it is complete, so that a refused one costs the disk nothing; a large one goes to a
file as it arrives. Where the file system has nameless files (``O_TMPFILE``) a crash leaves nothing behind; elsewhere files
have names in a folder of their own per process, swept when that process is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable

from partwise.errors import OutOfSpace
from partwise.storage.local.exchange import exchange

log = logging.getLogger(__name__)

_START_LOCK = "start.lock"

#: A body up to this size is one write, when it is complete.
IN_MEMORY = 256 * 1024
#: A body from this size on syncs its own data before it joins a group, so as not to hold up the small ones.
SYNCS_ITSELF = 4 * 1024 * 1024

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def space_or_raise(error: OSError) -> OutOfSpace:
    """The meaning of a failed write, if it is a full disk; any other error is raised again."""
    if error.errno in NO_SPACE:
        return OutOfSpace("There is no room left on the server for this item.")
    raise error


class Staging:
    """The folder of one process for uploads, beneath the state folder (``parent``)."""

    def __init__(self, parent: str, clock: Callable[[], int] = time.time_ns) -> None:
        self.clock = clock
        os.makedirs(parent, mode=0o700, exist_ok=True)
        self._names = (f"{n:x}" for n in itertools.count())
        # Two processes that start at once must not sweep what the other has made but not locked yet.
        with open(os.path.join(os.path.dirname(parent), _START_LOCK), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.folder = os.path.join(parent, f"{os.getpid()}-{secrets.token_hex(4)}")
            os.mkdir(self.folder, mode=0o700)
            self.descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # This lock tells other processes that the folder is in use; the kernel drops it with the process.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sweep(parent)
        self.nameless = self._probe_nameless()

    def _sweep(self, parent: str) -> None:
        """Remove what processes that are gone left behind."""
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
            finally:
                os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove what has this name in the staging folder, if anything.

        A folder may be however deep: its folders are moved up before they are emptied. What cannot be removed now is swept
        at the next start.
        """
        try:
            os.unlink(name, dir_fd=self.descriptor)
            return
        except FileNotFoundError:
            return
        except OSError:
            # A directory, most likely; whatever else is wrong is logged below.
            pass
        waiting = [name]
        while waiting:
            current = waiting.pop()
            try:
                self._empty(current, waiting)
                os.rmdir(current, dir_fd=self.descriptor)
            except OSError as error:
                log.warning("a part of what was deleted is left to the next start: %s", os.strerror(error.errno or 0))

    def _empty(self, name: str, waiting: list[str]) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            for entry in os.scandir(descriptor):
                if entry.is_dir(follow_symlinks=False):
                    above = self.name()
                    os.rename(entry.name, above, src_dir_fd=descriptor, dst_dir_fd=self.descriptor)
                    waiting.append(above)
                else:
                    os.unlink(entry.name, dir_fd=descriptor)
        finally:
            os.close(descriptor)

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
            self.link(descriptor, self.descriptor, name)
            os.unlink(name, dir_fd=self.descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def name(self) -> str:
        """A name in the folder that was not used before."""
        return next(self._names)

    @staticmethod
    def link(descriptor: int, directory: int, name: str) -> None:
        """Give a nameless file a name. Raises FileExistsError if the name is taken."""
        # Without dst_dir_fd the standard library takes link(2), which does not follow /proc/self/fd: EXDEV.
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)

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


class LocalUpload:
    """One body on its way. ``synced``: its bytes are on stable storage already."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._small: list[bytes] = []
        self._size = 0
        self._descriptor: int | None = None
        self._name: str | None = None
        self.synced = False

    @property
    def descriptor(self) -> int:
        """Of the sealed file."""
        assert self._descriptor is not None, "not sealed, or published already"
        return self._descriptor

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._descriptor is None:
            self._small.append(data)
            if self._size > IN_MEMORY:
                self._spill()
        else:
            self._write_out(data)

    def _spill(self) -> None:
        try:
            self._descriptor, self._name = self._staging.create()
        except OSError as error:
            raise space_or_raise(error) from None
        data, self._small = b"".join(self._small), []
        self._write_out(data)

    def _write_out(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            raise space_or_raise(error) from None

    def seal(self, modified_ns: int | None) -> None:
        if self._descriptor is None:
            self._spill()
        stamp = self._staging.clock()
        # The kernel's own stamps are as coarse as its tick; two quick replacements of one size must differ.
        os.utime(self.descriptor, ns=(stamp, stamp if modified_ns is None else modified_ns))
        if self._size >= SYNCS_ITSELF:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                raise space_or_raise(error) from None
            self.synced = True

    def link(self, directory: int, name: str) -> None:
        """Appear under a name that must be free. Raises FileExistsError."""
        if self._name is None:
            self._staging.link(self.descriptor, directory, name)
        else:
            os.link(self._name, name, src_dir_fd=self._staging.descriptor, dst_dir_fd=directory)
            os.unlink(self._name, dir_fd=self._staging.descriptor)
            self._name = None

    def replace(self, directory: int, name: str, *, keep: bool = False) -> str | None:
        """Take the place of the file under a name, atomically.

        ``keep``: that file is in staging then, under the name that is told; ``None`` where names cannot be exchanged.
        """
        if self._name is None:
            name_here = self._staging.name()
            self._staging.link(self.descriptor, self._staging.descriptor, name_here)
            self._name = name_here
        if keep and exchange(self._staging.descriptor, self._name, directory, name):
            kept, self._name = self._name, None
            return kept
        os.replace(self._name, name, src_dir_fd=self._staging.descriptor, dst_dir_fd=directory)
        self._name = None
        return None

    def abort(self) -> None:
        self._small = []
        descriptor, self._descriptor = self._descriptor, None
        name, self._name = self._name, None
        try:
            if name is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._staging.descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    #: After publishing only the descriptor is left to give back.
    close = abort
