"""What is on the server and not in the sources any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partwise.client.items import Findings
from partwise.client.listing import Listing, Stored

__all__ = ["Surplus", "surplus"]


@dataclass(frozen=True, slots=True)
class Surplus:
    """``names`` to be deleted: files as they are :class:`Stored`, and collections (``None``) with all that they hold.

    ``files`` counts the files among them and in them, ``there`` all files that the sources speak of.
    """

    names: Mapping[str, Stored | None]
    files: int
    there: int


def surplus(found: Findings, listing: Listing) -> Surplus:
    """What lies below a scope of the sources and is not among them.

    What was skipped is there, though it is not sent; and a folder is there though it is empty.
    """
    wanted = {item.name for item in found.items} | {skipped.name for skipped in found.skipped}
    folders = set(found.folders)
    for name in wanted:
        folders.update(_above(name))
    kept = wanted | folders

    def concerns(name: str) -> bool:
        # The collection itself never goes.
        return name != "" and any(scope in ("", name) or name.startswith(scope + "/") for scope in found.scopes)

    collections = {name for name in listing.collections if concerns(name) and name not in kept}
    gone: dict[str, Stored | None] = {
        name: None for name in collections if not any(above in collections for above in _above(name))
    }
    files, there = 0, 0
    skipped_folders = {skipped.name for skipped in found.skipped}
    for name, stored in listing.files.items():
        if not concerns(name):
            continue
        there += 1
        above = _above(name)
        if name in wanted or any(folder in skipped_folders for folder in above):
            continue
        files += 1
        if not any(folder in collections for folder in above):
            gone[name] = stored
    return Surplus(gone, files, there)


def _above(name: str) -> list[str]:
    segments = name.split("/")
    return ["/".join(segments[:count]) for count in range(1, len(segments))]
