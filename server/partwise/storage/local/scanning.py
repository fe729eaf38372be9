"""Listing a collection, or all below it, by columns (``storage.base.Store.scan``).

Of each member there is one look at the disk and a few steps of list comprehensions; at a million members each call counts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from partwise.errors import NotAllowed, NotFound
from partwise.storage.base import Path, Resource
from partwise.storage.columns import Members
from partwise.storage.local.beneath import Root, absent_or_raise
from partwise.storage.local.born import born
from partwise.storage.local.status import born_files, collections, files
from partwise.storage.local.witnesses import LocalWitness

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KIND = 0o170000  # S_IFMT
#: Members that are looked at together, and most of a group.
_GROUP = 256

#: Device and inode.
Identity = tuple[int, int]
#: A collection to enter: its path, and the identity of what it leads to if it is a link.
Inner = tuple[Path, Identity | None]
#: Members, and those of them that are collections.
Group = tuple[Sequence[Resource], Sequence[Inner]]
#: What a link leads to. Raises NotFound, NotAllowed, OSError.
Follow = Callable[[Path], tuple[Resource, Identity]]

_Entry = os.DirEntry[str]
_Standing = list[tuple[_Entry, os.stat_result]]


class Scan:
    """One listing. ``born``: it is asked when each member was made; ``witness`` is told of members whose changes it must see."""

    def __init__(self, root: Root, follow: Follow, *, born: bool, witness: LocalWitness | None) -> None:
        self._root, self._follow, self._born, self._witness = root, follow, born, witness
        self._hidden = root.hidden.casefold()

    def members(self, path: Path, descriptor: int) -> Iterator[Sequence[Resource]]:
        """Of the collection that the descriptor, which is closed, is of."""
        return (group for group, _ in self._begun(path, descriptor))

    def descendants(self, path: Path, descriptor: int, reopen: Callable[[Path], int]) -> Iterator[Sequence[Resource]]:
        """As :meth:`members`, each collection before its members. ``reopen`` opens what a link leads to."""
        levels = [(descriptor, self._begun(path, descriptor), list[Inner]())]
        return self._descending(levels, reopen)

    def _descending(
        self, levels: list[tuple[int, Iterator[Group], list[Inner]]], reopen: Callable[[Path], int]
    ) -> Iterator[Sequence[Resource]]:
        entered = set[Identity]()
        while levels:
            above, groups, waiting = levels[-1]
            if waiting:
                path, linked = waiting.pop()
                if linked in entered:
                    continue
                if linked is not None:
                    entered.add(linked)
                try:
                    descriptor = self._opened(path[-1], above) if linked is None else reopen(path)
                except (NotFound, NotAllowed):  # gone, or closed to us, since it was listed
                    continue
                levels.append((descriptor, self._begun(path, descriptor), []))
            elif (found := next(groups, None)) is not None:
                waiting.extend(reversed(found[1]))
                yield found[0]
            else:
                levels.pop()

    def _opened(self, name: str, above: int) -> int:
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as error:
            raise absent_or_raise(error) from None
        if self._root.is_state(os.fstat(descriptor)):
            os.close(descriptor)
            raise NotFound("There is nothing under this address.")
        return descriptor

    def _begun(self, path: Path, descriptor: int) -> Iterator[Group]:
        steps = self._steps(path, descriptor)
        next(steps)  # a generator that never began would not close what it holds
        return (group for groups in steps for group in groups)

    def _steps(self, path: Path, descriptor: int) -> Iterator[Iterable[Group]]:
        try:
            yield ()
            with os.scandir(descriptor) as entries:
                while found := list(islice(entries, _GROUP)):
                    yield self._groups(path, descriptor, found)
        finally:
            os.close(descriptor)

    def _groups(self, path: Path, descriptor: int, entries: list[_Entry]) -> Iterable[Group]:
        if not path:
            # Compared without case: some file systems fold it.
            entries = [entry for entry in entries if entry.name.casefold() != self._hidden]
        if not entries:
            return ()
        if self._born and (members := self._born_files(path, descriptor, entries)) is not None:
            return ((members, ()),)
        try:
            statuses = [entry.stat(follow_symlinks=False) for entry in entries]
        except OSError:
            # What is gone since it was listed is left out.
            standing = list(_standing(entries))
        else:
            if {status.st_mode & _KIND for status in statuses} == {stat.S_IFREG}:
                return (self._files(path, descriptor, entries, statuses),)
            standing = list(zip(entries, statuses, strict=True))
        return self._by_kind(path, descriptor, standing)

    def _born_files(self, path: Path, descriptor: int, entries: list[_Entry]) -> Members | None:
        """If all are files, and everything about them is known at once."""
        if not all(entry.is_file(follow_symlinks=False) for entry in entries):
            return None
        names = [entry.name for entry in entries]
        if (found := born(descriptor, names)) is None:
            return None
        if self._witness is not None and found.linked:
            # What is written through another name is told to the watchers of that one.
            self._witness.spoil()
        return born_files(path, names, found)

    def _by_kind(self, path: Path, descriptor: int, standing: _Standing) -> Iterator[Group]:
        kinds: dict[int, _Standing] = {}
        for one in standing:
            kinds.setdefault(one[1].st_mode & _KIND, []).append(one)
        if plain := kinds.get(stat.S_IFREG):
            yield self._files(path, descriptor, *zip(*plain, strict=True))
        inner = [one for one in kinds.get(stat.S_IFDIR, ()) if not self._root.is_state(one[1])]
        if inner:
            yield self._collections(path, descriptor, *zip(*inner, strict=True))
        yield from self._links(path, [entry.name for entry, _ in kinds.get(stat.S_IFLNK, ())])

    def _files(
        self, path: Path, descriptor: int, entries: Sequence[_Entry], statuses: Sequence[os.stat_result]
    ) -> Group:
        if self._witness is not None:
            self._witness.note_files(statuses)
        names = [entry.name for entry in entries]
        return files(path, names, statuses, descriptor if self._born else None), ()

    def _collections(
        self, path: Path, descriptor: int, entries: Sequence[_Entry], statuses: Sequence[os.stat_result]
    ) -> Group:
        names = [entry.name for entry in entries]
        if self._witness is not None:
            for name, status in zip(names, statuses, strict=True):
                self._witness.note_collection(name, status)
        members = collections(path, names, statuses, descriptor if self._born else None)
        return members, [(place, None) for place in members.paths()]

    def _links(self, path: Path, names: Iterable[str]) -> Iterator[Group]:
        for name in names:
            if self._witness is not None:
                self._witness.spoil()
            place = (*path, name)
            try:
                member, identity = self._follow(place)
            except (NotFound, NotAllowed, OSError):
                continue
            yield (member,), [(place, identity)] if member.collection else ()


def _standing(entries: Iterable[_Entry]) -> Iterator[tuple[_Entry, os.stat_result]]:
    for entry in entries:
        try:
            yield entry, entry.stat(follow_symlinks=False)
        except OSError:
            continue
