"""The properties of a collection that is made with some (RFC 5689)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from partwise.actions.property_changes import Outcome, check_size, plan
from partwise.errors import BATCH_NS, DAV_NS, Depends, Failure, InvalidResourceType, OutOfSpace, UnsupportedType
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.multistatus import DECLARATION
from partwise.protocol.property_update import Change, parse_mkcol

_RESOURCETYPE = f"{{{DAV_NS}}}resourcetype"
_COLLECTION = f"{{{DAV_NS}}}collection"
_XML_TYPES = ("application/xml", "text/xml")


class MkcolRefused(Exception):
    """A property cannot be set, so nothing was made."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("a property cannot be set")
        self.outcome = outcome

    def document(self) -> str:
        """``D:mkcol-response`` (RFC 5689 §5.2)."""
        return (
            f'{DECLARATION}<D:mkcol-response xmlns:D="{DAV_NS}" xmlns:P="{BATCH_NS}">'
            f"{self.outcome.propstats()}</D:mkcol-response>\n"
        )


def unfit(content_type: str | None) -> UnsupportedType | None:
    """What speaks against a body of this type, if anything. Raises Malformed."""
    if content_type is not None and parse_media_type(content_type).essence in _XML_TYPES:
        return None
    # RFC 4918 §9.3: "If the server receives a MKCOL request entity type it does not support or understand, it MUST
    # respond with a 415".
    return UnsupportedType("The body of MKCOL must be XML (RFC 5689), or there must be none.", accepted=_XML_TYPES)


def asked(body: bytes, most: int) -> tuple[Mapping[str, str] | None, MkcolRefused | None]:
    """The properties that a body asks for, or what speaks against them: it counts only where a collection can be made.

    ``most``: bytes that the properties may have together. Raises what ``parse_mkcol`` raises.
    """
    try:
        return initial_properties(parse_mkcol(body), most), None
    except MkcolRefused as refused:
        return None, refused


def initial_properties(changes: Sequence[Change], most: int) -> Mapping[str, str]:
    """What is to be stored. ``most``: bytes that the properties may have together. Raises MkcolRefused."""
    wrong = next((change for change in changes if _is_wrong_type(change)), None)
    others = [change for change in changes if change.name != _RESOURCETYPE]
    outcome, stored, _ = plan(others)
    if wrong is not None:
        refusal: Failure = InvalidResourceType("Only plain collections can be made: resourcetype must hold collection.")
        depends = Depends("Not set, because the collection was not made.")
        failures = {name: failure or depends for name, failure in outcome.failures.items()}
        raise MkcolRefused(Outcome({_RESOURCETYPE: refusal, **failures}))
    if not outcome.done:
        raise MkcolRefused(outcome)
    kept = {name: value for name, value in stored.items() if value is not None}
    try:
        check_size(kept, most)
    except OutOfSpace as full:
        raise MkcolRefused(Outcome(dict.fromkeys(outcome.failures, full))) from None
    return kept


def _is_wrong_type(change: Change) -> bool:
    return change.name == _RESOURCETYPE and change.kinds != (_COLLECTION,)
