"""Containers: what the headers of a part mean in ``multipart/form-data``, in ``multipart/mixed`` and in archives."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from partwise.errors import Failure, Malformed, MalformedName, RuleFailed, UnsupportedType
from partwise.protocol.disposition import parse_disposition, parse_form_disposition
from partwise.protocol.http_request import RequestHead
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.members import KIND, NAME, Kind
from partwise.protocol.multipart import Event, NeedData
from partwise.protocol.paths import Mount, Path, split_name

Headers = tuple[tuple[str, bytes], ...]
Resolve = Callable[[], Path]

#: Different header blocks of one form that are remembered.
_REMEMBERED = 64

_NONE: Mapping[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class Field:
    """A form field without a file."""

    name: str


@dataclass(frozen=True, slots=True)
class EmptyChoice:
    """A file picker in which nothing was chosen: no item, unless bytes follow."""

    name: str


class ItemPart(NamedTuple):
    """A part that is an item. ``path`` is its target, or ``failure`` says why it has none.

    ``headers`` are those that count in this container; ``promised``: its Content-Length is a promise.
    """

    name: str
    headers: Mapping[str, str]
    path: Path | None = None
    failure: Failure | None = None
    promised: bool = False
    content_id: str | None = None
    #: Stored properties that change together with the contents; ``None`` removes one.
    properties: Mapping[str, str | None] = _NONE


@dataclass(frozen=True, slots=True)
class CollectionPart:
    """A directory of an archive. ``path`` is the collection to be there, or ``failure`` says why it has none."""

    name: str
    path: Path | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class OperationPart:
    """A part of type ``application/http`` (RFC 9112 §10.2): a request on a member, unless ``failure`` speaks against it.

    ``request`` is its head where the container tells it in another way; then the part holds the body alone.
    """

    name: str
    content_id: str | None
    failure: Failure | None = None
    request: RequestHead | None = None


Part = Field | EmptyChoice | ItemPart | CollectionPart | OperationPart


class Decoder(Protocol):
    """How the bytes of one kind of container become parts. As ``protocol.multipart.MultipartDecoder``.

    Any method may raise a Failure, which ends the whole upload.
    """

    def receive(self, data: bytes) -> None:
        """The next bytes of the body; ``b""`` says that it has ended."""

    def next_event(self) -> Event | NeedData:
        """The next event, or ``NEED_DATA``. Its work is bounded; that of all events that one chunk brings is not."""

    def close(self) -> None:
        """Gives back what is held; the decoder is done with."""


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
    _known: dict[Headers, Mapping[str, str]] = field(default_factory=dict, init=False)

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
        if headers and headers[0][0] == "content-disposition":
            raw, counted = headers[0][1], self._remembered(headers[1:])
        else:
            counted = _counted(headers, _FORM)
            if (given := _values(headers).get("content-disposition")) is None:
                return ItemPart("", counted, failure=Malformed("A part of a form must have a Content-Disposition."))
            raw = given
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

    def _remembered(self, others: Headers) -> Mapping[str, str]:
        """The fields that count, of those besides the disposition: mostly the same in all parts of a form."""
        found = self._known.get(others)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[others] = _counted(others, _FORM)
        return found

    def _item(self, filename: bytes, counted: Mapping[str, str]) -> ItemPart:
        try:
            name = filename.decode(self.charset)
        except UnicodeError:
            shown = filename.decode("utf-8", "replace")
            return ItemPart(shown, counted, failure=MalformedName(f"The name is not valid {self.charset.upper()}."))
        try:
            path = self.collection + split_name(name)
            self.mount.check_new(path)
        except Failure as failure:
            return ItemPart(name, counted, failure=failure)
        return ItemPart(name, counted, path)


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
        if _is_operation(counted.get("content-type")):
            return _operation(values.get("content-location", b"").decode("utf-8", "replace"), counted, content_id)
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


_MEMBER = frozenset({"content-length", "x-oc-mtime"})
_REFUSED = {
    kind: f"This is a {kind.value}; only files and directories are stored."
    for kind in Kind
    if kind not in (Kind.FILE, Kind.DIRECTORY)
} | {
    Kind.ENCRYPTED: "The file is encrypted, so that it cannot be judged; pack it without a password.",
    Kind.SPARSE: "This is a sparse file; pack it without --sparse.",
}


@dataclass(frozen=True, slots=True)
class ArchiveContainer:
    """An archive posted to ``collection``: its members have names relative to it."""

    mount: Mount
    collection: Path

    def part(self, headers: Headers) -> Part:
        values = _values(headers)
        counted = _counted(headers, _MEMBER)
        kind = Kind[values[KIND].decode()]
        try:
            name = values[NAME].decode()
        except UnicodeError:
            shown, bad = values[NAME].decode("utf-8", "replace"), MalformedName("The name is not valid UTF-8.")
            return (
                CollectionPart(shown, failure=bad) if kind is Kind.DIRECTORY else ItemPart(shown, counted, failure=bad)
            )
        if kind is Kind.DIRECTORY:
            # The slash behind a directory's name is a mark; a name of nothing but slashes stays one.
            name = name.rstrip("/") or name
            found = _named(name, {}, lambda: self.collection + split_name(name), self.mount)
            return CollectionPart(name, found.path, found.failure)
        found = _named(name, counted, lambda: self.collection + split_name(name), self.mount, promised=True)
        if kind is Kind.FILE or found.failure is not None:
            return found
        return found._replace(failure=RuleFailed(_REFUSED[kind]))


def _is_operation(content_type: str | None) -> bool:
    if content_type is None or not content_type.strip().lower().startswith("application/http"):
        return False
    try:
        return parse_media_type(content_type).essence == "application/http"
    except Malformed:
        return False


def _operation(name: str, counted: Mapping[str, str], content_id: str | None) -> OperationPart:
    for field_name in ("content-encoding", "content-transfer-encoding"):
        if (coding := counted.get(field_name, "").strip().lower()) not in _AS_IS:
            coded = UnsupportedType(f"The coding {coding!r} is not taken here; send the request as it is.")
            return OperationPart(name, content_id, coded)
    return OperationPart(name, content_id)


_AS_IS = {"", "7bit", "8bit", "binary", "identity"}


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
