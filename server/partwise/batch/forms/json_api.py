"""The report as a document of JSON:API 1.1: error objects for what failed, and the summary as ``meta``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from partwise.batch.forms.rows import bounded, row_object, summary_object
from partwise.batch.outcome import Outcome, Summary
from partwise.protocol.json_bodies import dump_json
from partwise.protocol.problem_details import JSON_API, error_object

_HEAD = '{"jsonapi":{"version":"1.1"}'


class JsonApi:
    """Items that are good add nothing but to the summary.

    "The members data and errors MUST NOT coexist in the same document": there is never ``data``, and ``errors`` begins with
    the first item that failed, so that a report without failures is ``meta`` alone.
    """

    media_type = JSON_API
    # JSON:API 1.1, "Server Responsibilities": without any media type parameter.
    content_type = JSON_API
    keep_alive = b"\n"

    def __init__(self) -> None:
        self._failed = False

    def head(self, collection: str) -> bytes:
        return _HEAD.encode()

    def rows(self, outcomes: Sequence[Outcome]) -> bytes:
        failed = [bounded(outcome, _error) for outcome in outcomes if not outcome.good]
        if not failed:
            return b""
        opening = ",\n" if self._failed else ',"errors":[\n'
        self._failed = True
        return (opening + ",\n".join(failed)).encode()

    def end(self, summary: Summary) -> bytes:
        closing = "\n]" if self._failed else ""
        return f'{closing},"meta":{dump_json(summary_object(summary))}}}\n'.encode()

    def single(self, collection: str, outcome: Outcome) -> bytes:
        """The error object of an item that failed, the row of one that is good as ``meta``."""
        if outcome.good:
            return f'{_HEAD},"meta":{dump_json({"item": row_object(outcome)})}}}\n'.encode()
        return f'{_HEAD},"errors":[{bounded(outcome, _error)}]}}\n'.encode()


def _error(outcome: Outcome, issues: int, characters: int) -> dict[str, Any]:
    """``meta`` tells which item it is: the members of a row that say what happened stand outside of it."""
    assert outcome.failure is not None
    about = row_object(outcome, 0, characters)
    del about["status"], about["error"]
    return error_object(outcome.failure, outcome.status, about, issues=issues, characters=characters)
