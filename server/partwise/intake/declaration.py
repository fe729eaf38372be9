"""What the headers of one body declare, each read once; the same for a PUT and for the parts of every container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from partwise.errors import Malformed
from partwise.protocol.conditions import Conditions
from partwise.protocol.dates import parse_http_date, parse_mtime
from partwise.protocol.digests import (
    Expected,
    parse_content_digest,
    parse_content_md5,
    parse_oc_checksum,
    parse_repr_digest,
)
from partwise.protocol.media_types import MediaType, parse_media_type

#: The header fields of one body by their lower-case names. Repeated field lines are joined with ", ".
Headers = Mapping[str, str]
Get = Callable[[str], str | None]

#: Of the headers of a request, those that :func:`declare` reads; its length it knows from elsewhere.
DECLARING = frozenset(
    (
        *("content-type", "content-encoding", "content-transfer-encoding", "content-language"),
        *("content-digest", "repr-digest", "content-md5", "oc-checksum", "x-oc-mtime", "last-modified"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
    )
)
_TYPE_ONLY = {"content-type"}
_UNCONDITIONAL = Conditions()

# RFC 2045 §6.2: these say that the bytes are as they are.
_IDENTITY = {"", "7bit", "8bit", "binary", "identity"}


@dataclass(frozen=True)
class Declaration:
    """``length`` in bytes, ``modified_ns`` nanoseconds since 1970: the modification time to keep.

    ``coding`` is a content or transfer coding that changes the bytes; none such is taken.
    """

    media_type: MediaType | None
    length: int | None
    digests: tuple[Expected, ...]
    conditions: Conditions
    modified_ns: int | None
    coding: str | None = None
    #: ``Content-Language`` and ``OC-Checksum`` as they were sent.
    language: str | None = None
    checksum: str | None = None

    @cached_property
    def essence(self) -> str | None:
        return None if self.media_type is None else self.media_type.essence

    @cached_property
    def charset(self) -> str | None:
        return None if self.media_type is None else self.media_type.parameter("charset")


def declare(headers: Headers) -> Declaration:
    """Raises Malformed for a header that cannot be read."""
    if headers.keys() <= _TYPE_ONLY:
        return _typed(headers.get("content-type"))
    get = headers.get
    media_type = get("content-type")
    length = get("content-length")
    codings = ((get(name) or "").strip().lower() for name in ("content-encoding", "content-transfer-encoding"))
    return Declaration(
        media_type=None if media_type is None else parse_media_type(media_type),
        length=None if length is None else _length(length),
        digests=_digests(get),
        conditions=Conditions.parse(lambda name: get(name.lower())),
        modified_ns=_modified(get),
        coding=next((coding for coding in codings if coding not in _IDENTITY), None),
        language=get("content-language"),
        checksum=get("oc-checksum"),
    )


@lru_cache(256)
def _typed(value: str | None) -> Declaration:
    """What most parts declare: a media type, if anything."""
    return Declaration(None if value is None else parse_media_type(value), None, (), _UNCONDITIONAL, None)


def _length(value: str) -> int:
    # RFC 9110 §8.6: Content-Length = 1*DIGIT
    if not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise Malformed("Content-Length is not a number of bytes.")
    return int(value)


def _digests(get: Get) -> tuple[Expected, ...]:
    found: list[Expected] = []
    if (value := get("content-digest")) is not None:
        found += parse_content_digest(value)
    if (value := get("repr-digest")) is not None:
        found += parse_repr_digest(value)
    if (value := get("content-md5")) is not None:
        found.append(parse_content_md5(value))
    if (value := get("oc-checksum")) is not None and (expected := parse_oc_checksum(value)) is not None:
        found.append(expected)
    return tuple(found)


def _modified(get: Get) -> int | None:
    if (value := get("x-oc-mtime")) is not None:
        return parse_mtime(value)
    if (value := get("last-modified")) is not None:
        seconds = parse_http_date(value)
        if seconds is None:
            raise Malformed("Last-Modified is not an HTTP date.")
        return seconds * 1_000_000_000
    return None
