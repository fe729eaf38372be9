"""The ``If`` header of WebDAV (RFC 4918 §10.4): lists of state tokens and entity tags, tagged with resources or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from partwise.errors import Malformed
from partwise.protocol.etags import ETag
from partwise.protocol.locking import NO_LOCK
from partwise.protocol.quirks import bare_token

__all__ = ["Condition", "If", "State", "StateList", "parse_if"]

# RFC 4918 §10.1 and §8.3 ask for the characters of RFC 3986. Here anything visible passes but what ends the URI or begins
# a fragment: tokens of other servers (opaquelocktoken:{GUID}2012…) come back to us too, and deserve a 412, not a 400.
_VISIBLE = r"[^<>#\x00-\x20\x7f]"
_REST = r"[^<>#\x00-\x20\x7f]*+"
_ABSOLUTE = rf"[A-Za-z][A-Za-z0-9+.\-]*+:{_VISIBLE}{_REST}"

# Every pattern ends with the white space behind it, and none is tried twice at one place, so time is linear.
_TAG = re.compile(rf"<({_ABSOLUTE}|/(?!/){_REST})>[ \t]*+")
_OPEN = re.compile(r"\([ \t]*+")
_CLOSE = re.compile(r"\)[ \t,]*+")
# The entity tags of RFC 4918 are those of RFC 2616, which may hold spaces ("I am an ETag" in §10.4.6); a backslash is
# only itself, as in RFC 9110 §8.8.3.
_CONDITION = re.compile(
    rf'(?:((?i:not))[ \t]*+)?(?:<({_ABSOLUTE})>|\[[ \t]*+(W/)?"([^"\x00-\x08\x0a-\x1f\x7f]*+)"[ \t]*+\])[ \t]*+'
)


class State(NamedTuple):
    """What a resource is in: its entity tag (``None``: it has none) and the tokens of all locks that cover it.

    A name that nothing stands under has no entity tag, but may be covered by a lock (§10.4.4).
    """

    etag: ETag | None
    tokens: frozenset[str]


_NOTHING = State(None, frozenset())


@dataclass(frozen=True, slots=True)
class Condition:
    """One state token, without its angle brackets, or one entity tag; the other is ``None``."""

    negated: bool
    token: str | None
    etag: ETag | None

    def holds(self, state: State) -> bool:
        """Whether the resource is in that state.

        §10.4.4: "Servers MUST use either the weak or the strong comparison function": it is the strong one here, because
        ``If`` guards writes. So a weak tag never matches, and its negation always holds.
        """
        if self.etag is not None:
            matches = state.etag is not None and self.etag.strong_match(state.etag)
        else:
            matches = self.token in state.tokens
        return matches is not self.negated


@dataclass(frozen=True, slots=True)
class StateList:
    """Conditions that must all hold for one resource, at least one.

    ``tag`` is the resource as written between the angle brackets, an absolute URI or an absolute path with an optional
    query; ``None`` is the Request-URI.
    """

    tag: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class If:
    """The whole header, at least one list; either all lists have a tag or none has."""

    lists: tuple[StateList, ...]

    @property
    def tokens(self) -> frozenset[str]:
        """The state tokens that were submitted.

        §10.4.1: "the mere fact that a state token appears in an If header means that it has been 'submitted' with the
        request", whatever the header evaluates to. ``DAV:no-lock`` is the token of no lock (§10.4.8).
        """
        found = (condition.token for each in self.lists for condition in each.conditions)
        return frozenset(token for token in found if token is not None and token != NO_LOCK)

    def holds(self, state: Callable[[str | None], State | None]) -> bool:
        """Whether at least one list holds (§10.4.3).

        ``state`` is asked, once for each tag that matters, for what the tagged resource is in (``None``: the
        Request-URI's); ``None`` from it means that nothing is known, then no token and no entity tag matches.
        """
        known: dict[str | None, State] = {}
        for each in self.lists:
            if each.tag not in known:
                answer = state(each.tag)
                known[each.tag] = _NOTHING if answer is None else answer
            if all(condition.holds(known[each.tag]) for condition in each.conditions):
                return True
        return False


def parse_if(value: str) -> If:
    """The value of ``If``, several field lines joined with ``", "``.

    White space is optional everywhere but inside URIs; commas are allowed around lists, because joined lines have them.
    Raises ``Malformed``. Source: RFC 4918 §10.4.2.
    """
    if (bare := bare_token(value)) is not None:
        return If((StateList(None, (Condition(False, bare, None),)),))
    lists: list[StateList] = []
    tag: str | None = None
    position = len(value) - len(value.lstrip(" \t,"))
    while position < len(value):
        if value[position] == "<":
            tag, position = _tag(value, position, mixed=bool(lists) and tag is None)
        conditions, position = _conditions(value, position)
        lists.append(StateList(tag, conditions))
    if not lists:
        raise Malformed(
            'The If header is empty; send a list like (<urn:uuid:…>) or (["etag"]), or leave the header out.'
        )
    return If(tuple(lists))


def _tag(value: str, position: int, mixed: bool) -> tuple[str, int]:
    found = _TAG.match(value, position)
    if found is None:
        raise _malformed(
            position, "a resource must be an absolute path or URI in angle brackets, without spaces, before its lists"
        )
    # §10.4.2: "1*No-tag-list | 1*Tagged-list".
    if mixed:
        raise _malformed(position, "lists with and without a resource before them cannot be mixed; tag all or none")
    return found[1], found.end()


def _conditions(value: str, position: int) -> tuple[tuple[Condition, ...], int]:
    opening = _OPEN.match(value, position)
    if opening is None:
        raise _malformed(position, "a list of conditions in parentheses must stand here")
    conditions: list[Condition] = []
    position = opening.end()
    while found := _CONDITION.match(value, position):
        etag = ETag(found[4], weak=found[3] is not None) if found[4] is not None else None
        conditions.append(Condition(found[1] is not None, found[2], etag))
        position = found.end()
    closing = _CLOSE.match(value, position)
    if closing is None:
        raise _malformed(
            position,
            "a condition must be a lock token in angle brackets, like <urn:uuid:…>, or an entity tag in square brackets, "
            'like ["etag"], with or without Not before it, and the last one be followed by a closing parenthesis',
        )
    if not conditions:
        raise _malformed(position, "a list must hold at least one condition")
    return tuple(conditions), closing.end()


def _malformed(position: int, expected: str) -> Malformed:
    return Malformed(f"The If header cannot be understood at character {position + 1}: {expected}.")
