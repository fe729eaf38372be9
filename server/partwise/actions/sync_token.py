"""Sync-tokens: marks of the store as URIs (RFC 6578 §3.2)."""

from __future__ import annotations

import re

from partwise.errors import InvalidSyncToken
from partwise.storage.base import Mark

_PREFIX = "urn:partwise:sync:"
_NUMBER = "0|[1-9][0-9]{0,17}"
_TOKEN = re.compile(f"{_PREFIX}([0-9a-f]{{1,64}}:[0-9a-f]{{1,64}}):({_NUMBER})(:members)?(?::first-({_NUMBER}))?")


def write_token(mark: Mark) -> str:
    """A URI that holds the mark, with characters of RFC 3986 only."""
    token = f"{_PREFIX}{mark.place}:{mark.number}"
    if mark.shallow:
        token += ":members"
    return token if mark.floor is None else f"{token}:first-{mark.floor}"


def read_token(token: str) -> Mark:
    """The inverse of :func:`write_token`. Raises InvalidSyncToken."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidSyncToken("This sync-token was not given out here; begin again with an empty one.")
    place, number, shallow, floor = found.groups()
    return Mark(place, int(number), shallow is not None, None if floor is None else int(floor))
