"""File systems of this machine alone, by the type that statfs(2) tells (``<linux/magic.h>``).

This kernel makes all their changes, so it can tell of each; and it asks nobody else, as it would on a network or in another
program, to open a file, or for what it was asked just now.
"""

from __future__ import annotations

import ctypes
import sys
from typing import NamedTuple


class FileSystem(NamedTuple):
    """``in_memory``: all contents always are."""

    name: str
    in_memory: bool = False


_LOCAL = {
    0xEF53: FileSystem("ext2, ext3, ext4"),
    0x58465342: FileSystem("xfs"),
    0x9123683E: FileSystem("btrfs"),
    0xF2F52010: FileSystem("f2fs"),
    0xCA451A4E: FileSystem("bcachefs"),
    0x2FC12FC1: FileSystem("zfs"),
    0x794C7630: FileSystem("overlayfs"),
    0x01021994: FileSystem("tmpfs", in_memory=True),
    0x858458F6: FileSystem("ramfs", in_memory=True),
}


def local(descriptor: int) -> FileSystem | None:
    """That of an open file; ``None`` for one that is not known to be local, and where it cannot be asked."""
    number = _type(descriptor)
    return None if number is None else _LOCAL.get(number)


def _type(descriptor: int) -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.PyDLL(None).fstatfs
    except (OSError, AttributeError):
        return None
    # struct statfs begins with its type as a long everywhere but on s390; it has 120 bytes or less.
    found = ctypes.create_string_buffer(256)
    if function(ctypes.c_int(descriptor), found) != 0:
        return None
    return int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF
