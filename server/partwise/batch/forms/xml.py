"""The report as an RFC 4918 multistatus document."""

from __future__ import annotations

from collections.abc import Sequence

from partwise.batch.forms.words import sentence
from partwise.batch.outcome import Outcome, Summary, is_plain
from partwise.protocol.multistatus import (
    MAX_ISSUES,
    MULTISTATUS_CLOSE,
    MULTISTATUS_OPEN,
    shortened,
    status_line,
    status_response,
    text,
)

media_type = "application/xml"
content_type = "application/xml; charset=utf-8"
keep_alive = b"\n"

#: Bytes of a row.
MAX_ROW = 8192


def head(collection: str) -> bytes:
    return MULTISTATUS_OPEN.encode()


def rows(outcomes: Sequence[Outcome]) -> bytes:
    return "".join(map(_row, outcomes)).encode()


def _row(outcome: Outcome) -> str:
    """At most 8 KiB: issues that do not fit are counted."""
    if is_plain(outcome):
        return _plain(outcome)
    for issues in (MAX_ISSUES, 5, 1, 0):
        row = _written(outcome, issues)
        if len(row.encode()) <= MAX_ROW:
            break
    return row


def _plain(outcome: Outcome) -> str:
    """What most rows are; as :func:`_written`, which takes five times as long. An href is 3 KiB at most."""
    # The quotes of the entity tag are all that needs escaping in it.
    etag = (outcome.etag or "").replace('"', "&quot;")
    return (
        f"<D:response><D:href>{text(outcome.href)}</D:href><D:status>{status_line(outcome.status)}</D:status>"
        f'<P:item index="{outcome.index}" name="{text(shortened(outcome.name, 200))}" size="{outcome.size}"'
        f' etag="{etag}"/></D:response>\n'
    )


def _written(outcome: Outcome, issues: int) -> str:
    item = f'<P:item index="{outcome.index}" name="{text(shortened(outcome.name, 200))}"'
    for name, value in (
        ("size", outcome.size),
        ("etag", outcome.etag),
        ("digest", outcome.digest),
        ("content-id", outcome.content_id),
        ("would", None if outcome.would is None else int(outcome.would)),
        ("replayed", 1 if outcome.replayed else None),
        ("method", outcome.method),
        ("earlier", 1 if outcome.earlier else None),
    ):
        if value is not None:
            item += f' {name}="{text(shortened(str(value), 200))}"'
    return status_response(
        outcome.href, outcome.status, outcome.failure, location=outcome.location, extension=item + "/>", issues=issues
    )


def end(summary: Summary) -> bytes:
    ignored = f' ignored="{summary.ignored}"' if summary.ignored else ""
    mode = (' dry-run="true"' if summary.dry_run else "") + (' atomic="true"' if summary.atomic else "")
    return (
        f"<D:responsedescription>{sentence(summary)}</D:responsedescription>\n"
        f'<P:summary items="{summary.items}" stored="{summary.stored}" failed="{summary.failed}" '
        f'bytes="{summary.bytes}"{ignored} batch="{summary.batch}" state="{summary.state}"{mode}/>\n{MULTISTATUS_CLOSE}'
    ).encode()


def single(collection: str, outcome: Outcome) -> bytes:
    """One row as a document of its own, which sums up nothing."""
    return head(collection) + rows([outcome]) + MULTISTATUS_CLOSE.encode()
