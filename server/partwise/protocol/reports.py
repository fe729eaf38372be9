"""The bodies of REPORT: what is asked for (RFC 3253 §3.6).

Names of properties are in Clark notation: ``{DAV:}getetag``, and ``colour`` for a name in no namespace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from lxml import etree

from partwise.errors import DAV_NS, TooLarge
from partwise.protocol.xml_bodies import Grammar, child_names, content, parse_body

__all__ = [
    "MAX_NESTING",
    "MAX_PROPERTIES",
    "Expand",
    "ExpandProperty",
    "Report",
    "SyncCollection",
    "UnknownReport",
    "parse_report",
]

#: Levels of property elements in an expand-property: every level follows one more href of each resource found.
MAX_NESTING = 8
#: Property elements in an expand-property, on all levels together.
MAX_PROPERTIES = 256


@dataclass(frozen=True, slots=True)
class SyncCollection:
    """What has changed in a collection (RFC 6578 §6.1).

    ``token`` is as the client sent it, empty for the initial synchronization. ``infinite``: changes in the collections
    below too; ``None`` if the body does not say, as clients older than the RFC, which mean the ``Depth`` header.
    ``limit`` is the largest number of responses wanted, ``None`` for all. ``names`` are the properties wanted of each
    changed resource, each once; there may be none.
    """

    token: str
    infinite: bool | None
    limit: int | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expand:
    """A property wanted; and, if its value holds hrefs, what is wanted of the resources that they name."""

    name: str
    nested: tuple[Expand, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpandProperty:
    """Properties, and those of the resources that they refer to (RFC 3253 §3.8); each name once on its level."""

    properties: tuple[Expand, ...]


@dataclass(frozen=True, slots=True)
class UnknownReport:
    """A report that is not known here; ``name`` is that of its element."""

    name: str


Report: TypeAlias = SyncCollection | ExpandProperty | UnknownReport

_SYNC_COLLECTION = f"{{{DAV_NS}}}sync-collection"
_SYNC_TOKEN = f"{{{DAV_NS}}}sync-token"
_SYNC_LEVEL = f"{{{DAV_NS}}}sync-level"
_LIMIT = f"{{{DAV_NS}}}limit"
_NRESULTS = f"{{{DAV_NS}}}nresults"
_PROP = f"{{{DAV_NS}}}prop"
_EXPAND_PROPERTY = f"{{{DAV_NS}}}expand-property"
_PROPERTY = f"{{{DAV_NS}}}property"

_SYNC_GRAMMAR = Grammar("sync-collection", "RFC 6578, section 6.1")
_EXPAND_GRAMMAR = Grammar("expand-property", "RFC 3253, section 3.8")

_LEVELS = {"1": False, "infinite": True}
_COUNT = re.compile("0*+([1-9][0-9]{0,17})")
_XML_SPACE = " \t\r\n"
_XMLNS_NS = "http://www.w3.org/2000/xmlns/"


def parse_report(body: bytes) -> Report:
    """Which report a body asks for.

    Raises what :func:`~partwise.protocol.xml_bodies.parse_body` raises, ``NotWellFormed`` for an empty body;
    :class:`~partwise.errors.SchemaInvalid` for a known report that is not as its RFC wants it; and
    :class:`~partwise.errors.TooLarge` beyond :data:`MAX_NESTING` and :data:`MAX_PROPERTIES`.
    """
    root = parse_body(body)
    if root.tag == _SYNC_COLLECTION:
        return _sync_collection(root)
    if root.tag == _EXPAND_PROPERTY:
        _bound(root)
        return ExpandProperty(_expand([root]))
    return UnknownReport(str(root.tag))


def _sync_collection(root: etree._Element) -> SyncCollection:
    # RFC 6578 §3.4: the first request holds an empty sync-token; one without any is no request of either kind.
    token = content(_SYNC_GRAMMAR.required(root, _SYNC_TOKEN)).strip(_XML_SPACE)
    level = _SYNC_GRAMMAR.child(root, _SYNC_LEVEL)
    limit = _SYNC_GRAMMAR.child(root, _LIMIT)
    names = child_names(_SYNC_GRAMMAR.required(root, _PROP))
    return SyncCollection(
        token,
        None if level is None else _infinite(level),
        None if limit is None else _count(_SYNC_GRAMMAR.required(limit, _NRESULTS)),
        names,
    )


def _infinite(level: etree._Element) -> bool:
    infinite = _LEVELS.get(content(level).strip(_XML_SPACE))
    if infinite is None:
        raise _SYNC_GRAMMAR.invalid("a sync-level must be 1 or infinite", level)
    return infinite


def _count(nresults: etree._Element) -> int:
    number = _COUNT.fullmatch(content(nresults).strip(_XML_SPACE))
    if number is None:
        raise _SYNC_GRAMMAR.invalid("nresults must be a positive integer of at most 18 digits", nresults)
    return int(number[1])


def _bound(root: etree._Element) -> None:
    count = depth = 0
    # Only property elements within property elements count, as only they are read.
    level = [root]
    while level := [child for parent in level for child in parent.iterchildren(_PROPERTY)]:
        count, depth = count + len(level), depth + 1
        if depth > MAX_NESTING:
            raise TooLarge(
                f"The expand-property body nests properties deeper than {MAX_NESTING} levels; ask for fewer.",
                limit=MAX_NESTING,
            )
        if count > MAX_PROPERTIES:
            raise TooLarge(
                f"The expand-property body names more than {MAX_PROPERTIES} properties; ask for fewer.",
                limit=MAX_PROPERTIES,
            )


def _expand(parents: list[etree._Element]) -> tuple[Expand, ...]:
    # A property that is named twice is one, wanted with what is nested in either.
    named: dict[str, list[etree._Element]] = {}
    for parent in parents:
        for child in parent.iterchildren(_PROPERTY):
            named.setdefault(_name(child), []).append(child)
    return tuple(Expand(name, _expand(children)) for name, children in named.items())


def _name(element: etree._Element) -> str:
    """The name that the attributes of a property element tell (RFC 3253 §3.8)."""
    local = (element.get("name") or "").strip(_XML_SPACE)
    namespace = element.get("namespace", DAV_NS)
    name = f"{{{namespace}}}{local}" if namespace else local
    try:
        etree.Element(name)
    except ValueError:
        legal = False
    else:
        legal = namespace != _XMLNS_NS
    # The answer holds an element of this name, which these are attributes of no document yet.
    if not legal:
        raise _EXPAND_GRAMMAR.invalid(
            "the attributes name and namespace of a property element must tell the name of an XML element", element
        )
    return name
