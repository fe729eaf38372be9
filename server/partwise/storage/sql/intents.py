"""What a writer is about to do to names and to the state together, recorded first, so that whoever comes next can finish it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

from partwise.storage.base import Path

#: Device and inode: what stands under a name, whatever the name is.
Identity = tuple[int, int]


#: Of a collection that is not made yet.
UNBORN: Identity = (0, 0)


class Verb(StrEnum):
    DELETE = "delete"
    MOVE = "move"
    COPY = "copy"
    MAKE = "make"
    TRANSACTION = "transaction"


class Intent(NamedTuple):
    """``source`` is deleted, or moved or copied to ``destination``; or it is made, and what is known about it from the start.

    ``identity`` is of what is deleted, or of what is to stand at the destination; ``replaced`` of what stood there before.
    What is made has the identity :data:`UNBORN` if it is a collection. ``infinite``: a copy takes the properties of all
    members along. A transaction has no paths: its steps are in a journal (see ``local.journal``) in the folder that
    ``identity`` is of.
    """

    verb: Verb
    source: Path
    destination: Path
    identity: Identity
    replaced: Identity | None = None
    infinite: bool = True


def written(intent: Intent) -> str:
    """An intent as it stands in the database. Names that are not UTF-8 become escapes."""
    return json.dumps(intent, separators=(",", ":"))


def read(text: str) -> Intent:
    """The inverse of :func:`written`."""
    verb, source, destination, identity, replaced, infinite = json.loads(text)
    before = None if replaced is None else _identity(replaced)
    return Intent(Verb(verb), tuple(source), tuple(destination), _identity(identity), before, infinite)


def _identity(fields: list[int]) -> Identity:
    device, inode = fields
    return device, inode
