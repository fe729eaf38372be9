"""Steering: how the client wants its batch treated, said by a header, in the query or in a form field."""

from __future__ import annotations

from dataclasses import dataclass, replace

from partwise.errors import Malformed, NotImplementedHere
from partwise.protocol.preferences import parse_incremental, parse_overwrite, parse_prefer
from partwise.protocol.query import parse_query

#: What may be said in the query or a field, with the values it takes.
_VALUES = {
    "overwrite": {"T": True, "F": False},
    "return": {"minimal": True, "representation": False},
    "early": {"1": True, "0": False},
}
#: Said by ``batch.md`` but not built yet: to ignore them would be a lie.
_NOT_YET = {"atomic", "on-error", "max-failures", "dry-run", "final-status", "batch"}


@dataclass(frozen=True, slots=True)
class Steering:
    """``None``: not said. ``early=True`` asks for rows before the upload has ended, ``False`` forbids them."""

    overwrite: bool | None = None
    minimal: bool | None = None
    early: bool | None = None

    def under(self, stronger: Steering) -> Steering:
        """The two together; what ``stronger`` says counts."""
        return Steering(
            _first(stronger.overwrite, self.overwrite),
            _first(stronger.minimal, self.minimal),
            _first(stronger.early, self.early),
        )

    def with_field(self, name: str, value: str) -> Steering:
        """One more field of the same standing. Raises Malformed for an unknown value or a contradiction."""
        key = "minimal" if name == "return" else name
        try:
            said = _VALUES[name][value]
        except KeyError:
            choices = " or ".join(_VALUES[name])
            raise Malformed(f"The value of {name!r} must be {choices}.") from None
        if getattr(self, key) not in (None, said):
            raise Malformed(f"{name!r} is said twice, with different values.")
        return replace(self, **{key: said})


def _first(stronger: bool | None, weaker: bool | None) -> bool | None:
    return weaker if stronger is None else stronger


def is_steering(name: str, value: str) -> bool:
    """Does a field or query key of this name steer a batch? Raises NotImplementedHere for what is not built yet."""
    if name in _NOT_YET and value != "0":
        raise NotImplementedHere(f"{name!r} is not available on this server; nothing was stored.")
    return name in _VALUES


def from_headers(overwrite: str | None, prefer: str | None, incremental: str | None) -> Steering:
    """From ``Overwrite``, ``Prefer`` and ``Incremental``. Raises Malformed."""
    return Steering(
        overwrite=None if overwrite is None else parse_overwrite(overwrite),
        minimal={"minimal": True, "representation": False, None: None}[parse_prefer(prefer).return_],
        early=True if parse_incremental(incremental) else None,
    )


def from_query(query: str) -> Steering:
    """Raises Malformed or NotImplementedHere; unknown keys mean nothing."""
    steering = Steering()
    for name, value in parse_query(query):
        if is_steering(name, value):
            steering = steering.with_field(name, value)
    return steering
