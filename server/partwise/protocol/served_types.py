"""What a file is served as, by its name (never used to judge an upload)."""

from __future__ import annotations

import mimetypes
from functools import lru_cache

__all__ = ["served_type"]

# The table that comes with Python, not the machine's own, so that every installation says the same.
_TYPES = mimetypes.MimeTypes()
_CODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def served_type(name: str) -> str:
    """The media type that the ending of a name stands for, ``application/octet-stream`` if for none."""
    return _by_ending(name.rpartition(".")[2].lower() if "." in name else "")


@lru_cache(1024)
def _by_ending(ending: str) -> str:
    kind, coding = _TYPES.guess_type(f"name.{ending}", strict=False)
    if coding is not None:
        return _CODINGS.get(coding, "application/octet-stream")
    return kind or "application/octet-stream"
