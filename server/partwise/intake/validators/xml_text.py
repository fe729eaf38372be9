"""XML items: well-formed, and valid where the operator has a schema for the root element.

Nothing is loaded or expanded: no DTD, no entity, no ``xsi:schemaLocation``. Memory is constant; refused at the first
error. One validator's parsers belong to the thread that feeds it (lxml parsers may not wander between threads).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol, TypedDict, cast

from lxml import etree

from partwise.errors import Failure, Issue, NotWellFormed, SchemaInvalid, TooLarge
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.schemas import Schemas
from partwise.intake.validators.xml_encoding import ToUtf8
from partwise.intake.validators.xml_prolog import Prolog, entities_refused

#: The root's start tag must be complete within this many bytes; they are kept until then.
MAX_PROLOG = 64 * 1024
#: libxml2's own limits for items that are not huge: the longest text, comment or attribute, and the nesting.
MAX_TOKEN = 10_000_000
MAX_DEPTH = 256
MAX_ISSUES, MAX_MESSAGE = 20, 300
# Errors of a schema carry no line: small slices say where they are, and are checked one by one.
_SLICE = 1024
_BIG_LINE = 65535
# libxml2 tells its limits by several codes, one of them "comment not finished".
_LIMIT_WORDS = re.compile("huge|too big|too long|limit exceeded", re.IGNORECASE)
_ELEMENT = re.compile(r"Element '((?:\{[^}]*\})?[^']+)'")
_VALUE = re.compile(r"'([^']*)' is not a valid value")


class _Options(TypedDict):
    encoding: str
    resolve_entities: bool
    no_network: bool
    huge_tree: bool
    load_dtd: bool
    remove_comments: bool
    remove_pis: bool
    collect_ids: bool


# Comments, processing instructions and ids are of no use here and would be collected.
_HARDENED = _Options(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    huge_tree=False,
    load_dtd=False,
    remove_comments=True,
    remove_pis=True,
    collect_ids=False,
)


class XmlValidator:
    """One XML document."""

    def __init__(self, schemas: Schemas | None, charset: str | None) -> None:
        self._schemas = schemas
        self._utf8 = ToUtf8(charset)
        self._begun = False
        self._prolog = Prolog()
        self._scout = etree.XMLPullParser(events=("start",), **_HARDENED)
        self._buffer = b""
        self._reader: _PlainReader | _SchemaReader | None = None

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.NotWellFormed`, :class:`~partwise.errors.SchemaInvalid`,
        :class:`~partwise.errors.RuleFailed` (entities), :class:`~partwise.errors.TooLarge` or
        :class:`~partwise.errors.UnsupportedType` (charset)."""
        self._begun = self._begun or bool(data)
        self._read(self._utf8.feed(data))

    def finish(self) -> None:
        """Raises as :meth:`feed`. An empty body passes."""
        if not self._begun:
            return
        self._read(self._utf8.finish())
        if self._reader is None:
            # The parser holds the first few bytes back: a tiny document is read here.
            try:
                root = self._scout.close()
            except etree.XMLSyntaxError as error:
                raise _not_well_formed(error) from None
            self._reader = self._replay(root)
        self._reader.finish()

    def _read(self, data: bytes) -> None:
        at = 0
        while self._reader is None and at < len(data):
            piece = data[at : at + _SLICE]
            self._reader = self._look(piece)
            at += len(piece)
        if self._reader is not None and at < len(data):
            self._reader.feed(data[at:])

    def _look(self, piece: bytes) -> _PlainReader | _SchemaReader | None:
        """The reader, already fed, once the root element is known."""
        self._buffer += piece
        self._prolog.feed(piece)
        try:
            self._scout.feed(piece)
        except etree.XMLSyntaxError as error:
            raise _not_well_formed(error) from None
        root = next((element for _, element in self._scout.read_events()), None)
        if root is None:
            if len(self._buffer) > MAX_PROLOG:
                raise TooLarge("The XML item's root element does not begin within 64 KiB.", limit=MAX_PROLOG)
            return None
        return self._replay(root)

    def _replay(self, root: etree._Element) -> _PlainReader | _SchemaReader:
        # The second lock, should a prolog ever be read differently by the parser.
        subset = root.getroottree().docinfo.internalDTD
        if subset is not None and any(True for _ in subset.iterentities()):
            raise entities_refused()
        reader = self._choose(root)
        buffered, self._buffer = self._buffer, b""
        reader.feed(buffered)
        return reader

    def _choose(self, root: etree._Element) -> _PlainReader | _SchemaReader:
        namespace, name = _split(root)
        if self._schemas is None or not self._schemas.covers(namespace):
            return _PlainReader()
        schema = self._schemas.get(namespace, name)
        if schema is None:
            message = f"the schema declares no root element {name}"
            issue = Issue(message[:MAX_MESSAGE], line=_line(root), path=f"/{name}"[:MAX_MESSAGE])
            raise SchemaInvalid(f"The XML item does not follow its schema: {issue.message}.", issues=(issue,))
        return _SchemaReader(schema, root)


class _Log(Protocol):
    @property
    def feed_error_log(self) -> Iterable[etree._LogEntry]: ...


class _Waiting:
    """Refuses a token that never ends: the parser would hold it all."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, size: int, moved: bool) -> None:
        self._bytes = 0 if moved else self._bytes + size
        if self._bytes > MAX_TOKEN:
            raise TooLarge("One text, comment or attribute of the XML item is over 10 MB; split it.", limit=MAX_TOKEN)


class _Nothing:
    """A parser target that builds nothing and hears nothing: the fastest."""

    def close(self) -> None:
        """There is nothing to give."""


class _Depth(_Nothing):
    """A parser target that counts: without a tree libxml2 bounds no nesting."""

    def __init__(self) -> None:
        self.depth = 0
        self.moved = False

    def start(self, tag: str, attrib: object) -> None:
        self.moved = True
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep()

    def end(self, tag: str) -> None:
        self.moved = True
        self.depth -= 1


class _PlainReader:
    """Well-formedness only; no tree is built."""

    def __init__(self) -> None:
        self._target = _Depth()
        # The stubs want a base class that lxml does not have.
        self._parser = etree.XMLParser(target=cast(Any, self._target), **_HARDENED)
        self._waiting = _Waiting()

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except etree.XMLSyntaxError as error:
            raise _not_well_formed(error) from None
        _check_namespaces(self._parser)
        self._waiting.add(len(data), self._target.moved)
        self._target.moved = False

    def finish(self) -> None:
        try:
            self._parser.close()
        except etree.XMLSyntaxError as error:
            raise _not_well_formed(error) from None
        _check_namespaces(self._parser)


class _SchemaReader:
    """Against a schema, with a tree of which only the open elements are kept.

    A parser with a schema takes documents that are cut off without a word, so another one watches the form.
    """

    def __init__(self, schema: etree.XMLSchema, root: etree._Element) -> None:
        self._form = etree.XMLParser(target=cast(Any, _Nothing()), **_HARDENED)
        self._parser = etree.XMLPullParser(events=("end",), schema=schema, **_HARDENED)
        self._root: etree._Element | None = None
        # The scout's root: where to look while no element has ended.
        self._begin = root
        self._waiting = _Waiting()
        self._lines = 1

    def feed(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            piece = data[at : at + _SLICE]
            try:
                self._form.feed(piece)
                self._parser.feed(piece)
            except etree.XMLSyntaxError as error:
                self._check()
                raise _not_well_formed(error) from None
            if self._parser.feed_error_log:
                _check_namespaces(self._form)
                self._check()
            self._waiting.add(len(piece), self._drop_finished())
            self._lines += piece.count(b"\n")

    def finish(self) -> None:
        # A schema error is also raised by close(), as a syntax error: the log tells them apart.
        try:
            self._form.close()
            self._parser.close()
        except etree.XMLSyntaxError as error:
            self._check()
            raise _not_well_formed(error) from None
        _check_namespaces(self._form)
        self._check()

    def _drop_finished(self) -> bool:
        moved = False
        for _, element in self._parser.read_events():
            moved = True
            # The text after an element may still be growing inside the parser, so an element goes when the next one of
            # its parent has ended: that one's predecessors are complete with the text after them.
            element.clear(keep_tail=True)
            parent = element.getparent()
            if parent is None:
                continue
            if self._root is None:
                self._root = element.getroottree().getroot()
            while parent[0] is not element:
                del parent[0]
        return moved

    def _check(self) -> None:
        entries = [entry for entry in self._parser.feed_error_log if entry.domain_name == "SCHEMASV"]
        if not entries:
            return
        if self._root is None:
            ended = next(iter(self._parser.read_events()), None)
            self._root = ended[1].getroottree().getroot() if ended is not None else self._begin
        issues = tuple(self._issue(entry) for entry in entries[:MAX_ISSUES])
        where = f" at line {issues[0].line}" if issues[0].line else ""
        raise SchemaInvalid(f"The XML item does not follow its schema{where}: {issues[0].message}", issues=issues)

    def _issue(self, entry: etree._LogEntry) -> Issue:
        message = entry.message[:MAX_MESSAGE]
        element = self._find(entry.message)
        if element is None:
            return Issue(message, line=entry.line or self._lines)
        names = [_split(step)[1] for step in (*reversed(list(element.iterancestors())), element)]
        return Issue(message, line=_line(element) or self._lines, path=("/" + "/".join(names))[:MAX_MESSAGE])

    def _find(self, message: str) -> etree._Element | None:
        """The element that a message is about: the newest of its name, or the one with the value it quotes."""
        named = _ELEMENT.match(message)
        if named is None or self._root is None:
            return None
        found = list(self._root.iter(named[1]))
        quoted = _VALUE.search(message)
        if quoted is not None:
            found = [e for e in found if e.text == quoted[1] or quoted[1] in e.attrib.values()][:1] or found
        return found[-1] if found else None


def _split(element: etree._Element) -> tuple[str | None, str]:
    # Not etree.QName: it refuses the colon of a prefix that nobody declared.
    namespace, found, name = str(element.tag).removeprefix("{").rpartition("}")
    return (namespace if found else None), name


def _line(element: etree._Element) -> int | None:
    # libxml2 keeps 16 bits of an element's line.
    line = element.sourceline
    return line if line is not None and line < _BIG_LINE else None


def _check_namespaces(parser: _Log) -> None:
    # Namespaces in XML §7: a prefix that is not declared. libxml2 goes on after it, and lxml then hides worse errors.
    for entry in parser.feed_error_log:
        if entry.level >= etree.ErrorLevels.ERROR and entry.domain == etree.ErrorDomains.NAMESPACE:
            issue = Issue(entry.message[:MAX_MESSAGE], line=entry.line or None, column=entry.column or None)
            raise NotWellFormed(f"The XML item is not well-formed: {issue.message}.", issues=(issue,))


def _too_deep() -> NotWellFormed:
    return NotWellFormed(f"The XML item is nested deeper than {MAX_DEPTH} levels; make it flatter.")


def _not_well_formed(error: etree.XMLSyntaxError) -> Failure:
    message = re.sub(r"(?:, line \d+, column \d+)?(?: \(<string>, line \d+\))?$", "", (error.msg or "").strip())
    message = message.partition("\n")[0].strip()[:MAX_MESSAGE] or "the document is not complete"
    if "depth" in message:
        return _too_deep()
    if _LIMIT_WORDS.search(message):
        return TooLarge("One text, comment or attribute of the XML item is over 10 MB; split it.", limit=MAX_TOKEN)
    line, column = error.position
    issue = Issue(message, line=line or None, column=column or None)
    where = f" at line {line}" if line else ""
    return NotWellFormed(f"The XML item is not well-formed{where}: {message}.", issues=(issue,))


class XmlRules:
    """The factory for ``text/xml``, ``application/xml`` and ``*+xml``; without schemas: well-formedness only."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas

    def __call__(self, candidate: Candidate) -> Validator | None:
        declared = candidate.media_type or ""
        if declared not in ("text/xml", "application/xml") and not declared.endswith("+xml"):
            return None
        return XmlValidator(self._schemas, candidate.charset)
