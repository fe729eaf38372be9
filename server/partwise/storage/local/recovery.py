"""Names and state that belong together, also after a kill between the two: what an intent means, and how it is finished."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Sequence

from partwise.errors import Failure, NotAllowed, NotFound
from partwise.storage.base import Lock
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.durable import sync_all
from partwise.storage.local.folder import Folder
from partwise.storage.local.journal import roll_back
from partwise.storage.sql.intents import UNBORN, Identity, Intent, Verb
from partwise.storage.sql.state import Changes, State

log = logging.getLogger(__name__)

#: In the state folder, while a transaction runs: its journal, and what it has taken out of the tree.
TRANSACTION = "transaction"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: Kept by the store: when a file whose contents were replaced was made, in nanoseconds since 1970.
CREATED = "{DAV:}creationdate"


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def standing(directories: Directories, path: tuple[str, ...]) -> Identity | None:
    """What stands under the name itself, a link not followed."""
    try:
        return identity(directories.status(path))
    except (NotFound, NotAllowed):
        return None


def carry_out(intent: Intent, state: Changes, below: Sequence[Lock]) -> None:
    """What an intent changes in the state. ``below``: the locks below the destination."""
    if intent.verb is Verb.DELETE:
        state.clear_tree(intent.source)
        state.drop_locks_in(intent.source)
        return
    if intent.verb is Verb.MOVE:
        state.drop_locks_in(intent.source)
    for lock in below:
        state.drop_lock(lock.token)
    if intent.verb is Verb.MOVE:
        state.move_tree(intent.source, intent.destination)
    else:
        state.copy_tree(intent.source, intent.destination, intent.infinite, (CREATED,))


def recover(state: State, directories: Directories, staging: Folder, folder: str, trash: list[str]) -> bool:
    """Finish or forget what writers that were killed had begun; ``trash`` gets names in staging of what is to be discarded.

    The caller is in the critical section. What cannot be finished now, because the disk is full, is left to the next writer;
    False if that is a transaction: until it is undone nothing may be changed. ``folder`` holds the state.
    """
    try:
        for number, intent in state.unfulfilled():
            if intent.verb is Verb.TRANSACTION:
                if not undone(directories.root, folder):
                    return False
                state.forget_intent(number)
                log.warning("a transaction that did not end well has been undone")
                continue
            done = _finished(intent, directories, staging, trash)
            with state.fulfilling(number) as changes:
                if done is not None:
                    carry_out(done, changes, state.locks_below(done.destination))
            log.warning("a %s that was interrupted has been %s", intent.verb, "dropped" if done is None else "finished")
        throw_away(folder, staging, trash)
        state.no_more_intents()
    except Failure as failure:
        log.error("what was interrupted cannot be finished yet: %s", failure)
    return True


def undone(root: Root, folder: str) -> bool:
    """Undo all that the transaction did to names. False if that must be tried again."""
    place = os.path.join(folder, TRANSACTION)
    try:
        descriptor = os.open(place, _DIRECTORY)
    except FileNotFoundError:
        log.error("a transaction that was interrupted cannot be undone: its folder is gone")
        return True
    except OSError as error:
        log.error("a transaction cannot be undone yet: %s", os.strerror(error.errno or 0))
        return False
    try:
        if not roll_back(root, descriptor):
            os.rename(place, f"{place}-{secrets.token_hex(4)}")
            log.error("what could not be given back when a transaction was undone is kept beside the state")
        # Durable before the intent goes.
        sync_all(root.descriptor)
    except (OSError, NotAllowed) as error:
        log.error("a transaction cannot be undone yet: %s", error.strerror if isinstance(error, OSError) else error)
        return False
    finally:
        os.close(descriptor)
    return True


def throw_away(folder: str, staging: Folder, trash: list[str]) -> None:
    """What a transaction that is over has left."""
    name = staging.name()
    try:
        os.rename(os.path.join(folder, TRANSACTION), name, dst_dir_fd=staging.descriptor)
    except FileNotFoundError:
        return
    except OSError as error:
        log.error("what a transaction has left cannot be removed: %s", os.strerror(error.errno or 0))
        return
    trash.append(name)


def _finished(intent: Intent, directories: Directories, staging: Folder, trash: list[str]) -> Intent | None:
    """What has happened to the names, or does now; ``None`` if nothing has."""
    source = standing(directories, intent.source)
    match intent.verb:
        case Verb.DELETE:
            return None if source == intent.identity else intent
        case Verb.MOVE:
            return intent if _moved(intent, source, directories, staging, trash) else None
        case Verb.COPY:
            found = standing(directories, intent.destination)
            if found is None and intent.replaced is not None:
                # It had been taken away, and the copy died with its maker.
                return Intent(Verb.DELETE, intent.destination, intent.destination, intent.replaced)
            return intent if found == intent.identity else None
        case Verb.MAKE:
            _unmake(intent, source, directories)
            return None
        case Verb.TRANSACTION:
            raise AssertionError("undone, never finished")


def _unmake(intent: Intent, standing: Identity | None, directories: Directories) -> None:
    """Remove what was made, without the properties or the lock that it should have had."""
    if standing is None or intent.identity not in (standing, UNBORN):
        return
    parent = directories.open(intent.source[:-1])
    # A collection that is not empty belongs to somebody else.
    with contextlib.suppress(OSError):
        (os.rmdir if intent.identity == UNBORN else os.unlink)(intent.source[-1], dir_fd=parent)


def _moved(
    intent: Intent, source: Identity | None, directories: Directories, staging: Folder, trash: list[str]
) -> bool:
    found = standing(directories, intent.destination)
    if source != intent.identity:
        if source is not None and source == intent.replaced:
            # Both were exchanged, and what was replaced is still there under the name of the source.
            trash.append(staging.name())
            return _rename(directories.open(intent.source[:-1]), intent.source[-1], staging.descriptor, trash[-1])
        # An inode may have changed with the name (overlayfs). Two names of one file: the move is the end of the first.
        return found is not None and (found == intent.identity or found != intent.replaced)
    if found is None and intent.replaced is not None:
        # What was replaced had been taken away.
        names = [(directories.open(path[:-1]), path[-1]) for path in (intent.source, intent.destination)]
        return _rename(*names[0], *names[1])
    return False


def _rename(directory: int, name: str, other_directory: int, other_name: str) -> bool:
    try:
        os.rename(name, other_name, src_dir_fd=directory, dst_dir_fd=other_directory)
    except OSError as error:
        log.error("what was interrupted could not be finished: %s", os.strerror(error.errno or 0))
        return False
    return True
