"""The forms of a report: one table, from media type to what writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import partwise.batch.forms.events as events
import partwise.batch.forms.html as html
import partwise.batch.forms.xml as xml
from partwise.batch.forms.document import Document
from partwise.batch.forms.json_api import JsonApi
from partwise.batch.forms.lines import Lines
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import NotAcceptable
from partwise.protocol.media_types import choose


class Form(Protocol):
    """How one report is written, piece by piece, to one reader. Each piece holds whole rows, or nothing.

    ``head`` once, ``rows`` any number of times with at least one row each, ``end`` once: joined a whole document. Between
    two pieces there may be ``keep_alive``. A form may remember what it has written, so it serves one response only.
    """

    @property
    def media_type(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    @property
    def keep_alive(self) -> bytes:
        """Bytes that mean nothing, for a connection that must not fall idle."""

    def head(self, collection: str) -> bytes: ...

    def rows(self, outcomes: Sequence[Outcome]) -> bytes: ...

    def end(self, summary: Summary) -> bytes: ...

    def single(self, collection: str, outcome: Outcome) -> bytes:
        """One row as a document of its own."""


#: In the server's order of preference. Each call gives a form for one response; those that remember nothing are modules.
FORMS: dict[str, Callable[[], Form]] = {
    "application/xml": lambda: xml,
    "text/xml": lambda: xml,
    "text/html": lambda: html,
    "application/json": Document,
    "application/x-ndjson": partial(Lines, "application/x-ndjson"),
    "application/jsonl": partial(Lines, "application/jsonl"),
    JsonApi.media_type: JsonApi,
    "text/event-stream": lambda: events,
}


def choose_form(accept: str | None) -> Form:
    """A form for one response. Raises NotAcceptable, naming what there is."""
    media_type = choose(accept, tuple(FORMS))
    if media_type is None:
        raise NotAcceptable(f"The report can be had as one of {', '.join(FORMS)}.", accepted=tuple(FORMS))
    return FORMS[media_type]()
