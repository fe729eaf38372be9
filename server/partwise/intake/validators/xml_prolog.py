"""Everything before the root element of an XML item, read for one thing: entity declarations (XML 1.0 §2.8, §4.2).

They are refused before a parser sees them, so an entity bomb costs nothing. Whatever is no prolog is left to the parser.
"""

from __future__ import annotations

import re

from partwise.errors import RuleFailed

# One markup construct or literal of a prolog; the lookahead keeps a construct that is still arriving whole.
_OUTSIDE = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->|(?P<doctype><!DOCTYPE\b)", re.DOTALL)
_DOCTYPE = re.compile(rb"""[^\[>"']+|"[^"]*"|'[^']*'|(?P<subset>\[)|(?P<end>>)""")
_SUBSET = re.compile(
    rb"""\s+|%[^\s;]*;|<\?.*?\?>|<!--.*?-->|(?P<entity><!ENTITY)|(?P<back>\])"""
    rb"""|<!(?!--|ENTITY)[A-Z]+(?:[^"'>]|"[^"]*"|'[^']*')*>""",
    re.DOTALL,
)


class Prolog:
    """Reads one prolog in pieces of UTF-8."""

    def __init__(self) -> None:
        self._tokens: re.Pattern[bytes] = _OUTSIDE
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.RuleFailed` at the first entity declaration, general or parameter."""
        self._held += data
        # Every construct ends with ">": without one there is nothing new to find, and little to scan again and again.
        if b">" not in data:
            return
        at = 0
        while token := self._tokens.match(self._held, at):
            at = token.end()
            match token.lastgroup:
                case "doctype" | "back":
                    self._tokens = _DOCTYPE
                case "subset":
                    self._tokens = _SUBSET
                case "end":
                    self._tokens = _OUTSIDE
                case "entity":
                    raise entities_refused()
        self._held = self._held[at:]


def entities_refused() -> RuleFailed:
    return RuleFailed("The XML item declares entities, which are not taken here; write their text in their place.")
