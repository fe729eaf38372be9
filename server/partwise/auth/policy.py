"""Who may do what. So far: what somebody without credentials may do."""

from __future__ import annotations

from dataclasses import dataclass

from partwise.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class Policy:
    """What somebody without credentials may do."""

    may_read: bool
    may_write: bool

    def require_read(self) -> None:
        """Raises NotAllowed."""
        if not self.may_read:
            raise NotAllowed("Reading is not allowed here.")

    def require_write(self) -> None:
        """Raises NotAllowed."""
        if not self.may_write:
            raise NotAllowed("This server is read-only for you.")
