"""Taking out of a damaged database what can still be read."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from partwise.storage.sql.database_file import is_short
from partwise.storage.sql.inspection import intent_of, understood

#: Row numbers tried one by one behind pages that cannot be read; a page holds some dozens of locks. Where none can be read
#: at all, the tries take a second or two.
_MISSES = 8_192
#: Rows written at once.
_ROWS = 1_000

_ALL = "SELECT path, name, value FROM properties ORDER BY path {0}, name {0}"
_LOCK = "SELECT rowid, token, root, expires, lock FROM locks WHERE rowid >= ? ORDER BY rowid LIMIT 1"
_INTENT = "SELECT rowid, intent FROM intents WHERE rowid >= ? ORDER BY rowid LIMIT 1"
_INSERT = "INSERT OR REPLACE INTO properties VALUES (?, ?, ?)"

#: Path, name and value of a stored property.
Row = tuple[bytes, str, str]


class Saved(NamedTuple):
    """Rows. ``complete``: no page of what was looked for was unreadable."""

    properties: int
    locks: int
    complete: bool


def salvage(damaged: str, fresh: str, paths: Iterable[bytes]) -> Saved:
    """Copy stored properties, locks and intents of one database into another, which is empty but has the tables.

    ``paths`` are those of everything in the tree: where pages between the first and last readable ones are lost, the
    properties of each of them are asked for. What was noted of changes is left behind. Raises sqlite3.Error, OSError
    if ``fresh`` cannot be written. ``damaged`` may be exchanged for another file, but is not written.
    """
    # Never opened as it is without a header: SQLite would remove the log, which may hold all that was written of late.
    if is_short(damaged) or not _has_tables(damaged):
        _lend_first_page(fresh, damaged)
    with contextlib.ExitStack() as opened:
        source = opened.enter_context(
            contextlib.closing(sqlite3.connect(f"file:{quote(damaged)}?mode=ro", uri=True, isolation_level=None))
        )
        target = opened.enter_context(contextlib.closing(sqlite3.connect(fresh, isolation_level=None)))
        target.execute("BEGIN IMMEDIATE")
        reading = _Reading(source, paths)
        batch: list[Row] = []
        for row in reading.properties():
            batch.append(row)
            if len(batch) == _ROWS:
                target.executemany(_INSERT, batch)
                batch.clear()
        target.executemany(_INSERT, batch)
        locks = 0
        for token, root, expires, text in reading.rows(_LOCK):
            if understood(token, root, expires, text) is None:
                reading.complete = False
                continue
            target.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)", (token, root, expires, text))
            locks += 1
        for (text,) in reading.rows(_INTENT):
            target.execute("INSERT INTO intents (intent) VALUES (?)", (text,))
        [[properties]] = target.execute("SELECT count(*) FROM properties").fetchall()
        target.execute("COMMIT")
    return Saved(properties, locks, reading.complete)


def _has_tables(path: str) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
        return _can_be_asked(database)


def _can_be_asked(database: sqlite3.Connection) -> bool:
    try:
        database.execute("SELECT 1 FROM properties LIMIT 0")
    except (sqlite3.Error, UnicodeDecodeError):
        # The latter when SQLite quotes names that are damaged.
        return False
    return True


def _lend_first_page(fresh: str, damaged: str) -> None:
    """The first page tells where each table begins, which is the same in every database of this version."""
    with open(fresh, "rb") as file:
        head = file.read(100)
        size = int.from_bytes(head[16:18], "big")
        page = bytearray(head + file.read(size - len(head)))
    # https://www.sqlite.org/fileformat2.html#the_database_header: the size of the file is taken from the file, and no page
    # is known to be free.
    page[92:96] = b"\0" * 4
    page[32:40] = b"\0" * 8
    lent = f"{damaged}.lent"
    shutil.copyfile(damaged, lent)
    with open(lent, "r+b") as file:
        file.write(page)
    os.replace(lent, damaged)


class _Reading:
    """Reads around what cannot be read."""

    def __init__(self, connection: sqlite3.Connection, paths: Iterable[bytes]) -> None:
        self._connection, self._paths = connection, paths
        self.complete = True

    def properties(self) -> Iterator[Row]:
        """All that can be reached, some of them twice."""
        first = yield from self._until_damage("ASC")
        if first is None:
            return
        last = yield from self._until_damage("DESC")
        if not first and not last and not _can_be_asked(self._connection):
            return
        for path in self._paths:
            if first <= path and (not last or path <= last):
                yield from self._of(path)

    def _until_damage(self, direction: str) -> Generator[Row, None, bytes | None]:
        """Gives the path of the last row, or nothing of a path if there was none; ``None`` if all could be read."""
        place = b""
        try:
            for row in self._connection.execute(_ALL.format(direction)):
                if _is_property(row):
                    place = row[0]
                    yield row
                else:
                    self.complete = False
        except sqlite3.Error:
            self.complete = False
            return place
        return None

    def _of(self, path: bytes) -> list[Row]:
        try:
            rows = self._connection.execute(
                "SELECT path, name, value FROM properties WHERE path = ?", (path,)
            ).fetchall()
        except sqlite3.Error:
            return []
        return [row for row in rows if _is_property(row)]

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """Of a table whose rows have numbers; the statement gives the first from a number on, with its number."""
        number, misses = 0, 0
        while misses < _MISSES:
            try:
                row = self._connection.execute(statement, (number,)).fetchone()
            except sqlite3.Error:
                self.complete = False
                number, misses = number + 1, misses + 1
                continue
            if row is None:
                return
            yield row[1:]
            number, misses = row[0] + 1, 0


def _is_property(row: tuple[Any, ...]) -> bool:
    path, name, value = row
    return isinstance(path, bytes) and isinstance(name, str) and isinstance(value, str)


def drop_unreadable(path: str) -> tuple[int, int]:
    """Remove locks and intents that cannot be understood, from a database that nobody else uses; how many of each.

    Raises sqlite3.Error.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        locks = database.execute("SELECT token, root, expires, lock FROM locks").fetchall()
        wrong = [row[:1] for row in locks if understood(*row) is None]
        unclear = [row[:1] for row in database.execute("SELECT id, intent FROM intents") if intent_of(row[1]) is None]
        if wrong or unclear:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM locks WHERE token IS ?", wrong)
            database.executemany("DELETE FROM intents WHERE id = ?", unclear)
            database.execute("COMMIT")
    return len(wrong), len(unclear)


def forget_changes(path: str) -> None:
    """Begin anew to note what changes, in a database that nobody else uses: every sync token is void then.

    Raises sqlite3.Error.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM seen")
        database.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (secrets.token_hex(8),))
        database.execute("COMMIT")
