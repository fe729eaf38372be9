"""Names: from the request-target to segments and back, once (RFC 3986, RFC 9112 §3.2).

A path is a tuple of decoded segments below the served folder; ``()`` is the folder itself. Segments are ``str`` with
``surrogateescape``, so that a name that is not UTF-8 on disk stays reachable by its raw bytes. Whether a *new* name may
be made is another question than whether a path can be read: see :func:`check_new`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from partwise.errors import ForbiddenName, Malformed, MalformedName, NotFound, OtherServer
from partwise.protocol.quirks import APPLE_NAME, is_apple_name

Path = tuple[str, ...]

#: A single name is 255 bytes at most on every common file system.
MAX_SEGMENT = 255
#: Segments of a new path; deeper trees are a burden for every tool that walks them.
MAX_DEPTH = 128
#: Percent-encoded length of a whole new path; keeps a row of a report below 8 KiB.
MAX_ENCODED_PATH = 3072

TRAILING_SLASH = "The name of a file ends with a slash."

# pchar of RFC 3986 §3.3 without "&" and "'", so that an href needs no escaping in XML and HTML.
_SAFE = "!$()*+,;=:@~"
_DOTS = (".", "..")
_PLAIN = re.compile(r"[A-Za-z0-9._~!$()*+,;=:@-]+")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE_FORM = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# What most names are made of, and no reason against any of them.
_USUAL = re.compile(r"[A-Za-z0-9._ ~!$()*+,;=@-]{1,255}")


class Target(NamedTuple):
    """What a request-target names. ``slash``: it ended with one. ``service``: below the service prefix."""

    path: Path
    slash: bool
    query: str = ""
    service: bool = False


def decode_segment(raw: str) -> str:
    """Percent-decode one segment, once.

    Raises MalformedName for a broken percent-encoding, NUL or an empty segment; ForbiddenName for a dot segment or an
    encoded slash. Bytes that are not UTF-8 become surrogates.
    """
    if _PLAIN.fullmatch(raw) and raw not in _DOTS:
        return raw  # as most are
    if _BAD_PERCENT.search(raw):
        raise MalformedName("The name holds a '%' that is not followed by two hexadecimal digits.")
    return check_segment(unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape"))


def check_segment(name: str) -> str:
    """What no segment may be, read or written. Raises MalformedName or ForbiddenName."""
    if not name:
        raise MalformedName("The name has an empty segment; remove the doubled slash.")
    if "\0" in name:
        raise MalformedName("The name holds a NUL character.")
    if name in _DOTS:
        raise ForbiddenName("The name has a '.' or '..' segment; name the resource directly.")
    if "/" in name:
        raise ForbiddenName("The name holds an encoded slash.")
    return name


def encode_segment(name: str) -> str:
    """One segment, percent-encoded (RFC 3986 §3.3)."""
    if _PLAIN.fullmatch(name):
        return name
    return quote(name.encode("utf-8", "surrogateescape"), safe=_SAFE)


def encode_segments(names: Sequence[str]) -> Sequence[str]:
    """Each as by :func:`encode_segment`; much faster where all are plain."""
    return names if _PLAIN.fullmatch("".join(names)) else [encode_segment(name) for name in names]


def encode(path: Path) -> str:
    """The segments percent-encoded and joined by slashes, without a leading one."""
    return "/".join(map(encode_segment, path))


def check_new(path: Path) -> None:
    """May a resource be made under this path? Raises MalformedName or ForbiddenName, naming the reason."""
    if len(path) == 1 and _USUAL.fullmatch(path[0]):
        return
    for name in path:
        if _USUAL.fullmatch(name):
            continue
        if _CONTROL.search(name):
            raise MalformedName("The name holds a control character.")
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise MalformedName("The name is not valid UTF-8.") from None
        if size > MAX_SEGMENT:
            raise ForbiddenName(f"A segment of the name is longer than {MAX_SEGMENT} bytes.")
        if "\\" in name:
            raise ForbiddenName("The name holds a backslash; separate segments with '/'.")
    if len(path) > MAX_DEPTH:
        raise ForbiddenName(f"The name has more than {MAX_DEPTH} segments.")
    if path and _DRIVE.match(path[0]):
        raise ForbiddenName("The name begins with a drive letter.")
    # Encoding triples a byte at most, so that a short name need not be encoded to know.
    if sum(map(len, path)) * 12 > MAX_ENCODED_PATH and len(encode(path)) > MAX_ENCODED_PATH:
        raise ForbiddenName(f"The name is longer than {MAX_ENCODED_PATH} characters in its encoded form.")


def split_name(name: str) -> Path:
    """A literal relative name as form-data and archives hold it (``dir/a.xml``) as segments.

    Nothing is percent-decoded. Raises MalformedName or ForbiddenName.
    """
    if not name:
        raise MalformedName("The name is empty; give the file one.")
    if name.startswith("/"):
        raise ForbiddenName("The name begins with a slash; it must be relative to the collection.")
    if name.endswith("/"):
        raise ForbiddenName(TRAILING_SLASH)
    if "/" not in name:
        return (check_segment(name),)
    return tuple(check_segment(segment) for segment in name.split("/"))


@dataclass(frozen=True, slots=True)
class Mount:
    """Where the served folder stands in the space of URLs.

    ``prefix`` is what request-targets begin with; ``public`` is what hrefs begin with, as the outside world sees it
    (equal unless a proxy rewrites); both without a trailing slash. ``origin`` is ``scheme://authority`` of the public
    URL, if one was configured. ``service`` is the reserved name directly below the prefix; ``hidden`` that of the folder
    for state. ``apple``: names of macOS's own may be made.
    """

    prefix: str = ""
    public: str = ""
    origin: str | None = None
    service: str = "-"
    hidden: str = ".partwise"
    apple: bool = True

    def parse(self, raw: str) -> Target:
        """Read a raw request-target (origin-form or absolute-form).

        Raises Malformed for a fragment or another form, MalformedName or ForbiddenName for a bad segment, NotFound
        outside the prefix.
        """
        if "#" in raw:
            # RFC 9112 §3.2: a request-target has no fragment. Cutting it off would address the parent.
            raise MalformedName("The request-target holds a '#'; encode it as %23.")
        absolute = _ABSOLUTE_FORM.fullmatch(raw)
        if absolute:
            raw = absolute[3] or "/"
        if not raw.startswith("/"):
            raise Malformed("The request-target must begin with a slash.")
        path, _, query = raw.partition("?")
        if path == self.prefix:
            path += "/"
        if not path.startswith(self.prefix + "/"):
            raise NotFound("There is nothing under this address.")
        return self._below(path[len(self.prefix) + 1 :], query)

    def _below(self, relative: str, query: str) -> Target:
        # webdav4 joins a base URL and "/" to "//" and means the root.
        if relative in ("", "/"):
            return Target((), True, query)
        slash = relative.endswith("/")
        segments = tuple(map(decode_segment, relative.removesuffix("/").split("/")))
        if segments[0] == self.service:
            return Target(segments[1:], slash, query, service=True)
        return Target(segments, slash, query)

    def reserved(self) -> ForbiddenName:
        return ForbiddenName(f"The name {self.service!r} is reserved for the server's own resources.")

    def hidden_name(self) -> ForbiddenName:
        return ForbiddenName(f"The name {self.hidden!r} is reserved for the server's own state.")

    def is_hidden(self, path: Path) -> bool:
        """Does the path lie in the folder for state? Compared without case: some file systems fold it."""
        return bool(path) and path[0].casefold() == self.hidden.casefold()

    def check_new(self, path: Path) -> None:
        """As :func:`check_new`, and neither in the service nor in the state folder, nor a name that macOS leaves."""
        check_new(path)
        if path and path[0] == self.service:
            raise self.reserved()
        if self.is_hidden(path):
            raise self.hidden_name()
        if not self.apple and any(map(is_apple_name, path)):
            raise ForbiddenName(APPLE_NAME)

    def is_above(self, raw: str) -> bool:
        """Does a raw request-target name a place above the prefix, such as the root of the whole server?"""
        place = raw.partition("?")[0].rstrip("/") + "/"
        return len(place) <= len(self.prefix) and self.prefix.startswith(place)

    def href(self, path: Path, *, collection: bool = False) -> str:
        """The absolute path of a resource, percent-encoded; a collection's ends with a slash."""
        encoded = encode(path)
        return f"{self.public}/{encoded}/" if collection and encoded else f"{self.public}/{encoded}"

    def service_href(self, *path: str) -> str:
        return f"{self.public}/{quote(self.service)}/{encode(path)}"

    def resolve(self, reference: str, collection: Path, authority: str | None, what: str = "Content-Location") -> Path:
        """A URI reference (``what`` it stands in) resolved against a collection's URL with its slash.

        ``authority`` is the request's Host. The result lies below ``collection``. Raises MalformedName for a query or
        fragment, ForbiddenName for another origin or a place outside the collection.
        """
        if "#" in reference or "?" in reference:
            raise MalformedName(f"{what} must name an item, without a query or fragment.")
        absolute = _ABSOLUTE_FORM.fullmatch(reference)
        if absolute or reference.startswith("//"):
            scheme, place, rest = absolute.groups() if absolute else ("", *_network_path(reference))
            if not self._is_ours(scheme.lower(), place.lower(), authority):
                raise ForbiddenName(f"{what} names another server.")
            reference = rest or "/"
        elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", reference):
            raise ForbiddenName(f"{what} must be a relative reference or lie on this server.")
        if not reference.startswith("/"):
            return collection + _relative(reference)
        for base in {self.public, self.prefix}:
            if reference.startswith(base + "/"):
                path = _relative(reference[len(base) + 1 :])
                if len(path) > len(collection) and path[: len(collection)] == collection:
                    return path
        raise ForbiddenName(f"{what} lies outside the collection that was posted to.")

    def locate(self, reference: str, authorities: Collection[str]) -> Target:
        """What a ``Destination`` or a tag of ``If`` names: an absolute URI, or an absolute path with an optional query.

        ``authorities`` are the names under which this request reached us (see :func:`authority`); the scheme does not
        matter, since a proxy may have ended TLS. Raises OtherServer, or Malformed, MalformedName, ForbiddenName.
        """
        if "#" in reference:
            raise MalformedName("The reference holds a '#'; encode it as %23.")
        absolute = _ABSOLUTE_FORM.fullmatch(reference)
        if absolute or reference.startswith("//"):
            place, rest = (absolute[2], absolute[3]) if absolute else _network_path(reference)
            rest = rest if not rest.startswith("?") else "/" + rest
            ours = {authority(self.origin.partition("://")[2])} if self.origin else set()
            if authority(place) not in ours.union(authorities):
                raise OtherServer("The reference names another server; only resources of this one can be named.")
            reference = rest or "/"
        if not reference.startswith("/"):
            raise Malformed("The reference must be an absolute URI or begin with a slash.")
        path, _, query = reference.partition("?")
        for base in sorted({self.public, self.prefix}, key=len, reverse=True):
            if path == base:
                return Target((), False, query)
            if path.startswith(base + "/"):
                return self._below(path[len(base) + 1 :], query)
        raise OtherServer("The reference lies outside of what is served here.")

    def _is_ours(self, scheme: str, place: str, authority: str | None) -> bool:
        ours = {authority.lower()} if authority else set()
        if self.origin:
            ours.add(self.origin.lower().partition("://")[2])
        return scheme in ("", "http", "https") and place in ours


def authority(value: str) -> str:
    """Host and port in the form that is compared: lower case, without user information and default port."""
    place = value.rpartition("@")[2].lower()
    for port in (":80", ":443"):
        place = place.removesuffix(port)
    return place


def _network_path(reference: str) -> tuple[str, str]:
    place, slash, rest = reference[2:].partition("/")
    return place, slash + rest


def _relative(reference: str) -> Path:
    if not reference or reference.endswith("/"):
        raise ForbiddenName(TRAILING_SLASH)
    return tuple(decode_segment(part) for part in reference.split("/"))
