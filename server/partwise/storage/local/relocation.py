"""Removing, moving and copying: names are changed first, then the state, and given back if the state cannot follow."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from partwise.errors import NotAllowed, OutOfSpace, TryAgain
from partwise.storage.base import Check, Exists, Failed, Move, Path, Resource
from partwise.storage.local.beneath import Directories
from partwise.storage.local.copying import Copied, weigh
from partwise.storage.local.copying import copy as copy_to_staging
from partwise.storage.local.exchange import exchange
from partwise.storage.local.failures import removing
from partwise.storage.local.journal import Kept, Renamed
from partwise.storage.local.ledger import Place
from partwise.storage.local.medium import AnyMedium
from partwise.storage.local.names import Name, canonical, parent_of, refuse_overlap, replaceable
from partwise.storage.local.recovery import carry_out
from partwise.storage.local.tree import LocalTree, found
from partwise.storage.sql.intents import Intent, Verb

log = logging.getLogger(__name__)

#: How often a file is copied anew when it changed meanwhile.
_ATTEMPTS = 5


def delete(medium: AnyMedium, path: Path, check: Check) -> None:
    """See ``storage.base.Store.delete``."""
    if not path:
        raise NotAllowed("The served folder itself cannot be deleted.")
    with Directories(medium.root) as directories:
        with medium.section() as ledger:
            standing = found(directories, path)
            check(standing)
            name = Name(directories.open(path[:-1]), path[-1], path)
            shift = ledger.leaving(ledger.at(directories, path))
            concerned = medium.journalled or standing.collection or medium.has_state(path)
            trash = None
            if concerned:
                intent = _intend_deletion(medium, path, name)
                trash = _forget(medium, path, name, _withdraw(medium, name), intent)
            else:
                _unlink(name)
            ledger.record(shift)
        _settle(medium, [name.parent], trash, state=concerned)


def _intend_deletion(medium: AnyMedium, path: Path, name: Name) -> int | None:
    try:
        return medium.intend(Intent(Verb.DELETE, path, path, name.identity()))
    except OutOfSpace:
        # On a full disk nothing but a deletion makes room.
        return None


def _forget(medium: AnyMedium, path: Path, name: Name, trash: str | None, intent: int | None) -> str | None:
    """Make the state follow a deletion; gives what is still to be discarded."""
    with _or_undo(lambda: _give_back(medium, trash, name)):
        try:
            medium.forget(path, intent)
            return trash
        except OutOfSpace:
            # On a full disk what is deleted makes the room in which that can be written down.
            medium.discard(trash)
            trash = None
            medium.forget(path, intent)
            return None


def move(medium: AnyMedium, move: Move) -> bool:
    """See ``storage.base.Store.move``."""
    refuse_overlap(move.source, move.destination)
    with Directories(medium.root) as directories:
        with medium.section() as ledger:
            standing = _judge(move, found(directories, move.source), directories)
            refuse_overlap(canonical(directories, move.source), canonical(directories, move.destination))
            source = Name(directories.open(move.source[:-1]), move.source[-1], move.source)
            destination = Name(parent_of(directories, move.destination), move.destination[-1], move.destination)
            shift = ledger.moving(ledger.at(directories, move.source), ledger.at(directories, move.destination))
            replaced = None if standing is None else destination.identity()
            intent = Intent(Verb.MOVE, move.source, move.destination, source.identity(), replaced)
            number = medium.intend(intent)
            trash = _rename(medium, source, destination, replacing=standing is not None)

            def undo() -> None:
                destination.rename(source)
                _give_back(medium, trash, destination)

            with _or_undo(undo), medium.state.fulfilling(number) as state:
                carry_out(intent, state, medium.state.locks_below(move.destination))
            ledger.record(shift)
        _settle(medium, {source.parent, destination.parent}, trash)
    return standing is None


def copy(medium: AnyMedium, tree: LocalTree, move: Move, infinite: bool, failed: Failed) -> bool:
    """See ``storage.base.Store.copy``."""
    # RFC 4918 §9.8.3: with Depth 0 the members stay behind, so that a copy among them is no circle.
    refuse_overlap(move.source, move.destination, member=not infinite)
    with Directories(medium.root) as directories:
        source = found(directories, move.source)
        _judge(move, source, directories)
        refuse_overlap(
            directories.root.canonical(move.source), canonical(directories, move.destination), member=not infinite
        )
    _require_room(medium, tree, move, source, infinite)
    for _ in range(_ATTEMPTS):
        copied = copy_to_staging(tree, medium.staging, source, infinite, failed)
        try:
            with Directories(medium.root) as directories:
                with medium.section() as ledger:
                    source = found(directories, move.source)
                    if source.etag != copied.etag:
                        continue
                    standing = _judge(move, source, directories)
                    destination = Name(parent_of(directories, move.destination), move.destination[-1], move.destination)
                    staged = Place(medium.staging.descriptor, copied.name, ())
                    shift = ledger.arriving(staged, ledger.at(directories, move.destination))
                    trash = _appear(
                        medium, copied, move, destination, infinite=infinite, replacing=standing is not None
                    )
                    ledger.record(shift)
                _settle(medium, [destination.parent], trash)
        finally:
            # Nothing, once it has appeared.
            medium.discard(copied.name)
        return standing is None
    raise TryAgain("The resource was changed again and again while it was copied; copy it again.")


def _require_room(medium: AnyMedium, tree: LocalTree, move: Move, source: Resource, infinite: bool) -> None:
    """Refuse before the first byte is copied what will not fit in the end. Raises QuotaExceeded."""
    limits = medium.limits
    if not limits:
        return
    with Directories(medium.root) as directories:
        destination = canonical(directories, move.destination)
        inside = limits.inside(destination)
        if not inside and next(limits.over(destination), None) is None:
            return
        weight = weigh(tree, source, infinite, inside)
        parent_of(directories, move.destination)
        with medium.section() as ledger:
            ledger.require_room(weight, ledger.at(directories, move.destination))


def _appear(
    medium: AnyMedium, copied: Copied, move: Move, destination: Name, *, infinite: bool, replacing: bool
) -> str | None:
    """Put the copy in its place, with the state of its source. What stood there is in staging then."""
    staged = Name(medium.staging.descriptor, copied.name)
    replaced = destination.identity() if replacing else None
    intent = Intent(Verb.COPY, move.source, move.destination, staged.identity(), replaced, infinite)
    number = medium.intend(intent)
    trash = _rename(medium, staged, destination, replacing=replacing)

    def undo() -> None:
        destination.rename(staged)
        _give_back(medium, trash, destination)

    with _or_undo(undo), medium.state.fulfilling(number) as state:
        carry_out(intent, state, medium.state.locks_below(move.destination))
    return trash


def _judge(move: Move, source: Resource, directories: Directories) -> Resource | None:
    """What stands at the destination, if it may be replaced."""
    standing = replaceable(directories, move.destination)
    move.check(source, standing)
    if standing is not None and not move.overwrite:
        raise Exists
    return standing


def _settle(medium: AnyMedium, directories: Iterable[int], trash: str | None, *, state: bool = True) -> None:
    """Make it durable, and only then drop what stood there. Raises TryAgain."""
    try:
        medium.sync(directories, state=state)
    finally:
        medium.discard(trash)


@contextlib.contextmanager
def _or_undo(undo: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        try:
            undo()
        except OSError:
            log.exception("a change whose locks and properties could not be written stays")
        raise


def _unlink(name: Name) -> None:
    """Remove a file, or a link and never what it leads to."""
    try:
        os.unlink(name.name, dir_fd=name.parent)
    except OSError as error:
        raise removing(error) from None


def _withdraw(medium: AnyMedium, name: Name) -> str | None:
    """As :func:`_take_away`; a file that cannot be moved there, because it lies on another file system, is removed."""
    try:
        elsewhere = name.status().st_dev != os.fstat(medium.staging.descriptor).st_dev
        if elsewhere and not name.is_directory() and not medium.journalled:
            os.unlink(name.name, dir_fd=name.parent)
            return None
    except OSError as error:
        raise removing(error) from None
    return _take_away(medium, name)


def _take_away(medium: AnyMedium, name: Name) -> str:
    """Move what has the name into staging as a whole, so that no reader sees half of it deleted; its name there."""
    trash = Name(medium.staging.descriptor, medium.staging.name())
    medium.about_to(Renamed(name.place, trash.place))
    try:
        name.rename(trash)
    except OSError as error:
        raise removing(error) from None
    return trash.name


def _give_back(medium: AnyMedium, trash: str | None, name: Name) -> None:
    if trash is not None:
        Name(medium.staging.descriptor, trash).rename(name)


def _rename(medium: AnyMedium, source: Name, destination: Name, *, replacing: bool) -> str | None:
    """Give the source the destination's name. What stood there is in staging then, under the name that is told."""
    try:
        if not replacing:
            medium.about_to(Renamed(source.place, destination.place))
            source.rename(destination)
            return None
        backup = _rename_over(medium, source, destination)
        if backup is not None:
            return backup
        # What is journalled is simple steps: between two of them a collection may be missing for a moment.
        if not medium.journalled and exchange(source.parent, source.name, destination.parent, destination.name):
            with _or_undo(lambda: _exchange_back(source, destination)):
                return _take_away(medium, source)
        trash = _take_away(medium, destination)
        with _or_undo(lambda: _give_back(medium, trash, destination)):
            medium.about_to(Renamed(source.place, destination.place))
            source.rename(destination)
        return trash
    except OSError as error:
        raise removing(error) from None


def _rename_over(medium: AnyMedium, source: Name, destination: Name) -> str | None:
    """Replace a file by a file in one step, its old contents kept by a second name in staging; ``None`` if impossible."""
    old, new = source.status(), destination.status()
    # rename(2) does nothing to two names of one file.
    if stat.S_ISDIR(old.st_mode) or stat.S_ISDIR(new.st_mode) or os.path.samestat(old, new):
        return None
    backup = medium.staging.name()
    directory = medium.staging.descriptor
    if isinstance(destination.place, tuple):
        medium.about_to(Kept(backup, destination.place), Renamed(source.place, destination.place))
    try:
        os.link(destination.name, backup, src_dir_fd=destination.parent, dst_dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    try:
        source.rename(destination)
    except OSError:
        os.unlink(backup, dir_fd=directory)
        raise
    return backup


def _exchange_back(source: Name, destination: Name) -> None:
    exchange(source.parent, source.name, destination.parent, destination.name)
