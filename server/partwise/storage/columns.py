"""Many resources by columns: a thousand members are a few lists, and not a thousand values with their own fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Any, overload

from partwise.storage.base import Path, Resource

#: A Resource from all of its fields, without the function call that a named tuple's own constructor is.
_made: Callable[[type[Resource], tuple[Path, bool, int, int, str | None, int]], Resource] = tuple.__new__


@dataclass(frozen=True, slots=True)
class Members(Sequence[Resource]):
    """Members of one collection, at least one: all of them files, or all collections.

    ``parent`` is the collection's path, ``names`` are their last segments; the others are the fields of Resource, as long as
    ``names``. As a sequence it is that of the resources, each made when it is asked for.
    """

    parent: Path
    collection: bool
    names: Sequence[str]
    sizes: Sequence[int]
    modified_ns: Sequence[int]
    etags: Sequence[str | None]
    created_ns: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Resource]:
        fields = zip(self.paths(), repeat(self.collection), *self._columns(), strict=False)
        return map(_made, repeat(Resource), fields)

    @overload
    def __getitem__(self, index: int) -> Resource: ...

    @overload
    def __getitem__(self, index: slice) -> Members: ...

    def __getitem__(self, index: int | slice) -> Resource | Members:
        if isinstance(index, slice):
            names, *columns = (column[index] for column in (self.names, *self._columns()))
            return Members(self.parent, self.collection, names, *columns)
        return Resource(
            (*self.parent, self.names[index]),
            self.collection,
            self.sizes[index],
            self.modified_ns[index],
            self.etags[index],
            self.created_ns[index],
        )

    def paths(self) -> list[Path]:
        return [(*self.parent, name) for name in self.names]

    def only(self, chosen: Iterable[bool]) -> Members:
        """Those for which ``chosen``, as long as this, is true."""
        chosen = list(chosen)
        names, *columns = (list(compress(column, chosen)) for column in (self.names, *self._columns()))
        return Members(self.parent, self.collection, names, *columns)

    def _columns(self) -> tuple[Sequence[Any], ...]:
        return self.sizes, self.modified_ns, self.etags, self.created_ns
