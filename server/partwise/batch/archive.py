"""The reports of this server's batches, kept for a while after their end."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets

from partwise.batch.outcome import Outcome, load
from partwise.batch.report import Report
from partwise.errors import OutOfSpace

_ID = re.compile(r"[A-Za-z0-9._~-]{16,128}")
_ENDING = ".ndjson"


class Archive:
    """Reports as files of ``folder``. ``keep`` in seconds after the last row; ``limit`` bytes of all together."""

    def __init__(self, folder: str, keep: int, limit: int = 1 << 30) -> None:
        self._folder = folder
        self._keep = keep
        self._limit = limit
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def create(self) -> Report:
        """A new report under an id that nobody can guess."""
        # "-" may not lead: an id should be usable as an argument of a command.
        batch = "b" + secrets.token_urlsafe(20)
        try:
            return Report(self._path(batch), batch)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutOfSpace("There is no room left on the server, not even for the report.") from None
            raise

    def item(self, batch: str, index: int) -> Outcome | None:
        """One row of a report, ``None`` if there is none such."""
        if not _ID.fullmatch(batch):
            return None
        with contextlib.suppress(FileNotFoundError), open(self._path(batch), "rb") as log:
            for number, line in enumerate(log, 1):
                if number == index:
                    # A line without its end is still being written, or was torn by a crash.
                    return load(line) if line.endswith(b"\n") else None
        return None

    def _path(self, batch: str) -> str:
        return os.path.join(self._folder, batch + _ENDING)

    def sweep(self, now: float) -> None:
        """Remove reports that are too old, and the oldest ones while all together are too large."""
        found = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        for modified, size, path in sorted(found):
            if modified > now - self._keep and total <= self._limit:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
