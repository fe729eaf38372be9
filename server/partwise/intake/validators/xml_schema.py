"""An XML document against a schema of the operator, by libxml2; whatever reaches it is known to be well-formed.

One reader belongs to the thread that feeds it (lxml parsers may not wander between threads). libxml2 remembers the names
of a document for as long as the thread lives, so only items with a schema come here, and :class:`Form` bounds the names.
"""

from __future__ import annotations

import re
from typing import TypedDict

from lxml import etree

from partwise.errors import Failure, Issue, NotWellFormed, SchemaInvalid
from partwise.intake.validators.xml_form import MAX_MESSAGE, MAX_TOKEN, Form, too_deep, too_long

MAX_ISSUES = 20
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


# Comments and processing instructions are of no use here. The option collect_ids must stay as it is: switched off it
# makes libxml2 open the external subset that a DOCTYPE names, whatever load_dtd says.
_HARDENED = _Options(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    huge_tree=False,
    load_dtd=False,
    remove_comments=True,
    remove_pis=True,
)


class SchemaReader:
    """Against a schema, with a tree of which only the open elements are kept.

    libxml2 takes documents that are cut off without a word under a schema, so the form is judged first.
    """

    def __init__(self, schema: etree.XMLSchema, form: Form, head: bytes) -> None:
        """``form`` has read ``head``, which holds the start tag of the root element."""
        self._form = form
        self._parser = etree.XMLPullParser(events=("end",), schema=schema, **_HARDENED)
        self._root: etree._Element | None = None
        # Where to look for the root while no element has ended.
        self._head = head
        self._still = 0
        self._lines = 1
        self._validate(head)

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.SchemaInvalid`, or as :class:`Form` does."""
        for at in range(0, len(data), _SLICE):
            self._validate(self._form.feed(data[at : at + _SLICE]))

    def finish(self) -> None:
        """Raises as :meth:`feed`."""
        self._validate(self._form.finish())
        # A schema error is also raised by close(), as a syntax error: the log tells them apart.
        try:
            self._parser.close()
        except etree.XMLSyntaxError as error:
            self._check()
            # Repeated ids and namespaces that are no URIs are told here too: no matter of form, and of no schema.
            if any(entry.level >= etree.ErrorLevels.FATAL for entry in self._parser.feed_error_log):
                raise _not_well_formed(error) from None
        self._check()

    def _validate(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            piece = data[at : at + _SLICE]
            try:
                self._parser.feed(piece)
            except etree.XMLSyntaxError as error:
                self._check()
                raise _not_well_formed(error) from None
            if self._parser.feed_error_log:
                self._check()
            self._still = 0 if self._drop_finished() else self._still + len(piece)
            if self._still > MAX_TOKEN:
                raise too_long()
            self._lines += piece.count(b"\n")

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
                self._root, self._head = element.getroottree().getroot(), b""
            while parent[0] is not element:
                del parent[0]
        return moved

    def _check(self) -> None:
        entries = [entry for entry in self._parser.feed_error_log if entry.domain_name == "SCHEMASV"]
        if not entries:
            return
        if self._root is None:
            ended = next(iter(self._parser.read_events()), None)
            self._root = ended[1].getroottree().getroot() if ended is not None else _root(self._head)
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


def no_such_root(head: bytes, name: str) -> SchemaInvalid:
    """What to raise for a root element of a schema's namespace that the schema does not declare."""
    message = f"the schema declares no root element {name}"[:MAX_MESSAGE]
    root = _root(head)
    issue = Issue(message, line=None if root is None else _line(root), path=f"/{name}"[:MAX_MESSAGE])
    return SchemaInvalid(f"The XML item does not follow its schema: {issue.message}.", issues=(issue,))


def _root(head: bytes) -> etree._Element | None:
    scout = etree.XMLPullParser(events=("start",), **_HARDENED)
    try:
        scout.feed(head)
        # A parser holds the first few bytes back.
        if len(head) < _SLICE:
            scout.close()
    except etree.XMLSyntaxError:
        pass
    return next((element for _, element in scout.read_events()), None)


def _split(element: etree._Element) -> tuple[str | None, str]:
    # Not etree.QName: it refuses the colon of a prefix that nobody declared.
    namespace, found, name = str(element.tag).removeprefix("{").rpartition("}")
    return (namespace if found else None), name


def _line(element: etree._Element) -> int | None:
    # libxml2 keeps 16 bits of an element's line.
    line = element.sourceline
    return line if line is not None and line < _BIG_LINE else None


def _not_well_formed(error: etree.XMLSyntaxError) -> Failure:
    message = re.sub(r"(?:, line \d+, column \d+)?(?: \(<string>, line \d+\))?$", "", (error.msg or "").strip())
    message = message.partition("\n")[0].strip()[:MAX_MESSAGE] or "the document is not complete"
    if "depth" in message:
        return too_deep()
    if _LIMIT_WORDS.search(message):
        return too_long()
    line, column = error.position
    issue = Issue(message, line=line or None, column=column or None)
    where = f" at line {line}" if line else ""
    return NotWellFormed(f"The XML item is not well-formed{where}: {message}.", issues=(issue,))
