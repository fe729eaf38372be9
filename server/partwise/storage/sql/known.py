"""Stored properties that were read lately, so that a GET need not ask the database, for which it might have to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from partwise.storage.base import Path
from partwise.storage.sql.shared_number import SharedNumber

#: Files that are known at once; of most of them there is nothing to know.
_MOST = 10_000
#: Characters of the values of one file, above which they are not kept.
_LONG = 1024
_NOTHING: Mapping[str, str] = {}


class Known:
    """What was read stays known until anybody changes any stored property; ``number`` says so. Used by threads at once.

    ``nothing`` asks the database whether nothing has any, as in many folders.
    """

    def __init__(self, number: SharedNumber, nothing: Callable[[], bool]) -> None:
        self._number, self._nothing = number, nothing
        self._known: tuple[int, dict[Path, Mapping[str, str]], bool] = (-1, {}, False)

    def now(self) -> int:
        """To be asked before the database is, and given to :meth:`learn`."""
        return self._number.read()

    def of(self, path: Path) -> Mapping[str, str] | None:
        """``None``: not known."""
        number, known, nothing = self._known
        if number != self._number.read():
            return None
        return _NOTHING if nothing else known.get(path)

    def learn(self, number: int, path: Path, values: Mapping[str, str]) -> None:
        """All stored properties of a path. Raises what the database raises."""
        if number & 1 or number != self._number.read() or sum(map(len, values.values())) > _LONG:
            return
        old, known, nothing = self._known
        if old != number:
            known, nothing = {}, not values and self._nothing()
            if number != self._number.read():
                return
        elif len(known) >= _MOST:
            known = {}
        self._known = number, known, nothing
        known[path] = values or _NOTHING
