"""Which methods fit which kind of resource (``Allow``, RFC 9110 §10.2.1)."""

from __future__ import annotations

from partwise.errors import NotFound
from partwise.protocol.partial import UPDATE_TYPE
from partwise.protocol.paths import Path
from partwise.storage.base import Resource, Store

_RESOURCE = ("PROPFIND", "REPORT", "PROPPATCH", "COPY", "MOVE", "DELETE", "LOCK", "UNLOCK")
COLLECTION = ("OPTIONS", "GET", "HEAD", "POST", *_RESOURCE)
FILE = ("OPTIONS", "GET", "HEAD", "PUT", "PATCH", *_RESOURCE)
UNMAPPED = ("OPTIONS", "PUT", "MKCOL", "LOCK")
SERVICE = ("OPTIONS", "GET", "HEAD")

#: The containers that POST takes (``Accept-Post``, W3C LDP §7.1).
CONTAINERS = ("multipart/form-data", "multipart/mixed", "multipart/related", "application/x-tar", "application/zip")

#: The formats that PATCH takes (``Accept-Patch``, RFC 5789 §3.1).
PATCHES = (UPDATE_TYPE,)


def reports_on(resource: Resource) -> tuple[str, ...]:
    """The reports that a resource can be asked for (RFC 3253 §3.1.5)."""
    return ("sync-collection", "expand-property") if resource.collection else ("expand-property",)


def fitting(standing: Resource | None) -> tuple[str, ...]:
    """The methods that make sense on what stands under a name."""
    if standing is None:
        return UNMAPPED
    return COLLECTION if standing.collection else FILE


def allowed(store: Store, path: Path) -> tuple[str, ...]:
    """As :func:`fitting`, of what stands there now."""
    try:
        return fitting(store.stat(path))
    except NotFound:
        return fitting(None)
