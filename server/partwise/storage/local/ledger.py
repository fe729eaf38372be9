"""What one writer does to the collections with a quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from partwise.storage.base import Path, Quota, quota_exceeded
from partwise.storage.local.beneath import Directories, Root
from partwise.storage.local.measure import measure
from partwise.storage.sql.changes import Changes
from partwise.storage.sql.shared_number import SharedNumber

#: Sizes of all files at and below a path, by ``()``, and by relative paths of those at and below them.
Weight = Mapping[Path, int]


class Written(Protocol):
    """Where it is written down."""

    def writing(self) -> AbstractContextManager[Changes]: ...


class Place(NamedTuple):
    """A name in an open directory, and the path where that lies."""

    directory: int
    name: str
    path: Path


class Shift(NamedTuple):
    """Bytes that come into and leave each collection with a quota."""

    added: Mapping[Path, int]
    removed: Mapping[Path, int]


NO_SHIFT = Shift({}, {})


class Limits(dict[Path, int]):
    """The quotas: bytes by path, links resolved."""

    def __init__(self, root: Root, limits: Mapping[Path, int]) -> None:
        super().__init__(limits)
        self.root = root

    def over(self, path: Path) -> Iterator[Path]:
        """The collections with a quota that cover a path, from the outermost."""
        return (path[:length] for length in range(len(path) + 1) if path[:length] in self)

    def inside(self, path: Path) -> list[Path]:
        """Those below a path, relative to it."""
        return [place[len(path) :] for place in self if len(place) > len(path) and place[: len(path)] == path]

    def shares(self, path: Path, weight: Weight) -> Iterator[tuple[Path, int]]:
        """What of the weight of a path falls to each collection with a quota."""
        for place in self.over(path):
            yield place, weight[()]
        for below, size in weight.items():
            if below and (*path, *below) in self:
                yield (*path, *below), size


class Ledger:
    """The usage as it is in one critical section. ``used`` holds the bytes of every collection with a quota.

    First ask for a shift, which refuses what does not fit; then do it; then :meth:`record` it. From the first on the shared
    number is odd, until all is written at the end of the section.
    """

    def __init__(self, limits: Limits, used: dict[Path, int], number: SharedNumber) -> None:
        self._limits, self._used, self._number = limits, used, number
        self._added: dict[Path, int] = {}
        self._removed: dict[Path, int] = {}
        #: Is there something that is not written yet?
        self.changed = False
        #: Was something recorded that was undone?
        self.doubtful = False

    @property
    def active(self) -> bool:
        """Are there quotas at all?"""
        return bool(self._limits)

    def at(self, directories: Directories, path: Path) -> Place:
        """Where a name lies. Raises NotFound if its parent does not exist."""
        parent = path[:-1]
        return Place(directories.open(parent), path[-1], (*directories.canonical(parent), path[-1]))

    # -- what is about to happen. All raise QuotaExceeded.

    def replacing(self, path: Path, size: int, old: int) -> Shift:
        """A file of ``size`` bytes takes the place of one of ``old`` bytes, or of nothing."""
        return self._shift([(path, {(): size})], [(path, {(): old})])

    def arriving(self, source: Place, destination: Place) -> Shift:
        """What lies under a name outside of the tree replaces what stands at the destination."""
        if not self.active:
            return NO_SHIFT
        inside = self._limits.inside(destination.path)
        come = measure(self._limits.root, source.directory, source.name, inside)
        return self._shift([(destination.path, come)], [self._weighed(destination)])

    def require_room(self, weight: Weight, destination: Place) -> None:
        """Would something of this weight fit in the place of what stands at the destination?"""
        self._fitting([(destination.path, weight)], [self._weighed(destination)])

    def leaving(self, place: Place) -> Shift:
        """What stands under a name goes."""
        return self._shift([], [self._weighed(place)] if self.active else [])

    def moving(self, source: Place, destination: Place) -> Shift:
        """What stands under one name replaces what stands under another."""
        if not self.active:
            return NO_SHIFT
        gone = self._weighed(destination)
        inside = {*self._limits.inside(source.path), *self._limits.inside(destination.path)}
        over = list(self._limits.over(source.path))
        if not inside and over == list(self._limits.over(destination.path)):
            shift = self._shift([], [gone])
            # Nothing changes but what a walk may see, twice or not at all: at most everything there is.
            return Shift(
                {place: self._used[place] for place in over},
                {place: self._used[place] + shift.removed.get(place, 0) for place in over},
            )
        weight = measure(self._limits.root, source.directory, source.name, inside)
        return self._shift([(destination.path, weight)], [(source.path, weight), gone])

    def _weighed(self, place: Place) -> tuple[Path, Weight]:
        inside = self._limits.inside(place.path)
        if not inside and next(self._limits.over(place.path), None) is None:
            return place.path, {(): 0}
        return place.path, measure(self._limits.root, place.directory, place.name, inside)

    def _shift(self, come: Sequence[tuple[Path, Weight]], gone: Sequence[tuple[Path, Weight]]) -> Shift:
        if not self.active:
            return NO_SHIFT
        shift = self._fitting(come, gone)
        self._number.unsettle()
        return shift

    def _fitting(self, come: Sequence[tuple[Path, Weight]], gone: Sequence[tuple[Path, Weight]]) -> Shift:
        added, removed = self._sums(come), self._sums(gone)
        for place, size in added.items():
            more = size - removed.get(place, 0)
            quota = Quota(self._limits[place], self._used[place])
            # What takes less than before is welcome, also where the quota was passed by hand or was lowered.
            if more > 0 and more > quota.left:
                raise quota_exceeded(quota)
        return Shift(added, removed)

    def _sums(self, weights: Sequence[tuple[Path, Weight]]) -> dict[Path, int]:
        sums: dict[Path, int] = {}
        for path, weight in weights:
            for place, size in self._limits.shares(path, weight):
                sums[place] = sums.get(place, 0) + size
        return sums

    # -- what has happened

    def record(self, shift: Shift) -> None:
        """It was done."""
        for place, size in shift.added.items():
            self._added[place] = self._added.get(place, 0) + size
            self._used[place] += size
        for place, size in shift.removed.items():
            self._removed[place] = self._removed.get(place, 0) + size
            self._used[place] = max(0, self._used[place] - size)
        self.changed = self.changed or any(shift.added.values()) or any(shift.removed.values())

    def withdraw(self) -> None:
        """All that was recorded was undone."""
        self._added, self._removed, self.changed = {}, {}, False

    def doubt(self) -> None:
        """Not all that was recorded is true: it must be counted."""
        self.doubtful = self.active

    def write(self, state: Written) -> None:
        """All that was recorded. Raises OutOfSpace, TryAgain."""
        if self.changed and not self.doubtful:
            with state.writing() as changes:
                changes.adjust_usage(self._added, self._removed)
            self.changed = False
