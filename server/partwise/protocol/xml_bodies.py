"""Request bodies in XML, read without trusting them.

:func:`parse_body` takes any body of the protocol; the others turn one kind of document into values. The caller
bounds the size of a body; time and memory here are proportional to it, whatever the body declares.

RFC 4918 §17: elements and attributes that are not expected are read as if they were not there; the order of elements
does not matter; comments and processing instructions mean nothing.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from partwise.errors import DAV_NS, ExternalEntities, Issue, NotWellFormed, SchemaInvalid
from partwise.protocol.propfind import AllProp, Prop, PropFind, PropName

__all__ = ["parse_body", "parse_propfind"]

# The option collect_ids must not stand here: switched off it makes libxml2 open the external subset that a DOCTYPE names,
# whatever load_dtd says. Only a body that is known to have no DOCTYPE is read without ids.
_HARDENED: dict[str, Any] = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
}

_PROPFIND = f"{{{DAV_NS}}}propfind"
_ALLPROP = f"{{{DAV_NS}}}allprop"
_INCLUDE = f"{{{DAV_NS}}}include"
_PROPNAME = f"{{{DAV_NS}}}propname"
_PROP = f"{{{DAV_NS}}}prop"

# libxml2 quotes the document in its messages: control characters too, and names as long as the body.
_MESSAGE_LENGTH = 200


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
        raise _invalid("the root element of a PROPFIND body must be propfind in the namespace DAV:", root)
    asked = list(root.iterchildren(_ALLPROP, _PROPNAME, _PROP))
    if not asked:
        raise _invalid("a propfind element must hold one of prop, propname and allprop", root)
    if len(asked) > 1:
        raise _invalid("a propfind element must hold only one of prop, propname and allprop", asked[1])
    (question,) = asked
    includes = list(root.iterchildren(_INCLUDE))
    if includes and question.tag != _ALLPROP:
        raise _invalid("an include element may only stand beside allprop", includes[0])
    if len(includes) > 1:
        raise _invalid("a propfind element may hold only one include", includes[1])
    if question.tag == _PROPNAME:
        return PropName()
    if question.tag == _PROP:
        return Prop(_names(question))
    return AllProp(_names(includes[0]) if includes else ())


def _names(parent: etree._Element) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(child.tag) for child in parent.iterchildren("*")))


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


def _invalid(text: str, where: etree._Element) -> SchemaInvalid:
    issue = Issue(text, line=where.sourceline)
    return SchemaInvalid(f"The PROPFIND body is wrong: {text}; see RFC 4918, section 14.20.", issues=(issue,))
