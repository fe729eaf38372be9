"""A state database that no server has open, looked at without a change to it or to what lies beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from partwise.storage.base import Lock, Path
from partwise.storage.sql import intents
from partwise.storage.sql.intents import Intent
from partwise.storage.sql.lock_table import read
from partwise.storage.sql.schema import METADATA, VERSION, key
from partwise.storage.sql.snapshot import path_of
from partwise.storage.sql.usage import Usage

#: Faults that SQLite is asked for; one is enough to know that a database is damaged.
_MOST_FAULTS = 5


class LockRow(NamedTuple):
    """``lock`` is ``None`` if the row cannot be understood, or contradicts itself."""

    token: str
    lock: Lock | None


@contextlib.contextmanager
def opened(path: str) -> Iterator[Inspection]:
    """The database ``path``. Raises OSError, sqlite3.Error."""
    with contextlib.ExitStack() as stack:
        log = f"{path}-wal"
        place = path
        if os.path.exists(log) and os.path.getsize(log):
            # A database with a log is read by writing beside it: so that is done elsewhere.
            place = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="partwise-check-")), "state.db")
            shutil.copyfile(path, place)
            shutil.copyfile(log, f"{place}-wal")
            options = "mode=rw"
        else:
            options = "mode=ro&immutable=1"
        connection = sqlite3.connect(f"file:{quote(os.fsencode(place))}?{options}", uri=True, isolation_level=None)
        stack.callback(connection.close)
        try:
            yield Inspection(connection)
        except UnicodeDecodeError:
            # SQLite quotes what is damaged, and its module for Python cannot read that.
            raise sqlite3.DatabaseError("the names of its tables cannot be read") from None


class Inspection:
    """What a database holds. Every method may raise sqlite3.Error: then it is damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def is_empty(self) -> bool:
        """Was it made, but nothing written into it?"""
        return not self._tables()

    def _tables(self) -> set[str]:
        return {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def fault(self) -> str | None:
        """What is wrong with the file as a whole; ``None`` if nothing is."""
        for (said,) in self.connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})"):
            if said != "ok":
                return str(said).splitlines()[-1]
        if not set(METADATA.tables) <= self._tables():
            return "tables are missing"
        meta = self._meta()
        if not meta.get("version", "").isdecimal() or not meta.get("epoch"):
            return "it does not tell its version"
        return None

    def is_newer(self) -> bool:
        """Did a newer version write it?"""
        version = self._meta().get("version", "")
        return version.isdecimal() and int(version) > VERSION

    def _meta(self) -> dict[str, str]:
        return {name: value for name, value in self.connection.execute("SELECT key, value FROM meta")}  # noqa: C416

    def property_paths(self) -> Iterator[Path]:
        """Every path that has stored properties."""
        for (place,) in self.connection.execute("SELECT DISTINCT path FROM properties ORDER BY path"):
            yield path_of(place)

    def locks(self) -> Iterator[LockRow]:
        """Also those that have expired."""
        for token, root, expires, text in self.connection.execute("SELECT token, root, expires, lock FROM locks"):
            yield LockRow(token, understood(token, root, expires, text))

    def intents(self) -> list[Intent | None]:
        """What was interrupted; ``None`` for what cannot be understood."""
        return [intent_of(text) for (text,) in self.connection.execute("SELECT intent FROM intents ORDER BY id")]

    def usage(self) -> dict[Path, Usage]:
        """What the collections with a quota hold."""
        rows = self.connection.execute("SELECT path, counted, added, removed, counted_at FROM usage")
        return {path_of(place): Usage(*values) for place, *values in rows}

    def has_contradictory_changes(self) -> bool:
        """Does the record of changes break one of its rules (see ``snapshot``)?"""
        statement = (
            "SELECT EXISTS (SELECT 1 FROM seen AS member JOIN seen AS above ON above.path = member.parent"
            " WHERE above.gone = 1 AND member.gone = 0) OR EXISTS (SELECT 1 FROM seen WHERE born > seq)"
        )
        return bool(self.connection.execute(statement).fetchone()[0])


def understood(token: object, root: object, expires: object, text: object) -> Lock | None:
    """The lock that a row holds, if its columns agree with it."""
    try:
        lock = read(str(text))
        agrees = (lock.token, key(lock.root), lock.expires) == (token, root, expires)
    except (TypeError, ValueError, json.JSONDecodeError):
        return None
    return lock if agrees else None


def intent_of(text: str) -> Intent | None:
    """``None`` for what cannot be understood."""
    try:
        return intents.read(text)
    except (TypeError, ValueError):
        return None
