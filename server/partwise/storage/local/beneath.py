"""Resolution of names that cannot leave the served folder.

Directories are opened one segment at a time, each relative to the descriptor of the one before and without following
links, so that nobody can exchange a component between a check and its use. Only when a component is a symbolic link the
link is resolved, and the result must lie beneath the root; it is then walked the same strict way. What leads elsewhere
does not exist.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}


def absent_or_raise(error: OSError) -> NotFound | NotAllowed:
    """The meaning of a failed look-up; any other error is raised again."""
    if error.errno in _ABSENT:
        return NotFound("There is nothing under this address.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotAllowed("The server's account may not reach this resource.")
    raise error


class Root:
    """The served folder: ``folder`` as given, ``hidden`` the name of the state folder directly inside."""

    def __init__(self, folder: str, hidden: str) -> None:
        self.folder = os.path.realpath(folder)
        self.hidden = hidden
        self._hidden = hidden.casefold()
        self.descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        state = os.path.join(self.folder, hidden)
        os.makedirs(state, mode=0o700, exist_ok=True)
        # What is durable in there is only found again by its name.
        os.fsync(self.descriptor)
        status = os.stat(state)
        self.state = (status.st_dev, status.st_ino)

    def is_hidden(self, path: Path) -> bool:
        # Compared without case: some file systems fold it.
        return bool(path) and path[0].casefold() == self._hidden

    def is_state(self, status: os.stat_result) -> bool:
        """Is this the state folder itself, whatever name led there (a link to the root, a bind mount)?"""
        return (status.st_dev, status.st_ino) == self.state

    def canonical(self, path: Path) -> Path:
        """The path with every symbolic link resolved. Raises NotFound if it leads out of the folder or to nothing."""
        try:
            real = os.path.realpath(os.path.join(self.folder, *path), strict=True)
        except OSError as error:
            raise absent_or_raise(error) from None
        if real == self.folder:
            return ()
        inside = self.folder.rstrip("/") + "/"
        if not real.startswith(inside):
            raise NotFound("There is nothing under this address.")
        found = tuple(real[len(inside) :].split("/"))
        if self.is_hidden(found):
            raise NotFound("There is nothing under this address.")
        return found

    def close(self) -> None:
        os.close(self.descriptor)


class Directories:
    """Directories of one operation, opened once each and closed together at its end."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._open: dict[Path, int] = {(): root.descriptor}
        #: Where the links lead that were followed.
        self._linked: dict[Path, Path] = {}

    def __enter__(self) -> Directories:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path, descriptor in self._open.items():
            if path:
                os.close(descriptor)
        self._open = {(): self.root.descriptor}

    def open(self, path: Path) -> int:
        """A descriptor of the directory, valid until the end of the operation. Raises NotFound."""
        if self.root.is_hidden(path):
            raise NotFound("There is nothing under this address.")
        known = len(path)
        while path[:known] not in self._open:
            known -= 1
        descriptor = self._open[path[:known]]
        for length in range(known + 1, len(path) + 1):
            descriptor = self._open_below(descriptor, path[:length])
            self._open[path[:length]] = descriptor
        return descriptor

    def opened(self, path: Path) -> int | None:
        """As :meth:`open`, if that was asked before."""
        return self._open.get(path)

    def _open_below(self, parent: int, path: Path) -> int:
        try:
            descriptor = os.open(path[-1], _DIRECTORY, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise absent_or_raise(error) from None
            return self._through_link(path)
        if self.root.is_state(os.fstat(descriptor)):
            os.close(descriptor)
            raise NotFound("There is nothing under this address.")
        return descriptor

    def _through_link(self, path: Path) -> int:
        """The directory that a link leads to, as a descriptor of its own."""
        canonical = self.root.canonical(path)
        if canonical == path:
            raise NotFound("There is nothing under this address.")
        self._linked[path] = canonical
        return os.dup(self.open(canonical))

    def canonical(self, path: Path) -> Path:
        """The path of a collection, links resolved as far as it exists."""
        for length in range(len(path), 0, -1):
            try:
                self.open(path[:length])
            except (NotFound, NotAllowed):
                continue
            for known in range(length, 0, -1):
                if path[:known] in self._linked:
                    return self._linked[path[:known]] + path[known:]
            break
        return path

    def make(self, path: Path) -> tuple[int, bool]:
        """Open the directory, or make it (its parent must exist). The bool tells whether it was made."""
        try:
            return self.open(path), False
        except NotFound:
            parent = self.open(path[:-1])
            os.mkdir(path[-1], dir_fd=parent)
            return self.open(path), True

    def locate(self, path: Path) -> tuple[Path, os.stat_result]:
        """The canonical path of what stands under ``path``, and its status. Raises NotFound.

        What is neither a regular file nor a directory (a device, a socket) does not exist for clients.
        """
        if not path:
            return path, os.fstat(self.root.descriptor)
        if self.root.is_hidden(path):
            raise NotFound("There is nothing under this address.")
        status = self.status(path)
        if stat.S_ISLNK(status.st_mode):
            path = self.root.canonical(path)
            status = self.status(path) if path else os.fstat(self.root.descriptor)
        if self.root.is_state(status) or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise NotFound("There is nothing under this address.")
        return path, status

    def status(self, path: Path) -> os.stat_result:
        """The status of the name itself, a link not followed. Raises NotFound."""
        try:
            return os.stat(path[-1], dir_fd=self.open(path[:-1]), follow_symlinks=False)
        except OSError as error:
            raise absent_or_raise(error) from None
