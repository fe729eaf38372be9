"""What the tree looked like when somebody last asked what had changed, and the order in which changes were found.

One row for each member of a collection that was compared. Every difference found gives its row the next number, so that
"what has changed since number n" is one range. A name that is gone keeps its row, up to a limit.

Two rules hold, whoever compares at the same time: numbers only grow, and below a row that is gone all rows are gone.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import sqlite

from partwise.storage.base import Path
from partwise.storage.sql.connections import chunks, compiled, meanings
from partwise.storage.sql.schema import META, METADATA, below, key

FILE, COLLECTION, LINK = range(3)
"""Kinds of members; a link is one to a collection, whose members are not compared under this name."""

SEEN = Table(
    "seen",
    METADATA,
    Column("path", LargeBinary, primary_key=True),
    Column("parent", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("print", Text, nullable=False),
    Column("gone", Integer, nullable=False),
    Column("born", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, unique=True),
    sqlite_with_rowid=False,
)
# As text: SQLite takes such an index only for the very words that it was made with.
_COLLECTIONS, _GONE = text("kind = 1 AND gone = 0"), text("gone = 1")
Index("seen_members", SEEN.c.parent, SEEN.c.seq, SEEN.c.gone)
Index("seen_collections", SEEN.c.path, sqlite_where=_COLLECTIONS)
Index("seen_gone", SEEN.c.seq, sqlite_where=_GONE)

#: The number of the newest row that was forgotten, in META.
_FLOOR = "sync-floor"
#: Rows that one statement writes at most: seven columns each, below the least limit of variables that SQLite has had.
_ROWS = 128


class Seen(NamedTuple):
    """A member as it was last seen; ``print`` tells its versions apart."""

    kind: int
    print: str
    gone: bool


class Numbered(NamedTuple):
    """A row and its number."""

    path: Path
    kind: int
    gone: bool
    number: int


def path_of(place: bytes) -> Path:
    """The inverse of ``schema.key``."""
    return tuple(os.fsdecode(place).split("/")) if place else ()


class Snapshot:
    """Reading may be done at any time; whoever enters :meth:`writing` is in the store's critical section.

    Every method may raise TryAgain.
    """

    def __init__(self, engine: Engine, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._engine, self._begin = engine, begin

    def rows(self, paths: Sequence[Path]) -> dict[Path, Seen]:
        with self._reading() as connection:
            return _rows(connection, paths)

    def present(self, parent: Path) -> int:
        """How many members of a collection there were."""
        condition = and_(SEEN.c.parent == key(parent), SEEN.c.gone == 0)
        return int(self._one(select(func.count()).select_from(SEEN).where(condition)))

    def members(self, parent: Path, after: int, most: int) -> list[Numbered]:
        """Members that were there, by their numbers."""
        return self._numbered(SEEN.c.parent == key(parent), and_(SEEN.c.seq > after, SEEN.c.gone == 0), most)

    def next_collection(self, place: Path, after: Path) -> Path | None:
        """The collection below ``place`` whose name follows; one always follows the collection that holds it."""
        condition = and_(below(SEEN.c.path, place), SEEN.c.path > key(after), _COLLECTIONS)
        found = self._one(select(SEEN.c.path).where(condition).order_by(SEEN.c.path).limit(1))
        return None if found is None else path_of(found)

    def newest(self, place: Path | None = None) -> int:
        """The greatest number of a row below; of all rows if no place is given."""
        if not place:
            return int(self._one(_NEWEST) or 0)
        # A sum, so that no index of numbers is searched from its end: many collections may be asked about in one go.
        return int(self._one(select(func.max(SEEN.c.seq + 0)).where(below(SEEN.c.path, place))) or 0)

    def floor(self) -> int:
        """What was gone up to this number may have been forgotten."""
        return int(self._one(select(META.c.value).where(META.c.key == _FLOOR)) or 0)

    def is_flat(self, place: Path) -> bool:
        """Is no member of the collection a collection?"""
        condition = and_(SEEN.c.parent == key(place), SEEN.c.gone == 0, SEEN.c.kind != FILE)
        return not self._one(select(exists().where(condition)))

    def changes(
        self, place: Path, infinite: bool, since: int, until: int, most: int, *, known: int | None
    ) -> list[Numbered]:
        """Rows after ``since`` up to ``until``, in order, for a client that may know what was there at ``known``.

        Of a collection that is gone no members are told. ``known=None``: it may know anything.
        """
        above = SEEN.alias("above")
        parent_gone = exists().where(above.c.path == SEEN.c.parent, above.c.gone == 1)
        condition = and_(SEEN.c.seq > since, SEEN.c.seq <= until, or_(SEEN.c.parent == key(place), ~parent_gone))
        if known is not None:
            condition = and_(condition, or_(SEEN.c.gone == 0, SEEN.c.born <= known))
        return self._numbered(_inside(place, infinite=infinite), condition, most)

    def _numbered(self, where: ColumnElement[bool], condition: ColumnElement[bool], most: int) -> list[Numbered]:
        columns = SEEN.c.path, SEEN.c.kind, SEEN.c.gone, SEEN.c.seq
        found = select(*columns).where(where, condition).order_by(SEEN.c.seq).limit(most).subquery()
        array = func.json_array(func.hex(found.c.path), found.c.kind, found.c.gone, found.c.seq)
        rows = json.loads(self._one(select(func.json_group_array(array))))
        # An aggregate promises no order of its own.
        ordered = sorted(rows, key=lambda row: int(row[3]))
        return [Numbered(path_of(bytes.fromhex(row[0])), row[1], bool(row[2]), row[3]) for row in ordered]

    @contextmanager
    def writing(self) -> Iterator[Notes]:
        """One transaction, rolled back when the block raises. Raises OutOfSpace too."""
        with meanings(), self._begin() as connection:
            notes = Notes(connection)
            yield notes
            notes.flush()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with meanings(), self._engine.connect() as connection:
            yield connection

    def _one(self, statement: Select[Any]) -> Any:
        with self._reading() as connection:
            return connection.execute(statement).scalar()


class Notes:
    """What a transaction writes into the snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = int(connection.execute(_NEWEST).scalar() or 0) + 1
        self._gathered: list[tuple[bytes | str | int, ...]] = []

    def rows(self, paths: Sequence[Path]) -> dict[Path, Seen]:
        return _rows(self._connection, paths)

    def note(self, path: Path, seen: Seen) -> None:
        """A member is new, has changed, or is gone."""
        number = self._number()
        self._gathered.append((key(path), key(path[:-1]), seen.kind, seen.print, int(seen.gone), number, number))

    def _number(self, count: int = 1) -> int:
        first, self._next = self._next, self._next + count
        return first

    def lose_below(self, path: Path, most: int) -> int:
        """Everything below a path is gone; tells how many rows were changed, which were all if it is less than ``most``."""
        self.flush()
        place = SEEN.c.path
        lost = select(place, func.row_number().over(order_by=place).label("nth")).where(
            below(place, path), SEEN.c.gone == 0
        )
        rows = lost.order_by(place).limit(most).subquery()
        count = self._connection.execute(
            update(SEEN).where(SEEN.c.path == rows.c.path).values(gone=1, seq=literal(self._next - 1) + rows.c.nth)
        ).rowcount
        self._number(count)
        return count

    def forget(self, keep: int, most: int) -> bool:
        """Drop the oldest rows of what is gone, at most so many, if there are more than ``keep``; True if more should go."""
        surplus = int(self._connection.execute(_COUNT_GONE).scalar() or 0) - keep
        if surplus <= 0:
            return False
        oldest = select(SEEN.c.seq).where(_GONE).order_by(SEEN.c.seq).limit(1).offset(min(surplus, most) - 1)
        last = int(self._connection.execute(oldest).scalar() or 0)
        self._connection.execute(delete(SEEN).where(_GONE, SEEN.c.seq <= last))
        floor = sqlite.insert(META).values(key=_FLOOR, value=str(last))
        self._connection.execute(floor.on_conflict_do_update(index_elements=["key"], set_={"value": str(last)}))
        return surplus > most

    def flush(self) -> None:
        rows, self._gathered = self._gathered, []
        start, count = 0, _ROWS
        while start < len(rows):
            while count > len(rows) - start:
                count //= 2
            values = tuple(chain.from_iterable(rows[start : start + count]))
            self._connection.exec_driver_sql(_upsert(count), values)
            start += count


_NEWEST = select(func.max(SEEN.c.seq))
_COUNT_GONE = select(func.count()).select_from(SEEN).where(_GONE)


def _inside(place: Path, *, infinite: bool) -> ColumnElement[bool]:
    """Members of the collection, or all below; the latter so that no range of the primary key is taken for it.

    Rows are wanted in the order of their numbers, and after a number: the index of numbers finds these without sorting.
    """
    if not infinite:
        return SEEN.c.parent == key(place)
    if not place:
        return SEEN.c.path != b""
    start = key(place) + b"/"
    return cast(func.substr(SEEN.c.path, 1, len(start)), LargeBinary) == start


def _rows(connection: Connection, paths: Iterable[Path]) -> dict[Path, Seen]:
    wanted = {key(path): path for path in paths}
    found: dict[Path, Seen] = {}
    for places in chunks(wanted):
        for place, kind, stamp, gone in json.loads(
            connection.exec_driver_sql(_rows_of(len(places)), places).scalar_one()
        ):
            found[wanted[bytes.fromhex(place)]] = Seen(kind, stamp, bool(gone))
    return found


@functools.cache
def _rows_of(places: int) -> str:
    """The statement that reads so many rows."""
    row = func.json_array(func.hex(SEEN.c.path), SEEN.c.kind, SEEN.c.print, SEEN.c.gone)
    return compiled(select(func.json_group_array(row)).where(SEEN.c.path.in_([b""] * places)))


@functools.cache
def _upsert(rows: int) -> str:
    """The statement that writes so many rows; ``born`` is kept."""
    columns = [column.name for column in SEEN.c]
    values: list[dict[str, Any]] = [{name: bindparam(f"{name}{row}") for name in columns} for row in range(rows)]
    statement = sqlite.insert(SEEN).values(values)
    changed = {name: statement.excluded[name] for name in ("kind", "print", "gone", "seq")}
    return compiled(statement.on_conflict_do_update(index_elements=["path"], set_=changed))
