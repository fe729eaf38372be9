"""The report as one JSON document that is written while it grows, and is whole at its end."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.batch.forms.rows import row, summary_object
from partwise.batch.outcome import Outcome, Summary
from partwise.protocol.json_bodies import dump_json


class Document:
    """``{"collection": …, "items": [row, …], "summary": {…}}``, one row a line."""

    media_type = "application/json"
    # RFC 8259 §11: "no 'charset' parameter is defined".
    content_type = "application/json"
    keep_alive = b"\n"

    def __init__(self) -> None:
        self._separator = ""

    def head(self, collection: str) -> bytes:
        return f'{{"collection":{dump_json(collection)},"items":[\n'.encode()

    def rows(self, outcomes: Sequence[Outcome]) -> bytes:
        written = ",\n".join(map(row, outcomes))
        separator, self._separator = self._separator, ",\n"
        return f"{separator}{written}".encode()

    def end(self, summary: Summary) -> bytes:
        return f'\n],"summary":{dump_json(summary_object(summary))}}}\n'.encode()

    def single(self, collection: str, outcome: Outcome) -> bytes:
        """The row itself."""
        return f"{row(outcome)}\n".encode()
