"""A folder for what no client may see, with names that are never used twice."""

from __future__ import annotations

import itertools
import logging
import os

from partwise.storage.local.durable import FULL, Durability

log = logging.getLogger(__name__)


class Folder:
    """``descriptor`` is the folder's own, and closed by whoever opened it; ``durability`` is that of what comes to lie in it."""

    def __init__(self, descriptor: int, durability: Durability = FULL) -> None:
        self.descriptor, self.durability = descriptor, durability
        self._names = (f"{n:x}" for n in itertools.count())

    def name(self) -> str:
        """A name in the folder that was not used before."""
        return next(self._names)

    def remove(self, name: str) -> None:
        """Remove what has this name in the folder, if anything.

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
