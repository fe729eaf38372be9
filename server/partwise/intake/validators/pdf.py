"""PDF: the header near the beginning, the end-of-file mark near the end (ISO 32000-1 §7.5.2, §7.5.5).

Annex H, implementation notes 13 and 18: readers take the header anywhere in the first 1,024 bytes and the mark in the
last 1,024; writers add more behind it in practice, so 4,096 are looked at.
"""

from __future__ import annotations

from partwise.errors import Damaged
from partwise.intake.validators.base import Candidate, Validator

_TYPES = frozenset(("application/pdf", "application/x-pdf"))
_HEAD, _TAIL = 1024, 4096


class PdfValidator:
    """One PDF document."""

    def __init__(self) -> None:
        self._head = b""
        self._header_seen = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.Damaged` once 1,024 bytes hold no header."""
        if not self._header_seen:
            self._head += data[: _HEAD - len(self._head)]
            self._header_seen = b"%PDF-" in self._head
            if not self._header_seen and len(self._head) == _HEAD:
                self._no_header()
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]

    def finish(self) -> None:
        """Raises :class:`~partwise.errors.Damaged` without header or end mark. An empty body passes."""
        if not self._tail:
            return
        if not self._header_seen:
            self._no_header()
        if b"%%EOF" not in self._tail:
            raise Damaged("The contents end in the middle of a PDF document; send the whole file.")

    @staticmethod
    def _no_header() -> None:
        raise Damaged("The contents do not begin like a PDF document; send a PDF document or declare another type.")


def pdf(candidate: Candidate) -> Validator | None:
    """The factory for PDF documents."""
    return PdfValidator() if candidate.media_type in _TYPES else None
