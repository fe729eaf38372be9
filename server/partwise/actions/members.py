"""Failures of members, told in a 207 of their own (RFC 4918 §9.6.1, §9.8.5, §9.9.4, §9.10.3)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from partwise.actions.blocks import blocks
from partwise.errors import Failure
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, status_response
from partwise.protocol.paths import Path

#: Bytes of rows that are kept in memory; more go to a file.
_IN_MEMORY = 256 * 1024


class MemberFailures(Exception):
    """The request was not done, because of these: pairs of an href and what failed there. The answer is a 207."""

    def __init__(self, failures: Sequence[tuple[str, Failure]]) -> None:
        super().__init__(f"{len(failures)} members failed")
        self.failures = tuple(failures)

    def document(self) -> str:
        rows = (status_response(href, failure.status, failure) for href, failure in self.failures)
        return "".join((MULTISTATUS_OPEN, *rows, MULTISTATUS_CLOSE))


class FailedMembers:
    """Failures gathered while a request is done all the same; memory is bounded. Close it."""

    def __init__(self, href: Callable[[Path], str], folder: str) -> None:
        self._href = href
        self._rows = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - see close()
            _IN_MEMORY, "w+", encoding="utf-8", errors="replace", dir=folder
        )
        self.count = 0

    def add(self, path: Path, failure: Failure) -> None:
        self.count += 1
        self._rows.write(status_response(self._href(path), failure.status, failure))

    def document(self) -> Iterator[bytes]:
        """The multistatus in blocks."""
        self._rows.seek(0)
        return blocks(chain((MULTISTATUS_OPEN,), self._rows, (MULTISTATUS_CLOSE,)))

    def close(self) -> None:
        self._rows.close()
