"""What is known of many files and when each was made, by one call of the system for each (statx(2))."""

from __future__ import annotations

import ctypes
import stat
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

_SIZE = 256
#: Files that are looked at together.
_MOST = 256
_AT_SYMLINK_NOFOLLOW = 0x100
#: STATX_BASIC_STATS and STATX_BTIME.
_MASK = 0xFFF
_KIND = 0o170000  # S_IFMT
# struct statx: what is known, links, mode, inode, size; then seconds and nanoseconds of birth, ctime and mtime.
_FIELDS = struct.Struct("=I12xI8xH2xQQ16x16xqI4xqI4xqI4x128x")
assert _FIELDS.size == _SIZE


class Born(NamedTuple):
    """Files by columns: ``inodes``, ``sizes`` in bytes, and nanoseconds since 1970. ``linked``: some have other names too."""

    inodes: Sequence[int]
    sizes: Sequence[int]
    modified_ns: Sequence[int]
    changed_ns: Sequence[int]
    created_ns: Sequence[int]
    linked: bool


class _Room(threading.local):
    """A thread's own, for the answers of the kernel, and where each begins."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(_SIZE * _MOST)
        start = ctypes.addressof(self.buffer)
        self.places = [ctypes.c_void_p(start + _SIZE * number) for number in range(_MOST)]


def _load() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        # CDLL gives the interpreter lock away: the disk may have to be read for each of 256. Without the types of its
        # arguments the function takes what it is given as it is, which is faster.
        function = ctypes.CDLL(None).statx
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return function


_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_statx, _room = _load(), _Room()


def born(directory: int, names: Sequence[str]) -> Born | None:
    """Of at most 256 names in a directory that is open; ``None`` if one of them is no regular file, or not all is known."""
    if _statx is None:
        return None
    room, count = _room, len(names)
    answers = map(
        _statx,
        repeat(directory),
        map(str.encode, names, repeat(_ENCODING), repeat(_ERRORS)),
        repeat(_AT_SYMLINK_NOFOLLOW),
        repeat(_MASK),
        room.places,
    )
    if any(answers):
        return None
    found: Any = zip(*_FIELDS.iter_unpack(memoryview(room.buffer)[: _SIZE * count]), strict=True)
    known, links, modes, inodes, sizes, *times = found
    if {mask & _MASK for mask in known} != {_MASK} or {mode & _KIND for mode in modes} != {stat.S_IFREG}:
        return None
    created, changed, modified = (
        [seconds * 1_000_000_000 + rest for seconds, rest in zip(times[n], times[n + 1], strict=True)]
        for n in (0, 2, 4)
    )
    return Born(inodes, sizes, modified, changed, created, set(links) != {1})
