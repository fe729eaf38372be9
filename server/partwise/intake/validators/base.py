"""The validator interface: how anything gets a say in whether a body is stored.

A validator is started for one body, fed its bytes in order as they arrive, and finished at the end. All calls for one
body come from one thread, never from an event loop. It refuses by raising a :class:`~partwise.errors.Failure`, as early
as it can know; the rest of the body is then skipped. Any other exception is the validator's own fault: the item becomes
503 ``P:try-again`` and is not stored.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from partwise.errors import Failure


class Candidate(NamedTuple):
    """What is known of a body before its first byte.

    ``name`` is the target path below the served folder, segments joined by ``/``. ``media_type`` is the *declared* type
    in lower case without parameters (``"image/png"``) or ``None``; it is never guessed from the name. ``charset`` is the
    declared ``charset`` parameter. ``length`` is the declared length in bytes or ``None``.
    """

    name: str
    media_type: str | None = None
    charset: str | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer of a validator that must ask somebody else (a scanner, a service).

    The item stays staged until ``ticket`` is done: ``None`` lets it pass, a :class:`~partwise.errors.Failure` refuses it,
    an exception means that the judge itself failed (503). The future may be resolved from any thread.
    """

    ticket: Future[Failure | None]


class Validator(Protocol):
    """Judges one body."""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes. Raises a Failure to refuse."""

    def finish(self) -> Waiting | None:
        """The body has ended. ``None``: it may be stored. Raises a Failure to refuse."""


class ValidatorFactory(Protocol):
    """Chooses by what is declared; called once per body."""

    def __call__(self, candidate: Candidate) -> Validator | None:
        """A fresh validator for this body, or ``None`` if it is no concern of this factory."""
