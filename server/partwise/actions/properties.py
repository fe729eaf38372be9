"""The live properties (RFC 4918 §15), one table; and how their values are written."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import lru_cache

from partwise.errors import DAV_NS
from partwise.protocol.dates import format_http_date
from partwise.protocol.multistatus import text
from partwise.storage.base import Resource

# The table that comes with Python, not the machine's own, so that every installation says the same.
_TYPES = mimetypes.MimeTypes()
_CODINGS = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def media_type(name: str) -> str:
    """What a file is served as, by its name (never used to judge an upload)."""
    return _by_ending(name.rpartition(".")[2].lower() if "." in name else "")


@lru_cache(1024)
def _by_ending(ending: str) -> str:
    kind, coding = _TYPES.guess_type(f"name.{ending}", strict=False)
    if coding is not None:
        return _CODINGS.get(coding, "application/octet-stream")
    return kind or "application/octet-stream"


def _length(resource: Resource) -> str | None:
    return None if resource.collection else str(resource.size)


def _type(resource: Resource) -> str | None:
    return None if resource.collection else text(media_type(resource.path[-1] if resource.path else ""))


def _etag(resource: Resource) -> str | None:
    return None if resource.etag is None else f"&quot;{resource.etag}&quot;"


def _modified(resource: Resource) -> str:
    return format_http_date(resource.modified_ns // 1_000_000_000)


def _resourcetype(resource: Resource) -> str:
    return "<D:collection/>" if resource.collection else ""


#: Name without namespace → the serialised value of a resource, ``None`` where it does not have the property.
LIVE: dict[str, Callable[[Resource], str | None]] = {
    "resourcetype": _resourcetype,
    "getcontentlength": _length,
    "getcontenttype": _type,
    "getetag": _etag,
    "getlastmodified": _modified,
}


def element(name: str, value: str) -> str:
    """A live property with its serialised value."""
    return f"<D:{name}>{value}</D:{name}>" if value else f"<D:{name}/>"


def split(name: str) -> tuple[str, str]:
    """A name in Clark notation as namespace and local name."""
    namespace, _, local = name.rpartition("}")
    return namespace.removeprefix("{"), local


def empty(name: str) -> str:
    """An empty element of any name in Clark notation."""
    namespace, local = split(name)
    if namespace == DAV_NS:
        return f"<D:{local}/>"
    return f'<x:{local} xmlns:x="{text(namespace)}"/>' if namespace else f'<{local} xmlns=""/>'
