"""The bodies that set and remove properties: of PROPPATCH (RFC 4918 §9.2, §14.19) and of MKCOL (RFC 5689 §3, §5.1).

Names of properties are in Clark notation: ``{DAV:}displayname``, and ``colour`` for a name in no namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from partwise.errors import DAV_NS, TooLarge
from partwise.protocol.xml_bodies import Grammar, child_names, content, parse_body, standalone

__all__ = [
    "MAX_CHANGES",
    "MAX_NAMESPACES",
    "MAX_TOTAL",
    "MAX_VALUE",
    "Change",
    "changes_in",
    "parse_mkcol",
    "parse_property_update",
]

#: Changes in one body. Clients send a handful; each is a row to be written in one transaction.
MAX_CHANGES = 1024
#: Bytes of UTF-8 of one value.
MAX_VALUE = 64 * 1024
#: Bytes of UTF-8 of all values of a body. Each value repeats the declarations in scope, so that a small body could
#: otherwise hold a thousand times its size.
MAX_TOTAL = 4 * 1024 * 1024
#: Namespace declarations in scope of one property, for the same reason.
MAX_NAMESPACES = 256

_PROPERTYUPDATE = f"{{{DAV_NS}}}propertyupdate"
_MKCOL = f"{{{DAV_NS}}}mkcol"
_SET = f"{{{DAV_NS}}}set"
_REMOVE = f"{{{DAV_NS}}}remove"
_PROP = f"{{{DAV_NS}}}prop"
_RESOURCETYPE = f"{{{DAV_NS}}}resourcetype"

_UPDATE_GRAMMAR = Grammar("PROPPATCH", "RFC 4918, section 14.19")
_MKCOL_GRAMMAR = Grammar("MKCOL", "RFC 5689, section 5.1")


@dataclass(frozen=True, slots=True)
class Change:
    """One property to set or to remove.

    ``value`` is ``None`` for a removal, else the property's whole element as text that may stand in any document (see
    :func:`~partwise.protocol.xml_bodies.standalone`). ``text`` holds the characters within it, for the properties
    whose value is text. ``kinds`` are the names of its child elements if it is ``{DAV:}resourcetype``, each once; of
    other properties none.
    """

    name: str
    value: str | None
    text: str = ""
    kinds: tuple[str, ...] = ()


def parse_property_update(body: bytes) -> tuple[Change, ...]:
    """What the body of a PROPPATCH changes, at least one change, in the order in which to do it.

    A property may be changed more than once; the last change stays.

    Raises what :func:`~partwise.protocol.xml_bodies.parse_body` raises, ``NotWellFormed`` for an empty body;
    :class:`~partwise.errors.SchemaInvalid` if the root is not ``DAV:propertyupdate``, if a ``set`` or ``remove`` does
    not hold exactly one ``prop``, or if there is nothing to change; :class:`~partwise.errors.TooLarge` beyond
    :data:`MAX_CHANGES`, :data:`MAX_VALUE`, :data:`MAX_TOTAL` and :data:`MAX_NAMESPACES`.
    """
    root = parse_body(body)
    if root.tag != _PROPERTYUPDATE:
        raise _UPDATE_GRAMMAR.invalid(
            "the root element of a PROPPATCH body must be propertyupdate in the namespace DAV:", root
        )
    changes = changes_in(root, _UPDATE_GRAMMAR)
    if not changes:
        raise _UPDATE_GRAMMAR.invalid("a propertyupdate element must set or remove at least one property", root)
    return changes


def parse_mkcol(body: bytes) -> tuple[Change, ...]:
    """What the body of an extended MKCOL sets, in its order; there may be nothing but an empty ``prop``.

    Raises what :func:`parse_property_update` raises, for ``DAV:mkcol``, which must hold a ``set``, and must not hold
    a ``remove``.
    """
    root = parse_body(body)
    if root.tag != _MKCOL:
        raise _MKCOL_GRAMMAR.invalid("the root element of a MKCOL body must be mkcol in the namespace DAV:", root)
    removal = next(root.iterchildren(_REMOVE), None)
    if removal is not None:
        raise _MKCOL_GRAMMAR.invalid("a mkcol element may set properties and not remove them", removal)
    if next(root.iterchildren(_SET), None) is None:
        raise _MKCOL_GRAMMAR.invalid("a mkcol element must hold a set", root)
    return changes_in(root, _MKCOL_GRAMMAR)


def changes_in(root: etree._Element, grammar: Grammar) -> tuple[Change, ...]:
    """What the children ``DAV:set`` and ``DAV:remove`` of an element change, in document order; there may be none.

    Raises :class:`~partwise.errors.SchemaInvalid` and :class:`~partwise.errors.TooLarge` as
    :func:`parse_property_update`.
    """
    changes: list[Change] = []
    total = 0
    # RFC 4918 §9.2: "Servers MUST process PROPPATCH instructions in document order (an exception to the normal rule
    # that ordering is irrelevant)."
    for removal, element in _properties(root, grammar):
        if len(changes) == MAX_CHANGES:
            raise TooLarge(
                f"The {grammar.body} body changes more than {MAX_CHANGES} properties; send several with fewer each.",
                limit=MAX_CHANGES,
            )
        if removal:
            # RFC 4918 §14.23: an element within remove is a name; it should be empty, and what it holds means nothing.
            changes.append(Change(str(element.tag), None))
            continue
        value, size = _value(element)
        total += size
        if total > MAX_TOTAL:
            raise TooLarge(
                f"The properties of the {grammar.body} body take more than {MAX_TOTAL} bytes with the namespace "
                "declarations that each needs; send several with fewer each.",
                limit=MAX_TOTAL,
            )
        kinds = child_names(element) if element.tag == _RESOURCETYPE else ()
        changes.append(Change(str(element.tag), value, content(element), kinds))
    return tuple(changes)


def _properties(root: etree._Element, grammar: Grammar) -> Iterator[tuple[bool, etree._Element]]:
    """Every property element of the instructions, with whether it is to be removed."""
    for instruction in root.iterchildren(_SET, _REMOVE):
        for element in grammar.required(instruction, _PROP).iterchildren("*"):
            yield instruction.tag == _REMOVE, element


def _value(element: etree._Element) -> tuple[str, int]:
    """The value and its size in bytes."""
    if len(element.nsmap) > MAX_NAMESPACES:
        raise TooLarge(
            f"A property has more than {MAX_NAMESPACES} namespace declarations in scope; declare those it needs.",
            limit=MAX_NAMESPACES,
        )
    value = standalone(element)
    size = len(value.encode())
    if size > MAX_VALUE:
        raise TooLarge(
            f"A property is larger than {MAX_VALUE} bytes; keep what is longer in a file.",
            limit=MAX_VALUE,
        )
    return value, size
