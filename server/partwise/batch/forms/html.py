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
_OF_FOLDERS: dict[int, str] = {
    Success.CREATED.status: "Made as a new folder.",
    Success.REPLACED.status: "The folder was there already.",
}
_WOULD: dict[int, str] = {
    Success.CREATED.status: "Would be stored as a new file.",
    Success.REPLACED.status: "Would be stored in place of the earlier file.",
}
_OF_METHODS = {
    "DELETE": "Deleted.",
    "MKCOL": "Made as a new folder.",
    "COPY": "Copied.",
    "MOVE": "Moved.",
    "PROPPATCH": "Properties changed.",
}
_REPLAYED = "Stored already by an earlier try; nothing was written now."
_EARLIER = "Reported by an earlier try; the last one did not send it."


def head(collection: str) -> bytes:
    return report_head(collection).encode()


def rows(outcomes: Sequence[Outcome]) -> bytes:
    return "".join(map(_row, outcomes)).encode()


def _row(outcome: Outcome) -> str:
    failure = outcome.failure
    if failure is not None:
        told, issues = f"{failure.text} {_EARLIER}" if outcome.earlier else failure.text, failure.issues
        return report_row(outcome.index, outcome.name, None, outcome.status, told, issues, outcome.size)
    place = None if outcome.would is not None or outcome.method == "DELETE" else outcome.location or outcome.href
    return report_row(outcome.index, outcome.name, place, outcome.status, _done(outcome), (), outcome.size)


def _done(outcome: Outcome) -> str:
    if outcome.would is not None:
        if outcome.method is not None:
            return f"The {outcome.method} would be done."
        return "Would be made as a folder." if outcome.href.endswith("/") else _WOULD.get(outcome.would, "")
    if outcome.replayed:
        return _REPLAYED
    if outcome.earlier:
        return _EARLIER
    if outcome.method is not None and outcome.method in _OF_METHODS:
        return _OF_METHODS[outcome.method]
    return (_OF_FOLDERS if outcome.href.endswith("/") else _DONE).get(outcome.status, "")


def end(summary: Summary) -> bytes:
    counts = summary.items, summary.stored, summary.failed
    return report_end(*counts, summary.state, dry_run=summary.dry_run, atomic=summary.atomic).encode()


def single(collection: str, outcome: Outcome) -> bytes:
    """One row as a page of its own."""
    good = int(outcome.good)
    return head(collection) + rows([outcome]) + end(Summary("", 1, good, 1 - good, state="complete"))
