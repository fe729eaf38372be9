"""The checker that every test passes its XML through: a document is what its schema and RFC 4918 say.

:func:`check_xml` takes the bytes of a whole document as they were sent.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

from lxml import etree

__all__ = ["DOCUMENTS", "SCHEMAS", "check_xml"]

SCHEMAS = Path(__file__).parents[1] / "xml_schemas"

_DAV = "{DAV:}"
_BATCH = "{urn:partwise:batch}"
_SHOWN = 600

#: Root element → the schema that an integrator would take for it.
DOCUMENTS = {
    f"{_DAV}multistatus": "multistatus.xsd",
    f"{_DAV}error": "error.xsd",
    f"{_DAV}prop": "prop.xsd",
    f"{_DAV}mkcol-response": "mkcol-response.xsd",
    f"{_DAV}propfind": "propfind.xsd",
    f"{_DAV}propertyupdate": "propertyupdate.xsd",
    f"{_DAV}mkcol": "mkcol.xsd",
    f"{_DAV}lockinfo": "lockinfo.xsd",
    f"{_DAV}sync-collection": "sync-collection.xsd",
    f"{_DAV}expand-property": "expand-property.xsd",
    "{http://me.com/_namespace/}multiput": "multiput.xsd",
    f"{_BATCH}limits": "limits.xsd",
}

# What the server writes; in the others elements of any namespace may stand anywhere.
_ANSWERS = (f"{_DAV}multistatus", f"{_DAV}error", f"{_DAV}prop", f"{_DAV}mkcol-response")

# What clients gave, and the server gives back: the values of dead properties, and who owns a lock.
_CLIENTS_OWN = {f"{_DAV}prop", f"{_DAV}owner"}

# The schemas admit any foreign element where one may stand (§17); ours stand in one place each.
_PLACES = {
    f"{_BATCH}item": f"{_DAV}response",
    f"{_BATCH}summary": f"{_DAV}multistatus",
    f"{_BATCH}message": f"{_DAV}error",
}


def check_xml(body: bytes) -> etree._Element:
    """The root element of a valid document.

    Raises AssertionError, with the reason and the document's beginning, if the document is not well-formed or has a
    document type declaration; if its root is none of the documents of ``xml_schemas/``; if its schema refuses it; or
    if it breaks a rule that a schema cannot say: an href is in one response only (RFC 4918 §14.24), elements of the
    batch namespace are known and in their place, indexes of items ascend, and run from 1 without gaps if the summary
    counts as many items as there are rows.
    """
    try:
        root = _parse(body)
        tag = str(root.tag)
        assert tag in DOCUMENTS, f"no schema for a document with the root {tag}"
        schema = _schema(DOCUMENTS[tag])
        assert schema.validate(root), "\n".join(f"line {entry.line}: {entry.message}" for entry in schema.error_log)
        if tag in _ANSWERS:
            _check_batch_elements(root)
        if tag == f"{_DAV}multistatus":
            _check_hrefs(root)
            _check_indexes(root)
    except AssertionError as error:
        raise AssertionError(f"{error}\nin the document {body[:_SHOWN]!r}{'…' * (len(body) > _SHOWN)}") from None
    return root


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(file=str(SCHEMAS / name))


def _parse(body: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root: etree._Element = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise AssertionError(f"not well-formed: {error}") from None
    assert not root.getroottree().docinfo.doctype, "a document type declaration"
    return root


def _check_batch_elements(root: etree._Element) -> None:
    conditions = _conditions()
    for element in root.iter(f"{_BATCH}*"):
        tag = str(element.tag)
        ancestors = [str(ancestor.tag) for ancestor in element.iterancestors()]
        if not _CLIENTS_OWN.isdisjoint(ancestors):
            continue
        parent = ancestors[0] if ancestors else None
        if tag in _PLACES:
            assert parent == _PLACES[tag], f"{tag} stands in {parent} instead of {_PLACES[tag]}"
        elif tag in conditions:
            assert parent == f"{_DAV}error", f"the condition {tag} stands in {parent} instead of DAV:error"
        else:
            # P:issue and P:accepted: any condition may have them, those of DAV: too.
            assert tag in (f"{_BATCH}issue", f"{_BATCH}accepted"), f"{tag} is not in batch.xsd"
            assert ancestors[1:2] == [f"{_DAV}error"], f"{tag} stands in {parent}, which is no condition in DAV:error"


@cache
def _conditions() -> frozenset[str]:
    """Elements of batch.xsd that are conditions: those whose type is, or extends, P:condition."""
    xs = "{http://www.w3.org/2001/XMLSchema}"
    root = etree.parse(str(SCHEMAS / "batch.xsd")).getroot()
    return frozenset(
        f"{_BATCH}{element.get('name')}"
        for element in root.iterchildren(f"{xs}element")
        if element.get("type") == "P:condition"
        or any(extension.get("base") == "P:condition" for extension in element.iter(f"{xs}extension"))
    )


def _check_hrefs(root: etree._Element) -> None:
    seen: set[str] = set()
    for href in root.iterfind(f"{_DAV}response/{_DAV}href"):
        text = (href.text or "").strip()
        assert text not in seen, f"two responses for the href {text}"
        seen.add(text)


def _check_indexes(root: etree._Element) -> None:
    for response in root.iterfind(f"{_DAV}response"):
        assert len(response.findall(f"{_BATCH}item")) <= 1, "two items in one response"
    indexes = [int(item.get("index") or 0) for item in root.iterfind(f"{_DAV}response/{_BATCH}item")]
    assert all(one < next_one for one, next_one in pairwise(indexes)), f"indexes do not ascend: {indexes[:50]}"
    summaries = root.findall(f"{_BATCH}summary")
    assert len(summaries) <= 1, "two summaries"
    for summary in summaries:
        items = int(summary.get("items") or 0)
        assert len(indexes) <= items, f"{len(indexes)} rows, and a summary of {items} items"
        # A report with fewer rows than items was asked to leave some out (return=minimal, from=).
        if len(indexes) == items:
            assert indexes == list(range(1, items + 1)), f"indexes have gaps: {indexes[:50]}"
