"""A number that all processes see at once, without asking the database."""

from __future__ import annotations

import mmap
import os

_SIZE = 8


class SharedNumber:
    """Says whether something has changed: a file of eight bytes that every process maps.

    A writer, alone in the store's critical section, makes the number odd before it commits, and even and greater after. Who
    finds the number of its copy unchanged and even has the truth; an odd one says nothing, also when its writer was
    killed. Reading it takes no system call. Raises OSError if the file cannot be made. Two processes may not make it at once.
    """

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                os.pwrite(descriptor, bytes(_SIZE), 0)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._view = memoryview(self._map).cast("Q")

    def read(self) -> int:
        return self._view[0]

    def unsettle(self) -> None:
        """What the number stands for is about to change."""
        self._view[0] |= 1

    def settle(self) -> None:
        """It has changed, or its writer is no more."""
        self._view[0] = (self._view[0] | 1) + 1

    def close(self) -> None:
        self._view.release()
        self._map.close()
