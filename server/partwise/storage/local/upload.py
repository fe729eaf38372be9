"""One body on its way into the tree.

A small body stays in memory until it is complete, so that a refused one costs the disk nothing; a large one goes to a
file as it arrives.
"""

from __future__ import annotations

import contextlib
import os

from partwise.storage.local.exchange import exchange
from partwise.storage.local.staging import Staging, link, space_or_raise
from partwise.storage.sql.intents import Identity

#: A body up to this size is one write, when it is complete.
IN_MEMORY = 256 * 1024
#: A body from this size on syncs its own data before it joins a group, so as not to hold up the small ones.
SYNCS_ITSELF = 4 * 1024 * 1024
#: The disk begins to write a large body after so many bytes, and again after as many: the last sync has little left to do.
_STRETCH = 8 * 1024 * 1024

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalUpload:
    """See ``storage.base.Upload``. ``synced``: its bytes are on stable storage already.

    ``parked``: it holds no descriptor, but for as long as somebody uses it between :meth:`wake` and :meth:`rest`.
    """

    # What every one begins with stands in the class: there is one upload for each item.
    synced = False
    parked = False
    _size = _held = 0
    #: What of it the disk has been told to write.
    _begun = 0
    _descriptor: int | None = None
    _name: str | None = None
    _small: list[bytes] | None = None

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    @property
    def descriptor(self) -> int:
        """Of the sealed file."""
        assert self._descriptor is not None, "not sealed, or published already"
        return self._descriptor

    def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        self._held += len(data)
        self._staging.hold(len(data))
        if self._descriptor is not None:
            self._write_out(data)
            return
        if self._small is None:
            self._small = []
        self._small.append(bytes(data))
        if self._size > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        self._create()
        data, self._small = b"".join(self._small or ()), None
        self._write_out(data)

    def _create(self) -> None:
        try:
            self._descriptor, self._name = self._staging.create()
        except OSError as error:
            raise space_or_raise(error) from None

    def _write_out(self, data: bytes | memoryview) -> None:
        try:
            written = os.write(self.descriptor, data)
            while written < len(data):
                written += os.write(self.descriptor, memoryview(data)[written:])
        except OSError as error:
            raise space_or_raise(error) from None
        if self._size - self._begun >= _STRETCH:
            self._staging.durability.begin(self.descriptor, self._begun, self._size - self._begun)
            self._begun = self._size

    def seal(self, modified_ns: int | None) -> None:
        if self._descriptor is None:
            self._spill()
        self._end(modified_ns)

    def fill(self, data: bytes, modified_ns: int | None) -> None:
        self._size = self._held = len(data)
        self._staging.hold(len(data))
        self._create()
        self._write_out(data)
        self._end(modified_ns)

    def _end(self, modified_ns: int | None) -> None:
        stamp = self._staging.clock()
        # The kernel's own stamps are as coarse as its tick; two quick replacements of one size must differ.
        os.utime(self.descriptor, ns=(stamp, stamp if modified_ns is None else modified_ns))
        if self._size >= SYNCS_ITSELF:
            try:
                self._staging.durability.sync_one(self.descriptor)
            except OSError as error:
                raise space_or_raise(error) from None
            self.synced = True

    def park(self) -> None:
        descriptor = self.descriptor
        try:
            self._give_name()
        except OSError as error:
            raise space_or_raise(error) from None
        self.parked, self._descriptor = True, None
        os.close(descriptor)

    def wake(self) -> None:
        """Have a descriptor. Raises OSError."""
        if self._descriptor is None and self._name is not None:
            self._descriptor = os.open(self._name, _READ, dir_fd=self._staging.descriptor)

    def rest(self) -> None:
        """If it was parked: have none any more."""
        if self.parked and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def identity(self) -> Identity:
        """Of the sealed file. Raises OSError."""
        if self._descriptor is not None:
            status = os.fstat(self._descriptor)
        else:
            assert self._name is not None, "not sealed, or published already"
            status = os.stat(self._name, dir_fd=self._staging.descriptor, follow_symlinks=False)
        return status.st_dev, status.st_ino

    def _give_name(self) -> str:
        """In staging."""
        if self._name is None:
            name = self._staging.name()
            link(self.descriptor, self._staging.descriptor, name)
            self._name = name
        return self._name

    def link(self, directory: int, name: str) -> None:
        """Appear under a name that must be free. Raises FileExistsError."""
        if self._name is None:
            link(self.descriptor, directory, name)
        else:
            os.link(self._name, name, src_dir_fd=self._staging.descriptor, dst_dir_fd=directory)
            os.unlink(self._name, dir_fd=self._staging.descriptor)
            self._name = None

    def replace(self, directory: int, name: str, *, keep: bool = False) -> str | None:
        """Take the place of the file under a name, atomically.

        ``keep``: that file is in staging then, under the name that is told; ``None`` where names cannot be exchanged.
        """
        name_here = self._give_name()
        if keep and exchange(self._staging.descriptor, name_here, directory, name):
            self._name = None
            return name_here
        os.replace(name_here, name, src_dir_fd=self._staging.descriptor, dst_dir_fd=directory)
        self._name = None
        return None

    def abort(self) -> None:
        self._small = None
        if self._held:
            held, self._held = self._held, 0
            self._staging.hold(-held)
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
