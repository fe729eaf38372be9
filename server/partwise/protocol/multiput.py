"""Apple's bulk change request ``multiput``, decoded as it arrives: bytes in, events out, no IO.

::

    decoder = MultiputDecoder()
    decoder.receive(chunk)                                   # b"" says that the body has ended
    while (event := decoder.next_event()) is not NEED_DATA:  # drain before the next receive()
        ...                                                  # at a PartBegin: decoder.resource

The events are those of ``protocol/multipart``: ``(PartBegin PartData* PartEnd)* End``, one part for each ``resource``. What
a part is about cannot be said in header fields; it is :attr:`MultiputDecoder.resource` until the next one begins.

One resource is kept whole, up to a limit, because its elements may come in any order (RFC 4918 §17) and all of it succeeds
or none; a larger one is skipped and told. Everything else that a document makes the parser remember is bounded too.
Source: ``calendarserver-bulk-change``, August 2011, §4 and §7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from lxml import etree

from partwise.errors import DAV_NS, ExternalEntities, Failure, Issue, NotWellFormed, SchemaInvalid, TooLarge
from partwise.protocol.multipart import NEED_DATA, End, Event, NeedData, PartBegin, PartData, PartEnd
from partwise.protocol.multiput_resource import NAMESPACES, Resource, read_resource

__all__ = ["MultiputDecoder", "MultiputLimits"]

# No character of XML, so in no namespace.
_SEPARATOR = "\x01"
# Bytes given to the parser at once: what it calls back for before one can stop it.
_SLICE = 16 * 1024
# From here on a token is read only when there is twice as much of it: before expat 2.6 it is read anew with every piece.
_PATIENCE = 4096
_PIECE = 64 * 1024
_MESSAGE_LENGTH = 200
# What an element costs beside its characters.
_ELEMENT = 128
_HREF = f"{{{DAV_NS}}}href"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ROOTS = tuple(f"{{{namespace}}}multiput" for namespace in NAMESPACES)


@dataclass(frozen=True, slots=True)
class MultiputLimits:
    """What one document may cost. How many resources there are is limited by whoever stores them."""

    #: Bytes (nearly) of one resource with its contents: it is kept in memory. CalDAV servers take 1 to 20 MB.
    resource: int = 4 * 1024 * 1024
    #: Bytes of one tag, comment or processing instruction, and of everything before the root element.
    token: int = 64 * 1024
    #: Levels of elements, the root as the first; as for other bodies of the protocol.
    depth: int = 64
    #: Different names of elements, attributes and namespaces, and their characters: the parser remembers every one.
    names: int = 10_000
    names_length: int = 1_000_000


class MultiputDecoder:
    """Decodes one document. The encoding is the document's own (byte order mark, XML declaration, else UTF-8)."""

    def __init__(self, limits: MultiputLimits = MultiputLimits()) -> None:
        #: What the part that began last is about.
        self.resource: Resource | None = None
        self._limits = limits
        self._reader = _Reader(limits)
        self._parser = _parser(self._reader)
        self._buffer = b""
        self._at = 0
        # Bytes that the parser has, and how many of them are of a token that is not complete.
        self._fed = self._pending = 0
        self._ended = self._complete = self._told = False
        self._telling: Iterator[Event] = iter(())
        self._failure: Failure | None = None

    def receive(self, data: bytes) -> None:
        """Takes the next bytes of the body; ``b""`` says that it has ended.

        Raises ``RuntimeError`` for bytes after the end, which only a mistake of the caller can bring.
        """
        if not data:
            self._ended = True
            return
        if self._ended:
            raise RuntimeError("bytes were received after the end of the body")
        if self._failure is None:
            self._buffer, self._at = self._buffer[self._at :] + data, 0

    def next_event(self) -> Event | NeedData:
        """The next event, or ``NEED_DATA``; after ``End`` always ``NEED_DATA``.

        Raises, and the same again at every later call: ``NotWellFormed``, also for a document that ends early or nests too
        deep; ``ExternalEntities`` for a document type declaration; ``SchemaInvalid`` for another root than ``multiput``;
        ``TooLarge`` beyond the limits for tokens and names. What was complete before is told first.
        """
        while True:
            event = next(self._telling, None)
            if event is not None:
                return event
            if self._reader.found:
                self._telling = self._tell(self._reader.found.popleft())
            elif self._failure is not None:
                raise self._failure.with_traceback(None)
            elif not self._advance():
                return self._rest()

    def close(self) -> None:
        """Gives back what is held; the decoder is done with."""
        self._reader.found.clear()
        self._telling, self._buffer, self._at = iter(()), b"", 0

    def _tell(self, resource: Resource) -> Iterator[Event]:
        self.resource = resource
        yield PartBegin(())
        for at in range(0, len(resource.body), _PIECE):
            yield PartData(resource.body[at : at + _PIECE])
        yield PartEnd()

    def _rest(self) -> Event | NeedData:
        if not self._complete or self._told:
            return NEED_DATA
        self._told = True
        return End()

    def _advance(self) -> bool:
        """Give the parser the next bytes. False: there are none for now."""
        if self._complete:
            return False
        left = len(self._buffer) - self._at
        if left == 0 and self._ended:
            self._complete = True
            return self._parse(b"", True)
        if left == 0 or (not self._ended and self._pending > _PATIENCE and left < min(self._pending, _SLICE)):
            return False
        stop = min(self._at + _SLICE, len(self._buffer))
        if not self._reader.begun:
            # A document type declaration must be seen before anything that it declares can be used: the parser cannot be
            # stopped within the bytes that it has.
            mark = self._buffer.find(b">", self._at, stop)
            stop = mark + 1 if mark >= 0 else stop
        piece, self._at = self._buffer[self._at : stop], stop
        return self._parse(piece, False)

    def _parse(self, piece: bytes, final: bool) -> bool:
        try:
            self._parser.Parse(piece, final)
            self._fed += len(piece)
            self._pending = self._fed - max(self._parser.CurrentByteIndex, 0)
            if self._pending > self._limits.token or not (self._reader.begun or self._fed <= self._limits.token):
                raise TooLarge(
                    f"A tag or comment of the XML body, or what stands before its root element, is over "
                    f"{self._limits.token} bytes; shorten it.",
                    limit=self._limits.token,
                )
        except Failure as failure:
            self._fail(failure)
        except expat.ExpatError as error:
            self._fail(_not_well_formed(error))
        except (LookupError, ValueError):
            # An encoding that is not known, or has more than one byte for a character; a namespace that is no URI.
            self._fail(
                NotWellFormed("The XML body has an encoding or a namespace that cannot be read; send it in UTF-8.")
            )
        return True

    def _fail(self, failure: Failure) -> None:
        self._failure = failure.with_traceback(None)
        self._buffer, self._at = b"", 0


class _Reader:
    """What the parser tells. It knows nothing of the parser: no circle of references keeps both alive."""

    def __init__(self, limits: MultiputLimits) -> None:
        self.found: deque[Resource] = deque()
        #: The root element was seen.
        self.begun = False
        self._limits = limits
        self._depth = 0
        self._resource_tag = ""
        self._language: str | None = None
        self._in_scope: dict[str | None, str] = {}
        self._declared: dict[str | None, str] = {}
        self._builder: Any = None
        self._size = 0
        self._href: list[str] | None = None
        self._in_href = False
        self._names: dict[str, str] = {}
        self._names_length = 0

    def doctype(self, _name: str, _system: str | None, _public: str | None, _internal: int) -> None:
        # RFC 4918 §20.6: the precondition no-external-entities.
        raise ExternalEntities(
            "The XML body has a document type declaration (DOCTYPE), which is not accepted here; send it without one."
        )

    def bind(self, prefix: str | None, namespace: str | None) -> None:
        # With the separators no name of an element or attribute is like these.
        self._clark(f"{_SEPARATOR}{_SEPARATOR}{prefix or ''}")
        self._clark(f"{namespace or ''}{_SEPARATOR}")
        self._declared[prefix] = namespace or ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._limits.depth:
            raise NotWellFormed(
                f"The XML body nests elements deeper than {self._limits.depth} levels; send it with fewer."
            )
        declared, self._declared = self._declared, {}
        tag, named = self._clark(name), {self._clark(key): value for key, value in attributes.items()}
        if self._depth == 1:
            self._begin(tag, named, declared)
        elif self._depth == 2 and tag == self._resource_tag:
            self._builder = etree.TreeBuilder(insert_comments=True, insert_pis=True)
            self._size, self._href = 0, None
            declared = {**self._in_scope, **declared}
            if self._language is not None:
                named.setdefault(_XML_LANG, self._language)
        if self._builder is None:
            return
        self._in_href = self._depth == 3 and tag == _HREF and self._href is None
        if self._in_href:
            self._href = []
        self._count(_ELEMENT + len(name) + sum(map(len, attributes)) + sum(map(len, attributes.values())))
        if self._builder is not None:
            self._builder.start(tag, named, declared)

    def _begin(self, tag: str, attributes: dict[str, str], declared: dict[str | None, str]) -> None:
        if tag not in _ROOTS:
            raise SchemaInvalid(
                "The XML body is not known here: the root element of a POST must be multiput in the namespace "
                f"{NAMESPACES[0]}; send other items as multipart."
            )
        self.begun = True
        self._resource_tag = f"{tag.partition('}')[0]}}}resource"
        self._language = attributes.get(_XML_LANG)
        self._in_scope = declared

    def end(self, name: str) -> None:
        self._depth -= 1
        self._in_href = False
        if self._builder is not None:
            self._builder.end(self._clark(name))
            if self._depth == 1:
                builder, self._builder = self._builder, None
                self.found.append(read_resource(builder.close()))
        elif self._depth == 1 and self._clark(name) == self._resource_tag:
            self.found.append(self._too_large())

    def text(self, data: str) -> None:
        if self._builder is None:
            return
        if self._in_href:
            assert self._href is not None
            self._href.append(data)
        self._count(len(data))
        if self._builder is not None:
            self._builder.data(data)

    def comment(self, data: str) -> None:
        if self._builder is not None:
            self._count(_ELEMENT + len(data))
        if self._builder is not None:
            self._builder.comment(data)

    def instruction(self, target: str, data: str) -> None:
        if self._builder is not None:
            self._count(_ELEMENT + len(target) + len(data))
        if self._builder is not None:
            self._builder.pi(target, data)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.resource:
            self._builder = None

    def _too_large(self) -> Resource:
        limit = self._limits.resource
        failure = TooLarge(f"A resource may have {limit} bytes at most in this kind of request; PUT it.", limit=limit)
        return Resource(href=None if self._href is None else "".join(self._href).strip(), failure=failure)

    def _clark(self, name: str) -> str:
        """A name of the parser's in Clark notation. Raises TooLarge when there are too many."""
        known = self._names.get(name)
        if known is None:
            # Namespace, local name, and the prefix; without a namespace the local name alone.
            parts = name.split(_SEPARATOR)
            known = self._names[name] = f"{{{parts[0]}}}{parts[1]}" if len(parts) > 1 else name
            self._names_length += len(name)
            limits = self._limits
            if len(self._names) > limits.names or self._names_length > limits.names_length:
                raise TooLarge(
                    f"The XML body has more than {limits.names} different names, or longer ones than "
                    f"{limits.names_length} characters together; use fewer.",
                    limit=limits.names,
                )
        return known


def _parser(reader: _Reader) -> expat.XMLParserType:
    # Every document has its own names; interning them would keep those of all.
    parser = expat.ParserCreate(None, _SEPARATOR, intern=None)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.buffer_text = True
    parser.namespace_prefixes = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartNamespaceDeclHandler = reader.bind
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.CommentHandler = reader.comment
    parser.ProcessingInstructionHandler = reader.instruction
    # Where Python has it: rows must not wait for later bytes, and long tokens are seen to above, for all releases.
    option = getattr(parser, "SetReparseDeferralEnabled", None)
    if option is not None:
        option(False)
    return parser


def _not_well_formed(error: expat.ExpatError) -> NotWellFormed:
    message = (expat.ErrorString(error.code) or "the document is not complete")[:_MESSAGE_LENGTH]
    issue = Issue(message, line=error.lineno, column=error.offset + 1)
    return NotWellFormed(
        f"The XML body is not well-formed at line {error.lineno}, column {error.offset + 1}: {message}; correct it.",
        issues=(issue,),
    )
