"""The report as a stream of events (HTML Standard §9.2): what an ``EventSource`` in a browser reads."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.batch.forms.rows import row, summary_object
from partwise.batch.outcome import Outcome, Summary
from partwise.protocol.json_bodies import dump_json

media_type = "text/event-stream"
content_type = "text/event-stream"
# A comment: "event streams in this format must always be encoded as UTF-8", and a line that begins with a colon is ignored.
keep_alive = b":\n\n"


def head(collection: str) -> bytes:
    return b""


def rows(outcomes: Sequence[Outcome]) -> bytes:
    return "".join(map(_event, outcomes)).encode()


def _event(outcome: Outcome) -> str:
    # The id is what a browser that lost the connection sends as Last-Event-ID.
    return f"id: {outcome.index}\nevent: item\ndata: {row(outcome)}\n\n"


def end(summary: Summary) -> bytes:
    return f"event: summary\ndata: {dump_json(summary_object(summary))}\n\n".encode()


def single(collection: str, outcome: Outcome) -> bytes:
    """One event, and no summary."""
    return rows([outcome])
