"""Mending what ``local.check`` finds. Killed at any moment, it can be done again, and nothing is lost by that."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from partwise.errors import Failure
from partwise.storage.base import Path
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.check import ASIDE, MAKING, CannotCheck, absent, alone, counted, is_absent
from partwise.storage.local.medium import Medium
from partwise.storage.sql.database_file import DATABASE, REPAIRED
from partwise.storage.sql.inspection import opened
from partwise.storage.sql.salvage import drop_unreadable, forget_changes, salvage
from partwise.storage.sql.state import State, StateBroken

#: Paths whose state is cleared in one critical section.
_STEP = 256
_ENDINGS = ("", "-wal")

Tell = Callable[[str], None]


def repair(folder: str, state: str, tell: Tell, *, damaged: bool, clock: Callable[[], float] = time.time) -> None:
    """Finish or undo what was interrupted, and make the state agree with the tree. Raises CannotCheck, OSError.

    ``damaged``: the database is made anew. ``tell`` gets a sentence for each thing that was done.
    """
    place = os.path.join(state, DATABASE)
    try:
        with alone(state):
            _give_rights(state, tell)
            if damaged:
                _renew(folder, state, tell, clock)
            _remove_making(state)
            if os.path.exists(place):
                _drop_unreadable(place, tell)
            quotas = _quotas(place)
        # Opening finishes what was interrupted, and says so.
        Medium(folder, os.path.basename(state), quotas).close()
        with alone(state):
            paths, locks = _without_resource(folder, state, clock())
        medium = Medium(folder, os.path.basename(state), quotas)
        try:
            _clear(medium, paths, locks, tell)
            medium.quotas.recount()
        finally:
            medium.close()
    except (StateBroken, Failure) as failure:
        raise CannotCheck(str(failure)) from None
    except sqlite3.Error as error:
        raise CannotCheck(f"the state database cannot be repaired: {error}") from None
    finally:
        _give_back(state)


# -- a database made anew


def _renew(folder: str, state: str, tell: Tell, clock: Callable[[], float]) -> None:
    place, repaired = os.path.join(state, DATABASE), os.path.join(state, REPAIRED)
    if not os.path.exists(repaired):
        _make(folder, state, tell, clock)
    # From here on there is a new one, whole; a server that starts now refuses.
    for ending in ("-wal", "-shm"):
        _unlink(place + ending)
    # The log of the old one must never meet the new one.
    _sync(state)
    os.rename(repaired, place)
    _sync(state)
    tell("the new state database has taken its place; clients that synchronise begin anew")


def _make(folder: str, state: str, tell: Tell, clock: Callable[[], float]) -> None:
    place, making = os.path.join(state, DATABASE), os.path.join(state, MAKING)
    _remove_making(state)
    os.mkdir(making, 0o700)
    State(making).close()
    old, new = os.path.join(making, "damaged.db"), os.path.join(making, DATABASE)
    for ending in _ENDINGS:
        _second_name(place + ending, old + ending)
    saved = salvage(old, new, _tree(folder, os.path.basename(state)))
    _sync(new)
    aside = _aside(state, clock())
    # The log first: what is found under a name that was set aside is whole.
    for ending in reversed(_ENDINGS):
        _second_name(place + ending, aside + ending)
    _sync(state)
    os.rename(new, os.path.join(state, REPAIRED))
    _sync(state)
    tell(f"the damaged state database was set aside as {os.path.basename(aside)}")
    properties = "1 stored property" if saved.properties == 1 else f"{saved.properties:,} stored properties"
    tell(
        f"{properties} and {saved.locks:,} lock{'' if saved.locks == 1 else 's'} were read from it; "
        + ("it held no more" if saved.complete else "what else it held is lost")
    )


def _aside(state: str, now: float) -> str:
    name = os.path.join(state, ASIDE + time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)))
    number = 0
    while os.path.lexists(found := f"{name}-{number}" if number else name):
        number += 1
    return found


def _second_name(path: str, other: str) -> None:
    if not os.path.exists(path):
        return
    try:
        os.link(path, other)
    except FileExistsError:
        raise
    except OSError:
        # A file system without such names.
        shutil.copyfile(path, other)
        os.chmod(other, 0o600)
        _sync(other)


def _tree(folder: str, hidden: str) -> Iterator[bytes]:
    """The paths of everything in the tree, as keys of the database."""
    top = os.fsencode(folder)
    yield b""
    for above, folders, files in os.walk(top):
        if above == top:
            folders[:] = [name for name in folders if name != os.fsencode(hidden)]
        relative = os.path.relpath(above, top) + b"/" if above != top else b""
        for name in (*folders, *files):
            yield relative + name


def _remove_making(state: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(os.path.join(state, MAKING))


# -- a database that can be used


def _drop_unreadable(place: str, tell: Tell) -> None:
    with opened(place) as database:
        if database.is_empty():
            return
        contradictory = database.has_contradictory_changes()
    locks, intents = drop_unreadable(place)
    if locks:
        tell(f"{counted(locks, 'lock')} been removed that could not be understood")
    if intents:
        tell(f"{counted(intents, 'note')} been removed of an interrupted operation that could not be understood")
    if contradictory:
        forget_changes(place)
        tell("what was noted for clients that synchronise has been removed; they begin anew")


def _quotas(place: str) -> dict[Path, int]:
    """Collections with a quota; how much it is, only the server's settings say."""
    if not os.path.exists(place):
        return {}
    with opened(place) as database:
        return {} if database.is_empty() else dict.fromkeys(database.usage(), 1 << 62)


def _without_resource(folder: str, state: str, now: float) -> tuple[list[Path], list[tuple[str, Path]]]:
    """Paths that have stored properties and do not exist; tokens and roots of locks on what does not exist."""
    root = Root(folder, os.path.basename(state))
    try:
        with opened(os.path.join(state, DATABASE)) as database:
            paths = list(absent(root, database.property_paths()))
            locks = [row.lock for row in database.locks() if row.lock is not None and row.lock.expires > now]
            gone = set(absent(root, sorted({lock.root for lock in locks})))
            return paths, [(lock.token, lock.root) for lock in locks if lock.root in gone]
    finally:
        root.close()


def _clear(medium: Medium, paths: Sequence[Path], locks: Sequence[tuple[str, Path]], tell: Tell) -> None:
    cleared = dropped = 0
    remaining = iter(paths)
    while block := list(islice(remaining, _STEP)):
        with medium.critical_section(), Directories(medium.root) as directories, medium.state.writing() as changes:
            # A server may have started meanwhile.
            gone = [path for path in block if is_absent(directories, path)]
            changes.clear(gone)
            cleared += len(gone)
    if locks:
        with medium.critical_section(), Directories(medium.root) as directories, medium.state.writing() as changes:
            dropped = sum(changes.drop_lock(token) for token, path in locks if is_absent(directories, path))
    if cleared:
        tell(f"the stored properties of {cleared:,} path{'' if cleared == 1 else 's'} that do not exist are removed")
    if dropped:
        tell(f"{counted(dropped, 'lock')} been removed from what does not exist")
    medium.sync([], state=True)


# -- rights


def _give_rights(state: str, tell: Tell) -> None:
    for path, mode, name in (
        (state, 0o700, "the state folder"),
        (os.path.join(state, DATABASE), 0o600, "the state database"),
    ):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path, follow_symlinks=False).st_mode & 0o777 != mode:
                os.chmod(path, mode)
                tell(f"{name} can be opened by its owner only now")


def _give_back(state: str) -> None:
    """What was made here by the superuser belongs to the account of the server."""
    owner = os.stat(state)
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for above, folders, files in os.walk(state):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                os.chown(os.path.join(above, name), owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
