"""Reading the stored properties of many paths at once."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Sequence

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from partwise.storage.base import Path
from partwise.storage.sql.connections import chunks, code_of, compiled
from partwise.storage.sql.schema import PROPERTIES, key

#: Is there any at all?
ANY = compiled(select(select(PROPERTIES.c.name).exists()))

_ROW = (func.hex(PROPERTIES.c.path), PROPERTIES.c.name, PROPERTIES.c.value)


def read(connection: Connection, paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Of those paths that have some."""
    found: dict[Path, dict[str, str]] = {}
    wanted = {key(path): path for path in paths}
    for places in chunks(wanted):
        for place, name, value in _rows(connection, places):
            found.setdefault(wanted[bytes.fromhex(place)], {})[name] = value
    return found


def _rows(connection: Connection, places: tuple[bytes, ...]) -> Sequence[Sequence[str]]:
    """Hexadecimal path, name and value of all properties of these paths."""
    try:
        rows: list[list[str]] = json.loads(connection.exec_driver_sql(_rows_of(len(places), True), places).scalar_one())
        return rows
    except DBAPIError as error:
        if code_of(error) != sqlite3.SQLITE_TOOBIG:
            raise
        # More than the gigabyte that one value may have.
        return connection.exec_driver_sql(_rows_of(len(places), False), places).tuples().all()


@functools.cache
def _rows_of(places: int, as_json: bool) -> str:
    """The statement that reads the properties of so many paths."""
    columns = (func.json_group_array(func.json_array(*_ROW)),) if as_json else _ROW
    statement = select(*columns).where(PROPERTIES.c.path.in_([b""] * places))
    return compiled(statement)
