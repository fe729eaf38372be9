"""Reading a report as it arrives: ``application/x-ndjson``, or XML from a server that writes no other form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from lxml import etree

from partwise.errors import BATCH_NS, DAV_NS, Issue

__all__ = ["NdjsonReader", "Reader", "Told", "XmlReader", "message", "reader_for"]

_D, _P = f"{{{DAV_NS}}}", f"{{{BATCH_NS}}}"


class Told(NamedTuple):
    """One row of a report. ``number`` counts its items from 1; ``condition`` is the local name in ``DAV:error``."""

    number: int
    status: int
    text: str | None = None
    condition: str | None = None
    issues: tuple[Issue, ...] = ()
    etag: str | None = None
    #: In a dry run: the status that storing it would have had.
    would: int | None = None


class Reader(Protocol):
    """``state`` is that of the summary: complete, aborted, or running if the report was not followed to its end; ``None``
    while there is no summary, and for ever if the report was cut off."""

    state: str | None

    def feed(self, data: bytes) -> list[Told]:
        """The rows that these bytes complete. Raises ValueError for what is no report."""


def reader_for(media_type: str) -> Reader | None:
    """The reader of a report of this media type, without parameters."""
    if media_type == "application/x-ndjson":
        return NdjsonReader()
    return XmlReader() if media_type in ("application/xml", "text/xml") else None


class NdjsonReader:
    """One JSON object a line: rows have an ``index``, the summary a ``state``."""

    def __init__(self) -> None:
        self._rest = b""
        self.state: str | None = None

    def feed(self, data: bytes) -> list[Told]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        rows = []
        for line in lines:
            if not line.strip():
                continue  # keeps the connection alive
            record = json.loads(line)
            if "index" in record:
                rows.append(_row(record))
            elif "summary" in record:
                self.state = record["summary"]["state"]
        return rows


def _row(record: Mapping[str, Any]) -> Told:
    error = record.get("error")
    if error is None:
        return Told(record["index"], record["status"], etag=record.get("etag"), would=record.get("would"))
    issues = tuple(Issue(**{key: issue.get(key) for key in _ISSUE}) for issue in error.get("issues", ()))
    return Told(record["index"], record["status"], error.get("text"), _local(error.get("type")), issues)


_ISSUE = ("message", "line", "column", "path", "code")


def _local(name: str | None) -> str | None:
    """The last part of the URI of a condition."""
    return name.rpartition(":")[2] if name else None


class XmlReader:
    """``DAV:multistatus`` with the extension elements of a batch."""

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(
            ("end",), tag=(f"{_D}response", f"{_P}summary"), resolve_entities=False, no_network=True, huge_tree=False
        )
        self.state: str | None = None

    def feed(self, data: bytes) -> list[Told]:
        rows = []
        try:
            self._parser.feed(data)
            for _, element in self._parser.read_events():
                if element.tag == f"{_P}summary":
                    self.state = element.get("state")
                elif (told := _told(element)) is not None:
                    rows.append(told)
                forget(element)
        except etree.XMLSyntaxError as error:
            raise ValueError(str(error)) from None
        return rows


def _told(response: etree._Element) -> Told | None:
    item = response.find(f"{_P}item")
    status = response.findtext(f"{_D}status", "").split()
    if item is None or len(status) < 2:
        return None
    error = response.find(f"{_D}error/*")
    would = item.get("would")
    return Told(
        int(item.get("index", "0")),
        int(status[1]),
        response.findtext(f"{_D}responsedescription"),
        None if error is None else etree.QName(error).localname,
        () if error is None else tuple(map(_issue, error.iterchildren(f"{_P}issue"))),
        item.get("etag"),
        None if would is None else int(would),
    )


def _issue(element: etree._Element) -> Issue:
    line, column = element.get("line"), element.get("column")
    return Issue(
        element.text or "",
        None if line is None else int(line),
        None if column is None else int(column),
        element.get("path"),
        element.get("code"),
    )


def forget(element: etree._Element) -> None:
    """Free an element that was read, and those before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def message(body: bytes) -> str | None:
    """The sentence for people in the answer to a request that failed: ``DAV:error``, or RFC 9457."""
    if body.lstrip().startswith(b"{"):
        try:
            record = json.loads(body)
        except ValueError:
            return None
        text = record.get("detail") or record.get("title")
        return str(text) if text else None
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        return etree.fromstring(body, parser).findtext(f"{_P}message")
    except etree.XMLSyntaxError:
        return None
