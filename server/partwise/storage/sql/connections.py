"""Connections to the state database, and what its errors mean.

Each step of a statement gives the interpreter to other threads, and getting it back from a busy one takes a switch interval:
500 rows fetched one by one took 310 ms beside one busy thread, as one aggregate 3 ms. So what may be many rows is read as one
row of JSON, and written as one statement with many values.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import URL, ClauseElement, Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from partwise.errors import Failure, OutOfSpace, TryAgain

log = logging.getLogger(__name__)

#: Writers hold the store's critical section, so only a checkpoint or a foreign program is ever waited for.
BUSY_SECONDS = 5

#: A write that failed for want of room. Other input/output errors, a failed sync among them, are no question of room.
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}

#: Primary codes of what the operator mends outside the file.
_UNREACHABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


#: Primary codes of a file whose contents are not what SQLite has written.
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def compiled(statement: ClauseElement) -> str:
    """A statement as the driver takes it; lists of values become that many variables."""
    return str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))


#: Paths in one statement: a power of two, below the least limit of variables that SQLite has had.
MOST_PATHS = 512


def chunks(paths: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """At most MOST_PATHS at once, the last repeated up to a power of two: so few statements serve any number of paths."""
    remaining = iter(paths)
    while chunk := tuple(islice(remaining, MOST_PATHS)):
        yield chunk + chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))


def make_engine(path: str) -> Engine:
    """Connections for reading commit by themselves; with the execution option ``writing`` they begin a transaction."""
    engine = create_engine(
        URL.create("sqlite", database=path),
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
        max_overflow=-1,
    )

    # pysqlite's own idea of transactions is switched off, as SQLAlchemy's documentation of its dialect describes.
    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: object) -> None:
        # With NORMAL a commit waits for no disk: the store syncs the log itself, outside the critical section.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and then writes would fail at once if somebody wrote meanwhile.
        if connection.get_execution_options().get("writing"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def code_of(error: BaseException) -> int | None:
    """SQLite's extended error code, if it gave one."""
    code: Any = getattr(_cause(error), "sqlite_errorcode", None)
    return code if isinstance(code, int) else None


def _cause(error: BaseException) -> BaseException | None:
    """What SQLite said, which SQLAlchemy wraps unless it was asked for more than a statement."""
    return error.orig if isinstance(error, DBAPIError) else error


@contextlib.contextmanager
def meanings() -> Iterator[None]:
    """Errors of the database as failures: OutOfSpace, or TryAgain for everything unexpected."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        raise _meaning(error) from None


def _meaning(error: sqlite3.Error | DBAPIError) -> Failure:
    if code_of(error) in NO_ROOM:
        return OutOfSpace("There is no room left for locks and properties. Free some space and send the request again.")
    if (code_of(error) or 0) & 0xFF in DAMAGED:
        log.error(
            "the state database is damaged (%s); stop the server and run `partwise check --repair` on the served folder",
            _cause(error),
        )
    else:
        log.error("the state database failed: %s", _cause(error))
    return TryAgain("The server's locks and properties cannot be used just now; nothing was changed. Send it again.")


class StateBroken(ValueError):
    """The state cannot be used; its text is for the operator, and says what to do."""


def broken(name: str, error: OSError | sqlite3.Error | DBAPIError) -> StateBroken:
    """Why the database under this name could not be opened."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return no_room(name)
        return _unreachable(name, os.strerror(error.errno or 0))
    code = (code_of(error) or sqlite3.SQLITE_ERROR) & 0xFF
    if code_of(error) in NO_ROOM:
        return no_room(name)
    if code in _UNREACHABLE:
        return _unreachable(name, str(_cause(error)))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateBroken(f"The server's state in {name} is held by another program; stop that one, then start again.")
    return damaged(name)


def damaged(name: str) -> StateBroken:
    return _to_repair(name, "is damaged")


def emptied(name: str) -> StateBroken:
    return _to_repair(name, "was emptied")


def _to_repair(name: str, state: str) -> StateBroken:
    return StateBroken(
        f"The server's state in {name} {state}; run `partwise check --repair` on the served folder, which sets that file"
        " aside and saves what can be read of locks and stored properties. Files are not concerned."
    )


def no_room(name: str) -> StateBroken:
    return StateBroken(
        f"There is no room on the disk to open the server's state in {name}; free some space, then start again."
    )


def _unreachable(name: str, reason: str) -> StateBroken:
    return StateBroken(
        f"The server's state in {name} cannot be opened ({reason}); give the server's account the right and the room to write it."
    )
