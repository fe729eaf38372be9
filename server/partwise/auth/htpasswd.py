"""Who may log in: an htpasswd file, read again whenever it changes."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from partwise.auth import hashes

log = logging.getLogger(__name__)

#: Bytes of a file; a line has about 70 to 120.
MAX_SIZE = 1024 * 1024
MAX_USERS = 10_000
#: Seconds between two looks at the file.
_PAUSE = 1.0

_Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Users:
    """What a file says. Not shown by ``repr``, so that no log holds a hash.

    ``hashes``: by user name (Unicode form NFC). ``decoys``: one for each kind of hash there is, for names that are not.
    """

    hashes: Mapping[str, str] = field(repr=False)
    decoys: tuple[str, ...] = field(repr=False)


def parse(data: bytes) -> Users:
    """``user:hash`` lines; empty lines and those that begin with ``#`` are skipped, a second colon ends the hash.

    Raises ValueError with the number of the line, counted from 1, and what to do about it; it never quotes a hash.
    """
    if len(data) > MAX_SIZE:
        raise ValueError(f"it is larger than {MAX_SIZE} bytes")
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            entry = _entry(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if entry is None:
            continue
        user, stored = entry
        if user in found:
            raise ValueError(f"line {number}: the user of line {lines[user]} is named again; remove one of the two")
        if len(found) == MAX_USERS:
            raise ValueError(f"line {number}: there are more than {MAX_USERS} users")
        found[user], lines[user] = stored, number
    return Users(found, tuple(sorted({hashes.decoy(stored) for stored in found.values()})))


def _entry(line: bytes) -> tuple[str, str] | None:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8; save the file in this encoding") from None
    if not text.strip() or text.lstrip().startswith("#"):
        return None
    # RFC 7617 §2: a user-id that holds a colon cannot be sent, and control characters must not be.
    user, colon, rest = text.partition(":")
    if not colon or not user:
        raise ValueError("it does not read user:hash; add the user with htpasswd -B")
    if any(unicodedata.category(character) == "Cc" for character in text.rstrip()):
        raise ValueError("it holds a control character; remove it")
    stored = rest.partition(":")[0].strip()
    try:
        hashes.check(stored)
    except ValueError as error:
        raise ValueError(f"{error}; set the password again with htpasswd -B") from None
    return unicodedata.normalize("NFC", user), stored


class HtpasswdFile:
    """The users of a file. ``users`` is replaced as a whole, by one thread, and may be read by any.

    A file that has become unreadable or wrong changes nothing: the users known before stay, and the log tells why, once.
    ``clock`` gives seconds that never go back.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError with one sentence if the file cannot be used."""
        self._path = path
        self._clock = clock
        self._refreshing = threading.Lock()
        self._complaint: str | None = None
        try:
            self._seen, self.users = self._load()
        except OSError as error:
            raise ValueError(_unreadable(path, error)) from None
        self._next_look = clock() + _PAUSE
        if not self.users.hashes:
            log.warning("the htpasswd file %s names no user; add one with htpasswd -B", path)

    def is_due(self) -> bool:
        """Is it time to :meth:`refresh`? Says so to one caller a second."""
        now = self._clock()
        if now < self._next_look:
            return False
        self._next_look = now + _PAUSE
        return True

    def refresh(self) -> None:
        """Read the file again if it has changed. Waits for the disk, so not for the event loop."""
        with self._refreshing:
            seen: _Signature | None = None
            try:
                seen = _signature(os.stat(self._path))
                if seen == self._seen:
                    return
                self._seen, self.users = self._load()
            except OSError as error:
                # Looked at again next time: a lack of descriptors, say, leaves no trace in the file.
                self._seen = None
                self._complain(_unreadable(self._path, error))
            except ValueError as error:
                self._seen = seen
                self._complain(str(error))
            else:
                self._complaint = None
                log.info("the htpasswd file was read again; it names %d users", len(self.users.hashes))

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            log.warning("%s; until that is mended the users known before stay", why)
        self._complaint = why

    def _load(self) -> tuple[_Signature | None, Users]:
        # Not to wait for the other end of a pipe.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            # Taken before the bytes: what is written from now on is seen as a change the next time.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"the htpasswd file {self._path} is not a file")
            data = file.read(MAX_SIZE + 1)
        try:
            return _signature(status), parse(data)
        except ValueError as error:
            raise ValueError(f"the htpasswd file {self._path} cannot be used: {error}") from None


def _signature(status: os.stat_result) -> _Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unreadable(path: Path, error: OSError) -> str:
    return f"the htpasswd file {path} cannot be read: {error.strerror or 'input/output error'}"
