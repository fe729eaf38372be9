"""What one ``resource`` of Apple's bulk change request asks for (``calendarserver-bulk-change`` §4, August 2011).

Three shapes: ``set`` alone creates, ``href`` with ``set`` or ``remove`` updates, ``href`` with ``delete`` deletes. Contents
stand in ``DAV:set/DAV:prop`` as ``CALDAV:calendar-data`` (RFC 4791 §9.6) or ``CARDDAV:address-data`` (RFC 6352 §10.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from partwise.errors import DAV_NS, Failure, UnsupportedType
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.property_update import Change, changes_in
from partwise.protocol.xml_bodies import Grammar, content

__all__ = ["CALENDARSERVER_NS", "NAMESPACES", "Resource", "read_resource"]

#: The description has the first; the second, of its own ``uid``, is what others call the request by.
NAMESPACES = ("http://me.com/_namespace/", CALENDARSERVER_NS := "http://calendarserver.org/ns/")

_HREF = f"{{{DAV_NS}}}href"
_GETETAG = f"{{{DAV_NS}}}getetag"
_SET = f"{{{DAV_NS}}}set"
_REMOVE = f"{{{DAV_NS}}}remove"
_PROP = f"{{{DAV_NS}}}prop"
_GRAMMAR = Grammar("multiput", "calendarserver-bulk-change, section 7")


class _Kind(NamedTuple):
    media_type: str
    suffix: str


_DATA = {
    "{urn:ietf:params:xml:ns:caldav}calendar-data": _Kind("text/calendar", ".ics"),
    "{urn:ietf:params:xml:ns:carddav}address-data": _Kind("text/vcard", ".vcf"),
}

_FOLD = re.compile(r"\r\n[ \t]")
# RFC 6350 §3.3: a group may stand before the name of a property.
_UID = re.compile(r"^(?:[A-Za-z0-9-]+\.)?UID(?:;[^:\r\n]*)?:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LINE_END = re.compile(r"\r?\n")


@dataclass(frozen=True, slots=True)
class Resource:
    """One change. ``method`` is PUT, PROPPATCH or DELETE; ``href`` is as it was sent, ``None`` where a name is to be made.

    ``body`` holds the contents of a PUT or the ``DAV:propertyupdate`` of a PROPPATCH; ``changes`` are the properties that
    change together with the contents of a PUT. ``if_match`` has the syntax of the header. ``uid`` is that of the
    contents. With a ``failure`` the rest means nothing but ``href`` and ``uid``.
    """

    method: str = "PUT"
    href: str | None = None
    if_match: str | None = None
    body: bytes = b""
    media_type: str | None = None
    suffix: str = ""
    changes: tuple[Change, ...] = ()
    uid: str | None = None
    failure: Failure | None = None


def read_resource(element: etree._Element) -> Resource:
    """Never raises: what is wrong with one resource is its own ``failure``."""
    href = next((content(child).strip() for child in element.iterchildren(_HREF)), None)
    try:
        _GRAMMAR.child(element, _HREF)
        if href == "":
            raise _GRAMMAR.invalid("an href must name a resource, or be left out to create one", element)
        return _read(element, href)
    except Failure as failure:
        # A traceback would keep the whole element alive for as long as somebody keeps the failure.
        return Resource(href=href, failure=failure.with_traceback(None))


def _read(element: etree._Element, href: str | None) -> Resource:
    namespace = etree.QName(element).namespace
    if_match = _if_match(element, f"{{{namespace}}}if-match")
    delete = _GRAMMAR.child(element, f"{{{namespace}}}delete")
    instructions = list(element.iterchildren(_SET, _REMOVE))
    if delete is not None:
        if href is None:
            raise _GRAMMAR.invalid("a resource to be deleted must hold an href", element)
        if instructions:
            raise _GRAMMAR.invalid("a delete element may not stand beside set or remove", element)
        return Resource("DELETE", href, if_match)
    data = [each for prop in element.iterfind(f"{_SET}/{_PROP}") for each in prop.iterchildren(*_DATA)]
    if len(data) > 1:
        raise _GRAMMAR.invalid("a resource may hold only one calendar-data or address-data", element)
    if data:
        return _contents(element, data[0], href, if_match)
    changes = changes_in(element, _GRAMMAR)
    if href is None or not changes:
        raise _GRAMMAR.invalid(
            "a resource must hold a set with calendar-data or address-data, or an href with delete or properties",
            element,
        )
    return Resource("PROPPATCH", href, if_match, _property_update(instructions), "application/xml", changes=changes)


def _if_match(element: etree._Element, tag: str) -> str | None:
    condition = _GRAMMAR.child(element, tag)
    return None if condition is None else content(_GRAMMAR.required(condition, _GETETAG)).strip()


def _contents(element: etree._Element, data: etree._Element, href: str | None, if_match: str | None) -> Resource:
    kind = _DATA[str(data.tag)]
    written = _text(data)
    found = _UID.search(_FOLD.sub("", written))
    uid = found[1].strip() or None if found else None
    try:
        declared = data.get("content-type")
        # RFC 4791 §9.6: the attribute content-type defaults to "text/calendar"; RFC 6352 §10.4: "text/vcard".
        if declared is not None and parse_media_type(declared).essence != kind.media_type:
            raise UnsupportedType(f"The contents must be {kind.media_type} here.", accepted=(kind.media_type,))
        if not written:
            raise _GRAMMAR.invalid(f"the {etree.QName(data).localname} element is empty", data)
        parent = data.getparent()
        assert parent is not None
        parent.remove(data)
        changes = changes_in(element, _GRAMMAR)
    except Failure as failure:
        return Resource(href=href, uid=uid, failure=failure.with_traceback(None))
    media_type = f"{kind.media_type}; charset=utf-8"
    return Resource("PUT", href, if_match, written.encode(), media_type, kind.suffix, changes, uid)


def _text(data: etree._Element) -> str:
    """XML 1.0 §2.11 makes every line end a lone LF, where RFC 5545 §3.1 and RFC 6350 §3.2 want CRLF: here they have it
    again. The white space around belongs to the XML document."""
    written = content(data).strip(" \t\r\n")
    return _LINE_END.sub("\r\n", written) + "\r\n" if written else ""


def _property_update(instructions: list[etree._Element]) -> bytes:
    """The ``DAV:propertyupdate`` (RFC 4918 §14.19) of the same instructions, with all declarations that they need."""
    root = etree.Element(f"{{{DAV_NS}}}propertyupdate", nsmap=instructions[0].nsmap)
    root.extend(instructions)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)
