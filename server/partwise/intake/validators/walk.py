"""Walking a binary format as its bytes arrive, in constant memory.

A format is a generator that yields what it wants next: :class:`Take` (a few bytes, handed back at once) or
:class:`Pass` (any number of bytes, looked at as they go by). It returns where the format ends; what follows is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from partwise.errors import Damaged


@dataclass(frozen=True, slots=True)
class Take:
    """``size`` bytes in one piece; keep it small, they are held until complete."""

    size: int


@dataclass(frozen=True, slots=True)
class Pass:
    """``size`` bytes that nobody keeps; ``look`` sees each piece."""

    size: int
    look: Callable[[bytes], object] | None = None


#: Receives the bytes of a Take, and ``b""`` after a Pass.
Format: TypeAlias = Generator[Take | Pass, bytes, None]


class Walk:
    """A validator that drives one format. ``kind`` names it in sentences: "a PNG image"."""

    def __init__(self, kind: str, steps: Format) -> None:
        self._kind = kind
        self._steps = steps
        self._held = b""
        self._begun = False
        self._ended = False
        self._want: Take | Pass = next(steps)
        self._passed = 0

    def feed(self, data: bytes) -> None:
        """Raises what the format raises: :class:`~partwise.errors.Damaged`."""
        self._begun = self._begun or bool(data)
        at = 0
        while at < len(data) and not self._ended:
            want = self._want
            if isinstance(want, Take):
                piece = data[at : at + want.size - len(self._held)]
                self._held += piece
                if len(self._held) == want.size:
                    held, self._held = self._held, b""
                    self._next(held)
            else:
                piece = data[at : at + want.size - self._passed]
                self._passed += len(piece)
                if want.look is not None:
                    want.look(piece)
                if self._passed == want.size:
                    self._next(b"")
            at += len(piece)

    def finish(self) -> None:
        """Raises :class:`~partwise.errors.Damaged` if the format has not ended. An empty body passes."""
        if self._begun and not self._ended:
            raise Damaged(f"The contents end in the middle of {self._kind}; send the whole file.")

    def _next(self, answer: bytes) -> None:
        self._passed = 0
        try:
            self._want = self._steps.send(answer)
            # Nothing to wait for: an empty field must not need another byte.
            while self._want.size == 0:
                self._want = self._steps.send(b"")
        except StopIteration:
            self._ended = True
