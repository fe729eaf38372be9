"""The hrefs in the value of a property, to be replaced by what they refer to (RFC 3253 §3.8)."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from partwise.errors import DAV_NS

_HREF = f"{{{DAV_NS}}}href"
_PLACE = "place"
# Elements of a client's value were parsed within limits before they were stored.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


@dataclass(frozen=True, slots=True)
class Split:
    """An element as text around its hrefs: one piece more than there are ``references``."""

    pieces: tuple[str, ...]
    references: tuple[str, ...]


def split_at_hrefs(element: str) -> Split:
    """Every DAV:href below a serialised element. An href within another is part of that."""
    if "href" not in element:
        return Split((element,), ())
    root = etree.fromstring(element, _PARSER)
    found = [
        href for href in root.iterdescendants(_HREF) if not any(above.tag == _HREF for above in href.iterancestors())
    ]
    # A processing instruction of a name that the value does not hold stands where each href was.
    mark = _PLACE
    while mark in element:
        mark += "-"
    for href in found:
        stand_in = etree.ProcessingInstruction(mark)
        stand_in.tail = href.tail
        parent = href.getparent()
        assert parent is not None
        parent.replace(href, stand_in)
    whole = etree.tostring(root, encoding="unicode")
    place = etree.tostring(etree.ProcessingInstruction(mark), encoding="unicode")
    references = tuple("".join(map(str, href.itertext())).strip(" \t\r\n") for href in found)
    return Split(tuple(whole.split(place)) if found else (element,), references)
