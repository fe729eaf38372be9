"""What a collection of this server takes in one batch: its settings, and what it is built to read and write."""

from __future__ import annotations

from partwise.actions.methods import CONTAINERS
from partwise.batch.codings import CODINGS
from partwise.batch.forms import FORMS
from partwise.config import Config
from partwise.protocol.limits import Limits


def limits_of(config: Config) -> Limits:
    return Limits(
        items=config.max_items,
        atomic_items=min(config.max_items, config.max_atomic_items),
        bytes=config.max_batch_size,
        item_size=config.largest_item,
        types=config.accept,
        containers=CONTAINERS,
        # The others are aliases of these (RFC 9110 §8.4.1.3).
        codings=tuple(name for name in CODINGS if not name.startswith("x-")),
        forms=tuple(FORMS),
    )
