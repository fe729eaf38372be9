"""An item: what is to be stored under one name, as its headers declare it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from partwise.intake.validators.base import Candidate
from partwise.protocol.digests import Expected
from partwise.protocol.paths import Path
from partwise.storage.base import Check

#: Of most items nothing is stored but the bytes.
_NONE: Mapping[str, str | None] = {}


class Item(NamedTuple):
    """The declared side of one body, the same for a PUT and for an item of a batch.

    ``length`` is a promise that is checked; the hint of a form part stands only in ``candidate.length``. ``existing`` is
    the number of leading segments of ``path`` that must exist (see ``storage.base.Publication``). ``check`` is the gate's
    judgement of what stands at the target; it is asked before the bytes and again inside the critical section.
    ``check_first`` is the part of it that is told before anything about the body. ``properties`` are stored with it.
    """

    path: Path
    candidate: Candidate
    check: Check
    existing: int
    length: int | None = None
    digests: tuple[Expected, ...] = ()
    modified_ns: int | None = None
    coding: str | None = None
    check_first: Check | None = None
    properties: Mapping[str, str | None] = _NONE
    #: Tell the SHA-256 of the bytes, also if none was promised.
    hashed: bool = False
    #: What stands there cannot be judged before it is published: something else is to happen to the name first.
    late: bool = False
