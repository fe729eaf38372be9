"""Media types with their parameters, ``Accept`` and lists of accepted types (RFC 9110 §5.6.6, §8.3.1, §12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from partwise import errors

__all__ = [
    "QUOTED_STRING",
    "TOKEN",
    "AcceptedTypes",
    "MediaRange",
    "MediaType",
    "choose",
    "parse_accept",
    "parse_media_type",
    "parse_parameters",
    "unquote",
]

#: RFC 9110 §5.6.2.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 - a grammar, not a secret
#: RFC 9110 §5.6.4, its quotes included. Field values reach us as text, so obs-text is all above DEL.
QUOTED_STRING = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\t \x21-\x7e\x80-\U0010ffff])*"'

_ESSENCE = re.compile(rf"({TOKEN})/({TOKEN})")
# §5.6.6: parameters = *( OWS ";" OWS [ parameter ] )
_PARAMETER = re.compile(rf"[ \t]*+;[ \t]*+(?:({TOKEN})=({TOKEN}|{QUOTED_STRING}))?")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# What stands between two commas that are not quoted; an open quote runs to the end.
_ACCEPT_MEMBER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\(?:.|\Z))*"?)+', re.DOTALL)
# §12.4.2, and the ".2" that java.net.HttpURLConnection has always sent.
_WEIGHT = re.compile(r"(?=[.0-9]*[0-9])0?(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# An asterisk is a legal character of a token, but nobody means it as one in a pattern.
_NAME = TOKEN.replace("*", "")
_PATTERN = re.compile(rf"\*/\*|{_NAME}/(?:\*|\*\+{_NAME}|{_NAME})")


def unquote(value: str) -> str:
    """The text that a token or quoted-string stands for (RFC 9110 §5.6.4)."""
    return _QUOTED_PAIR.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def parse_parameters(text: str) -> tuple[tuple[str, str], ...] | None:
    """The parameters after a media type or disposition, names in lower case, values unquoted; ``None`` if malformed.

    ``text`` is empty or begins at the first ``;`` (after white space). Source: RFC 9110 §5.6.6.
    """
    found: list[tuple[str, str]] = []
    text = text.rstrip(" \t")
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            return None
        if match[1] is not None:
            found.append((match[1].lower(), unquote(match[2])))
        position = match.end()
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type; ``type``, ``subtype`` and the names of parameters in lower case, values as sent but unquoted."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """The value of the first parameter of this name, in any case."""
        return next((value for key, value in self.parameters if key == name.lower()), None)

    def __str__(self) -> str:
        return self.essence + "".join(f"; {name}={_quote(value)}" for name, value in self.parameters)


def _quote(value: str) -> str:
    if re.fullmatch(TOKEN, value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


# The parts of a batch have few different types, and each is a frozen value.
@lru_cache(maxsize=256)
def parse_media_type(value: str) -> MediaType:
    """The value of ``Content-Type``. Raises ``Malformed``. Source: RFC 9110 §8.3.1."""
    found = _media_type(value.strip(" \t"))
    if found is None:
        raise errors.Malformed("Content-Type must be written like text/xml; charset=utf-8, other values in quotes.")
    return found


def _media_type(text: str) -> MediaType | None:
    essence = _ESSENCE.match(text)
    parameters = parse_parameters(text[essence.end() :]) if essence else None
    if essence is None or parameters is None:
        return None
    return MediaType(essence[1].lower(), essence[2].lower(), parameters)


class MediaRange(NamedTuple):
    """One member of ``Accept``; ``*`` stands for any type or subtype, ``q`` is its weight in thousandths."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...]
    q: int

    @property
    def specificity(self) -> tuple[bool, bool, int]:
        """The more, the more specific (RFC 9110 §12.5.1)."""
        return (self.type != "*", self.subtype != "*", len(self.parameters))

    def matches(self, offered: MediaType) -> bool:
        return (
            self.type in ("*", offered.type)
            and self.subtype in ("*", offered.subtype)
            and all(offered.parameter(name) == value for name, value in self.parameters)
        )


def parse_accept(value: str) -> tuple[MediaRange, ...]:
    """The readable members of ``Accept`` in their order; malformed ones are left out. Source: RFC 9110 §12.5.1."""
    ranges = (_media_range(member) for member in _ACCEPT_MEMBER.findall(value))
    return tuple(found for found in ranges if found is not None)


def _media_range(member: str) -> MediaRange | None:
    member = member.strip(" \t")
    if member.partition(";")[0].rstrip(" \t") == "*":
        # java.net.HttpURLConnection sends "*; q=.2".
        member = f"*/{member}"
    found = _media_type(member)
    if found is None or (found.type == "*" and found.subtype != "*"):
        return None
    parameters: list[tuple[str, str]] = []
    weight = "1"
    for name, value in found.parameters:
        if name == "q":
            # What follows the weight is an accept-ext, which no longer means anything.
            weight = value
            break
        # Clients that write "application/json; charset=utf-8" mean application/json; but JSON:API 1.1 forbids to read its
        # own type so, and asks to ignore profiles that are not known.
        if name != ("profile" if found.essence == "application/vnd.api+json" else "charset"):
            parameters.append((name, value))
    if not _WEIGHT.fullmatch(weight):
        return None
    return MediaRange(found.type, found.subtype, tuple(parameters), round(float(weight) * 1000))


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """The one of ``offered`` (media types, the server's favourite first) that ``Accept`` likes best, or ``None``.

    Without the field, or with nothing readable in it, the first. Between equal weights the type that was asked for
    more specifically wins, then the server's order. Source: RFC 9110 §12.5.1.
    """
    ranges = parse_accept(accept or "")
    if not ranges:
        return offered[0] if offered else None
    best: tuple[tuple[int, tuple[bool, bool, int]], str] | None = None
    for candidate in offered:
        media_type = parse_media_type(candidate)
        # "Media ranges can be overridden by more specific media ranges or specific media types."
        fitting = max((r for r in ranges if r.matches(media_type)), key=lambda r: r.specificity, default=None)
        if fitting is not None and fitting.q:
            rank = (fitting.q, fitting.specificity)
            if best is None or rank > best[0]:
                best = (rank, candidate)
    return best[1] if best else None


@dataclass(frozen=True, slots=True)
class AcceptedTypes:
    """A list of the media types that are taken: ``text/xml``, ``image/*``, ``application/*+xml``, ``*/*``.

    Raises ``ValueError`` for another pattern: patterns come from the operator, not from a request.
    """

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f"{pattern!r} is no pattern of media types like image/* or application/*+xml")

    def allows(self, essence: str | None) -> bool:
        """Whether a body of this type is taken; ``None`` (no ``Content-Type``) counts as ``application/octet-stream``.

        Source: RFC 9110 §8.3, which lets a recipient assume that type.
        """
        if "*/*" in self.patterns:
            return True
        essence = (essence or "application/octet-stream").lower()
        return any(_fits(pattern.lower(), essence) for pattern in self.patterns)


def _fits(pattern: str, essence: str) -> bool:
    if pattern == "*/*":
        return True
    wanted_type, _, wanted = pattern.partition("/")
    actual_type, _, actual = essence.partition("/")
    if wanted_type != actual_type:
        return False
    if wanted.startswith("*+"):
        return actual.endswith(wanted[1:]) and len(actual) > len(wanted[1:])
    return wanted in ("*", actual)
