"""The reports of this server's batches: found by any of its processes, kept for a while after their end."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from partwise.batch.broken_off import broken_off
from partwise.batch.outcome import Outcome
from partwise.batch.reader import Reader
from partwise.batch.record import Metadata, is_owned
from partwise.batch.record_tries import Earlier, mend
from partwise.batch.report import Report
from partwise.errors import AlreadyRunning, OutOfSpace

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._~-]{16,128}")
#: The report; the record of earlier tries while a later one runs; one that is being made; somebody wants it to stop;
#: the id of the newest batch that its client gave a name.
_REPORT, _BEFORE, _NEW, _CANCEL, _NAME = ".ndjson", ".before", ".new", ".cancel", ".name"
_LOCK = ".lock"


class Archive:
    """Reports as files of ``folder``. ``keep`` in seconds after the last row; ``limit`` bytes of all together.

    ``href`` gives the address of a batch by its id. Every method may be called from any thread and may wait for the disk.
    """

    def __init__(
        self,
        folder: str,
        keep: int,
        limit: int = 1 << 30,
        href: Callable[[str], str] = lambda batch: f"/-/batches/{batch}",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._limit = limit
        self._href = href
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Report] = {}
        self._readers: dict[str, Reader] = {}
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def _path(self, batch: str, ending: str = _REPORT) -> str:
        return os.path.join(self._folder, batch + ending)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process begins, mends or removes a report meanwhile."""
        descriptor = os.open(os.path.join(self._folder, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # -- writing

    def create(self, principal: str | None = None, collection: str = "/", name: str | None = None) -> Report:
        """A new report under an id that nobody can guess, or a new try of the batch that its client calls ``name``.

        ``collection`` is an href. A name is this principal's own and holds for this collection. Raises AlreadyRunning while
        a batch of that name is being received, OutOfSpace.
        """
        try:
            if name is None:
                # "-" may not lead: an id should be usable as an argument of a command.
                batch = "b" + secrets.token_urlsafe(20)
                metadata = Metadata(batch, principal, collection, None, self._clock())
                report = Report(self._path(batch), batch, metadata, closed=self._closed)
            else:
                batch = "n" + _digest(principal, collection, name)
                metadata = Metadata(batch, principal, collection, name, self._clock())
                with self._alone():
                    self._point(_alias(principal, name), batch)
                    report = self._try(metadata)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutOfSpace("There is no room left on the server, not even for the report.") from None
            raise
        with self._lock:
            self._running[batch] = report
        return report

    def _try(self, metadata: Metadata) -> Report:
        batch = metadata.batch
        path, before, new = self._path(batch), self._path(batch, _BEFORE), self._path(batch, _NEW)
        self._restore(batch)
        if os.path.exists(path):
            with _opened(path) as descriptor:
                if is_owned(descriptor):
                    raise AlreadyRunning("An upload of this name is going on; follow it.", href=self._href(batch))
                mend(path, before, descriptor)
            _remove(before)
        _remove(new)
        _remove(self._path(batch, _CANCEL))
        # Not under its own name before it is locked: who looks at it must not think that its writer was killed.
        earlier = Earlier(path, before) if os.path.exists(path) else None
        try:
            report = Report(new, batch, metadata, earlier, closed=self._closed)
        except OSError:
            if earlier is not None:
                earlier.close()
            raise
        try:
            if earlier is not None:
                os.rename(path, before)
            os.rename(new, path)
        except OSError:
            report.close()
            raise
        return report

    def _point(self, alias: str, batch: str) -> None:
        new = self._path(alias, _NEW)
        with open(new, "w") as pointer:
            pointer.write(batch)
        os.rename(new, self._path(alias, _NAME))

    def _closed(self, report: Report, worthless: bool) -> None:
        """Nobody writes it any more."""
        batch = report.batch
        with self._lock:
            if self._running.get(batch) is not report:
                return  # there is a later try already
            del self._running[batch]
        _remove(self._path(batch, _CANCEL))
        if worthless:
            _remove(self._path(batch))

    def _restore(self, batch: str) -> None:
        """The server was killed between the two renames of a new try: the earlier record is the report."""
        if not os.path.exists(self._path(batch)):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path(batch, _BEFORE), self._path(batch))

    # -- reading

    def find(self, batch: str, principal: str | None) -> Reader | None:
        """The report of this id, or the newest that this principal gave this name; ``None`` for what is not theirs.

        To be closed. An anonymous batch is visible to everybody without credentials who knows its id.
        """
        if not _ID.fullmatch(batch):
            return None
        alias = ""
        with contextlib.suppress(FileNotFoundError), open(self._path(_alias(principal, batch), _NAME)) as pointer:
            alias = pointer.read()
        for each in (batch, alias):
            found = self._reader(each) if each else None
            if found is not None:
                if found.metadata.principal == principal:
                    return found
                found.close()
        return None

    def item(self, batch: str, index: int, principal: str | None = None) -> Outcome | None:
        """One row of a report, ``None`` if there is none such."""
        reader = self.find(batch, principal)
        if reader is None:
            return None
        with contextlib.closing(reader):
            return reader.row(index)

    def _reader(self, batch: str) -> Reader | None:
        """All who read one report in this process share one descriptor."""
        path = self._path(batch)
        if not os.path.exists(path) and os.path.exists(self._path(batch, _BEFORE)):
            with self._alone():
                self._restore(batch)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with self._lock:
            shared = self._readers.get(batch)
            if shared is not None and shared.inode == os.fstat(descriptor).st_ino:
                os.close(descriptor)
                shared.users += 1
            else:
                shared = None
        if shared is not None:
            shared.refresh()
            return shared
        try:
            reader = Reader(descriptor, self._orphaned, self._released)
        except ValueError:
            os.close(descriptor)
            return None
        with self._lock:
            self._readers[batch] = reader
        return reader

    def _released(self, reader: Reader) -> None:
        with self._lock:
            reader.users -= 1
            if reader.users:
                return
            if self._readers.get(reader.batch) is reader:
                del self._readers[reader.batch]
        reader.dispose()

    def _orphaned(self, reader: Reader, descriptor: int) -> None:
        try:
            with self._alone():
                mend(self._path(reader.batch), self._path(reader.batch, _BEFORE), descriptor)
        except OSError as error:
            log.error("the log of a batch cannot be ended: %s", os.strerror(error.errno or 0))

    # -- stopping and removing

    def running(self, batch: str) -> Report | None:
        """The report if it is written by this process."""
        with self._lock:
            return self._running.get(batch)

    def cancel(self, batch: str) -> None:
        """Ask whoever receives the batch, in whatever process, to stop. Does nothing for one that has ended."""
        report = self.running(batch)
        if report is not None:
            report.cancel()
            return
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path(batch, _CANCEL), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    @property
    def busy(self) -> bool:
        """Does this process receive a batch?"""
        return bool(self._running)

    def watch(self) -> None:
        """Look whether another process cancelled a batch of this one; to be called about once a second."""
        with self._lock:
            running = list(self._running.values())
        for report in running:
            if not report.cancelled and os.path.exists(self._path(report.batch, _CANCEL)):
                report.cancel()

    def forget(self, batch: str) -> None:
        """Remove an ended report. Raises AlreadyRunning for one that has not ended."""
        with self._alone():
            if self._is_running(batch):
                raise AlreadyRunning(
                    "The upload is still running; cancel it first, by DELETE without forget.", href=self._href(batch)
                )
            self._remove(batch)

    def _is_running(self, batch: str) -> bool:
        with contextlib.suppress(FileNotFoundError), _opened(self._path(batch)) as descriptor:
            return is_owned(descriptor)
        return False

    def _remove(self, batch: str) -> None:
        for ending in (_REPORT, _BEFORE, _NEW, _CANCEL):
            _remove(self._path(batch, ending))

    def sweep(self, now: float) -> None:
        """Remove reports that are too old, and the oldest ones while all together are too large; never a running one.

        Before that those get an end whose writers were killed.
        """
        ended = self.end_broken_off()
        if ended:
            log.warning("an end was given to %d report%s of uploads that broke off", ended, "" if ended == 1 else "s")
        found: dict[str, tuple[float, int]] = {}
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                name = entry.name.partition(".")[0]
                if entry.name == _LOCK or (entry.name.endswith(_NAME) and self._leads_somewhere(entry.path)):
                    continue
                modified, size = found.get(name, (0.0, 0))
                found[name] = max(modified, status.st_mtime), size + status.st_size
        total = sum(size for _, size in found.values())
        for name, (modified, size) in sorted(found.items(), key=lambda each: each[1]):
            if modified > now - self._keep and total <= self._limit:
                break
            with self._alone():
                if self._is_running(name):
                    continue
                self._remove(name)
                for ending in (_NAME, ""):
                    _remove(self._path(name, ending))
            total -= size

    def end_broken_off(self) -> int:
        """Give an end to the reports whose writers were killed; how many there were."""
        ended = 0
        for found in broken_off(self._folder):
            name = os.path.basename(found.path).removesuffix(_REPORT)
            with self._alone(), contextlib.suppress(FileNotFoundError), _opened(found.path) as descriptor:
                if is_owned(descriptor):
                    continue  # sent again meanwhile
                mend(found.path, self._path(name, _BEFORE), descriptor)
                ended += 1
        return ended

    def _leads_somewhere(self, pointer: str) -> bool:
        with open(pointer) as file:
            batch = file.read()
        return os.path.exists(self._path(batch)) or os.path.exists(self._path(batch, _BEFORE))


def _digest(*what: str | None) -> str:
    digest = hashlib.sha256(json.dumps(what).encode()).digest()
    return base64.urlsafe_b64encode(digest[:20]).decode().rstrip("=")


def _alias(principal: str | None, name: str) -> str:
    return "k" + _digest(principal, name)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@contextlib.contextmanager
def _opened(path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
