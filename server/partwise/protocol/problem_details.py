"""A failure in JSON: problem details (RFC 9457), and the error objects of JSON:API 1.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partwise.errors import BATCH_NS, DAV_NS, Failure, Issue, reason
from partwise.protocol.json_bodies import dump_json
from partwise.protocol.multistatus import MAX_ISSUES, shortened

__all__ = [
    "BLANK",
    "JSON_API",
    "PROBLEM",
    "code_of",
    "error_object",
    "errors_document",
    "particulars",
    "problem_document",
    "type_of",
]

PROBLEM = "application/problem+json"
JSON_API = "application/vnd.api+json"

#: RFC 9457 §4.2.1: "the problem has no additional semantics beyond that of the HTTP status code."
BLANK = "about:blank"


def type_of(failure: Failure) -> str:
    """The URI of its meaning: the namespace of its element in ``DAV:error`` with the local name."""
    if failure.element is None:
        return BLANK
    prefix, _, local = failure.element.partition(":")
    return f"{DAV_NS}{local}" if prefix == "D" else f"{BATCH_NS}:{local}"


def code_of(failure: Failure) -> str | None:
    """The local name of its element in ``DAV:error``."""
    return None if failure.element is None else failure.element.partition(":")[2]


def particulars(failure: Failure, issues: int = MAX_ISSUES, characters: int = 300) -> dict[str, Any]:
    """What a failure tells beside its meaning and its sentence; absent where it tells nothing.

    ``issues`` (at most so many, ``more`` counts the others), ``limit``, ``accepted``, ``href``.
    """
    found: dict[str, Any] = {}
    if failure.issues and issues:
        found["issues"] = [_issue(issue, characters) for issue in failure.issues[:issues]]
    if len(failure.issues) > issues:
        found["more"] = len(failure.issues) - issues
    if failure.limit is not None:
        found["limit"] = failure.limit
    if failure.accepted:
        found["accepted"] = list(failure.accepted)
    if failure.href is not None:
        found["href"] = failure.href
    return found


def _issue(issue: Issue, characters: int) -> dict[str, Any]:
    told: dict[str, Any] = {"message": shortened(issue.message, characters)}
    for name, value in (("line", issue.line), ("column", issue.column)):
        if value is not None:
            told[name] = value
    for name, text in (("path", issue.path), ("code", issue.code)):
        if text is not None:
            told[name] = shortened(text, characters)
    return told


def problem_document(failure: Failure) -> str:
    """The body of a single failure as RFC 9457 §3 has it; what else it tells are extension members (§3.2)."""
    status = failure.status
    problem = {"type": type_of(failure), "title": reason(status), "status": int(status), "detail": failure.text}
    return dump_json(problem | particulars(failure)) + "\n"


def error_object(
    failure: Failure,
    status: int,
    about: Mapping[str, Any],
    *,
    issues: int = MAX_ISSUES,
    characters: int = 300,
) -> dict[str, Any]:
    """An error object of JSON:API 1.1; ``about`` what it concerns, for its ``meta``.

    It has no ``source``: that points into a request document in JSON, and there is none.
    """
    error: dict[str, Any] = {"status": str(int(status))}
    code = code_of(failure)
    if code is not None:
        error["code"] = code
    error |= {"title": reason(status), "detail": shortened(failure.text, characters)}
    told = particulars(failure, issues, characters)
    if "href" in told:
        # Of the resource that stands in the way; the item's own is "href".
        told["relatedHref"] = told.pop("href")
    meta = dict(about) | told
    if meta:
        error["meta"] = meta
    return error


def errors_document(failure: Failure) -> str:
    """The body of a single failure in JSON:API 1.1."""
    errors = [error_object(failure, failure.status, {}, characters=len(failure.text))]
    return dump_json({"jsonapi": {"version": "1.1"}, "errors": errors}) + "\n"
