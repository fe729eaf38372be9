"""Being told by the kernel that a folder was changed (inotify(7)), by whomever.

A watch is set on a directory before it is listed and ends with its first event (``IN_ONESHOT``), so that a folder into which
much is written costs its writers nothing, and the queue never holds more than there are watches.

What the kernel does not tell is found out otherwise: what stands under the path, and the members that are collections
themselves, whose times change with their own members, are looked at each time; a file that has other names, and what a link
leads to, may be changed from elsewhere, so that a listing with such members is not kept; everything else (writing through a
mapping of memory, a file that was given another name meanwhile) is bounded by time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Path
from partwise.storage.local import file_systems
from partwise.storage.local.beneath import Directories, Root

#: Seconds that a witness holds at most: what no notice comes of shows within 100 ms.
GOOD_FOR = 0.09
#: Directories that are watched at once by a process.
MOST_WATCHES = 128
#: Members that are collections, and are looked at each time.
MOST_INNER = 32

# linux/inotify.h
_CREATE, _DELETE, _MOVED_FROM, _MOVED_TO = 0x100, 0x200, 0x40, 0x80
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW = 0x400, 0x800, 0x2000, 0x4000
_ONLYDIR, _ONESHOT = 0x01000000, 0x80000000
_MASK = (_CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _MODIFY | _ATTRIB | _CLOSE_WRITE | _DELETE_SELF | _MOVE_SELF) | (
    _ONLYDIR | _ONESHOT
)
_EVENT = struct.Struct("=iIII")
#: Bytes of events that are read at once; one is 272 at most.
_READ = 64 * 1024


class Notices:
    """The kernel's notices for one process. Where there are none, nothing is watched and nothing else differs."""

    def __init__(self, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self.root, self.clock = root, clock
        self._lock = threading.Lock()
        #: Watches that no event ended yet, and how many witnesses each has.
        self._live: Counter[int] = Counter()
        self._library = _library() if file_systems.local(root.descriptor) else None
        self._descriptor = -1
        self._device = os.fstat(root.descriptor).st_dev

    def witness(self, path: Path, unchanged: Callable[[], bool] | None) -> LocalWitness | None:
        """Of a collection; ``None`` if it cannot be watched. ``unchanged`` says that of what is in no file of the folder."""
        start = self.clock()
        if self._library is None:
            return None
        with Directories(self.root) as directories:
            try:
                descriptor = directories.open(path)
            except (NotFound, NotAllowed, OSError):
                return None
            if directories.canonical(path) != path or os.fstat(descriptor).st_dev != self._device:
                return None
            watch = self._watch(descriptor)
            if watch is None:
                return None
            # After the watch is set: what changes now is told by an event, what changed before shows in the status.
            return LocalWitness(self, watch, path, os.fstat(descriptor), start + GOOD_FOR, unchanged)

    def _watch(self, directory: int) -> int | None:
        assert self._library is not None
        with self._lock:
            if self._descriptor < 0:
                self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor < 0 or len(self._live) >= MOST_WATCHES:
                return None
            # By its descriptor, since another directory may stand under the name by now.
            place = f"/proc/self/fd/{directory}".encode()
            watch = self._library.inotify_add_watch(self._descriptor, place, _MASK)
            if watch < 0:
                return None
            # In the same hold of the lock: an event that comes first must find it.
            self._live[watch] += 1
            return int(watch)

    def is_live(self, watch: int) -> bool:
        """Has nothing happened? Waits for nobody: False if another thread is looking just now."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._descriptor < 0:
                return False
            self._drain()
            return watch in self._live
        finally:
            self._lock.release()

    def _drain(self) -> None:
        while True:
            try:
                events = os.read(self._descriptor, _READ)
            except BlockingIOError:
                return
            place = 0
            while place < len(events):
                watch, mask, _, length = _EVENT.unpack_from(events, place)
                place += _EVENT.size + length
                if mask & _OVERFLOW:
                    self._forget_all()
                else:
                    self._live.pop(watch, None)

    def _forget_all(self) -> None:
        """Some events were lost, and nobody knows whose."""
        for watch in self._live:
            self._end_watch(watch)
        self._live.clear()

    def _end_watch(self, watch: int) -> None:
        if self._library is not None:
            self._library.inotify_rm_watch(self._descriptor, watch)

    def release(self, watch: int) -> None:
        """A witness needs its watch no longer."""
        with self._lock:
            if watch not in self._live:
                return
            self._live[watch] -= 1
            if not self._live[watch]:
                del self._live[watch]
                self._end_watch(watch)

    def close(self) -> None:
        with self._lock:
            self._live.clear()
            self._library = None
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class LocalWitness:
    """See ``storage.base.Witness``."""

    def __init__(
        self,
        notices: Notices,
        watch: int,
        path: Path,
        status: os.stat_result,
        end: float,
        unchanged: Callable[[], bool] | None,
    ) -> None:
        self._notices, self._watch, self._end, self._unchanged = notices, watch, end, unchanged
        self._place = "/".join(path) or "."
        self._status = _print(status)
        self._inner: list[tuple[str, tuple[int, ...]]] = []
        self._good = True
        self._closed = False

    def note_collection(self, name: str, status: os.stat_result) -> None:
        """A member that is listed."""
        self._inner.append((f"{self._place}/{name}", _print(status)))
        if len(self._inner) > MOST_INNER:
            self.spoil()

    def note_files(self, statuses: Iterable[os.stat_result]) -> None:
        """Members that are listed, one at least."""
        if {status.st_nlink for status in statuses} != {1}:
            # What is written through another name is told to the watchers of that one.
            self.spoil()

    def spoil(self) -> None:
        """There is a member whose changes would not be told."""
        self._good = False

    def holds(self) -> bool:
        notices = self._notices
        # The look at what stands under the path takes 2 µs where the kernel knows it, which it does of what it was asked
        # less than 90 ms ago; a hop to a thread would take 60.
        if self._good:
            self._good = (
                notices.clock() < self._end
                and notices.is_live(self._watch)
                and self._stands(self._place, self._status)
                and all(self._stands(place, known) for place, known in self._inner)
                and (self._unchanged is None or self._unchanged())
            )
        return self._good

    def _stands(self, place: str, known: tuple[int, ...]) -> bool:
        try:
            return _print(os.stat(place, dir_fd=self._notices.root.descriptor, follow_symlinks=False)) == known
        except OSError:
            return False

    def close(self) -> None:
        if not self._closed:
            self._closed, self._good = True, False
            self._notices.release(self._watch)


def _print(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_ctime_ns


def _library() -> ctypes.PyDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    # PyDLL keeps the interpreter lock: these calls are shorter than giving it away and getting it back.
    library = ctypes.PyDLL(None, use_errno=True)
    for name, arguments in {
        "inotify_init1": [ctypes.c_int],
        "inotify_add_watch": [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32],
        "inotify_rm_watch": [ctypes.c_int, ctypes.c_int],
    }.items():
        with contextlib.suppress(AttributeError):
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
            continue
        return None
    return library
