"""Entity tags and the lists of them (RFC 9110 §8.8.3, §13.1.1, §13.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from partwise import errors

__all__ = ["ANY", "Any_", "ETag", "parse_etag", "parse_etag_list"]

# RFC 9110 §8.8.3: etagc = %x21 / %x23-7E / obs-text. Field values reach us as text, so obs-text is all above DEL,
# the lone surrogates of undecodable bytes included.
_ENTITY_TAG = r'(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"'
_SINGLE = re.compile(_ENTITY_TAG)
_MEMBER = re.compile(rf"[ \t]*+(?:{_ENTITY_TAG})?[ \t]*+(?:,|\Z)")


class Any_(Enum):  # noqa: N801 - typing.Any has the plain name
    """The ``*`` of ``If-Match`` and ``If-None-Match``: any current representation."""

    ANY = "*"


ANY = Any_.ANY


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag; ``value`` is the opaque tag without its quotes, ``str()`` the form of the header."""

    value: str
    weak: bool = False

    def __str__(self) -> str:
        return f'W/"{self.value}"' if self.weak else f'"{self.value}"'

    def strong_match(self, other: ETag) -> bool:
        """Equal and neither of them weak (RFC 9110 §8.8.3.2)."""
        return not self.weak and not other.weak and self.value == other.value

    def weak_match(self, other: ETag) -> bool:
        """Equal opaque tags, weak or not (RFC 9110 §8.8.3.2)."""
        return self.value == other.value


def parse_etag(value: str) -> ETag:
    """One entity tag. Raises ``Malformed``. Source: RFC 9110 §8.8.3."""
    found = _SINGLE.fullmatch(value.strip(" \t"))
    if found is None:
        raise errors.Malformed('An entity tag must stand in double quotes, like "abc" or W/"abc".')
    return ETag(found[2], weak=found[1] is not None)


def parse_etag_list(value: str) -> Any_ | tuple[ETag, ...]:
    """The value of ``If-Match`` or ``If-None-Match``: ``ANY``, or at least one entity tag.

    Raises ``Malformed``. Source: RFC 9110 §13.1.1: "*" / 1#entity-tag.
    """
    if value.strip(" \t") == "*":
        return ANY
    tags: list[ETag] = []
    position = 0
    while position < len(value):
        found = _MEMBER.match(value, position)
        if found is None:
            break
        # RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list elements".
        if found[2] is not None:
            tags.append(ETag(found[2], weak=found[1] is not None))
        position = found.end()
    if position < len(value) or not tags:
        raise errors.Malformed(
            'If-Match and If-None-Match must hold * or entity tags in double quotes separated by commas, like "a", "b".'
        )
    return tuple(tags)
