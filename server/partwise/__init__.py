"""partwise: a WebDAV server that judges, stores and reports every part of an upload as it arrives."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "Candidate",
    "CannotListen",
    "Config",
    "Failure",
    "Issue",
    "RuleFailed",
    "SchemaInvalid",
    "Validator",
    "ValidatorFactory",
    "Waiting",
    "WorkersDied",
    "make_app",
    "serve",
]

# Imported when they are used: partwise.client must not cost what the server does. Types stand in __init__.pyi.
_PLACES = {
    "partwise.app": ("make_app",),
    "partwise.config": ("Config",),
    "partwise.errors": ("Failure", "Issue", "RuleFailed", "SchemaInvalid"),
    "partwise.intake.validators.base": ("Candidate", "Validator", "ValidatorFactory", "Waiting"),
    "partwise.run": ("CannotListen", "serve"),
    "partwise.workers": ("WorkersDied",),
}
_PLACE = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """PEP 562."""
    if name not in _PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
