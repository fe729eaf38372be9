"""The report as a page that fills while it streams: what the form of a collection's page shows."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.batch.outcome import Outcome, Summary
from partwise.errors import Success
from partwise.web.pages import report_end, report_head, report_row

media_type = "text/html"
content_type = "text/html; charset=utf-8"
keep_alive = b"\n"

#: A person reads "204 No Content" as if nothing had been stored.
_DONE: dict[int, str] = {
    Success.CREATED.status: "Stored as a new file.",
    Success.REPLACED.status: "Stored in place of the earlier file.",
}


def head(collection: str) -> bytes:
    return report_head(collection).encode()


def rows(outcomes: Sequence[Outcome]) -> bytes:
    return "".join(map(_row, outcomes)).encode()


def _row(outcome: Outcome) -> str:
    failure = outcome.failure
    if failure is None:
        place = outcome.href if outcome.location is None else outcome.location
        done = _DONE.get(outcome.status, "")
        return report_row(outcome.index, outcome.name, place, outcome.status, done, (), outcome.size)
    return report_row(outcome.index, outcome.name, None, outcome.status, failure.text, failure.issues, outcome.size)


def end(summary: Summary) -> bytes:
    return report_end(summary.items, summary.stored, summary.failed, summary.state).encode()


def single(collection: str, outcome: Outcome) -> bytes:
    """One row as a page of its own."""
    good = int(outcome.good)
    return head(collection) + rows([outcome]) + end(Summary("", 1, good, 1 - good, state="complete"))
