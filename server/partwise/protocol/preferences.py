"""What a client wishes: ``Prefer`` (RFC 7240), ``Depth`` and ``Overwrite`` (RFC 4918), ``Incremental`` (RFC 10036)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import http_sf

from partwise import errors
from partwise.protocol.media_types import QUOTED_STRING, TOKEN, unquote

__all__ = ["Depth", "Preferences", "parse_depth", "parse_incremental", "parse_overwrite", "parse_prefer"]

_WORD = rf"(?:{TOKEN}|{QUOTED_STRING})"
# RFC 7240 §2: preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] )
_PREFERENCE = re.compile(
    rf"[ \t]*+(?P<name>{TOKEN})[ \t]*+(?:=[ \t]*+(?P<value>{_WORD})?[ \t]*+)?"
    rf"(?:;[ \t]*+(?:{TOKEN}[ \t]*+(?:=[ \t]*+{_WORD}?[ \t]*+)?)?)*(?=,|\Z)"
)
# To the next comma that is not quoted; an open quote runs to the end.
_TO_COMMA = re.compile(r'(?:[^",]|"(?:[^"\\]|\\(?:.|\Z))*"?)*,?', re.DOTALL)
_SECONDS = re.compile("[0-9]+")
_LONGEST_WAIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of a request that mean something here; ``wait`` in seconds.

    Sources: RFC 7240 §4 and, for ``depth_noroot``, RFC 8144 §3.
    """

    return_: Literal["minimal", "representation"] | None = None
    respond_async: bool = False
    wait: int | None = None
    depth_noroot: bool = False
    handling: Literal["strict", "lenient"] | None = None


def parse_prefer(value: str | None) -> Preferences:
    """The value of ``Prefer``; nothing is raised, what cannot be read or is not known is ignored (RFC 7240 §2)."""
    found = _preferences(value or "")
    return_ = found.get("return", "").lower()
    handling = found.get("handling", "").lower()
    return Preferences(
        return_="minimal" if return_ == "minimal" else "representation" if return_ == "representation" else None,
        respond_async="respond-async" in found,
        wait=_seconds(found.get("wait", "")),
        depth_noroot="depth-noroot" in found,
        handling="strict" if handling == "strict" else "lenient" if handling == "lenient" else None,
    )


def _preferences(value: str) -> dict[str, str]:
    # By lower-case name; "" for none, since §2 says "Empty or zero-length values on both the preference token and
    # within parameters are equivalent to no value being specified at all."
    found: dict[str, str] = {}
    position = 0
    while position < len(value):
        preference = _PREFERENCE.match(value, position)
        if preference:
            # §2: "If any preference is specified more than once, only the first instance is to be considered."
            found.setdefault(preference["name"].lower(), unquote(preference["value"] or ""))
            position = preference.end()
        rest = _TO_COMMA.match(value, position)
        assert rest is not None and (rest.end() > position or position == len(value))
        position = rest.end()
    return found


def _seconds(digits: str) -> int | None:
    # RFC 9110 §10.2.3 has no limit for delta-seconds, int() has one for digits.
    if not _SECONDS.fullmatch(digits):
        return None
    digits = digits.lstrip("0") or "0"
    return min(int(digits), _LONGEST_WAIT) if len(digits) <= 10 else _LONGEST_WAIT


class Depth(Enum):
    """How far below a resource a method goes (RFC 4918 §10.2); the value is what the header says."""

    ZERO = "0"
    ONE = "1"
    INFINITY = "infinity"


def parse_depth(value: str | None, default: Depth) -> Depth:
    """The value of ``Depth``, ``default`` (each method has its own) without one. Raises ``Malformed``."""
    if value is None:
        return default
    try:
        return Depth(value.strip(" \t").lower())
    except ValueError:
        raise errors.Malformed("Depth must be 0, 1 or infinity.") from None


def parse_overwrite(value: str | None) -> bool:
    """The value of ``Overwrite``; without one it is true (RFC 4918 §10.6). Raises ``Malformed``."""
    match value.strip(" \t") if value is not None else "T":
        case "T" | "t":
            return True
        case "F" | "f":
            return False
    raise errors.Malformed("Overwrite must be T or F.")


def parse_incremental(value: str | None) -> bool:
    """Whether ``Incremental`` asks to pass on the message as it comes (RFC 10036): the structured item ``?1``.

    False for anything else; RFC 9651 §4.2: a field that fails to parse is ignored, its parameters are not known.
    """
    try:
        item = http_sf.parse((value or "").encode("ascii"), tltype="item")
    except ValueError:
        return False
    return isinstance(item, tuple) and item[0] is True
