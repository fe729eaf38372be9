"""Reports of batches whose writer was killed before it could end them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from partwise.batch.record import END, is_owned, last_line, last_newline


class BrokenOff(NamedTuple):
    """The file ``path`` has no end; ``torn``: nor has its last line."""

    path: str
    torn: bool


def broken_off(folder: str) -> Iterator[BrokenOff]:
    """Of the reports in a folder those that nobody writes, and that have no end. Changes nothing. Raises OSError.

    Without a first line it is none yet: its writer may be about to lock it, and if not, nobody can find it.
    """
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.endswith(".ndjson"):
                with contextlib.suppress(FileNotFoundError):
                    found = _look(entry.path)
                    if found is not None:
                        yield found


def _look(path: str) -> BrokenOff | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        stop = last_newline(descriptor, size)
        if stop == size and last_line(descriptor, stop).startswith(END):
            return None
        # Asked last: most have ended.
        return None if stop == 0 or is_owned(descriptor) else BrokenOff(path, stop < size)
    finally:
        os.close(descriptor)
