"""Members of archives as parts: what an archive says of a member, in the form of header fields.

The decoders of archives give the same events as the one of ``multipart/*``. What has no header field of its own is told
by names with a colon, which no field name can have (RFC 9110 §5.6.2).
"""

from __future__ import annotations

from enum import Enum

NAME = ":name"
KIND = ":kind"


class Kind(Enum):
    """What a member is; the value is the word for it in a sentence."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "named pipe"
    SOCKET = "socket"
    SPARSE = "sparse file"
    ENCRYPTED = "encrypted file"
    OTHER = "member of an unknown kind"


def member_headers(name: bytes, kind: Kind, size: int, modified: str | None) -> tuple[tuple[str, bytes], ...]:
    """The fields of one member: ``size`` in bytes, ``modified`` in decimal seconds since 1970 (or unknown)."""
    headers = [(NAME, name), (KIND, kind.name.encode()), ("content-length", b"%d" % size)]
    if modified is not None:
        headers.append(("x-oc-mtime", modified.encode()))
    return tuple(headers)


def relative_name(name: bytes) -> bytes:
    """Without the leading ``./`` that ``tar c .`` writes; empty for the folder that was packed itself."""
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return b"" if name == b"." else name
