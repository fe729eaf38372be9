"""One request for some items: which of them have a fate, and which are to be sent again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

from partwise.client.items import Item
from partwise.client.parts import Parts
from partwise.client.rows import Told
from partwise.errors import Issue

__all__ = ["PASSING", "Attempt", "Options", "Row"]

#: The server's own trouble, or the way to it: what failed so is sent again.
PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Row(NamedTuple):
    """The fate of one item. ``status`` is the server's, ``None`` if it never heard of the item; ``text`` says in a
    sentence why it failed, ``condition`` names the reason for programs, ``issues`` say where in the file.

    ``would``: in a dry run, the status that storing it would have had.
    """

    item: Item
    status: int | None
    text: str | None = None
    condition: str | None = None
    issues: tuple[Issue, ...] = ()
    etag: str | None = None
    would: int | None = None

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Options:
    """``patience``: seconds without any progress after which what is left of a batch is given up."""

    atomic: bool = False
    dry_run: bool = False
    checksums: bool = False
    types: bool = False
    patience: float = 120.0


@dataclass(slots=True)
class Attempt:
    """One request for ``items``. ``tell`` takes final rows; ``named``: the batch has the name ``key``."""

    items: list[Item]
    options: Options
    tell: Callable[[list[Row]], None]
    named: bool
    key: str = field(default_factory=lambda: "p" + secrets.token_urlsafe(20))
    parts: Parts = field(init=False)
    blocks: Generator[bytes] = field(init=False)
    #: Rows read so far.
    read: int = 0
    #: As the summary has it, once that was read.
    state: str | None = None
    #: Why an item has to be sent again, if one has, and its status.
    again: tuple[int | None, str] | None = None
    #: Names of files that changed while they were read.
    torn: set[str] = field(default_factory=set)
    #: Rows that may not be final: those of an atomic batch, and one that may only say that the upload broke off.
    held: list[Told] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.parts = Parts(self.items, checksums=self.options.checksums, types=self.options.types)
        self.blocks = self.parts.blocks()

    def take(self, rows: list[Told]) -> None:
        """More rows of the report, in order; those that were taken before are passed over."""
        fresh = [row for row in rows if row.number > self.read]
        if not fresh:
            return
        self.read = fresh[-1].number
        ready = [*self.held, *fresh]
        keep = len(ready) if self.options.atomic else int(ready[-1].status == HTTPStatus.BAD_REQUEST)
        self.held = ready[len(ready) - keep :]
        self._settle(ready[: len(ready) - keep])

    def end(self, state: str | None) -> None:
        """The report was read to its end, or (``None``, ``running``) as far as it goes."""
        if state not in ("complete", "aborted"):
            return
        self.state = state
        if state == "complete":
            self._settle(self.held)
        self.held = []

    def _settle(self, rows: list[Told]) -> None:
        sent, final = self.parts.sent, []
        for row in rows:
            if row.number > len(sent):
                continue  # nobody sent it: the report is not to be believed
            item = sent[row.number - 1]
            if row.number in self.parts.torn:
                self.torn.add(item.name)
                self.again = None, "The file changed while it was read."
            elif row.status in PASSING or self._cut_short(row):
                self.again = row.status, row.text or "The server could not take it."
            else:
                self.done.add(item.name)
                final.append(Row(item, *row[1:]))
        if final:
            self.tell(final)

    def _cut_short(self, row: Told) -> bool:
        """Not judged, because somebody cancelled the batch: we do that ourselves if the server waits for a lost upload."""
        # In a batch that is no whole, items do not depend on each other.
        return row.status == HTTPStatus.FAILED_DEPENDENCY and not self.options.atomic

    def refuse(self, status: int | None, why: str, names: set[str] | None = None) -> None:
        """All items without a fate have this one; or those of them that are called so."""
        refused = [item for item in self.left() if names is None or item.name in names]
        self.done.update(item.name for item in refused)
        if refused:
            self.tell([Row(item, status, why) for item in refused])

    def left(self) -> list[Item]:
        """The items that have no fate yet. Those that cannot be read are told to have one."""
        if unreadable := [(item, why) for item, why in self.parts.unreadable if item.name not in self.done]:
            self.done.update(item.name for item, _ in unreadable)
            self.tell([Row(item, None, why) for item, why in unreadable])
        return [item for item in self.items if item.name not in self.done]
