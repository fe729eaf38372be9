"""How a failure becomes a response, and the headers that every answer shares."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.members import MemberFailures
from partwise.actions.methods import COLLECTION, CONTAINERS, PATCHES
from partwise.auth.credentials import CHALLENGE
from partwise.batch.forms import Form
from partwise.errors import (
    Failure,
    RangeUnsatisfiable,
    TooManyRequests,
    TryAgain,
    Unauthenticated,
    UnsupportedType,
    WrongKind,
    reason,
)
from partwise.protocol.media_types import choose, parse_accept
from partwise.protocol.multistatus import error_document
from partwise.protocol.problem_details import JSON_API, PROBLEM, errors_document, problem_document
from partwise.protocol.ranges import content_range
from partwise.web import pages

#: What every response says in ``Server``.
SERVER = "partwise"
XML = "application/xml; charset=utf-8"
HTML = "text/html; charset=utf-8"

#: For what a client would like to have → what a failure is told in.
_FAILURES = {
    "application/xml": XML,
    "text/xml": XML,
    "text/html": HTML,
    "application/json": PROBLEM,
    PROBLEM: PROBLEM,
    "application/x-ndjson": PROBLEM,
    "application/jsonl": PROBLEM,
    JSON_API: JSON_API,
    "text/event-stream": PROBLEM,
}

_DOCUMENTS = {XML: error_document, PROBLEM: problem_document, JSON_API: errors_document}

#: Seconds after which a client may try again (``Retry-After``).
RETRY_AFTER = 5

PAGE_HEADERS = {
    hdrs.CONTENT_TYPE: HTML,
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": pages.CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def form_headers(form: Form) -> dict[str, str]:
    """The headers of a report in this form."""
    if form.media_type == "text/html":
        return dict(PAGE_HEADERS)
    return {hdrs.CONTENT_TYPE: form.content_type, hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: hdrs.ACCEPT}


def failure_response(request: web.Request, failure: Failure, home: str) -> web.Response:
    """``DAV:error`` for programs, problem details (RFC 9457) or JSON:API for those that like JSON better, a page for a
    person whose browser asks for HTML. ``home`` is the href of the root."""
    headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: hdrs.ACCEPT, **_headers(failure)}
    if isinstance(failure, UnsupportedType) and request.method == "POST":
        headers["Accept-Post"] = ", ".join(CONTAINERS)
    if isinstance(failure, UnsupportedType) and request.method == "PATCH":
        headers["Accept-Patch"] = ", ".join(PATCHES)
    status = failure.status
    # RFC 9110 §5.3: several lines are one list; §12.5.1: without any, everything is accepted.
    kind = _told_in(", ".join(request.headers.getall(hdrs.ACCEPT, ("*/*",))))
    if kind == HTML:
        body = pages.error_page(status, reason(status), failure.text, home)
        headers |= PAGE_HEADERS
    else:
        body = _DOCUMENTS[kind](failure)
        headers[hdrs.CONTENT_TYPE] = kind
    encoded = body.encode("utf-8", "replace")
    return web.Response(status=status, reason=reason(status), body=encoded, headers=headers)


def _told_in(accept: str) -> str:
    """A failure is told even to those who accept none of its types (RFC 9110 §15.5.7)."""
    chosen = choose(accept, tuple(_FAILURES))
    if chosen is not None:
        return _FAILURES[chosen]
    # application/ld+json and its kin: whoever reads them reads JSON.
    return PROBLEM if any(one.q and one.subtype.endswith("+json") for one in parse_accept(accept)) else XML


def members_response(failures: MemberFailures) -> web.Response:
    """A 207 that names the members because of which nothing was done (RFC 4918 §9.6.1, §9.10.3)."""
    status = HTTPStatus.MULTI_STATUS
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store"}
    body = failures.document().encode("utf-8", "replace")
    return web.Response(status=status, reason=reason(status), body=body, headers=headers)


def _headers(failure: Failure) -> dict[str, str]:
    match failure:
        case WrongKind():
            # RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
            return {hdrs.ALLOW: ", ".join(failure.accepted or COLLECTION)}
        case RangeUnsatisfiable():
            return {hdrs.CONTENT_RANGE: content_range(None, failure.limit or 0)}
        case UnsupportedType():
            # RFC 9110 §12.5.3: with a 415 it tells which codings would have been taken.
            return {"Accept-Encoding": "identity"}
        case Unauthenticated():
            # RFC 9110 §11.6.1: "A server generating a 401 response MUST send a WWW-Authenticate header field".
            return {hdrs.WWW_AUTHENTICATE: CHALLENGE}
        case TryAgain() | TooManyRequests():
            return {hdrs.RETRY_AFTER: str(RETRY_AFTER)}
        case _:
            return {}
