"""The state within one transaction of the store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from sqlalchemy import Connection

from partwise.errors import Failure, TryAgain
from partwise.storage.base import Lock, Path
from partwise.storage.sql import stored_properties
from partwise.storage.sql.changes import Changes
from partwise.storage.sql.connections import meanings
from partwise.storage.sql.intents import Intent
from partwise.storage.sql.lock_table import LockTable


class JointState:
    """What is written through it is seen through it, and becomes true for others as a whole. Used by one thread.

    A write that failed ends all: every later one raises what it raised, and so does :meth:`require_sound`.
    """

    def __init__(
        self,
        connection: Connection,
        begin: Callable[[Connection], Changes],
        committed: Callable[[], LockTable],
        read_locks: Callable[[Connection], LockTable],
        clock: Callable[[], float],
    ) -> None:
        self._connection, self._begin, self._clock = connection, begin, clock
        self._committed, self._read_locks = committed, read_locks
        self._driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        #: Of this transaction, once it has changed locks.
        self._own: LockTable | None = None
        self._failure: Failure | None = None

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        return tuple(self._locks().on(path, self._clock()))

    def has_locks(self) -> bool:
        return bool(self._locks())

    def locks_below(self, path: Path) -> tuple[Lock, ...]:
        return tuple(self._locks().below(path, self._clock()))

    def _locks(self) -> LockTable:
        return self._committed() if self._own is None else self._own

    def properties(self, paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
        with meanings():
            if not self._connection.exec_driver_sql(stored_properties.ANY).scalar():
                return {}
            return stored_properties.read(self._connection, paths)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Changes]:
        """A part of the transaction. Raises OutOfSpace or TryAgain, also at its end."""
        self.require_sound()
        try:
            changes = self._begin(self._connection)
            yield changes
            changes.flush()
            if changes.locks_changed:
                with meanings():
                    self._own = self._read_locks(self._connection)
        except BaseException as error:
            self._failure = error if isinstance(error, Failure) else TryAgain("The server failed; nothing was changed.")
            raise

    def intend(self, intent: Intent) -> int:
        """The transaction's own intent covers it."""
        return 0

    def fulfilling(self, number: int) -> contextlib.AbstractContextManager[Changes]:
        return self.writing()

    def require_sound(self) -> None:
        """Raises what failed before."""
        if self._failure is not None:
            raise self._failure
        # SQLite ends a transaction by itself after some errors; what was written next would be one of its own.
        if not self._driver.in_transaction:
            self._failure = TryAgain("The server's locks and properties cannot be used just now; nothing was changed.")
            raise self._failure
