"""The locks as they were at one moment, in memory."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from partwise.storage.base import Lock, Path


def written(lock: Lock) -> str:
    """A lock as it stands in the database. Names that are not UTF-8 become escapes."""
    return json.dumps(lock, separators=(",", ":"))


def read(text: str) -> Lock:
    """The inverse of :func:`written`."""
    return _lock(json.loads(text))


def read_all(texts: str) -> list[Lock]:
    """The inverse of :func:`written` for many, with commas between."""
    return [_lock(fields) for fields in json.loads(f"[{texts}]")]


def _lock(fields: list[Any]) -> Lock:
    token, root, *rest = fields
    return Lock(token, tuple(root), *rest)


class LockTable:
    """Locks by their roots; never changed once made, so that threads may share it."""

    def __init__(self, locks: Iterable[Lock]) -> None:
        self._by_root: dict[Path, list[Lock]] = {}
        for lock in locks:
            self._by_root.setdefault(lock.root, []).append(lock)
        # In the order of tuples the descendants of a path follow it without a gap.
        self._roots = sorted(self._by_root)

    def __bool__(self) -> bool:
        """Are there any, expired or not?"""
        return bool(self._by_root)

    def on(self, path: Path, now: float) -> Iterator[Lock]:
        """RFC 4918 §6.1: locks rooted at the path, and those of depth infinity rooted above."""
        by_root = self._by_root
        if not by_root:
            return
        for length in range(len(path)):
            for lock in by_root.get(path[:length], ()):
                if lock.infinite and lock.expires > now:
                    yield lock
        for lock in by_root.get(path, ()):
            if lock.expires > now:
                yield lock

    def below(self, path: Path, now: float) -> Iterator[Lock]:
        """Locks rooted at descendants of the path."""
        for index in range(bisect_right(self._roots, path), len(self._roots)):
            root = self._roots[index]
            if root[: len(path)] != path:
                return
            for lock in self._by_root[root]:
                if lock.expires > now:
                    yield lock
