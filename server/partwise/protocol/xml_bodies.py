"""Request bodies in XML, read without trusting them.

:func:`parse_body` takes any body of the protocol; the others turn one kind of document into values. The caller
bounds the size of a body; time and memory here are proportional to it, whatever the body declares.

RFC 4918 §17: elements and attributes that are not expected are read as if they were not there; the order of elements
does not matter; comments and processing instructions mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree

from partwise.errors import DAV_NS, ExternalEntities, Issue, NotWellFormed, SchemaInvalid
from partwise.protocol.propfind import AllProp, Prop, PropFind, PropName

__all__ = ["Grammar", "child_names", "content", "parse_body", "parse_propfind", "standalone"]

# The option collect_ids must not stand here: switched off it makes libxml2 open the external subset that a DOCTYPE names,
# whatever load_dtd says. Only a body that is known to have no DOCTYPE is read without ids.
_HARDENED: dict[str, Any] = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
}

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_string_value = etree.XPath("string()", smart_strings=False)

_PROPFIND = f"{{{DAV_NS}}}propfind"
_ALLPROP = f"{{{DAV_NS}}}allprop"
_INCLUDE = f"{{{DAV_NS}}}include"
_PROPNAME = f"{{{DAV_NS}}}propname"
_PROP = f"{{{DAV_NS}}}prop"

# libxml2 quotes the document in its messages: control characters too, and names as long as the body.
_MESSAGE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a body is called to people, and the text that says how it must be."""

    body: str
    source: str

    def invalid(self, text: str, where: etree._Element) -> SchemaInvalid:
        """The failure for a body that is wrong at an element; ``text`` says what is."""
        issue = Issue(text, line=where.sourceline)
        return SchemaInvalid(f"The {self.body} body is wrong: {text}; see {self.source}.", issues=(issue,))

    def child(self, parent: etree._Element, tag: str) -> etree._Element | None:
        """The one child with this tag, ``None`` if there is none.

        Raises :class:`~partwise.errors.SchemaInvalid` if there are two.
        """
        children = list(parent.iterchildren(tag))
        if len(children) > 1:
            names = f"{etree.QName(parent).localname} element may hold only one {etree.QName(tag).localname}"
            raise self.invalid(f"a {names}", children[1])
        return children[0] if children else None

    def required(self, parent: etree._Element, tag: str) -> etree._Element:
        """The one child with this tag. Raises :class:`~partwise.errors.SchemaInvalid` if there is not exactly one."""
        child = self.child(parent, tag)
        if child is None:
            names = f"{etree.QName(parent).localname} element must hold a {etree.QName(tag).localname}"
            raise self.invalid(f"a {names}", parent)
        return child


_PROPFIND_GRAMMAR = Grammar("PROPFIND", "RFC 4918, section 14.20")


class _DoctypeSeen(Exception):
    """The prologue holds a document type declaration."""


class _RootReached(Exception):
    """The prologue is over."""


class _Prologue:
    """A parser target that stops at the first of a document type declaration and the root element."""

    def doctype(self, _name: str | None, _public: str | None, _system: str | None) -> None:
        raise _DoctypeSeen

    def start(self, _tag: str, _attributes: object) -> None:
        raise _RootReached

    def close(self) -> None:
        """Required of a target; never reached with a document that has a root."""


def parse_body(body: bytes, *, max_depth: int = 64) -> etree._Element:
    """The root element of a document; namespaces are resolved, nothing is loaded or expanded.

    The encoding is the document's own (byte order mark, XML declaration, else UTF-8). ``max_depth`` counts the root
    as 1; libxml2 takes no more than 256 whatever is asked.

    Raises :class:`~partwise.errors.ExternalEntities` for a document type declaration, before anything in it is read,
    and :class:`~partwise.errors.NotWellFormed`, with one issue that says where, for a body that XML 1.0 or Namespaces
    in XML does not allow, or that nests deeper than ``max_depth``.
    """
    _refuse_doctype(body, max_depth)
    # xml:id means nothing here, and must not make a body wrong.
    parser = etree.XMLParser(collect_ids=False, **_HARDENED)
    try:
        root: etree._Element = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise _not_well_formed(parser.error_log, max_depth) from None
    _refuse_depth(root, max_depth)
    return root


def parse_propfind(body: bytes, *, max_depth: int = 64) -> PropFind:
    """What the body of a PROPFIND asks for; no body at all asks for all properties (RFC 4918 §9.1).

    Raises what :func:`parse_body` raises, and :class:`~partwise.errors.SchemaInvalid` if the root is not
    ``DAV:propfind``, if it does not hold exactly one of ``prop``, ``propname`` and ``allprop``, or holds ``include``
    without ``allprop``.
    """
    # RFC 4918 §9.1: "An empty PROPFIND request body MUST be treated as if it were an 'allprop' request."
    if not body:
        return AllProp()
    root = parse_body(body, max_depth=max_depth)
    if root.tag != _PROPFIND:
        raise _PROPFIND_GRAMMAR.invalid(
            "the root element of a PROPFIND body must be propfind in the namespace DAV:", root
        )
    asked = list(root.iterchildren(_ALLPROP, _PROPNAME, _PROP))
    if not asked:
        raise _PROPFIND_GRAMMAR.invalid("a propfind element must hold one of prop, propname and allprop", root)
    if len(asked) > 1:
        raise _PROPFIND_GRAMMAR.invalid("a propfind element must hold only one of prop, propname and allprop", asked[1])
    (question,) = asked
    include = _PROPFIND_GRAMMAR.child(root, _INCLUDE)
    if include is not None and question.tag != _ALLPROP:
        raise _PROPFIND_GRAMMAR.invalid("an include element may only stand beside allprop", include)
    if question.tag == _PROPNAME:
        return PropName()
    if question.tag == _PROP:
        return Prop(child_names(question))
    return AllProp(child_names(include) if include is not None else ())


def child_names(parent: etree._Element) -> tuple[str, ...]:
    """The names of the child elements in Clark notation, each once, in their order."""
    return tuple(dict.fromkeys(str(child.tag) for child in parent.iterchildren("*")))


def content(element: etree._Element) -> str:
    """All characters within an element, those of its descendants too; comments and processing instructions are none."""
    return str(_string_value(element))


def standalone(element: etree._Element) -> str:
    """An element as text that means the same in any document; no XML declaration, nothing of what follows the element.

    RFC 4918 §4.3 wants the meaning kept: every namespace declaration in scope stands on the element, for names that
    occur only in contents (XML Schema's QName) too; and the language in force, which may come from an ancestor. The
    element is given that ``xml:lang`` in its own document as well. A name in no namespace stays in none where the
    document around has a default namespace. Comments and processing instructions are kept.
    """
    if _XML_LANG not in element.attrib:
        inherited = (ancestor.get(_XML_LANG) for ancestor in element.iterancestors())
        language = next((value for value in inherited if value is not None), None)
        if language:
            element.set(_XML_LANG, language)
    text = etree.tostring(element, encoding="unicode", with_tail=False)
    if None in element.nsmap or next(element.iter("{}*"), None) is None:
        return text
    name = f"{element.prefix}:" if element.prefix else ""
    end = len(f"<{name}{etree.QName(element).localname}")
    return f'{text[:end]} xmlns=""{text[end:]}'


def _refuse_doctype(body: bytes, max_depth: int) -> None:
    # The same parser that will build the tree looks first, and only as far as the root. So both see the same encoding,
    # a declaration cannot hide in one that the other does not know, and no entity is ever expanded, not even in
    # attributes, which resolve_entities does not cover.
    target: Any = _Prologue()  # lxml asks a target only for the methods that it has; its stubs want them all
    parser = etree.XMLParser(target=target, **_HARDENED)
    try:
        etree.fromstring(body, parser)
    except _DoctypeSeen:
        raise ExternalEntities(
            "The XML body has a document type declaration (DOCTYPE), which is not accepted here; send it without one."
        ) from None
    except _RootReached:
        return
    except etree.XMLSyntaxError:
        raise _not_well_formed(parser.error_log, max_depth) from None


def _refuse_depth(root: etree._Element, max_depth: int) -> None:
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > max_depth:
            raise _too_deep(element.sourceline, max_depth)


def _too_deep(line: int | None, max_depth: int) -> NotWellFormed:
    issue = Issue(f"more than {max_depth} levels of elements", line=line)
    return NotWellFormed(
        f"The XML body nests elements deeper than {max_depth} levels; send it with fewer.", issues=(issue,)
    )


def _not_well_formed(log: etree._ListErrorLog, max_depth: int) -> NotWellFormed:
    # The log must be the parser's: that of the exception is the thread's, and begins with the errors of other bodies.
    # The first entry is the cause; those after it are its consequences.
    first = log.filter_from_errors()[0]
    # libxml2 has a limit of its own, for which it has no error number of its own.
    if first.message.startswith("Excessive depth"):
        return _too_deep(first.line, max_depth)
    shown = "".join(char if char.isprintable() else " " for char in first.message)
    message = " ".join(shown.split())[:_MESSAGE_LENGTH]
    return NotWellFormed(
        f"The XML body is not well-formed at line {first.line}, column {first.column}: {message}; correct it.",
        issues=(Issue(message, line=first.line, column=first.column),),
    )
