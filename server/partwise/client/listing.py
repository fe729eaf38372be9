"""What is on the server already: the answers to PROPFIND (RFC 4918 §9.1), read as they arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from lxml import etree

from partwise.client.items import Item
from partwise.client.rows import forget
from partwise.errors import BATCH_NS, DAV_NS
from partwise.protocol.dates import parse_http_date

__all__ = ["LIMITS", "PROPERTIES", "Limits", "Listing", "ListingReader", "Stored", "read_limits"]

_D, _P, _OC = f"{{{DAV_NS}}}", f"{{{BATCH_NS}}}", "{http://owncloud.org/ns}"

PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns"><D:prop>'
    b"<D:resourcetype/><D:getetag/><D:getcontentlength/><D:getlastmodified/>%s</D:prop></D:propfind>"
)
LIMITS = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:" xmlns:P="urn:partwise:batch"><D:prop>'
    b"<D:resourcetype/><P:limits/></D:prop></D:propfind>"
)


class Stored(NamedTuple):
    """One file on the server. ``modified`` in whole seconds since 1970; ``checksum`` as ``SHA256:<hexadecimal>``."""

    size: int | None
    modified: int | None
    etag: str | None
    checksum: str | None


@dataclass(slots=True)
class Listing:
    """Files and collections by their names, relative to the collection that was asked; ``""`` is that itself."""

    files: dict[str, Stored] = field(default_factory=dict)
    collections: set[str] = field(default_factory=set)

    def holds(self, item: Item) -> bool:
        """Is the item there with its size and its time of modification, to the second?"""
        stored = self.files.get(item.name)
        return stored is not None and stored.size == item.size and stored.modified == item.mtime_ns // 1_000_000_000

    def holds_bytes(self, item: Item) -> bool:
        """Is the item there with the same bytes, as far as a checksum tells? Reads the file; may raise OSError."""
        stored = self.files.get(item.name)
        if stored is None or stored.size != item.size or stored.checksum is None:
            return False
        algorithm, _, value = stored.checksum.partition(":")
        name = _ALGORITHMS.get(algorithm.upper())
        if name is None:
            return False
        with open(item.file, "rb") as file:
            return hashlib.file_digest(file, name).hexdigest() == value.strip().lower()


_ALGORITHMS = {"SHA256": "sha256", "SHA512": "sha512", "SHA1": "sha1", "MD5": "md5"}


class ListingReader:
    """Reads one multistatus. ``base`` is the path of the collection that names are relative to, percent-encoded;
    ``asked`` the name of the one below it that the request was for."""

    def __init__(self, base: str, asked: str = "") -> None:
        self._base = _decoded(base)
        self._below = asked + "/" if asked else ""
        self._begun = False
        self._parser = etree.XMLPullParser(
            ("end",), tag=f"{_D}response", resolve_entities=False, no_network=True, huge_tree=False
        )
        self.listing = Listing()

    def feed(self, data: bytes) -> None:
        """Raises ValueError for what is no multistatus."""
        try:
            self._parser.feed(data)
            for _, response in self._parser.read_events():
                self._take(response)
                forget(response)
        except etree.XMLSyntaxError as error:
            raise ValueError(str(error)) from None

    def _take(self, response: etree._Element) -> None:
        path = _decoded(urlsplit(response.findtext(f"{_D}href", "").strip()).path)
        found = {str(prop.tag): prop for prop in _properties(response)}
        kind = found.get(f"{_D}resourcetype")
        is_collection = kind is not None and kind.find(f"{_D}collection") is not None
        if not self._begun:
            self._begin(path, is_collection)
        if path + "/" == self._base:
            path = self._base
        if not path.startswith(self._base):
            return
        name = path[len(self._base) :].rstrip("/")
        if is_collection:
            self.listing.collections.add(name)
        elif found:
            self.listing.files[name] = _stored(found)

    def _begin(self, path: str, is_collection: bool) -> None:
        # A partwise server tells first of the collection itself, in the words of its public URL: asked past its proxy it
        # calls it otherwise than the request did.
        self._begun = True
        own = path.rstrip("/") + "/"
        if is_collection and own.endswith("/" + self._below):
            self._base = own[: len(own) - len(self._below)]


def _properties(response: etree._Element) -> Iterator[etree._Element]:
    for propstat in response.iterchildren(f"{_D}propstat"):
        if " 200 " in propstat.findtext(f"{_D}status", "") + " ":
            yield from propstat.iterfind(f"{_D}prop/*")


def _stored(found: dict[str, etree._Element]) -> Stored:
    def text(name: str) -> str | None:
        element = found.get(name)
        return None if element is None else "".join(map(str, element.itertext())).strip()

    length, modified = text(f"{_D}getcontentlength"), text(f"{_D}getlastmodified")
    return Stored(
        int(length) if length and length.isdigit() else None,
        parse_http_date(modified) if modified else None,
        text(f"{_D}getetag"),
        (text(f"{_OC}checksums") or "").split(" ")[0] or None,
    )


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may hold, as the server says; ``None``: it does not say, or sets no limit. Sizes in bytes."""

    items: int | None = None
    bytes: int | None = None
    item_size: int | None = None


def read_limits(body: bytes) -> Limits:
    """From the answer to a PROPFIND of :data:`LIMITS`. Raises ValueError for what is no multistatus."""
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None
    limits = next(root.iter(f"{_P}limits"), None)
    if limits is None:
        return Limits()

    def number(name: str) -> int | None:
        value = limits.get(name, "").strip()
        return int(value) if value.isdigit() else None

    return Limits(number("max-items"), number("max-bytes"), number("max-item-size"))
