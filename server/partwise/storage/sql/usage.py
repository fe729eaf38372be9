"""How many bytes the collections with a quota hold, as the state knows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from partwise.storage.base import Path
from partwise.storage.sql.connections import compiled
from partwise.storage.sql.schema import USAGE, key


class Usage(NamedTuple):
    """One row. All numbers but the last are bytes; ``counted`` is ``None`` until somebody has counted.

    ``added`` and ``removed`` are what the server itself did since the count that ``counted`` is from, in all.
    ``counted_at``: seconds since 1970, 0 if a new count is due.
    """

    counted: int | None
    added: int
    removed: int
    counted_at: float

    @property
    def bytes(self) -> int | None:
        """What all files take now; ``None`` if nobody knows."""
        # Never negative: whoever removes a file by hand and then its folder through the server would make it so.
        return None if self.counted is None else max(0, self.counted + self.added - self.removed)


UNKNOWN = Usage(None, 0, 0, 0.0)

_COLUMNS = USAGE.c
_ROW = (func.hex(_COLUMNS.path), _COLUMNS.counted, _COLUMNS.added, _COLUMNS.removed, _COLUMNS.counted_at)

#: All rows as one text, see ``connections``.
ALL = compiled(select(func.json_group_array(func.json_array(*_ROW))))

# As text, made once: so their parameters are in the order in which they stand here.
ADJUST = compiled(
    update(USAGE)
    .values(added=_COLUMNS.added + bindparam("more"), removed=_COLUMNS.removed + bindparam("less"))
    .where(_COLUMNS.path == bindparam("place"))
)
COUNT = compiled(insert(USAGE).prefix_with("OR REPLACE").values(dict.fromkeys(USAGE.c.keys())))
FORGET = compiled(update(USAGE).values(counted=None))
AGE = compiled(update(USAGE).values(counted_at=bindparam("moment")))
DROP = "DELETE FROM usage WHERE path = ?"


def rows(found: list[list[Any]]) -> dict[Path, Usage]:
    """The rows that :data:`ALL` reads, by their paths."""
    return {_path(bytes.fromhex(place)): Usage(*values) for place, *values in found}


def _path(place: bytes) -> Path:
    return tuple(os.fsdecode(place).split("/")) if place else ()


def adjustments(added: Mapping[Path, int], removed: Mapping[Path, int]) -> list[tuple[Any, ...]]:
    """The parameters of :data:`ADJUST`."""
    return [(added.get(path, 0), removed.get(path, 0), key(path)) for path in {**added, **removed}]
