"""One tree of failures, named by meaning; the only place where a failure meets a status number.

::

    Failure
    ├── Malformed                     400  the bytes cannot be understood
    │   ├── MalformedName             400
    │   ├── NotWellFormed             400
    │   ├── LengthMismatch            400
    │   ├── DigestMismatch            400
    │   └── Damaged                   400  a broken image, document or archive
    ├── Unauthenticated               401
    ├── NotAllowed                    403
    ├── ForbiddenName                 403
    ├── CrossSite                     403
    ├── ExternalEntities              403  a DOCTYPE in a protocol body
    ├── FiniteDepth                   403  Depth: infinity, where the operator forbids it
    ├── ProtectedProperty             403  a property that clients cannot set
    ├── Overlapping                   403  a resource copied or moved onto itself or into its own members
    ├── InvalidResourceType           403  MKCOL of something that is no plain collection
    ├── InvalidSyncToken              403
    ├── UnsupportedReport             403
    ├── UnsupportedTraversal          403  a collection that cannot be synchronised with all its members
    ├── NotFound                      404
    ├── WrongKind                     405  the verb does not fit the kind of resource
    ├── NotAcceptable                 406
    ├── TooSlow                       408  a request that does not come, or a body that dribbles
    ├── ParentMissing                 409
    ├── Duplicate                     409
    ├── ChangedSince                  409  not what a batch of this name stored before
    ├── AlreadyRunning                409  a batch of this name is being uploaded
    ├── NotLockedHere                 409  UNLOCK with a token whose lock does not cover the resource
    ├── PreconditionFailed            412
    │   └── RefreshFailed             412  LOCK refresh with a token whose lock does not cover the resource
    ├── TooLarge                      413
    ├── TargetTooLong                 414
    ├── UnsupportedType               415
    ├── RangeUnsatisfiable            416
    ├── ExpectationFailed             417
    ├── Wrong                         422  readable, of the right type, and wrong
    │   ├── SchemaInvalid             422
    │   └── RuleFailed                422
    ├── Locked                        423  the token of a lock is missing
    ├── LockConflict                  423  another lock stands in the way of the one asked for
    ├── Depends                       424  not done because something else failed
    │   └── RolledBack                424
    ├── TooManyRequests               429
    ├── HeadersTooLarge               431
    ├── NotImplementedHere            501
    ├── OtherServer                   502  a Destination that does not lie here
    ├── TryAgain                      503  a validator or the store failed for reasons of its own
    └── OutOfSpace                    507
        ├── QuotaExceeded             507
        └── Truncated                 507  an answer that is not complete (RFC 6578 §3.6)

Below the handlers nobody says a number: they raise a meaning. An action that gives a failure another
meaning raises that meaning (``Exists`` of MKCOL is ``WrongKind``, of ``If-None-Match`` ``PreconditionFailed``).
Sources: RFC 9110 §15, RFC 4918 §11, RFC 6585, and the table in ``docs/status-codes.md``.

Longer than other modules, and not cut: it is three lists, of meanings, of names and of statuses, and the root of the tree reads
the last; in files of their own the root and its table would have to import each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import ClassVar

__all__ = [
    "BATCH_NS",
    "DAV_NS",
    "AlreadyRunning",
    "ChangedSince",
    "CrossSite",
    "Damaged",
    "Depends",
    "DigestMismatch",
    "Duplicate",
    "ExpectationFailed",
    "ExternalEntities",
    "Failure",
    "FiniteDepth",
    "ForbiddenName",
    "HeadersTooLarge",
    "InvalidResourceType",
    "InvalidSyncToken",
    "Issue",
    "LengthMismatch",
    "LockConflict",
    "Locked",
    "Malformed",
    "MalformedName",
    "NotAcceptable",
    "NotAllowed",
    "NotFound",
    "NotImplementedHere",
    "NotLockedHere",
    "NotWellFormed",
    "OtherServer",
    "OutOfSpace",
    "Overlapping",
    "ParentMissing",
    "PreconditionFailed",
    "ProtectedProperty",
    "QuotaExceeded",
    "RangeUnsatisfiable",
    "RefreshFailed",
    "RolledBack",
    "RuleFailed",
    "SchemaInvalid",
    "Success",
    "TargetTooLong",
    "TooLarge",
    "TooManyRequests",
    "TooSlow",
    "Truncated",
    "TryAgain",
    "Unauthenticated",
    "UnsupportedReport",
    "UnsupportedTraversal",
    "UnsupportedType",
    "Wrong",
    "WrongKind",
    "reason",
]

DAV_NS = "DAV:"
BATCH_NS = "urn:partwise:batch"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong inside a body; ``P:issue`` in a report.

    ``line`` and ``column`` count from 1; ``path`` is an XPath or JSON pointer into the item; ``code`` is the application's own.
    """

    message: str
    line: int | None = None
    column: int | None = None
    path: str | None = None
    code: str | None = None


class Failure(Exception):
    """A request, or one item of a batch, was not done; the meaning is the class.

    ``element`` is the qualified name of the condition in ``DAV:error``: ``D:…`` stands in the DAV: namespace
    (RFC 4918 §16), ``P:…`` in ours. ``None`` means that the RFCs name none and the status says it all.

    ``str(failure)`` is one sentence that a person can act on. It never holds a path of the server's disk.
    """

    element: ClassVar[str | None] = None

    def __init__(
        self,
        text: str,
        *,
        issues: tuple[Issue, ...] = (),
        limit: int | None = None,
        accepted: tuple[str, ...] = (),
        href: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        #: What is wrong, place by place (``P:issue``).
        self.issues = issues
        #: The limit that was passed, in bytes or items (``limit="…"``).
        self.limit = limit
        #: What would have been taken: media types or methods (``P:accepted``; ``Allow``, ``Accept-Post``).
        self.accepted = accepted
        #: The other resource concerned (``D:href``), percent-encoded.
        self.href = href

    @property
    def status(self) -> HTTPStatus:
        # An application's own subclass has the status of the meaning it refines.
        return next(_STATUS[cls] for cls in type(self).__mro__ if cls in _STATUS)


class Malformed(Failure):
    """The bytes cannot be understood: request or part headers, framing, digest syntax."""

    element = "P:malformed"


class MalformedName(Malformed):
    """A name that cannot be decoded, or holds NUL, control characters or an empty segment."""

    element = "P:malformed-name"


class NotWellFormed(Malformed):
    """XML or JSON that is not well-formed."""

    element = "P:not-well-formed"


class LengthMismatch(Malformed):
    """The body is shorter or longer than declared."""

    element = "P:length-mismatch"


class DigestMismatch(Malformed):
    """The bytes do not match the digest that came with them."""

    element = "P:digest-mismatch"


class Damaged(Malformed):
    """A broken image, document or archive."""

    element = "P:damaged"


class Unauthenticated(Failure):
    """No or wrong credentials."""


class NotAllowed(Failure):
    """Known, but not allowed."""

    element = "D:need-privileges"


class ForbiddenName(Failure):
    """A readable name that nobody may use here."""

    element = "P:forbidden-name"


class CrossSite(Failure):
    """A form sent by a page of another site."""

    element = "P:cross-site"


class ExternalEntities(Failure):
    """A protocol body with a document type declaration (RFC 4918 §20.6)."""

    element = "D:no-external-entities"


class FiniteDepth(Failure):
    """``Depth: infinity`` where the operator forbids it (RFC 4918 §9.1.1)."""

    element = "D:propfind-finite-depth"


class ProtectedProperty(Failure):
    """A property that clients cannot set (RFC 4918 §9.2)."""

    element = "D:cannot-modify-protected-property"


class Overlapping(Failure):
    """A resource copied or moved onto itself, into its own members, or over a collection that holds it."""

    element = "P:overlapping"


class InvalidResourceType(Failure):
    """Extended MKCOL asks for something else than a plain collection (RFC 5689 §3)."""

    element = "D:valid-resourcetype"


class InvalidSyncToken(Failure):
    """A sync-token that was not given out here, or is too old (RFC 6578 §3.2)."""

    element = "D:valid-sync-token"


class UnsupportedReport(Failure):
    """A REPORT that is not known for this resource (RFC 3253 §3.6)."""

    element = "D:supported-report"


class UnsupportedTraversal(Failure):
    """A collection whose members an infinite sync-level cannot reach (RFC 6578 §3.3)."""

    element = "D:sync-traversal-supported"


class NotFound(Failure):
    """No such resource."""


class WrongKind(Failure):
    """The verb does not fit the kind of resource; ``accepted`` holds the methods for ``Allow``."""


class NotAcceptable(Failure):
    """No form of report that the client accepts; ``accepted`` holds those there are."""


class TooSlow(Failure):
    """The rest of the request did not come within the time that the server waits for it (RFC 9110 §15.5.9)."""


class ParentMissing(Failure):
    """The parent collection does not exist."""

    element = "P:parent-missing"


class Duplicate(Failure):
    """An earlier item of the same request was stored under this name; ``href`` names it."""

    element = "P:duplicate"


class ChangedSince(Failure):
    """An item that a batch of this name stored before came with other bytes, or its target has changed since."""

    element = "P:changed-since"


class AlreadyRunning(Failure):
    """A batch of this name is being uploaded now; ``href`` is its resource."""

    element = "P:batch-running"


class NotLockedHere(Failure):
    """UNLOCK with a token whose lock does not cover the resource (RFC 4918 §9.11.1)."""

    element = "D:lock-token-matches-request-uri"


class PreconditionFailed(Failure):
    """``If-Match``, ``If-None-Match``, ``If-Unmodified-Since``, ``If`` or ``Overwrite: F``."""


class RefreshFailed(PreconditionFailed):
    """LOCK that refreshes a lock which does not cover the resource (RFC 4918 §9.10.2)."""

    element = "D:lock-token-matches-request-uri"


class Locked(Failure):
    """The token of a lock that covers the resource is missing; ``href`` names the lock's root (RFC 4918 §16)."""

    element = "D:lock-token-submitted"


class LockConflict(Failure):
    """A lock stands in the way of the one asked for; ``href`` names its root (RFC 4918 §16)."""

    element = "D:no-conflicting-lock"


class Depends(Failure):
    """Not done because something that it depends on failed (RFC 4918 §11.4)."""


class RolledBack(Depends):
    """A good item of an atomic batch in which another one failed."""

    element = "P:batch-rolled-back"


class TooManyRequests(Failure):
    """Too many requests at once (RFC 6585 §4)."""


class OtherServer(Failure):
    """A ``Destination`` that does not lie on this server (RFC 4918 §9.8.5)."""


class TooLarge(Failure):
    """A body over a size limit; ``limit`` tells it."""

    element = "P:too-large"


class TargetTooLong(Failure):
    """The request line is too long."""


class UnsupportedType(Failure):
    """A media type or coding that is not taken here, or contents of another type than declared."""

    element = "P:unsupported-type"


class RangeUnsatisfiable(Failure):
    """No byte of the ranges asked for exists; ``limit`` holds the current length."""


class ExpectationFailed(Failure):
    """An ``Expect`` other than 100-continue (RFC 9110 §10.1.1)."""


class Wrong(Failure):
    """Readable and of the right type, but wrong."""

    element = "P:rule-failed"


class SchemaInvalid(Wrong):
    """XML or JSON that its schema refuses; ``issues`` say where."""

    element = "P:schema-invalid"


class RuleFailed(Wrong):
    """A rule of the application refuses it; ``issues`` say why."""


class HeadersTooLarge(Failure):
    """Too many or too long header fields (RFC 6585 §5)."""

    element = "P:too-large"


class NotImplementedHere(Failure):
    """A method that this server does not know."""


class TryAgain(Failure):
    """A validator or the store failed for reasons of its own; nothing was stored."""

    element = "P:try-again"


class OutOfSpace(Failure):
    """The disk is full."""

    element = "D:sufficient-disk-space"


class QuotaExceeded(OutOfSpace):
    """The quota of a collection is used up (RFC 4331 §6)."""

    element = "D:quota-not-exceeded"


class Truncated(OutOfSpace):
    """There is more than the answer holds (RFC 6578 §3.6)."""

    element = "D:number-of-matches-within-limits"


_STATUS: dict[type[Failure], HTTPStatus] = {
    Malformed: HTTPStatus.BAD_REQUEST,
    MalformedName: HTTPStatus.BAD_REQUEST,
    NotWellFormed: HTTPStatus.BAD_REQUEST,
    LengthMismatch: HTTPStatus.BAD_REQUEST,
    DigestMismatch: HTTPStatus.BAD_REQUEST,
    Damaged: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    NotAllowed: HTTPStatus.FORBIDDEN,
    ForbiddenName: HTTPStatus.FORBIDDEN,
    CrossSite: HTTPStatus.FORBIDDEN,
    ExternalEntities: HTTPStatus.FORBIDDEN,
    FiniteDepth: HTTPStatus.FORBIDDEN,
    ProtectedProperty: HTTPStatus.FORBIDDEN,
    Overlapping: HTTPStatus.FORBIDDEN,
    InvalidResourceType: HTTPStatus.FORBIDDEN,
    InvalidSyncToken: HTTPStatus.FORBIDDEN,
    UnsupportedReport: HTTPStatus.FORBIDDEN,
    UnsupportedTraversal: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    WrongKind: HTTPStatus.METHOD_NOT_ALLOWED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    ParentMissing: HTTPStatus.CONFLICT,
    Duplicate: HTTPStatus.CONFLICT,
    ChangedSince: HTTPStatus.CONFLICT,
    AlreadyRunning: HTTPStatus.CONFLICT,
    NotLockedHere: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TargetTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RangeUnsatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    Wrong: HTTPStatus.UNPROCESSABLE_ENTITY,
    SchemaInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    RuleFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    Locked: HTTPStatus.LOCKED,
    LockConflict: HTTPStatus.LOCKED,
    Depends: HTTPStatus.FAILED_DEPENDENCY,
    RolledBack: HTTPStatus.FAILED_DEPENDENCY,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    NotImplementedHere: HTTPStatus.NOT_IMPLEMENTED,
    OtherServer: HTTPStatus.BAD_GATEWAY,
    TryAgain: HTTPStatus.SERVICE_UNAVAILABLE,
    OutOfSpace: HTTPStatus.INSUFFICIENT_STORAGE,
}


class Success(Enum):
    """What a write did; the value is its status."""

    CREATED = HTTPStatus.CREATED
    REPLACED = HTTPStatus.NO_CONTENT
    #: Of an item that was judged only.
    GOOD = HTTPStatus.OK

    @property
    def status(self) -> HTTPStatus:
        return self.value


# RFC 9110 renamed these; the standard library follows only from Python 3.13 on.
_REASONS = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}


def reason(status: int) -> str:
    """The reason phrase of RFC 9110 §15 for a status number."""
    known = HTTPStatus(status)
    return _REASONS.get(known, known.phrase)
