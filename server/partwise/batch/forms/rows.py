"""One row, and the summary, as objects of JSON: the same in every form that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from partwise.batch.forms.words import sentence
from partwise.batch.outcome import Outcome, Summary
from partwise.protocol.json_bodies import dump_json
from partwise.protocol.multistatus import MAX_ISSUES, shortened
from partwise.protocol.problem_details import particulars, type_of

#: Bytes of a row.
MAX_ROW = 8192
#: Issues told and characters of each text, from what a row usually needs to what always fits.
_ROOM = ((MAX_ISSUES, 300), (5, 300), (1, 300), (0, 300), (0, 40))

Write = Callable[[Outcome, int, int], dict[str, Any]]


def row(outcome: Outcome) -> str:
    """One line of at most 8 KiB."""
    return bounded(outcome, row_object)


def bounded(outcome: Outcome, write: Write) -> str:
    """What ``write`` makes of a row, with as many issues and as long texts as fit into 8 KiB."""
    for issues, characters in _ROOM:
        written = dump_json(write(outcome, issues, characters))
        if len(written) <= MAX_ROW:
            break
    return written


def row_object(outcome: Outcome, issues: int = MAX_ISSUES, characters: int = 300) -> dict[str, Any]:
    """Members that say nothing are left out."""
    told: dict[str, Any] = {
        "index": outcome.index,
        "href": outcome.href,
        "status": int(outcome.status),
        "name": shortened(outcome.name, characters),
    }
    for name, value in (
        ("size", outcome.size),
        ("etag", outcome.etag),
        ("digest", outcome.digest),
        ("contentId", outcome.content_id),
        ("location", outcome.location),
        ("would", outcome.would),
        ("method", outcome.method),
    ):
        if value is not None:
            # A link that is cut leads nowhere.
            told[name] = shortened(value, characters) if isinstance(value, str) and name != "location" else value
    for name, holds in (("replayed", outcome.replayed), ("earlier", outcome.earlier)):
        if holds:
            told[name] = True
    failure = outcome.failure
    if failure is not None:
        error = {"text": shortened(failure.text, characters)} | particulars(failure, issues, characters)
        # Where the status says it all, there is no type.
        told["error"] = error if failure.element is None else {"type": type_of(failure)} | error
    return told


def summary_object(summary: Summary) -> dict[str, Any]:
    """Every member is always there."""
    return {
        "batch": summary.batch,
        "state": summary.state,
        "items": summary.items,
        "stored": summary.stored,
        "failed": summary.failed,
        "bytes": summary.bytes,
        "ignored": summary.ignored,
        "dryRun": summary.dry_run,
        "atomic": summary.atomic,
        "text": sentence(summary),
    }
