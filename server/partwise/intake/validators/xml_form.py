"""The form of an XML document, judged by expat as its bytes arrive: well-formed, with namespaces, and within bounds.

Nothing is loaded or expanded: the parser has no handler for external entities, and whoever declares one is refused.
Whatever a document makes the parser remember is bounded and forgotten with it.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from partwise.errors import Issue, NotWellFormed, TooLarge
from partwise.intake.validators.xml_prolog import entities_refused

#: The longest text without an element, comment, or tag in bytes, and the nesting.
MAX_TOKEN = 10_000_000
MAX_DEPTH = 256
#: Distinct names of elements and attributes, prefixes and namespaces: the parsers remember every one of them.
MAX_NAMES = 50_000
#: All these together, in characters, and a single namespace, of which a copy is made for every name in it.
MAX_NAMES_LENGTH = 8_000_000
MAX_NAMESPACE = 2_000
#: Attributes that a document type declaration adds to one kind of element: each costs time with every such element.
MAX_DEFAULTS = 32
MAX_MESSAGE = 300
# From here on a token is read only when there is twice as much of it.
_PATIENCE = 4096
_PIECE = 64 * 1024
# No character of XML, so in no namespace.
_SEPARATOR = "\x01"
# Expat takes a byte order mark for the end of its guessing: it would read UTF-16 in what it was told to be UTF-8.
_MARK = b"\xef\xbb\xbf"
# Where Python has them. The first is done here, for all releases; the others are a second lock: entities are refused.
_OPTIONS = (
    ("SetReparseDeferralEnabled", False),
    ("SetBillionLaughsAttackProtectionMaximumAmplification", 2.0),
    ("SetBillionLaughsAttackProtectionActivationThreshold", _PIECE),
)
_VERSION = re.compile(r"1\.[0-9]+")
_TAG = re.compile(rb"<[^\s!?/>]+(?=[\s/>])")
_ATTRIBUTE = re.compile(rb"""\s*[^\s=/>"'<]+\s*=\s*(?:"[^"]*"|'[^']*')""")
_CODES = expat.errors.codes
_CUT_OFF = "the document is not complete"
_MESSAGES = {
    _CODES[expat.errors.XML_ERROR_NO_ELEMENTS]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_UNCLOSED_TOKEN]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_PARTIAL_CHAR]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION]: _CUT_OFF,
    _CODES[expat.errors.XML_ERROR_INVALID_TOKEN]: "a character that may not stand here",
    _CODES[expat.errors.XML_ERROR_UNBOUND_PREFIX]: "a namespace prefix that is not declared",
}
# Where it helps to know which element is open.
_ABOUT_OPEN = frozenset((_CODES[expat.errors.XML_ERROR_TAG_MISMATCH], _CODES[expat.errors.XML_ERROR_NO_ELEMENTS]))


class Form:
    """One document in UTF-8, without its byte order mark."""

    def __init__(self) -> None:
        self._elements = _Elements()
        self._parser = _parser(self._elements)
        self._parser.Parse(_MARK, False)
        self._fed = len(_MARK)
        # What the parser still holds of a token, and what is kept from it until there is as much again.
        self._pending = 0
        self._held = bytearray()
        self._token = b""
        self._tag: _LongTag | None = None
        # Bytes since an element began or ended.
        self._still = 0
        self._finished = False

    @property
    def root(self) -> tuple[str | None, str] | None:
        """Namespace and local name of the root element, once its start tag has been read."""
        name = self._elements.root
        return None if name is None else _split(name)

    def feed(self, data: bytes) -> bytes:
        """The bytes that have now been read and found good: those of this call, none while a long token arrives, or
        with those of earlier calls.

        Raises :class:`~partwise.errors.NotWellFormed`, :class:`~partwise.errors.TooLarge` or, for an entity
        declaration, :class:`~partwise.errors.RuleFailed`.
        """
        if len(data) > _PIECE:
            return b"".join(self.feed(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
        self._wait(len(data))
        self._held += data
        # Before expat 2.6 a token is read anew with every piece of it: twice as much each time is linear again.
        if self._pending > _PATIENCE and len(self._held) < self._pending:
            return b""
        return self.flush()

    def flush(self) -> bytes:
        """Reads what was kept. Returns and raises as :meth:`feed`."""
        data = bytes(self._held)
        self._held.clear()
        if data:
            self._pass(data)
        return data

    def finish(self) -> bytes:
        """As :meth:`flush`, at the end; a document that is not complete is not well-formed. May be called again."""
        data = self.flush()
        if not self._finished:
            self._finished = True
            self._parse(b"", True)
        return data

    def _pass(self, data: bytes) -> None:
        if self._tag is not None:
            self._tag.feed(data)
        self._elements.begun = False
        depth, begin = len(self._elements.opened), self._fed - self._pending
        self._parse(data, False)
        self._fed += len(data)
        self._pending = self._fed - max(self._parser.CurrentByteIndex, 0)
        if self._elements.begun or depth != len(self._elements.opened):
            self._still = self._pending
        same = begin == self._fed - self._pending
        if self._tag is not None and same:
            return
        self._tag = None
        self._token = (self._token + data if same else data)[-self._pending :] if self._pending else b""
        if self._pending > _PIECE:
            self._tag, self._token = _LongTag(self._token), b""

    def _wait(self, size: int) -> None:
        self._still += size
        if self._still > MAX_TOKEN:
            raise too_long()

    def _parse(self, data: bytes, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise self._not_well_formed(error) from None

    def _not_well_formed(self, error: expat.ExpatError) -> NotWellFormed:
        message = _MESSAGES.get(error.code) or expat.ErrorString(error.code) or _CUT_OFF
        if self._elements.opened and error.code in _ABOUT_OPEN:
            message += f" ({_split(self._elements.opened[-1])[1]} is open)"
        message = message[:MAX_MESSAGE]
        # Expat counts columns from 0, and the mark as one.
        column = error.offset if error.lineno == 1 else error.offset + 1
        issue = Issue(message, line=error.lineno, column=max(column, 1))
        return NotWellFormed(f"The XML item is not well-formed at line {error.lineno}: {message}.", issues=(issue,))


class _Elements:
    """What the parser tells of elements. It knows nothing of the parser: no circle of references keeps both alive."""

    __slots__ = ("_defaults", "_length", "_names", "begun", "opened", "root")

    def __init__(self) -> None:
        self.root: str | None = None
        self.opened: list[str] = []
        self.begun = False
        self._names: set[str] = set()
        self._length = 0
        self._defaults: dict[str, int] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.begun = True
        self.opened.append(name)
        if name not in self._names or (attributes and not attributes.keys() <= self._names):
            self._learn(name, *attributes)
        if len(self.opened) > MAX_DEPTH:
            raise too_deep()

    def end(self, _name: str) -> None:
        self.opened.pop()

    def bind(self, prefix: str | None, namespace: str | None) -> None:
        space = namespace or ""
        if len(space) > MAX_NAMESPACE:
            raise TooLarge(
                f"A namespace of the XML item is longer than {MAX_NAMESPACE} characters; use a shorter one.",
                limit=MAX_NAMESPACE,
            )
        # With the separators no name of an element or attribute is like these.
        self._learn(f"{_SEPARATOR}{prefix or ''}", f"{space}{_SEPARATOR}")

    def declare(self, version: str, _encoding: str | None, _standalone: int) -> None:
        # XML 1.0 §2.8: VersionNum ::= '1.' [0-9]+
        if not _VERSION.fullmatch(version):
            issue = Issue("the version of XML must be 1.0", line=1)
            raise NotWellFormed(f"The XML item is not well-formed at line 1: {issue.message}.", issues=(issue,))

    def attribute(self, element: str, _name: str, _type: str, default: str | None, _required: bool) -> None:
        if default is None:
            return
        self._defaults[element] = self._defaults.get(element, 0) + 1
        if self._defaults[element] > MAX_DEFAULTS:
            raise TooLarge(
                f"The DOCTYPE of the XML item gives one element more than {MAX_DEFAULTS} attributes by default; "
                "write them out.",
                limit=MAX_DEFAULTS,
            )

    def entity(self, *_declaration: object) -> None:
        raise entities_refused()

    def _learn(self, *names: str) -> None:
        if self.root is None and not names[0].startswith(_SEPARATOR):
            self.root = names[0]
        for name in names:
            if name not in self._names:
                self._names.add(name)
                self._length += len(name)
        if len(self._names) > MAX_NAMES:
            raise _too_many_names()
        if self._length > MAX_NAMES_LENGTH:
            raise TooLarge(
                "The different names of elements and attributes of the XML item are over 8 million characters together; "
                "use shorter ones.",
                limit=MAX_NAMES_LENGTH,
            )


class _LongTag:
    """Counts the attributes of a start tag that arrives in many pieces: the parser tells them only at its end."""

    def __init__(self, begun: bytes) -> None:
        tag = _TAG.match(begun)
        self._rest: bytes | None = begun[tag.end() :] if tag else None
        self._count = 0

    def feed(self, data: bytes) -> None:
        if self._rest is None:
            return
        self._rest += data
        at = 0
        while attribute := _ATTRIBUTE.match(self._rest, at):
            at = attribute.end()
            self._count += 1
            if self._count > MAX_NAMES:
                raise _too_many_names()
        self._rest = self._rest[at:]


def _parser(elements: _Elements) -> expat.XMLParserType:
    # Every body has its own names; interning them would keep the attributes of all.
    parser = expat.ParserCreate("utf-8", _SEPARATOR, intern=None)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.UseForeignDTD(False)
    # With its prefix a name is what the parser remembers; attributes by default need not be told with each element.
    parser.namespace_prefixes = True
    parser.specified_attributes = True
    parser.StartElementHandler = elements.start
    parser.EndElementHandler = elements.end
    parser.StartNamespaceDeclHandler = elements.bind
    parser.XmlDeclHandler = elements.declare
    parser.AttlistDeclHandler = elements.attribute
    parser.EntityDeclHandler = elements.entity
    for name, value in _OPTIONS:
        option = getattr(parser, name, None)
        if option is not None:
            option(value)
    return parser


def _split(name: str) -> tuple[str | None, str]:
    parts = name.split(_SEPARATOR)
    return (parts[0], parts[1]) if len(parts) > 1 else (None, name)


def too_deep() -> NotWellFormed:
    return NotWellFormed(f"The XML item is nested deeper than {MAX_DEPTH} levels; make it flatter.")


def too_long() -> TooLarge:
    return TooLarge("One text, comment or attribute of the XML item is over 10 MB; split it.", limit=MAX_TOKEN)


def _too_many_names() -> TooLarge:
    return TooLarge(
        f"The XML item has more than {MAX_NAMES:,} different names of elements, attributes and namespaces; "
        "put what differs into values.",
        limit=MAX_NAMES,
    )
