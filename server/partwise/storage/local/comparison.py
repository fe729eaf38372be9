"""Finding out what has changed in the tree since somebody asked last, whoever changed it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from itertools import islice
from typing import cast

from partwise.errors import InvalidSyncToken, NotAllowed, NotFound
from partwise.storage.base import Change, Changes, Mark, Path, Properties, Resource
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.status import tells_birth
from partwise.storage.local.tree import Entry, found
from partwise.storage.sql.schema import key
from partwise.storage.sql.snapshot import COLLECTION, FILE, LINK, Seen
from partwise.storage.sql.state import State

#: Members that are compared in one step, and written in one critical section.
_STEP = 256
#: Rows that one critical section changes at most where a whole collection is gone.
_MOST_LOST = 1000
#: What is gone is remembered up to this number of names; a client that was away for longer begins anew.
MOST_GONE = 200_000

#: What stands under a name now.
Standing = tuple[int, Resource]


class Comparison:
    """Compares the tree with the snapshot in the state.

    Comparing takes no lock. What seems to differ is looked at once more in the critical section before it is written: so
    each row tells what was true at one moment, and the moments are in the order of the rows' numbers.
    """

    def __init__(
        self,
        root: Root,
        state: State,
        critical_section: Callable[[], AbstractContextManager[None]],
        entries: Callable[[Path], Iterator[Entry]],
        most_gone: int = MOST_GONE,
    ) -> None:
        self._root, self._state, self._critical_section, self._entries = root, state, critical_section, entries
        self._snapshot, self._most_gone = state.snapshot, most_gone
        self._tells_birth = tells_birth(root.descriptor)

    # -- comparing

    def compare(self, path: Path, infinite: bool) -> Iterator[None]:
        """See ``storage.base.Store.compare``."""
        place = self._place(path)
        yield from self._members(place)
        # Collections are found in the snapshot itself, in the order of their names, so that none has to be remembered.
        last = self._snapshot.next_collection(place, place) if infinite else None
        while last is not None:
            try:
                yield from self._members(last)
            except (NotFound, NotAllowed):  # gone, or closed to us, since it was listed
                yield from self._vanished(last)
            last = self._snapshot.next_collection(place, last)
        yield from self._forget()

    def _place(self, path: Path) -> Path:
        """Where the collection really is, with links resolved: its members have one name each in the snapshot."""
        with Directories(self._root) as directories:
            canonical, status = directories.locate(path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotFound("There is no collection under this address.")
        return canonical

    def _members(self, place: Path) -> Iterator[None]:
        count = 0
        with closing(cast(Generator[Entry, None, None], self._entries(place))) as entries:
            while block := list(islice(entries, _STEP)):
                count += len(block)
                now = {member.path: (_kind(member, linked is not None), member) for member, linked in block}
                yield from self._settle(place, self._differing(now))
        # What is listed is in the snapshot now: if that holds more, something is gone.
        if self._snapshot.present(place) > count:
            yield from self._vanished(place)

    def _differing(self, now: dict[Path, Standing]) -> list[Path]:
        paths = list(now)
        seen = self._snapshot.rows(paths)
        stored = self._state.properties(paths)
        return [path for path, standing in now.items() if seen.get(path) != self._seen(standing, stored.get(path, {}))]

    def _vanished(self, place: Path) -> Iterator[None]:
        after = 0
        while rows := self._snapshot.members(place, after, _STEP):
            after = rows[-1].number
            with Directories(self._root) as directories:
                lost = [row.path for row in rows if _look(directories, row.path) is None]
            yield from self._settle(place, lost)

    def _settle(self, place: Path, paths: Sequence[Path]) -> Iterator[None]:
        while paths:
            with self._critical_section():
                paths = self._write(place, paths)
            yield
        yield

    def _write(self, place: Path, paths: Sequence[Path]) -> Sequence[Path]:
        """Bring the rows of some members up to date, and those of the collections above; gives those that need another go."""
        above = [place[:length] for length in range(1, len(place) + 1)]
        with Directories(self._root) as directories:
            now = {path: _look(directories, path) for path in (*above, *paths)}
        stored = self._state.properties([path for path, standing in now.items() if standing is not None])
        left: list[Path] = []
        room = _MOST_LOST
        with self._snapshot.writing() as notes:
            known = notes.rows(list(now))
            for path, standing in now.items():
                before = known.get(path)
                if (
                    before is not None
                    and before.kind == COLLECTION
                    and not before.gone
                    and not _is(standing, COLLECTION)
                ):
                    room -= notes.lose_below(path, room) if room else 0
                    if not room:
                        # There may be more below: a collection goes last.
                        left.append(path)
                        continue
                if standing is not None:
                    seen = self._seen(standing, stored.get(path, {}))
                elif before is not None:
                    seen = before._replace(gone=True)
                else:
                    continue
                if seen != before:
                    notes.note(path, seen)
                if path in above and not _is(standing, COLLECTION):
                    return ()
        return paths if any(path in above for path in left) else left

    def _seen(self, standing: Standing, stored: Properties) -> Seen:
        """A file changes with its entity tag, and everything with its stored properties (RFC 6578 §3.5.1).

        A collection does not change because its members do; it does if it was removed and made again.
        """
        kind, member = standing
        version = member.etag or (f"{member.created_ns:x}" if self._tells_birth else "")
        return Seen(kind, f"{version} {_stamp(stored.items())}", False)

    def _forget(self) -> Iterator[None]:
        more = True
        while more:
            with self._critical_section(), self._snapshot.writing() as notes:
                more = notes.forget(self._most_gone, _MOST_LOST)
            yield

    # -- telling

    def changes(self, path: Path, infinite: bool, since: Mark | None, most: int) -> Changes:
        """See ``storage.base.Store.changes``."""
        place = self._place(path)
        identity = f"{self._state.epoch}:{hashlib.blake2b(key(place), digest_size=8).hexdigest()}"
        floor = self._snapshot.floor()
        if since is not None:
            self._check(since, identity, infinite, floor)
        start = 0 if since is None else since.number
        until = max(self._snapshot.newest(place), floor, start)
        # Who has never been told everything knows nothing that came after what it was told.
        first = since is None or since.floor is not None
        known = start if first else None
        rows = self._snapshot.changes(place, infinite, start, until, most + 1, known=known) if most else []
        more = len(rows) > most > 0
        told = tuple(
            Change((*path, *row.path[len(place) :]), row.kind != FILE, row.gone, row.kind != LINK)
            for row in rows[:most]
        )
        number = rows[most - 1].number if more else until
        shallow = not infinite and not self._snapshot.is_flat(place)
        return Changes(told, Mark(identity, number, shallow, floor if more and first else None), more)

    def _check(self, since: Mark, identity: str, infinite: bool, floor: int) -> None:
        """Raises InvalidSyncToken."""
        if (
            since.place != identity
            or (infinite and since.shallow)
            or since.number > self._snapshot.newest()
            or floor > max(since.number, since.floor or 0)
        ):
            raise InvalidSyncToken(
                "The sync-token was not given out for this collection and level, or is too old; begin again with an empty one."
            )


def _kind(member: Resource, linked: bool) -> int:
    return FILE if not member.collection else LINK if linked else COLLECTION


def _is(standing: Standing | None, kind: int) -> bool:
    return standing is not None and standing[0] == kind


def _look(directories: Directories, path: Path) -> Standing | None:
    """What a listing would tell of the name."""
    try:
        linked = stat.S_ISLNK(directories.status(path).st_mode)
        member = found(directories, path)
    except (NotFound, NotAllowed, OSError):
        return None
    return _kind(member, linked), member


def _stamp(stored: Iterable[tuple[str, str]]) -> str:
    values = sorted(stored)
    if not values:
        return ""
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=12).hexdigest()
