"""Containers: what the headers of a part mean in ``multipart/form-data`` and in ``multipart/mixed``."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from partwise.errors import Failure, Malformed, MalformedName, UnsupportedType
from partwise.protocol.disposition import parse_disposition, parse_form_disposition
from partwise.protocol.paths import Mount, Path, split_name

Headers = Sequence[tuple[str, bytes]]
Resolve = Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Field:
    """A form field without a file."""

    name: str


@dataclass(frozen=True, slots=True)
class EmptyChoice:
    """A file picker in which nothing was chosen: no item, unless bytes follow."""

    name: str


@dataclass(frozen=True, slots=True)
class ItemPart:
    """A part that is an item. ``path`` is its target, or ``failure`` says why it has none.

    ``headers`` are those that count in this container; ``promised``: its Content-Length is a promise.
    """

    name: str
    headers: Mapping[str, str]
    path: Path | None = None
    failure: Failure | None = None
    promised: bool = False
    content_id: str | None = None


Part = Field | EmptyChoice | ItemPart


class Container(Protocol):
    """How the parts of one kind of container name and describe their items."""

    def part(self, headers: Headers) -> Part:
        """What a part with these headers is. A name that cannot be used is the part's own failure, never raised."""


def _counted(headers: Headers, counted: frozenset[str]) -> Mapping[str, str]:
    """The fields that count in a container, by their lower-case names; repeated lines joined."""
    found: dict[str, str] = {}
    for name, raw in headers:
        if name in counted:
            value = raw.decode("utf-8", "surrogateescape")
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _values(headers: Headers) -> Mapping[str, bytes]:
    """The first value of each field; a second one of a field that names the item is caught by its parser."""
    found: dict[str, bytes] = {}
    for name, raw in headers:
        found.setdefault(name, raw)
    return found


_FORM = frozenset(
    {
        "content-type",
        "content-length",
        "content-transfer-encoding",
        "content-encoding",
        "content-digest",
        "repr-digest",
        "content-md5",
        "if-match",
        "if-none-match",
    }
)
_MIXED = _FORM | {"oc-checksum", "last-modified", "x-oc-mtime", "if"}


@dataclass(slots=True)
class FormContainer:
    """``multipart/form-data`` (RFC 7578) posted to ``collection``."""

    mount: Mount
    collection: Path
    charset: str = field(default="utf-8", init=False)

    def use_charset(self, name: str) -> None:
        """The ``_charset_`` field (§4.6): how names are encoded from here on. Raises Malformed."""
        try:
            # Some codecs of Python are no encodings of text; decoding a name with them fails with other errors.
            "".encode(name)
            b"".decode(name)
            self.charset = codecs.lookup(name).name
        except (LookupError, ValueError, UnicodeError):
            raise Malformed("The field '_charset_' names an encoding that is not known here.") from None

    def part(self, headers: Headers) -> Part:
        values = _values(headers)
        counted = _counted(headers, _FORM)
        raw = values.get("content-disposition")
        if raw is None:
            return ItemPart("", counted, failure=Malformed("A part of a form must have a Content-Disposition."))
        try:
            disposition = parse_form_disposition(raw)
        except Failure as failure:
            return ItemPart("", counted, failure=failure)
        if disposition.filename is None:
            name = (disposition.name or b"").decode("utf-8", "replace")
            if counted.get("content-type", "").lower().lstrip().startswith("multipart/"):
                nested = UnsupportedType("A multipart inside a form is not taken; send each file as a part of its own.")
                return ItemPart(name, counted, failure=nested)
            return Field(name)
        if not disposition.filename:
            return EmptyChoice((disposition.name or b"").decode("utf-8", "replace"))
        return self._item(disposition.filename, counted)

    def _item(self, filename: bytes, counted: Mapping[str, str]) -> ItemPart:
        try:
            name = filename.decode(self.charset)
        except UnicodeError:
            shown = filename.decode("utf-8", "replace")
            return ItemPart(shown, counted, failure=MalformedName(f"The name is not valid {self.charset.upper()}."))
        return _named(name, counted, lambda: self.collection + split_name(name), self.mount)


@dataclass(frozen=True, slots=True)
class MixedContainer:
    """``multipart/mixed`` or ``multipart/related`` (RFC 2046) posted to ``collection``; ``authority`` is Host."""

    mount: Mount
    collection: Path
    authority: str | None

    def part(self, headers: Headers) -> Part:
        values = _values(headers)
        counted = _counted(headers, _MIXED)
        content_id = values.get("content-id", b"").decode("utf-8", "replace") or None
        location = values.get("content-location")
        if location is not None:
            reference = location.decode("utf-8", "surrogateescape")
            return _named(
                reference,
                counted,
                lambda: self.mount.resolve(reference, self.collection, self.authority),
                self.mount,
                promised=True,
                content_id=content_id,
            )
        try:
            raw = values.get("content-disposition")
            filename = None if raw is None else parse_disposition(raw).filename
        except Failure as failure:
            return ItemPart("", counted, failure=failure, content_id=content_id)
        if not filename:
            nameless = MalformedName("The part has no name; give it a Content-Location or a filename.")
            return ItemPart("", counted, failure=nameless, content_id=content_id)
        return _named(
            filename,
            counted,
            lambda: self.collection + split_name(filename),
            self.mount,
            promised=True,
            content_id=content_id,
        )


def _named(
    name: str,
    counted: Mapping[str, str],
    resolve: Resolve,
    mount: Mount,
    *,
    promised: bool = False,
    content_id: str | None = None,
) -> ItemPart:
    try:
        path = resolve()
        mount.check_new(path)
    except Failure as failure:
        return ItemPart(name, counted, failure=failure, promised=promised, content_id=content_id)
    return ItemPart(name, counted, path=path, promised=promised, content_id=content_id)
