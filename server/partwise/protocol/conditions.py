"""The conditional requests of HTTP (RFC 9110 §13); the ``If`` of WebDAV is another noun."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from partwise import errors
from partwise.protocol.dates import parse_http_date
from partwise.protocol.etags import ANY, Any_, ETag, parse_etag, parse_etag_list
from partwise.protocol.quirks import matches_nothing

__all__ = ["Conditions", "Verdict"]

# A weak tag is never strongly equal to anything: what an unreadable If-Range is taken for.
_NOTHING = ETag("", weak=True)


class Verdict(Enum):
    """What the preconditions say: go on, 304, or ``PreconditionFailed``."""

    PASS = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The five preconditions of one request or item; ``None`` is absent, dates are seconds since 1970."""

    if_match: Any_ | tuple[ETag, ...] | None = None
    if_none_match: Any_ | tuple[ETag, ...] | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: ETag | int | None = None

    @classmethod
    def parse(cls, get: Callable[[str], str | None]) -> Conditions:
        """Read the header fields by ``get(name)``, which answers several field lines joined with ``", "``.

        Raises ``Malformed`` for bad entity tags; invalid dates count as absent (RFC 9110 §13.1.3, §13.1.4), and an
        ``If-Range`` that is neither tag nor date never holds.
        """
        match, none_match, if_range = get("If-Match"), get("If-None-Match"), get("If-Range")
        modified, unmodified = get("If-Modified-Since"), get("If-Unmodified-Since")
        if match is none_match is modified is unmodified is if_range is None:
            return _NONE
        return cls(
            if_match=_tags(match),
            if_none_match=_none_of(none_match),
            if_modified_since=_date(modified),
            if_unmodified_since=_date(unmodified),
            if_range=_range_validator(if_range),
        )

    @property
    def is_unconditional(self) -> bool:
        """True if ``evaluate`` can only pass. ``If-Range`` does not count: it never stops a request."""
        return (
            self.if_match is None
            and self.if_none_match is None
            and self.if_modified_since is None
            and self.if_unmodified_since is None
        )

    def evaluate(self, method_is_safe: bool, exists: bool, etag: ETag | None, modified: float | None) -> Verdict:
        """Judge the preconditions in the order of RFC 9110 §13.2.2; ``If-Range`` has ``if_range_holds``.

        ``method_is_safe`` is true for GET and HEAD only. ``etag`` is ``None`` for a resource without one (a
        collection) and ``modified``, in seconds since 1970, for one without a date; both where nothing exists.
        """
        if self.if_match is not None:
            if not self._matches(exists, etag):
                return Verdict.FAILED
        # §13.1.4: "A recipient MUST ignore the If-Unmodified-Since header field if the resource does not have a
        # modification date available."
        elif (
            self.if_unmodified_since is not None
            and exists
            and modified is not None
            and _later(modified, self.if_unmodified_since)
        ):
            return Verdict.FAILED

        if self.if_none_match is not None:
            if not self._matches_none(exists, etag):
                return Verdict.NOT_MODIFIED if method_is_safe else Verdict.FAILED
        # §13.1.3: to be ignored "if the request method is neither GET nor HEAD", or without a modification date.
        elif (
            self.if_modified_since is not None
            and method_is_safe
            and exists
            and modified is not None
            and not _later(modified, self.if_modified_since)
        ):
            return Verdict.NOT_MODIFIED
        return Verdict.PASS

    def if_range_holds(self, etag: ETag | None, modified: float | None) -> bool:
        """Whether ``Range`` is to be obeyed; if not, the whole representation is sent (RFC 9110 §13.1.5)."""
        match self.if_range:
            case None:
                return True
            case ETag() as asked:
                return etag is not None and asked.strong_match(etag)
            case date:
                # "If the HTTP-date validator provided exactly matches the Last-Modified field value"
                return modified is not None and math.floor(modified) == date

    def _matches(self, exists: bool, etag: ETag | None) -> bool:
        # §13.1.1: false for "*" "if the origin server does not have a current representation".
        if not exists or self.if_match is None:
            return False
        if self.if_match is ANY:
            return True
        return etag is not None and any(asked.strong_match(etag) for asked in self.if_match)

    def _matches_none(self, exists: bool, etag: ETag | None) -> bool:
        if not exists or self.if_none_match is None:
            return True
        if self.if_none_match is ANY:
            return False
        return etag is None or not any(asked.weak_match(etag) for asked in self.if_none_match)


#: What most requests have.
_NONE = Conditions()


def _later(modified: float, date: int) -> bool:
    # An HTTP-date has whole seconds: changes within one second are not told apart.
    return math.floor(modified) > date


def _tags(value: str | None) -> Any_ | tuple[ETag, ...] | None:
    return None if value is None else parse_etag_list(value)


def _none_of(value: str | None) -> Any_ | tuple[ETag, ...] | None:
    return None if value is None or matches_nothing(value) else parse_etag_list(value)


def _date(value: str | None) -> int | None:
    return None if value is None else parse_http_date(value)


def _range_validator(value: str | None) -> ETag | int | None:
    if value is None:
        return None
    date = parse_http_date(value)
    if date is not None:
        return date
    try:
        return parse_etag(value)
    except errors.Malformed:
        # A resumed download with a tag that lost its quotes gets the whole file instead of a 400.
        return _NOTHING
