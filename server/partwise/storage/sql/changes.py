"""One transaction on the state."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import (
    Cast,
    Connection,
    CursorResult,
    Executable,
    LargeBinary,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from partwise.errors import OutOfSpace
from partwise.storage.base import Lock, Path
from partwise.storage.sql import usage
from partwise.storage.sql.connections import chunks, compiled, meanings
from partwise.storage.sql.lock_table import read, written
from partwise.storage.sql.schema import INTENTS, LOCKS, PROPERTIES, at_or_below, key
from partwise.storage.sql.shared_number import SharedNumber

#: Rows written by one statement at most; a power of two.
_ROWS = 128
#: All locks together, as they are written: every process holds them in memory.
_MOST_BYTES = 64 << 20

_COUNT = select(func.count(), func.coalesce(func.sum(func.length(LOCKS.c.lock)), 0)).select_from(LOCKS)


class Changes:
    """What a transaction changes. Used by one thread. Every method may raise OutOfSpace and TryAgain.

    Changes of single properties are gathered and written together before anything that depends on them.
    """

    def __init__(
        self, connection: Connection, number: SharedNumber, stored: SharedNumber, now: float, most_locks: int
    ) -> None:
        self._connection, self._number, self._stored = connection, number, stored
        self._now, self._most_locks = now, most_locks
        self._cleared: set[bytes] = set()
        self._set: dict[bytes, dict[str, str | None]] = {}
        #: Have locks been written, or the expired removed?
        self.locks_changed = False

    # -- properties

    def set_properties(self, path: Path, changes: Mapping[str, str | None]) -> None:
        """``None`` removes one."""
        if changes:
            self._set.setdefault(key(path), {}).update(changes)

    def clear(self, paths: Iterable[Path]) -> None:
        """Remove the properties of exactly these paths."""
        for place in map(key, paths):
            self._set.pop(place, None)
            self._cleared.add(place)

    def clear_tree(self, path: Path) -> None:
        """Remove the properties of a path and everything below."""
        self.flush()
        self._stored.unsettle()
        self._run(delete(PROPERTIES).where(at_or_below(PROPERTIES.c.path, path)))

    def move_tree(self, source: Path, destination: Path) -> None:
        """Take properties along; those at and below the destination are cleared first. Neither lies in the other."""
        self._make_way(source, destination)
        place = PROPERTIES.c.path
        self._run(update(PROPERTIES).where(at_or_below(place, source)).values(path=_elsewhere(source, destination)))

    def copy_tree(self, source: Path, destination: Path, infinite: bool, without: Collection[str]) -> None:
        """As :meth:`move_tree`, but the source keeps them. ``infinite``: those of members too; ``without``: not these.

        Without its members, a collection's may go to one of its members.
        """
        if infinite or destination[: len(source)] != source or destination == source:
            self._make_way(source, destination)
        else:
            self.clear_tree(destination)
        place, name = PROPERTIES.c.path, PROPERTIES.c.name
        chosen = select(_elsewhere(source, destination), name, PROPERTIES.c.value).where(
            at_or_below(place, source) if infinite else place == key(source), name.not_in(list(without))
        )
        self._run(insert(PROPERTIES).from_select(["path", "name", "value"], chosen))

    def _make_way(self, source: Path, destination: Path) -> None:
        shared = min(len(source), len(destination))
        assert source[:shared] != destination[:shared], "neither may lie in the other"
        self.clear_tree(destination)

    def flush(self) -> None:
        """Write what was gathered."""
        cleared, changes = sorted(self._cleared), self._set
        self._cleared, self._set = set(), {}
        if cleared or changes:
            self._stored.unsettle()
        for paths in chunks(cleared):
            self._run_text(_clear(len(paths)), paths)
        rows: list[tuple[bytes, str, str]] = []
        removed: dict[str, list[bytes]] = {}
        for path, values in sorted(changes.items()):
            for name, value in values.items():
                if value is None:
                    removed.setdefault(name, []).append(path)
                else:
                    rows.append((path, name, value))
        for name, places in removed.items():
            for paths in chunks(places):
                self._run_text(_remove(len(paths)), (name, *paths))
        self._write(rows)

    def _write(self, rows: list[tuple[bytes, str, str]]) -> None:
        start, count = 0, _ROWS
        while start < len(rows):
            while count > len(rows) - start:
                count //= 2
            self._run_text(_upsert(count), tuple(chain.from_iterable(rows[start : start + count])))
            start += count

    # -- locks

    def add_lock(self, lock: Lock) -> None:
        """Raises OutOfSpace if there are too many."""
        self._sweep()
        text = written(lock)
        count, size = list(self._run(_COUNT).one())
        if count >= self._most_locks or size + len(text) > _MOST_BYTES:
            raise OutOfSpace("The server holds as many locks as it can. Remove one, or wait until some have expired.")
        values = {"token": lock.token, "root": key(lock.root), "expires": lock.expires, "lock": text}
        self._run(insert(LOCKS).values(values))

    def refresh_lock(self, token: str, expires: float) -> Lock | None:
        """Give a lock a new end; ``None`` if there is none."""
        self._sweep()
        text = self._run(select(LOCKS.c.lock).where(LOCKS.c.token == token)).scalar()
        if text is None:
            return None
        lock = read(text)._replace(expires=expires)
        self._run(update(LOCKS).where(LOCKS.c.token == token).values(expires=expires, lock=written(lock)))
        return lock

    def drop_lock(self, token: str) -> bool:
        """End a lock; False if there was none."""
        self._sweep()
        return self._run(delete(LOCKS).where(LOCKS.c.token == token)).rowcount > 0

    def drop_locks_in(self, path: Path) -> None:
        """End the locks rooted at the path or below."""
        self._sweep()
        self._run(delete(LOCKS).where(at_or_below(LOCKS.c.root, path)))

    # -- usage

    def adjust_usage(self, added: Mapping[Path, int], removed: Mapping[Path, int]) -> None:
        """Bytes that came into and left collections that have a row."""
        self._run_text(usage.ADJUST, usage.adjustments(added, removed))

    def count_usage(self, path: Path, counted: usage.Usage) -> None:
        """A new row, or another one."""
        self._run_text(usage.COUNT, (key(path), *counted))

    def forget_usage(self) -> None:
        """Nobody knows any more."""
        self._run_text(usage.FORGET, (None,))

    def begin_usage(self, dropped: Iterable[Path]) -> None:
        """Remove rows; a new count of the others is due."""
        for path in dropped:
            self._run_text(usage.DROP, (key(path),))
        self._run_text(usage.AGE, (0.0,))

    def _sweep(self) -> None:
        """Before the first change of locks: others must look again, and the expired go."""
        if not self.locks_changed:
            self.locks_changed = True
            self._number.unsettle()
            self._run(delete(LOCKS).where(LOCKS.c.expires <= self._now))

    # -- intents

    def drop_intent(self, number: int) -> None:
        """It has been fulfilled, or was not begun."""
        self._run(delete(INTENTS).where(INTENTS.c.id == number))

    def _run(self, statement: Executable) -> CursorResult[Any]:
        with meanings():
            return self._connection.execute(statement)

    def _run_text(self, statement: str, values: tuple[Any, ...] | list[tuple[Any, ...]]) -> None:
        with meanings():
            self._connection.exec_driver_sql(statement, values)


def _elsewhere(source: Path, destination: Path) -> Cast[bytes]:
    """The path of a row with its beginning exchanged. SQLite joins bytes to a text, hence the cast."""
    rest = func.substr(PROPERTIES.c.path, len(key(source)) + 1)
    return cast(literal(key(destination), LargeBinary).op("||")(rest), LargeBinary)


# As text, made once: SQLAlchemy would write out a list of values anew at every use, which takes longer than the statement.


@functools.cache
def _clear(paths: int) -> str:
    """The statement that removes all properties of so many paths."""
    return compiled(delete(PROPERTIES).where(PROPERTIES.c.path.in_([b""] * paths)))


@functools.cache
def _remove(paths: int) -> str:
    """The statement that removes one property of so many paths."""
    return compiled(delete(PROPERTIES).where(PROPERTIES.c.name == "", PROPERTIES.c.path.in_([b""] * paths)))


@functools.cache
def _upsert(rows: int) -> str:
    """The statement that sets so many properties."""
    columns = [column.name for column in PROPERTIES.c]
    names: list[dict[str, Any]] = [{name: bindparam(f"{name}{row}") for name in columns} for row in range(rows)]
    statement = sqlite.insert(PROPERTIES).values(names)
    replacing = statement.on_conflict_do_update(
        index_elements=["path", "name"], set_={"value": statement.excluded.value}
    )
    return compiled(replacing)
