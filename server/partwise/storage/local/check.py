"""Looking at a folder that no server serves: do the tree and the state agree, and is anything left over?

Nothing is changed here; ``local.repair`` does that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Path
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.measure import measure
from partwise.storage.local.recovery import TRANSACTION
from partwise.storage.sql.database_file import DATABASE, REPAIRED, has_had_one, is_emptied
from partwise.storage.sql.inspection import Inspection, opened
from partwise.storage.sql.intents import Intent, Verb

#: How a database that was set aside is called, with the moment behind it.
ASIDE = "state.db.damaged-"
#: Where a repair makes the new database.
MAKING = "repair"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = re.compile(re.escape(TRANSACTION) + r"-[0-9a-f]+")
#: Paths looked at with the same open directories.
_STEP = 256
#: Sentences about one kind of finding.
_MOST = 20


class CannotCheck(Exception):
    """The folder cannot be looked at; the sentence says why."""


class Examination(NamedTuple):
    """One sentence each. ``notes`` are no faults: nothing needs to be done about them."""

    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    #: The database is to be made anew, from what can be read of it.
    damaged: bool = False


def state_of(folder: str, hidden: str = ".partwise") -> str | None:
    """The state folder of a served folder; ``None`` if no server has served it yet. Raises CannotCheck."""
    if not os.path.exists(folder):
        raise CannotCheck(f"the folder {folder} does not exist")
    if not os.path.isdir(folder):
        raise CannotCheck(f"{folder} is not a folder")
    state = os.path.join(folder, hidden)
    if not os.path.lexists(state):
        return None
    if os.path.islink(state) or not os.path.isdir(state):
        raise CannotCheck(f"{hidden} in {folder} is not a folder")
    if not os.access(state, os.R_OK | os.X_OK):
        raise CannotCheck(f"{state} cannot be read; run this with the account of the server")
    return state


@contextlib.contextmanager
def alone(state: str) -> Iterator[None]:
    """No server uses the state, and none that starts meanwhile gets further than to wait. Raises CannotCheck."""
    with contextlib.ExitStack() as held:
        places = [state, os.path.join(state, "start.lock"), *_folders(os.path.join(state, "staging"))]
        for place in places:
            try:
                descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise CannotCheck(
                    f"{place} cannot be read ({os.strerror(error.errno or 0)}); run this with the account of the server"
                ) from None
            held.callback(os.close, descriptor)
            try:
                # A server holds its folder in staging for as long as it lives.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotCheck(f"a server uses {state}; stop it, then check again") from None
        yield


def examine(folder: str, state: str, clock: Callable[[], float] = time.time) -> Examination:
    """Everything but the reports of batches. The caller is :func:`alone`. Raises CannotCheck, OSError."""
    findings: list[str] = [*_rights(state), *_left_over(state)]
    notes = [*_notes(state)]
    place = os.path.join(state, DATABASE)
    if os.path.lexists(os.path.join(state, REPAIRED)):
        findings.append("a repair of the state database was interrupted before the new one took its place")
        return Examination(tuple(findings), tuple(notes), damaged=True)
    if not os.path.lexists(place):
        if has_had_one(state):
            findings.append("the state database is missing: locks, stored properties and sync tokens are lost")
        return Examination(tuple(findings), tuple(notes))
    if not os.path.isfile(place) or not os.access(place, os.R_OK):
        raise CannotCheck(f"{place} cannot be read; run this with the account of the server")
    if is_emptied(state):
        findings.append("the state database was emptied")
        return Examination(tuple(findings), tuple(notes), damaged=True)
    try:
        with opened(place) as database:
            if not database.is_empty():
                fault = database.fault()
                if fault is not None:
                    raise sqlite3.DatabaseError(fault)
                if database.is_newer():
                    raise CannotCheck(f"{place} was written by a newer version of partwise; check with that version")
                _examine_rows(folder, state, database, clock(), findings, notes)
    except sqlite3.Error as error:
        findings.append(f"the state database is damaged: {error}")
        return Examination(tuple(findings), tuple(notes), damaged=True)
    return Examination(tuple(findings), tuple(notes))


def _examine_rows(
    folder: str, state: str, database: Inspection, now: float, findings: list[str], notes: list[str]
) -> None:
    root = Root(folder, os.path.basename(state))
    try:
        interrupted = [_interrupted(intent) for intent in database.intents()]
        findings += interrupted
        if os.path.isdir(os.path.join(state, TRANSACTION)) and not interrupted:
            findings.append("what a transaction that has ended took out of the tree was not removed")
        if database.has_contradictory_changes():
            findings.append("what was noted for clients that synchronise contradicts itself")
        if interrupted:
            notes.append("whether state and tree agree can be told when what was interrupted has been finished")
            return
        findings += bounded(
            (
                f"{shown(path)} has stored properties but does not exist"
                for path in absent(root, database.property_paths())
            ),
            "paths with stored properties do not exist",
        )
        findings += bounded(_locks(root, database, now, notes), "locks are wrong")
        findings += _usage(root, state, database)
    finally:
        root.close()


def _interrupted(intent: Intent | None) -> str:
    if intent is None:
        return "an operation was interrupted, and what is noted about it cannot be understood"
    match intent.verb:
        case Verb.TRANSACTION:
            return "a transaction was interrupted, and what it did has not been undone"
        case Verb.DELETE:
            return f"the deletion of {shown(intent.source)} was interrupted"
        case Verb.MAKE:
            return f"the making of {shown(intent.source)} was interrupted"
        case Verb.MOVE | Verb.COPY:
            what = "move" if intent.verb is Verb.MOVE else "copy"
            return f"the {what} of {shown(intent.source)} to {shown(intent.destination)} was interrupted"


def absent(root: Root, paths: Iterable[Path]) -> Iterator[Path]:
    """Those under which clients find nothing."""
    remaining = iter(paths)
    while block := list(islice(remaining, _STEP)):
        with Directories(root) as directories:
            for path in block:
                if is_absent(directories, path):
                    yield path


def is_absent(directories: Directories, path: Path) -> bool:
    try:
        directories.locate(path)
    except NotFound:
        return True
    except NotAllowed:
        return False
    return False


def _locks(root: Root, database: Inspection, now: float, notes: list[str]) -> Iterator[str]:
    rows = list(database.locks())
    expired = sum(row.lock is not None and row.lock.expires <= now for row in rows)
    if expired:
        notes.append(f"{counted(expired, 'lock')} expired; the next change of a lock removes what has expired")
    for row in rows:
        if row.lock is None:
            yield f"the lock {row.token} cannot be understood"
    roots = {row.lock.root for row in rows if row.lock is not None and row.lock.expires > now}
    for path in absent(root, sorted(roots)):
        yield f"{shown(path)} is locked but does not exist"


def _usage(root: Root, state: str, database: Inspection) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError), open(os.path.join(state, "usage.number"), "rb") as number:
        if int.from_bytes(number.read(8), "little") & 1:
            yield "what the collections with a quota hold is not known since a server was killed"
            return
    for path, usage in database.usage().items():
        if usage.bytes is None:
            continue
        held = _held(root, path)
        if held is not None and held != usage.bytes:
            yield f"{shown(path)} counts {usage.bytes:,} bytes towards its quota, its files take {held:,}"


def _held(root: Root, path: Path) -> int | None:
    with Directories(root) as directories, contextlib.suppress(NotAllowed):
        try:
            parent = directories.open(path[:-1])
        except NotFound:
            return 0
        return measure(root, parent, path[-1] if path else ".")[()]
    return None


# -- what lies in the state folder


def _rights(state: str) -> Iterator[str]:
    owner = os.stat(state).st_uid
    for path, name in ((state, "the state folder"), (os.path.join(state, DATABASE), "the state database")):
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(path, follow_symlinks=False).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield f"{name} can be opened by other accounts, and holds the tokens of locks"
            elif not mode & stat.S_IWUSR:
                yield f"{name} cannot be written by its owner"
    strangers = [entry.name for entry in os.scandir(state) if entry.stat(follow_symlinks=False).st_uid != owner]
    if strangers:
        yield f"{', '.join(sorted(strangers))} in the state folder belong to another account than the folder"


def _left_over(state: str) -> Iterator[str]:
    dead = len(list(_folders(os.path.join(state, "staging"))))
    if dead:
        yield f"{counted(dead, 'folder')} been left in staging by processes that were killed"
    for entry in sorted(os.scandir(state), key=lambda entry: entry.name):
        if _KEPT.fullmatch(entry.name):
            yield (
                f"{entry.name} in the state folder holds what could not be given back when a transaction was undone;"
                " take out of it what is wanted, then remove it"
            )
        elif entry.name == MAKING:
            yield "what a repair that was interrupted had begun was not removed"


def _notes(state: str) -> Iterator[str]:
    for entry in sorted(os.scandir(state), key=lambda entry: entry.name):
        if entry.name.startswith(ASIDE) and not entry.name.endswith(("-wal", "-shm")):
            yield f"{entry.name} in the state folder was set aside by a repair; remove it when nobody wants it any more"


def _folders(place: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                yield entry.path


# -- words


def counted(number: int, noun: str) -> str:
    return f"1 {noun} has" if number == 1 else f"{number:,} {noun}s have"


def bounded(sentences: Iterable[str], others: str) -> Iterator[str]:
    """The first of many, and how many more there are."""
    remaining = iter(sentences)
    yield from islice(remaining, _MOST)
    more = sum(1 for _ in remaining)
    if more:
        yield f"{more:,} more {others}"


def shown(path: Path) -> str:
    """A path for people; what cannot be printed becomes an escape."""
    text = "/" + "/".join(path)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
