"""The page of a collection for a person, rendered as it is walked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from partwise.actions.blocks import blocks
from partwise.protocol.paths import Mount, Path
from partwise.storage.base import Resource, Store
from partwise.web import pages

#: Collections up to this size are sorted; larger ones come in the order of the disk, at constant memory.
SORTED = 10_000


def listing(store: Store, mount: Mount, path: Path, *, may_write: bool) -> Iterator[bytes]:
    """Blocks of HTML. Raises NotFound before the first."""
    members = chain.from_iterable(store.scan(path, False, born=False))
    return blocks(_pieces(members, mount, path, may_write))


def _pieces(members: Iterator[Resource], mount: Mount, path: Path, may_write: bool) -> Iterator[str]:
    here = mount.href(path, collection=True)
    crumbs = [(path[n - 1] if n else "/", mount.href(path[:n], collection=True)) for n in range(len(path) + 1)]
    parent = mount.href(path[:-1], collection=True) if path else None
    yield pages.listing_head(path, crumbs, here, parent, may_write, mount.service_href("batches", ""))
    count = 0
    for count, member in enumerate(_in_order(members), 1):  # noqa: B007 - the last number is the count
        href = mount.href(member.path, collection=member.collection)
        yield pages.listing_row(member.path[-1], href, member.collection, member.size, member.modified_ns)
    yield pages.listing_end(count)


def _in_order(members: Iterator[Resource]) -> Iterator[Resource]:
    first = list(islice(members, SORTED))
    if len(first) == SORTED:
        return chain(first, members)
    return iter(sorted(first, key=lambda member: (not member.collection, member.path[-1].casefold())))
