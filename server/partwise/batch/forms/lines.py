"""The report as lines of JSON: one a row, the last one the summary."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.batch.forms.rows import row, summary_object
from partwise.batch.outcome import Outcome, Summary
from partwise.protocol.json_bodies import dump_json


class Lines:
    """``application/x-ndjson`` and ``application/jsonl`` are two names of the same, neither of them registered."""

    #: A line may begin with white space; an empty line would be no JSON text.
    keep_alive = b" "

    def __init__(self, media_type: str) -> None:
        self.media_type = self.content_type = media_type

    def head(self, collection: str) -> bytes:
        return b""

    def rows(self, outcomes: Sequence[Outcome]) -> bytes:
        return "".join(f"{row(outcome)}\n" for outcome in outcomes).encode()

    def end(self, summary: Summary) -> bytes:
        return f"{dump_json({'summary': summary_object(summary)})}\n".encode()

    def single(self, collection: str, outcome: Outcome) -> bytes:
        return self.rows([outcome])
