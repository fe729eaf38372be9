"""Writing the DAV: documents: multistatus (RFC 4918 §13, §14) and error (§14.5, §16).

The skeleton is formatted text, ten times as fast as building elements; every value that comes from outside passes
:func:`text`. The schemas in ``xml_schemas/`` say what comes out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from partwise.errors import BATCH_NS, DAV_NS, Failure, Issue, reason

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
MULTISTATUS_OPEN = f'{DECLARATION}<D:multistatus xmlns:D="{DAV_NS}" xmlns:P="{BATCH_NS}">\n'
MULTISTATUS_CLOSE = "</D:multistatus>\n"

#: Issues told in one row; the rest are counted.
MAX_ISSUES = 20

# XML 1.0 §2.2 Char; surrogates stand for bytes that are not UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile('[&<>"\x00-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def text(value: str) -> str:
    """Escaped for element content and for attributes in double quotes; what XML cannot hold becomes U+FFFD."""
    if _SPECIAL.search(value) is None:
        return value
    return _FORBIDDEN.sub("\ufffd", value).translate(_ESCAPES)


def shortened(value: str, limit: int) -> str:
    """At most ``limit`` characters, an ellipsis in place of the rest."""
    return value if len(value) <= limit else value[: limit - 1] + "…"


@lru_cache(64)
def status_line(status: int) -> str:
    """``HTTP/1.1 422 Unprocessable Content`` (§14.28)."""
    return f"HTTP/1.1 {int(status)} {reason(status)}"


def condition(failure: Failure, issues: int = MAX_ISSUES) -> str:
    """The element inside ``DAV:error`` for a failure; empty if the RFCs name none. At most so many issues are told."""
    if failure.element is None:
        return ""
    attributes, children = "", ""
    if failure.limit is not None and failure.element == "P:too-large":
        attributes = f' limit="{failure.limit}"'
    if failure.href is not None:
        children += f"<D:href>{text(failure.href)}</D:href>"
    if failure.element == "P:unsupported-type":
        children += "".join(f"<P:accepted>{text(name)}</P:accepted>" for name in failure.accepted)
    children += "".join(map(_issue, failure.issues[:issues]))
    if len(failure.issues) > issues:
        attributes += f' more="{len(failure.issues) - issues}"'
    if not children:
        return f"<{failure.element}{attributes}/>"
    return f"<{failure.element}{attributes}>{children}</{failure.element}>"


def _issue(issue: Issue) -> str:
    attributes = ""
    for name, value in (("line", issue.line), ("column", issue.column), ("path", issue.path), ("code", issue.code)):
        if value is not None:
            attributes += f' {name}="{text(shortened(str(value), 100))}"'
    return f"<P:issue{attributes}>{text(shortened(issue.message, 200))}</P:issue>"


def error_document(failure: Failure) -> str:
    """The body of a single failure: ``DAV:error`` with the condition, and the sentence for a person as a comment-free
    extension element (§17 lets clients ignore it)."""
    return (
        f'{DECLARATION}<D:error xmlns:D="{DAV_NS}" xmlns:P="{BATCH_NS}">'
        f"{condition(failure)}<P:message>{text(failure.text)}</P:message></D:error>\n"
    )


def status_response(
    href: str,
    status: int,
    failure: Failure | None = None,
    *,
    location: str | None = None,
    extension: str = "",
    issues: int = MAX_ISSUES,
) -> str:
    """A ``D:response`` with one status; children in the order of §14.24, extension elements last."""
    error = ""
    if failure is not None:
        inner = condition(failure, issues)
        error = f"<D:error>{inner}</D:error>" if inner else ""
        error += f"<D:responsedescription>{text(shortened(failure.text, 300))}</D:responsedescription>"
    place = f"<D:location><D:href>{text(location)}</D:href></D:location>" if location is not None else ""
    return (
        f"<D:response><D:href>{text(href)}</D:href><D:status>{status_line(status)}</D:status>"
        f"{error}{place}{extension}</D:response>\n"
    )


def propstat_response(href: str, propstats: Sequence[tuple[int, str]]) -> str:
    """A ``D:response`` with properties (§14.22): pairs of status and serialised property elements."""
    inner = "".join(
        f"<D:propstat><D:prop>{properties}</D:prop><D:status>{status_line(status)}</D:status></D:propstat>"
        for status, properties in propstats
    )
    return f"<D:response><D:href>{text(href)}</D:href>{inner}</D:response>\n"
