"""The tables of the local store's state, and how a path becomes a key in them."""

from __future__ import annotations

import os

from sqlalchemy import BigInteger, Column, ColumnElement, Double, Integer, LargeBinary, MetaData, Table, Text, and_, or_

from partwise.storage.base import Path

#: Written into each database. One that a newer version wrote is refused, never guessed at.
VERSION = 1

METADATA = MetaData()

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

PROPERTIES = Table(
    "properties",
    METADATA,
    Column("path", LargeBinary, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: ``lock`` is the whole lock as a JSON array, the other columns are what statements look for. One column can be read with
#: one aggregate, in one step (see ``connections``), and a float in it comes back as it was.
LOCKS = Table(
    "locks",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("root", LargeBinary, nullable=False, index=True),
    Column("expires", Double, nullable=False, index=True),
    Column("lock", Text, nullable=False),
)

#: What the files below a collection with a quota take, in bytes: ``counted + added - removed``. ``counted`` is ``NULL``
#: until it is known, ``counted_at`` seconds since 1970.
USAGE = Table(
    "usage",
    METADATA,
    Column("path", LargeBinary, primary_key=True),
    Column("counted", BigInteger),
    Column("added", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
    Column("counted_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

#: What is about to happen to names and state together (see ``intents``); empty but for what a killed writer left.
INTENTS = Table(
    "intents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("intent", Text, nullable=False),
)


def key(path: Path) -> bytes:
    """The bytes of the names on disk, joined by ``/``; empty for the root."""
    return os.fsencode("/".join(path))


def below(column: Column[bytes], path: Path) -> ColumnElement[bool]:
    """The descendants of a path: ``0`` is the byte that follows ``/``, so that they are one range of the index."""
    if not path:
        return column != b""
    start = key(path)
    return and_(column > start + b"/", column < start + b"0")


def at_or_below(column: Column[bytes], path: Path) -> ColumnElement[bool]:
    """A path and its descendants."""
    return or_(column == key(path), below(column, path))
