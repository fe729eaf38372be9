"""The forms of a report: one table, from media type to the module that writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import partwise.batch.forms.html as html
import partwise.batch.forms.xml as xml
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import NotAcceptable
from partwise.protocol.media_types import choose


class Form(Protocol):
    """How a report is written, piece by piece. Each piece holds whole rows."""

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


#: In the server's order of preference.
FORMS: dict[str, Form] = {"application/xml": xml, "text/xml": xml, "text/html": html}


def choose_form(accept: str | None) -> Form:
    """Raises NotAcceptable, naming what there is."""
    media_type = choose(accept, tuple(FORMS))
    if media_type is None:
        raise NotAcceptable("The report is not available in any of the types asked for.", accepted=tuple(FORMS))
    return FORMS[media_type]
