"""Admission: everything that can be judged before the first byte, in the order of ``docs/status-codes.md``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from partwise.errors import OutOfSpace, TooLarge, UnsupportedType, WrongKind
from partwise.intake.item import Item
from partwise.protocol.media_types import AcceptedTypes
from partwise.storage.base import Path, Quota, Resource, Store, quota_exceeded


@dataclass(frozen=True)
class Admission:
    """The rules of this server for any body. ``max_size`` in bytes, ``None``: bounded by the disk alone."""

    store: Store
    accepted: AcceptedTypes
    max_size: int | None = None

    @cached_property
    def _unlimited(self) -> Bound:
        return Bound(self.max_size, None, None)

    def admit(self, item: Item) -> Bound:
        """How large the body may be, for what is not known yet.

        Raises WrongKind, ParentMissing, UnsupportedType, TooLarge, OutOfSpace, QuotaExceeded or what the gate raises.
        """
        if item.late:
            # Something may be removed before: but more than all of a quota never fits.
            quota = self.store.quota(item.path[:-1])
            return self._admit_body(item, Bound(self.max_size, quota, None if quota is None else quota.limit))
        standing = self.store.look(item.path, item.existing)
        if standing is not None and standing.collection:
            raise WrongKind("A collection stands under this name; a file cannot take its place.")
        if item.check_first is not None:
            item.check_first(standing)
        bound = self._admit_body(item, self._bound(item.path, standing))
        item.check(standing)
        return bound

    def admit_body(self, item: Item) -> Bound | None:
        """As :meth:`admit`, of an item at whose name nobody looks; ``None`` where that is needed first, for whatever reason."""
        if item.late or item.coding is not None or not self.accepted.allows(item.candidate.media_type):
            return None
        # How much may come depends on what is replaced.
        return None if self.store.quota(item.path[:-1]) is not None else self._unlimited

    def _admit_body(self, item: Item, bound: Bound) -> Bound:
        if item.coding is not None:
            raise UnsupportedType(f"The coding {item.coding!r} is not taken here; send the bytes as they are.")
        self.admit_type(item.candidate.media_type)
        size = item.length if item.length is not None else item.candidate.length
        self.admit_size(size)
        if size is not None:
            bound.check(size)
        return bound

    def _bound(self, path: Path, standing: Resource | None) -> Bound:
        quota = self.store.quota(path[:-1])
        # What is replaced makes room; a file that does not grow is taken however much there is.
        left = None if quota is None else quota.left + (0 if standing is None else standing.size)
        return Bound(self.max_size, quota, left)

    def admit_type(self, media_type: str | None) -> None:
        if not self.accepted.allows(media_type):
            declared = media_type or "no media type"
            raise UnsupportedType(f"Items of {declared} are not taken here.", accepted=self.accepted.patterns)

    def admit_size(self, size: int | None) -> None:
        if size is None:
            return
        if self.max_size is not None and size > self.max_size:
            raise too_large(self.max_size)
        free = self.store.free_space()
        if free is not None and size > free:
            raise OutOfSpace("There is no room left on the server for this item.")


class Bound(NamedTuple):
    """How large one body may be. ``left``: bytes that ``quota`` has for it; all ``None``: bounded by the disk alone."""

    max_size: int | None
    quota: Quota | None
    left: int | None

    def check(self, size: int) -> None:
        """Raises TooLarge, QuotaExceeded."""
        if self.max_size is not None and size > self.max_size:
            raise too_large(self.max_size)
        if self.quota is not None and self.left is not None and size > self.left:
            raise quota_exceeded(self.quota)


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The item is larger than the {limit} bytes taken here.", limit=limit)
