"""What became of one item, as it stands in the report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from partwise.errors import Failure, Issue
from partwise.protocol.multistatus import MAX_ISSUES, shortened

#: Characters of a client's own words kept in a row, so that a row stays below 8 KiB.
_KEPT = 500


_quoted = json.encoder.encode_basestring_ascii


class Outcome(NamedTuple):
    """One row. ``index`` counts the items of the request from 1.

    ``href`` names the item within the report: its target, or ``<collection>?batch=…&item=…`` where it has no usable or no
    unused one; then ``location`` is the target of a stored item. ``size`` in bytes; ``etag`` with its quotes.
    """

    # (It hides a method of tuples that nobody needs.)
    index: int  # type: ignore[assignment]
    href: str
    status: int
    name: str
    size: int | None = None
    etag: str | None = None
    digest: str | None = None
    content_id: str | None = None
    location: str | None = None
    failure: Failure | None = None
    #: In a dry run: the status that storing it would have had.
    would: int | None = None
    #: Stored by an earlier try of this batch; nothing was written now.
    replayed: bool = False
    #: Of an operation on its target; ``None`` for an upload.
    method: str | None = None
    #: By which a later try of the batch recognises an operation, see partwise.batch.replaying. Not told.
    operation: str | None = None
    #: A row of an earlier try of this batch, about a target that the last try did not name.
    earlier: bool = False

    @property
    def good(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Summary:
    """The last word of a report. ``state``: running, complete or aborted; ``ignored``: form fields that mean nothing.

    ``statuses`` are those that occur in rows, each once.
    """

    batch: str
    items: int = 0
    stored: int = 0
    failed: int = 0
    bytes: int = 0
    ignored: int = 0
    state: str = "running"
    statuses: frozenset[int] = frozenset()
    dry_run: bool = False
    atomic: bool = False


def dump(outcome: Outcome) -> bytes:
    """One line of the log."""
    if is_plain(outcome):
        # What most rows are; hrefs are percent-encoded and our ETags plain, so that nothing but the name needs escaping.
        name = _quoted(shortened(outcome.name, _KEPT))
        return (
            f'{{"index":{outcome.index},"href":"{outcome.href}","status":{int(outcome.status)},"name":{name},'
            f'"size":{outcome.size},"etag":{_quoted(outcome.etag or "")}}}\n'
        ).encode()
    record: dict[str, Any] = {"index": outcome.index, "href": outcome.href, "status": int(outcome.status)}
    record["name"] = shortened(outcome.name, _KEPT)
    for key in ("size", "etag", "digest", "content_id", "location", "would", "method", "operation"):
        value = getattr(outcome, key)
        if value is not None:
            record[key] = value
    for key in ("replayed", "earlier"):
        if getattr(outcome, key):
            record[key] = True
    if outcome.failure is not None:
        record["error"] = _dump_failure(outcome.failure)
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def is_plain(outcome: Outcome) -> bool:
    """Was it stored under its own name, and is there nothing more to say than its size and entity tag?"""
    if outcome.failure is not None or outcome.etag is None:
        return False
    if outcome.replayed or outcome.earlier or outcome.would is not None or outcome.method is not None:
        return False
    return outcome.content_id is outcome.digest is outcome.location is None


def _dump_failure(failure: Failure) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": _kind(failure).__name__, "text": shortened(failure.text, _KEPT)}
    if failure.issues:
        record["issues"] = [
            {key: shortened(value, _KEPT) if isinstance(value, str) else value for key, value in asdict(issue).items()}
            for issue in failure.issues[:MAX_ISSUES]
        ]
        if len(failure.issues) > MAX_ISSUES:
            record["more"] = len(failure.issues) - MAX_ISSUES
    if failure.limit is not None:
        record["limit"] = failure.limit
    if failure.accepted:
        record["accepted"] = list(failure.accepted)
    if failure.href is not None:
        record["href"] = failure.href
    return record


def load(line: bytes) -> Outcome:
    """The inverse of :func:`dump`."""
    record = json.loads(line)
    error = record.pop("error", None)
    return Outcome(**record, failure=None if error is None else _load_failure(error))


def _load_failure(record: dict[str, Any]) -> Failure:
    issues = tuple(Issue(**issue) for issue in record.get("issues", ()))
    # Issues that were counted only are counted again.
    issues += (Issue(""),) * record.get("more", 0)
    kind = _KINDS[record["kind"]]
    return kind(
        record["text"],
        issues=issues,
        limit=record.get("limit"),
        accepted=tuple(record.get("accepted", ())),
        href=record.get("href"),
    )


def _every_kind(kind: type[Failure]) -> dict[str, type[Failure]]:
    found = {kind.__name__: kind}
    for below in kind.__subclasses__():
        if below.__module__ == Failure.__module__:
            found |= _every_kind(below)
    return found


_KINDS = _every_kind(Failure)


def _kind(failure: Failure) -> type[Failure]:
    """The meaning in our own tree; an application's subclass is told as what it refines."""
    return next(cls for cls in type(failure).__mro__ if cls.__name__ in _KINDS and cls is _KINDS[cls.__name__])
