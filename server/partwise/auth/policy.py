"""Who may do what."""

from __future__ import annotations

from dataclasses import dataclass

from partwise.errors import NotAllowed, Unauthenticated


@dataclass(frozen=True, slots=True)
class Policy:
    """What each principal may do; ``None`` is somebody without credentials.

    A named user may read, and may write unless in ``read_only`` (names in Unicode form NFC). ``has_users``: somebody without
    credentials who is not let in is asked for them.
    """

    anonymous_reads: bool
    anonymous_writes: bool
    has_users: bool = False
    read_only: frozenset[str] = frozenset()

    def may_read(self, principal: str | None) -> bool:
        return principal is not None or self.anonymous_reads

    def may_write(self, principal: str | None) -> bool:
        return self.anonymous_writes if principal is None else principal not in self.read_only

    def require_read(self, principal: str | None) -> None:
        """Raises NotAllowed or Unauthenticated."""
        if not self.may_read(principal):
            raise self._refusal(principal, "Reading is not allowed here.")

    def require_write(self, principal: str | None) -> None:
        """Raises NotAllowed or Unauthenticated."""
        if not self.may_write(principal):
            raise self._refusal(principal, "This server is read-only for you.")

    def _refusal(self, principal: str | None, text: str) -> NotAllowed | Unauthenticated:
        # RFC 9110 §15.5.4: a 403 says that other credentials may help at best; a client asks its user only after a 401.
        if principal is None and self.has_users:
            return Unauthenticated("This needs a name and a password.")
        return NotAllowed(text)
