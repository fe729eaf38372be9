"""Quicker ways to the values of some live properties, for many members at once; the same values as ``actions.properties``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

from partwise.actions.properties import http_date, instant
from partwise.errors import DAV_NS
from partwise.protocol.multistatus import text
from partwise.protocol.served_types import served_type
from partwise.storage.columns import Members


class Column(NamedTuple):
    """One value for each of some members without stored properties, all of a kind that has it; between the same two texts."""

    values: Callable[[Members], Iterable[str]]
    before: str = ""
    after: str = ""


def _creations(members: Members) -> Iterable[str]:
    return [instant(created // 1_000_000_000) for created in members.created_ns]


def _lengths(members: Members) -> Iterable[str]:
    return map(str, members.sizes)


def _types(members: Members) -> Iterable[str]:
    return [text(served_type(name)) for name in members.names]


def _etags(members: Members) -> Iterable[str]:
    # Only files have any.
    return cast(Sequence[str], members.etags)


def _modifications(members: Members) -> Iterable[str]:
    return [http_date(modified // 1_000_000_000) for modified in members.modified_ns]


#: Name in Clark notation → its column; of what is not here, each value is made by itself.
COLUMNS: dict[str, Column] = {
    f"{{{DAV_NS}}}{local}": column
    for local, column in {
        "creationdate": Column(_creations),
        "getcontentlength": Column(_lengths),
        "getcontenttype": Column(_types),
        "getetag": Column(_etags, "&quot;", "&quot;"),
        "getlastmodified": Column(_modifications),
    }.items()
}
