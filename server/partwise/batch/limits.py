"""The bounds of one batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``items`` in one batch, ``whole`` in one that is stored as a whole.

    Bytes: ``fields`` of all form fields together, ``operation`` of the body of an operation, ``properties`` that a resource
    may have together.
    """

    items: int = 200_000
    whole: int = 20_000
    fields: int = 65_536
    operation: int = 1024 * 1024
    properties: int = 1024 * 1024
