"""Locks and stored properties of the local store: durable, and shared by all its processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from partwise.errors import TryAgain
from partwise.storage.base import Lock, Path
from partwise.storage.sql import database_file, intents, stored_properties
from partwise.storage.sql.changes import Changes
from partwise.storage.sql.connections import (
    StateBroken,
    broken,
    compiled,
    damaged,
    make_engine,
    meanings,
)
from partwise.storage.sql.intents import Intent
from partwise.storage.sql.joint import JointState
from partwise.storage.sql.known import Known
from partwise.storage.sql.lock_table import LockTable, read_all
from partwise.storage.sql.schema import INTENTS, LOCKS, META, METADATA, PROPERTIES, VERSION, key
from partwise.storage.sql.shared_number import SharedNumber
from partwise.storage.sql.snapshot import Snapshot
from partwise.storage.sql.usage import ALL, Usage, rows

__all__ = ["Changes", "State", "StateBroken"]

#: Each process keeps the locks in memory, and reads all of them when one has changed.
MOST_LOCKS = 20_000

_OBJECT = func.json_group_object(PROPERTIES.c.name, PROPERTIES.c.value)
_OF_ONE = compiled(select(_OBJECT).where(PROPERTIES.c.path == bindparam("path")))
_AT_OR_BELOW = "SELECT EXISTS (SELECT 1 FROM properties WHERE path = ? OR (path > ? AND path < ?))"
_ALL_LOCKS = select(func.group_concat(LOCKS.c.lock, ","))
_ALL_INTENTS = select(INTENTS.c.id, INTENTS.c.intent).order_by(INTENTS.c.id)
_META = select(META.c.key, META.c.value)


class State:
    """The state in ``folder``. Made by each process for itself, after the last fork; used by its threads at once.

    Writers are one at a time: whoever enters :meth:`writing` holds the store's critical section. Raises StateBroken, also
    when a newer version wrote the database, or somebody emptied it. One that was deleted is made anew, with another
    :attr:`epoch`.
    """

    #: A random identifier of this database, made with it.
    epoch: str
    #: What the tree looked like; in the same database.
    snapshot: Snapshot

    def __init__(self, folder: str, clock: Callable[[], float] = time.time, *, most_locks: int = MOST_LOCKS) -> None:
        self._folder, self._clock, self._most_locks = folder, clock, most_locks
        self._name = os.path.join(os.path.basename(os.path.abspath(folder)), database_file.DATABASE)
        self._closing = contextlib.ExitStack()
        self._loading = threading.Lock()
        try:
            with contextlib.ExitStack() as opened:
                self._open(opened)
                self._closing = opened.pop_all()
        except (OSError, sqlite3.Error, DBAPIError) as error:
            raise broken(self._name, error) from error
        except UnicodeDecodeError as error:
            # SQLite quotes names of tables that are damaged.
            raise damaged(self._name) from error

    def _open(self, opened: contextlib.ExitStack) -> None:
        path = os.path.join(self._folder, database_file.DATABASE)
        with self._alone() as folder:
            database_file.provide(self._folder, folder, self._name)
            #: Says whether any stored property has changed.
            self._stored = SharedNumber(os.path.join(self._folder, "properties.number"))
            opened.callback(self._stored.close)
            #: Says whether :meth:`usage` has changed; odd while files are placed whose sizes are not written down yet.
            self.usage_number = SharedNumber(os.path.join(self._folder, "usage.number"))
            opened.callback(self.usage_number.close)
            self._intended = SharedNumber(os.path.join(self._folder, "intents.number"))
            opened.callback(self._intended.close)
            self._engine = make_engine(path)
            opened.callback(self._engine.dispose)
            # Open for life: the log is deleted when the last connection closes, and `descriptor` must stay the log's.
            self._kept = opened.enter_context(self._engine.connect())
            self._driver = cast(sqlite3.Connection, self._kept.connection.driver_connection)
            self._asking = threading.Lock()
            if self._kept.exec_driver_sql("PRAGMA journal_mode = WAL").scalar() != "wal":
                raise StateBroken(f"The server's state in {self._name} needs a local file system, this is none.")
            self.epoch = self._epoch() or self._begun()
            self.snapshot = Snapshot(self._engine, self._begin)
            self._log = os.open(path + "-wal", os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, self._log)
            if self._has_intents():
                self._intended.unsettle()
            os.fsync(self._log)
            os.fsync(folder)
            # Last: it says that a database was here.
            self._number = SharedNumber(os.path.join(self._folder, database_file.NUMBER))
            opened.callback(self._number.close)
        self._table = self._number.read() | 1, LockTable(())
        self._known = Known(self._stored, lambda: not self._ask(stored_properties.ANY))
        try:
            self._locks()
            self.unfulfilled()
        except (TryAgain, TypeError, ValueError):
            raise damaged(self._name) from None

    def _epoch(self) -> str | None:
        """Of a database that is complete; one that is being written for long can still be read."""
        with self._engine.connect() as connection:
            if not set(METADATA.tables) <= set(inspect(connection).get_table_names()):
                return None
            return self._understood(_meta(connection))

    def _begun(self) -> str:
        with self._begin() as connection:
            METADATA.create_all(connection)
            found = _meta(connection)
            if not found:
                found = {"version": str(VERSION), "epoch": secrets.token_hex(8)}
                connection.execute(insert(META), [{"key": name, "value": value} for name, value in found.items()])
            return self._understood(found)

    def _understood(self, found: dict[str, str]) -> str:
        if not found.get("version", "").isdecimal() or not found.get("epoch"):
            raise damaged(self._name)
        if int(found["version"]) > VERSION:
            raise StateBroken(
                f"The server's state in {self._name} was written by a newer version of partwise; start that version."
            )
        return found["epoch"]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Against others that open or close the database now: those moments are not covered by SQLite's waiting."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    # -- reading

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        """See ``storage.base.Store.locks_on``. What a transaction has not committed yet is not seen. Raises TryAgain."""
        return tuple(self._locks().on(path, self._clock()))

    def has_locks(self) -> bool:
        """See ``storage.base.Store.has_locks``; otherwise as :meth:`locks_on`."""
        known, table = self._table
        # As in _locks(), without the call: it is asked for each item of an upload.
        return bool(table if known == self._number.read() and not known & 1 else self._locks())

    def locks_below(self, path: Path) -> tuple[Lock, ...]:
        """See ``storage.base.Store.locks_below``; otherwise as :meth:`locks_on`."""
        return tuple(self._locks().below(path, self._clock()))

    def _locks(self) -> LockTable:
        known, table = self._table
        if known == self._number.read() and not known & 1:
            return table
        with self._loading:
            known, table = self._table
            # Read before the locks are: a change in between is seen at the next call.
            number = self._number.read()
            if known != number or known & 1:
                with meanings(), self._engine.connect() as connection:
                    table = _read_locks(connection)
                self._table = number, table
            return table

    def properties(self, paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
        """The stored properties of those paths that have some. Raises TryAgain."""
        if len(paths) == 1:
            # What most requests ask: so without a connection of its own.
            number = self._known.now()
            values: dict[str, str] = json.loads(self._ask(_OF_ONE, key(paths[0])))
            self._known.learn(number, paths[0], values)
            return {paths[0]: values} if values else {}
        if not self._ask(stored_properties.ANY):
            return {}
        with meanings(), self._engine.connect() as connection:
            return stored_properties.read(connection, paths)

    def known_properties(self, path: Path) -> Mapping[str, str] | None:
        """As :meth:`properties` of one path, without the database; ``None``: it must be asked."""
        return self._known.of(path)

    def knows(self, path: Path) -> bool:
        """Are there stored properties, or locks, of a path or of anything below? Raises TryAgain."""
        place = key(path)
        if self._ask(_AT_OR_BELOW, place, place + b"/", place + b"0"):
            return True
        now = self._clock()
        table = self._locks()
        return any(lock.root == path for lock in table.on(path, now)) or next(table.below(path, now), None) is not None

    def _ask(self, statement: str, *values: bytes) -> Any:
        with meanings(), self._asking:
            return self._driver.execute(statement, values).fetchall()[0][0]

    def unchanged(self, *, properties: bool, locks: bool) -> Callable[[], bool]:
        """Tells whether nobody has changed stored properties, or locks, since now. Waits for nobody: then it says False."""
        number = self._number.read()
        version = self._version() if properties else 0

        def still() -> bool:
            if locks and (number & 1 or self._number.read() != number):
                return False
            return not properties or (version is not None and self._version() == version)

        return still

    def _version(self) -> int | None:
        """Another one after every commit that this connection did not make, and it makes none; ``None`` if it is in use."""
        if not self._asking.acquire(blocking=False):
            return None
        try:
            return int(self._driver.execute("PRAGMA data_version").fetchall()[0][0])
        except sqlite3.Error:
            return None
        finally:
            self._asking.release()

    def usage(self) -> dict[Path, Usage]:
        """What the collections with a quota hold. Raises TryAgain."""
        return rows(json.loads(self._ask(ALL)))

    @contextlib.contextmanager
    def fresh(self) -> Iterator[None]:
        """The caller is in the store's critical section, in no transaction: so an odd number is what a killed writer left."""
        self._settle()
        yield

    # -- writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Changes]:
        """One transaction, rolled back when the block raises. Raises OutOfSpace or TryAgain, also at its end."""
        with self._settled(), meanings(), self._begin() as connection:
            changes = self._changes(connection)
            yield changes
            changes.flush()

    def _changes(self, connection: Connection) -> Changes:
        return Changes(connection, self._number, self._stored, self._clock(), self._most_locks)

    @contextlib.contextmanager
    def joint(self, number: int) -> Iterator[JointState]:
        """One transaction for all that is written through it, rolled back when the block raises; else its intent goes too.

        It is durable after the block. Raises OutOfSpace or TryAgain, also at its end.
        """
        with (
            self._settled(),
            meanings(),
            self._engine.connect().execution_options(writing=True) as connection,
            _durably(connection),
            connection.begin(),
        ):
            joint = JointState(connection, self._changes, self._locks, _read_locks, self._clock)
            yield joint
            with joint.writing() as changes:
                changes.drop_intent(number)
            joint.require_sound()
        self._intended.settle()

    # -- intents; the caller is in the store's critical section

    def intend(self, intent: Intent) -> int:
        """Record what is about to be done; its number. Raises OutOfSpace or TryAgain: then it must not be done."""
        if self.interrupted():
            raise TryAgain(
                "The server could not finish what was interrupted before; nothing was changed. Send it again."
            )
        self._intended.unsettle()
        with meanings(), self._begin() as connection:
            return connection.execute(insert(INTENTS).values(intent=intents.written(intent))).lastrowid

    @contextlib.contextmanager
    def fulfilling(self, number: int) -> Iterator[Changes]:
        """As :meth:`writing`; the intent is removed in the same transaction."""
        with self.writing() as changes:
            yield changes
            changes.drop_intent(number)
        self._intended.settle()

    def interrupted(self) -> bool:
        """May there be an intent that its writer did not fulfil? Asks no database."""
        return bool(self._intended.read() & 1)

    def unfulfilled(self) -> list[tuple[int, Intent]]:
        """Intents whose writers came no further. Raises TryAgain."""
        with meanings(), self._engine.connect() as connection:
            return [(number, intents.read(text)) for number, text in connection.execute(_ALL_INTENTS)]

    def _has_intents(self) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(_ALL_INTENTS.limit(1)).first() is not None

    def no_more_intents(self) -> None:
        """All have been fulfilled."""
        if self.interrupted():
            self._intended.settle()

    def forget_intent(self, number: int) -> None:
        """What it announced was undone. Raises OutOfSpace, TryAgain."""
        with self.fulfilling(number):
            pass

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _settled(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._settle()

    def _settle(self) -> None:
        for number in (self._number, self._stored):
            if number.read() & 1:
                number.settle()

    def descriptor(self) -> int:
        """The log of the database: what was committed is durable once this is synced."""
        return self._log

    def close(self) -> None:
        """Release all that is held; allowed twice."""
        with contextlib.ExitStack() as alone:
            # The folder may be gone already; then there is nobody to be alone with.
            with contextlib.suppress(OSError):
                alone.enter_context(self._alone())
            self._closing.close()


def _read_locks(connection: Connection) -> LockTable:
    return LockTable(read_all(connection.execute(_ALL_LOCKS).scalar() or ""))


def _meta(connection: Connection) -> dict[str, str]:
    return {name: value for name, value in connection.execute(_META)}  # noqa: C416


@contextlib.contextmanager
def _durably(connection: Connection) -> Iterator[None]:
    """What is committed in the block is on stable storage then; a commit that cannot be made so fails."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    driver.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        driver.execute("PRAGMA synchronous = NORMAL")
