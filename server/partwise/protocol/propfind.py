"""What a PROPFIND asks for (RFC 4918 §9.1 and §14.20).

Names of properties are in Clark notation: ``{DAV:}getetag``, and ``colour`` for a name in no namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["AllProp", "Prop", "PropFind", "PropName"]


@dataclass(frozen=True, slots=True)
class AllProp:
    """All dead properties, the live ones of RFC 4918, and those of ``include`` (§14.2, §14.8).

    ``include`` holds each name once, in the order of the request.
    """

    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PropName:
    """The names of all properties, without values (§14.21)."""


@dataclass(frozen=True, slots=True)
class Prop:
    """The properties named (§14.18): each name once, in the order of the request; there may be none."""

    names: tuple[str, ...]


PropFind: TypeAlias = AllProp | PropName | Prop
