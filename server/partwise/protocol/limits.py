"""What a collection takes in one batch, told before an upload: as the property ``limits``, and in the answer to OPTIONS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from partwise.errors import BATCH_NS
from partwise.protocol.json_bodies import dump_json
from partwise.protocol.multistatus import DECLARATION, text

__all__ = ["LIMITS", "Limits", "limits_element", "limits_json", "limits_xml"]

#: The property's name in Clark notation.
LIMITS = f"{{{BATCH_NS}}}limits"


@dataclass(frozen=True, slots=True)
class Limits:
    """``atomic_items``: of a batch that is stored as a whole. ``bytes`` of a whole request, ``item_size`` in bytes; ``None``:
    nothing but the disk and the quota bounds it.

    ``types``: patterns of the media types that items may have. ``containers``: media types of batches. ``codings``: of
    the whole request. ``forms``: media types of reports.
    """

    items: int
    atomic_items: int
    bytes: int | None
    item_size: int | None
    types: tuple[str, ...]
    containers: tuple[str, ...]
    codings: tuple[str, ...]
    forms: tuple[str, ...]


# It stands in the row of every collection of a listing.
@lru_cache(4)
def limits_element(limits: Limits) -> str:
    """``P:limits`` as ``limits.xsd`` has it, with its namespace."""
    attributes = f' max-items="{limits.items}" max-atomic-items="{limits.atomic_items}"'
    for name, size in (("max-bytes", limits.bytes), ("max-item-size", limits.item_size)):
        if size is not None:
            attributes += f' {name}="{size}"'
    children = "".join(
        f"<P:{name}>{text(value)}</P:{name}>"
        for name, values in (
            ("type", limits.types),
            ("container", limits.containers),
            ("coding", limits.codings),
            ("form", limits.forms),
        )
        for value in values
    )
    return f'<P:limits xmlns:P="{BATCH_NS}"{attributes}>{children}</P:limits>'


def limits_xml(limits: Limits) -> str:
    """A document of its own."""
    return f"{DECLARATION}{limits_element(limits)}\n"


def limits_json(limits: Limits) -> str:
    """The same as one JSON object; a limit that is not set is left out."""
    found: dict[str, Any] = {"maxItems": limits.items, "maxAtomicItems": limits.atomic_items}
    for name, size in (("maxBytes", limits.bytes), ("maxItemSize", limits.item_size)):
        if size is not None:
            found[name] = size
    found |= {
        "types": limits.types,
        "containers": limits.containers,
        "codings": limits.codings,
        "forms": limits.forms,
    }
    return dump_json(found) + "\n"
