"""A store that judges changes as it would make them, and makes none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from partwise.storage.base import Check, Exists, Failed, Move, Path, Properties, Resource, Store


class _Judged(Exception):
    """The change would be made. ``created``: something new would stand."""

    def __init__(self, *, created: bool) -> None:
        self.created = created


def judging(store: Store) -> Store:
    """What the checks of a change say in the critical section is what counts; nobody sees that it was asked.

    Each change is judged by what stands now, and not by what those before would have left, but for collections above it
    that would have been made. What is found out only in the making, such as a full disk, is not.
    """
    return cast(Store, _Judging(store))


class _Judging:
    def __init__(self, store: Store) -> None:
        self._store = store
        #: Collections that would stand by now.
        self._made: set[Path] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def make_collection(self, path: Path, check: Check, properties: Properties | None = None) -> None:
        if path[:-1] in self._made:
            check(None)
        elif self._store.look(path, max(len(path) - 1, 0)) is not None:
            raise Exists
        else:
            with _until_judged():
                self._store.make_collection(path, _ending(check, missing=True), properties)
        self._made.add(path)

    def delete(self, path: Path, check: Check) -> None:
        with _until_judged():
            self._store.delete(path, _ending(check))

    def set_properties(
        self, path: Path, changes: Mapping[str, str | None], check: Check, modified_ns: int | None = None
    ) -> None:
        with _until_judged():
            self._store.set_properties(path, changes, _ending(check), modified_ns)

    def move(self, move: Move) -> bool:
        return _relocated(self._store.move, move)

    def copy(self, move: Move, infinite: bool, failed: Failed) -> bool:
        return _relocated(lambda judged: self._store.copy(judged, infinite, failed), move)


@contextmanager
def _until_judged() -> Iterator[None]:
    with suppress(_Judged):
        yield


def _ending(check: Check, *, missing: bool = False) -> Check:
    """``missing``: there must be nothing; else a store that asks about nothing does not know yet what there is."""

    def judged(standing: Resource | None) -> None:
        check(standing)
        if (standing is None) is missing:
            raise _Judged(created=missing)

    return judged


def _relocated(relocate: Callable[[Move], bool], move: Move) -> bool:
    def judged(source: Resource, standing: Resource | None) -> None:
        move.check(source, standing)
        if standing is not None and not move.overwrite:
            raise Exists
        raise _Judged(created=standing is None)

    try:
        return relocate(replace(move, check=judged))
    except _Judged as found:
        return found.created
