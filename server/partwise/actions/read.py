"""GET and HEAD of a file: conditions, then what is to be sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from partwise.actions.gate import etag_of
from partwise.errors import PreconditionFailed
from partwise.protocol.conditions import Conditions, Verdict
from partwise.protocol.ranges import ByteRange, parse_range
from partwise.storage.base import OpenFile, Path, Properties, Resource, Store

#: A body up to this size is read together with opening the file; a larger one is sent by the kernel.
SMALL = 64 * 1024


@dataclass(frozen=True, slots=True)
class Representation:
    """What a GET answers. ``file`` is open, the receiver closes it; ``ranges`` is ``None`` for the whole.

    ``content`` holds the whole of a small file.
    """

    resource: Resource
    file: OpenFile | None
    ranges: tuple[ByteRange, ...] | None = None
    content: bytes | None = None
    modified: bool = True
    stored: Properties = field(default_factory=dict)


def judge(resource: Resource, conditions: Conditions) -> bool:
    """False: the client has it already (304). Raises PreconditionFailed."""
    if conditions.is_unconditional:
        return True
    verdict = conditions.evaluate(True, True, etag_of(resource), resource.modified_ns / 1e9)
    if verdict is Verdict.FAILED:
        raise PreconditionFailed("The resource is not in the state that the request's conditions ask for.")
    return verdict is Verdict.PASS


def represent(
    store: Store, resource: Resource, conditions: Conditions, range_field: str | None, max_ranges: int
) -> Representation:
    """``range_field`` is the Range header of a GET (``None`` for HEAD: RFC 9110 §14.2 defines it for GET only).

    Raises NotFound, PreconditionFailed, RangeUnsatisfiable.
    """
    file = store.open(resource.path)
    try:
        resource = file.resource
        if not judge(resource, conditions):
            file.close()
            return Representation(resource, None, modified=False)
        ranges = _ranges(resource, conditions, range_field, max_ranges)
        if ranges is None and resource.size <= SMALL:
            # The last that may fail comes before the file is closed: nothing is closed twice.
            content, stored = file.read(0, resource.size), _stored(store, resource)
            file.close()
            return Representation(resource, None, content=content, stored=stored)
        return Representation(resource, file, ranges, stored=_stored(store, resource))
    except BaseException:
        file.close()
        raise


def at_hand(store: Store, path: Path, conditions: Conditions) -> Representation | None:
    """As :func:`represent`, of a whole small file for which nothing has to be waited; ``None`` if that cannot be known.

    Raises PreconditionFailed.
    """
    found = store.at_hand(path, SMALL)
    if found is None:
        return None
    if not judge(found.resource, conditions):
        return Representation(found.resource, None, modified=False)
    return Representation(found.resource, None, content=found.content, stored=found.stored)


def _stored(store: Store, resource: Resource) -> Properties:
    return store.properties([resource.path]).get(resource.path, {})


def _ranges(
    resource: Resource, conditions: Conditions, field: str | None, max_ranges: int
) -> tuple[ByteRange, ...] | None:
    if field is None:
        return None
    # RFC 9110 §13.1.5: if the validator does not match, the Range header field is ignored.
    if conditions.if_range is not None and not conditions.if_range_holds(etag_of(resource), resource.modified_ns / 1e9):
        return None
    return parse_range(field, resource.size, max_ranges)
