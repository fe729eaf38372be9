"""Steering: how the client wants its batch treated, said by a header, in the query or in a form field."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from partwise.errors import Malformed
from partwise.protocol.preferences import parse_incremental, parse_overwrite, parse_prefer
from partwise.protocol.query import parse_query

_BATCH = re.compile(r"[A-Za-z0-9._~-]{16,128}")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Steering:
    """``None``: not said. ``early=True`` asks for rows before the upload has ended, ``False`` forbids them.

    ``batch`` is the client's own name for it; ``max_failures``: judge no more items after so many.
    """

    overwrite: bool | None = None
    minimal: bool | None = None
    early: bool | None = None
    atomic: bool | None = None
    dry_run: bool | None = None
    max_failures: int | None = None
    final_status: bool | None = None
    respond_async: bool | None = None
    batch: str | None = None

    def under(self, stronger: Steering) -> Steering:
        """The two together; what ``stronger`` says counts."""
        said: dict[str, Any] = {each.name: getattr(stronger, each.name) for each in fields(self)}
        return replace(self, **{name: value for name, value in said.items() if value is not None})

    def with_field(self, name: str, value: str) -> Steering:
        """One more field of the same standing. Raises Malformed for an unknown value or a contradiction."""
        key, read = _STEERS[name]
        said = read(name, value)
        if said is None:
            return self
        if getattr(self, key) not in (None, said):
            names = [repr(each) for each, (same, _) in _STEERS.items() if same == key]
            if len(names) > 1:
                raise Malformed(f"{' and '.join(names)} together say different things; say one of them once.")
            raise Malformed(f"{name!r} is said twice, with different values.")
        changed: dict[str, Any] = {key: said}
        return replace(self, **changed)


Read = Callable[[str, str], object]


def _one_of(**values: object) -> Read:
    def read(name: str, value: str) -> object:
        # Python's keyword arguments cannot be numbers.
        try:
            return values[value if value.isalpha() else f"_{value}"]
        except KeyError:
            choices = " or ".join(choice.lstrip("_") for choice in values)
            raise Malformed(f"The value of {name!r} must be {choices}.") from None

    return read


def _count(name: str, value: str) -> int:
    if not _COUNT.fullmatch(value):
        raise Malformed(f"The value of {name!r} must be a number from 1 on.")
    return int(value)


def _batch(name: str, value: str) -> str:
    if not _BATCH.fullmatch(value):
        raise Malformed(
            f"The value of {name!r} must have 16 to 128 characters: letters, digits or any of . _ ~ - are taken."
        )
    return value


_SWITCH = _one_of(_1=True, _0=False)

#: What may be said in the query or a field, and how it is read.
_STEERS: dict[str, tuple[str, Read]] = {
    "overwrite": ("overwrite", _one_of(T=True, F=False)),
    "return": ("minimal", _one_of(minimal=True, representation=False)),
    "early": ("early", _SWITCH),
    "atomic": ("atomic", _SWITCH),
    "dry-run": ("dry_run", _SWITCH),
    "on-error": ("max_failures", _one_of(stop=1, **{"continue": None})),
    "max-failures": ("max_failures", _count),
    "final-status": ("final_status", _SWITCH),
    "batch": ("batch", _batch),
}


def is_steering(name: str) -> bool:
    """Does a field or query key of this name steer a batch?"""
    return name in _STEERS


def from_headers(
    overwrite: str | None, prefer: str | None, incremental: str | None, idempotency_key: str | None = None
) -> Steering:
    """From ``Overwrite``, ``Prefer``, ``Incremental`` and ``Idempotency-Key``. Raises Malformed."""
    preferences = parse_prefer(prefer)
    return Steering(
        overwrite=None if overwrite is None else parse_overwrite(overwrite),
        minimal={"minimal": True, "representation": False, None: None}[preferences.return_],
        early=True if parse_incremental(incremental) else None,
        respond_async=True if preferences.respond_async else None,
        # The draft of the field makes it a string in quotes; many send the bare value.
        batch=None if idempotency_key is None else _batch("Idempotency-Key", _unquoted(idempotency_key.strip())),
    )


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def from_query(query: str) -> Steering:
    """Raises Malformed; unknown keys mean nothing."""
    steering = Steering()
    for name, value in parse_query(query):
        if is_steering(name):
            steering = steering.with_field(name, value)
    return steering
