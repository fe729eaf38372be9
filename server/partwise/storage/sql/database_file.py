"""The file that the state database lies in: not made yet, missing, emptied, or being repaired.

``locks.number`` is made when the first database is complete and on the disk, and stays. So beside it there has been a
database, and an empty file where none ever was is what a first start has left that was killed.
"""

from __future__ import annotations

import logging
import os

from partwise.storage.sql.connections import StateBroken, emptied

log = logging.getLogger(__name__)

DATABASE = "state.db"
#: What a repair that was interrupted has left: a database that is to take the place of the damaged one.
REPAIRED = "state.db.repaired"
#: A folder with it has had a database.
NUMBER = "locks.number"

#: https://www.sqlite.org/fileformat2.html#the_database_header: what is shorter is none. SQLite itself takes a file of no
#: bytes for a new one, and removes the log beside it.
_HEADER = 100


def has_had_one(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, NUMBER))


def is_short(path: str) -> bool:
    """Is there not even a header? Raises OSError."""
    return os.path.getsize(path) < _HEADER


def is_emptied(folder: str) -> bool:
    """Was the database cut short from outside? Raises OSError if there is none."""
    return has_had_one(folder) and is_short(os.path.join(folder, DATABASE))


def provide(folder: str, descriptor: int, name: str) -> None:
    """See to it that there is a file, with nothing in it if there was none. Raises StateBroken, OSError.

    ``descriptor`` is that of ``folder``, where nobody else opens the database now; ``name`` is for people.
    """
    path = os.path.join(folder, DATABASE)
    if os.path.exists(os.path.join(folder, REPAIRED)):
        raise StateBroken(
            f"A repair of the server's state in {name} was interrupted; run `partwise check --repair` on the"
            " served folder once more, then start again."
        )
    if os.path.exists(path):
        if is_emptied(folder):
            raise emptied(name)
        return
    if has_had_one(folder):
        log.warning(
            "the state database %s was missing and is made anew: the locks, stored properties and sync tokens"
            " of before are lost; files are not concerned",
            name,
        )
        # Before there is a file: whoever is killed here leaves what a first start leaves, not what looks emptied.
        os.unlink(os.path.join(folder, NUMBER))
        os.fsync(descriptor)
    # Made here for its mode: tokens of locks are secrets. Never opened if it is there, for SQLite's own locks on it
    # end as soon as anybody in this process closes a descriptor of it.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
