"""The bodies that set and remove properties: what they change, in which order, and values that mean the same elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.xml_documents import check_xml

from partwise.errors import ExternalEntities, Failure, NotWellFormed, SchemaInvalid, TooLarge
from partwise.protocol.property_update import (
    MAX_CHANGES,
    MAX_NAMESPACES,
    MAX_TOTAL,
    MAX_VALUE,
    Change,
    parse_mkcol,
    parse_property_update,
)

LANG = "{http://www.w3.org/XML/1998/namespace}lang"
DECLARED = 'xmlns:D="DAV:" xmlns:X="urn:x"'


def update(inner: str, attributes: str = DECLARED) -> bytes:
    return f"<D:propertyupdate {attributes}>{inner}</D:propertyupdate>".encode()


def mkcol(inner: str) -> bytes:
    return f"<D:mkcol {DECLARED}>{inner}</D:mkcol>".encode()


def setting(*properties: str) -> str:
    return f"<D:set><D:prop>{''.join(properties)}</D:prop></D:set>"


def removing(*properties: str) -> str:
    return f"<D:remove><D:prop>{''.join(properties)}</D:prop></D:remove>"


def canonical(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The order of namespace declarations, and how an empty element is written, mean nothing."""
    return tuple(
        change if change.value is None else replace(change, value=etree.canonicalize(change.value))
        for change in changes
    )


A = Change("{urn:x}a", '<X:a xmlns:D="DAV:" xmlns:X="urn:x">1</X:a>', "1")
B = Change("{urn:x}b", '<X:b xmlns:D="DAV:" xmlns:X="urn:x"></X:b>')
NO_A, NO_B = Change("{urn:x}a", None), Change("{urn:x}b", None)

# Every row is valid under propertyupdate.xsd too.
CHANGES: list[tuple[str, tuple[Change, ...]]] = [
    (setting("<X:a>1</X:a>"), (A,)),
    (setting("<X:a>1</X:a>", "<X:b/>"), (A, B)),
    (setting("<X:b></X:b>", "<X:a>1</X:a>"), (B, A)),
    (removing("<X:a/>"), (NO_A,)),
    (removing("<X:a>1<X:b/></X:a>"), (NO_A,)),
    # RFC 4918 §9.2: document order, also of the same property.
    (setting("<X:a>1</X:a>") + removing("<X:a/>") + setting("<X:b/>"), (A, NO_A, B)),
    (removing("<X:b/>", "<X:a/>") + setting("<X:a>1</X:a>") + removing("<X:b/>"), (NO_B, NO_A, A, NO_B)),
    (setting("<X:a>1</X:a>") + setting("<X:a>1</X:a>"), (A, A)),
    (setting() + removing("<X:a/>"), (NO_A,)),
    # §17: what is not expected is not there, nor what it holds.
    (f"<X:new>{setting('<X:b/>')}</X:new>{setting('<X:a>1</X:a>')}<new/>", (A,)),
    ("<D:set X:y='z' w=''><X:new><X:b/></X:new><D:prop X:y=''><X:a>1</X:a></D:prop><new/></D:set>", (A,)),
    ("<!-- a -->\n<D:set>\n<?b c?><D:prop>\n<!-- d --><X:a>1</X:a>\n</D:prop></D:set>", (A,)),
]


@pytest.mark.parametrize(("inner", "changes"), CHANGES)
def test_changes_come_in_document_order(inner: str, changes: tuple[Change, ...]) -> None:
    body = update(inner)
    assert canonical(parse_property_update(body)) == canonical(changes)
    check_xml(body)


# Taken although propertyupdate.xsd has no place for them.
@pytest.mark.parametrize(
    "inner",
    [
        f"<D:unknown>{setting('<X:b/>')}</D:unknown>{setting('<X:a>1</X:a>')}",
        f"text{setting('text', '<X:a>1</X:a>', 'tail')}text",
        "<D:set>text<D:unknown><D:prop/></D:unknown><D:prop><X:a>1</X:a></D:prop></D:set>",
    ],
)
def test_unknown_dav_elements_and_text_are_ignored(inner: str) -> None:
    assert canonical(parse_property_update(update(inner))) == canonical((A,))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'<D:set xmlns:D="DAV:"/>', "root element"),
        (b"<propertyupdate><set><prop><a/></prop></set></propertyupdate>", "root element"),
        (mkcol(setting("<X:a/>")), "root element"),
        (update(""), "at least one"),
        (update("<D:unknown/>"), "at least one"),
        (update("<set/>"), "at least one"),
        (update(f"<X:deeper>{setting('<X:a/>')}</X:deeper>"), "at least one"),
        (update("<D:set/>"), "a set element must hold a prop"),
        (update("<D:remove/>"), "a remove element must hold a prop"),
        (update(setting("<X:a/>") + "<D:remove><prop/></D:remove>"), "a remove element must hold a prop"),
        (update("<D:set><X:a/></D:set>"), "a set element must hold a prop"),
        (update("<D:set><D:prop/><D:prop><X:a/></D:prop></D:set>"), "only one prop"),
    ],
)
def test_readable_and_wrong_is_422_under_the_schema_too(body: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalid, match=words) as refused:
        parse_property_update(body)
    assert refused.value.status == 422
    assert [issue.line for issue in refused.value.issues] == [1]
    if not body.startswith(b"<D:mkcol"):
        with pytest.raises(AssertionError):
            check_xml(body)


@pytest.mark.parametrize("inner", [setting(), removing(), setting() + removing()])
def test_an_update_of_nothing_is_422(inner: str) -> None:
    with pytest.raises(SchemaInvalid, match="at least one"):
        parse_property_update(update(inner))


@pytest.mark.parametrize("parse", [parse_property_update, parse_mkcol])
def test_the_rules_of_all_bodies_hold(parse: Any) -> None:
    for body in (b"", b" ", b"<", b"<a:b/>"):
        with pytest.raises(NotWellFormed):
            parse(body)
    with pytest.raises(ExternalEntities):
        parse(b"<!DOCTYPE a>" + update(setting("<X:a/>")))
    with pytest.raises(NotWellFormed, match="deeper"):
        parse(update(setting("<X:a>" * 62 + "</X:a>" * 62)))


# RFC 5689.


@pytest.mark.parametrize(
    ("inner", "kinds"),
    [
        ("<D:resourcetype/>", ()),
        ("<D:resourcetype><D:collection/></D:resourcetype>", ("{DAV:}collection",)),
        (
            "<D:resourcetype>text<!-- a --><D:collection><X:deeper/></D:collection><X:b/><c/><X:b/></D:resourcetype>",
            ("{DAV:}collection", "{urn:x}b", "c"),
        ),
        ("<X:resourcetype><D:collection/></X:resourcetype>", ()),
        ("<D:displayname><D:collection/></D:displayname>", ()),
    ],
)
def test_mkcol_tells_the_kinds_of_resource(inner: str, kinds: tuple[str, ...]) -> None:
    a, asked, b = parse_mkcol(mkcol(setting("<X:a>1</X:a>", inner) + "<X:new/>" + setting("<X:b/>")))
    assert canonical((a, b)) == canonical((A, B))
    assert asked.kinds == kinds
    assert asked.name == etree.fromstring(asked.value or "").tag


@pytest.mark.parametrize("inner", [setting(), "<X:new/>" + setting("<X:a/>") + "<new/>" + setting("<X:b/>", "<c/>")])
def test_mkcol_has_a_schema(inner: str) -> None:
    assert len(parse_mkcol(mkcol(inner))) in (0, 3)
    check_xml(mkcol(inner))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (update(setting("<X:a/>")), "root element"),
        (b'<mkcol xmlns="urn:x"/>', "root element"),
        (mkcol(""), "must hold a set"),
        (mkcol("<X:new/>"), "must hold a set"),
        (mkcol(removing("<X:a/>")), "not remove"),
        (mkcol(setting("<X:a/>") + removing("<X:a/>")), "not remove"),
        (mkcol("<D:set/>"), "must hold a prop"),
        (mkcol("<D:set><D:prop/><D:prop/></D:set>"), "only one prop"),
    ],
)
def test_a_wrong_mkcol_is_422_under_the_schema_too(body: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalid, match=words) as refused:
        parse_mkcol(body)
    assert "MKCOL" in refused.value.text
    if not body.startswith(b"<D:propertyupdate"):
        with pytest.raises(AssertionError):
            check_xml(body)


# Limits.


def test_changes_up_to_the_limit() -> None:
    many = [f"<X:a{n}/>" for n in range(MAX_CHANGES)]
    assert len(parse_property_update(update(setting(*many[1:]) + removing(many[0])))) == MAX_CHANGES
    with pytest.raises(TooLarge, match="1024") as refused:
        parse_property_update(update(setting(*many) + removing("<X:b/>")))
    assert refused.value.limit == MAX_CHANGES


@pytest.mark.parametrize("char", ["a", "ä", "😀", "<X:b/>"])
def test_a_value_up_to_the_limit_in_bytes(char: str) -> None:
    size = len(char.encode())
    around = len(A.value or "") - 1
    n = (MAX_VALUE - around) // size
    (change,) = parse_property_update(update(setting(f"<X:a>{char * n}</X:a>")))
    assert MAX_VALUE - size < len((change.value or "").encode()) <= MAX_VALUE
    with pytest.raises(TooLarge, match="65536") as refused:
        parse_property_update(update(setting(f"<X:a>{char * (n + 1)}</X:a>")))
    assert refused.value.limit == MAX_VALUE
    # What is removed has no value.
    assert parse_property_update(update(removing(f"<X:a>{char * (n + 1)}</X:a>"))) == (NO_A,)


def test_declarations_do_not_multiply() -> None:
    def scope(n: int) -> str:
        return 'xmlns:D="DAV:" ' + " ".join(f'xmlns:n{i}="urn:{i}"' for i in range(n - 1))

    assert len(parse_property_update(update(setting("<a/>"), scope(MAX_NAMESPACES)))) == 1
    with pytest.raises(TooLarge, match="declarations") as refused:
        parse_property_update(update(setting("<a/>"), scope(MAX_NAMESPACES + 1)))
    assert refused.value.limit == MAX_NAMESPACES
    assert parse_property_update(update(removing("<a/>"), scope(MAX_NAMESPACES + 1))) == (Change("a", None),)


def test_all_values_together_have_a_limit() -> None:
    long = f'xmlns:D="DAV:" xmlns:X="urn:{"x" * 60_000}"'
    fits = MAX_TOTAL // 60_100
    assert len(parse_property_update(update(setting("<X:a/>" * fits), long))) == fits
    with pytest.raises(TooLarge, match="several") as refused:
        parse_property_update(update(setting("<X:a/>" * 1000), long))
    assert refused.value.limit == MAX_TOTAL


# RFC 4918 §4.3: what a value keeps.

SMILE = "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("<X:a>text</X:a>", "text"),
        ("<X:a> \n text </X:a>", " \n text "),
        (f"<X:a>{SMILE}&#x1F600;</X:a>", SMILE * 2),
        (f"<X:a b='{SMILE}'/>", ""),
        ("<X:a>a<X:b>b<c>c</c>d</X:b>e</X:a>", "abcde"),
        ("<X:a>a<!-- no --><?no no?>b</X:a>", "ab"),
        ("<X:a><![CDATA[<&]]>&lt;&amp;&gt;</X:a>", "<&<&>"),
        ("<X:a>&#13;&#10;&#9;</X:a>", "\r\n\t"),
        ("<X:a b='&#13;&#10;&#9;&quot;&apos;&lt;'/>", ""),
        ("<a/>", ""),
        ("<größe>1</größe>", "1"),
        ("<a><b xmlns='urn:y'><c xmlns=''/></b></a>", ""),
        ("<X:a xmlns:X='urn:other'><D:b xmlns:D='urn:y'/></X:a>", ""),
        ("<X:a xsi:type='q:name' xmlns:xsi='urn:xsi' xmlns:q='urn:q'>q:name</X:a>", "q:name"),
        ("<X:a xml:space='preserve' xml:id='i' xml:base='http://h/'> </X:a>", " "),
        ("<xml:a/>", ""),
    ],
)
def test_a_value_is_the_element(written: str, text: str) -> None:
    body = update(setting(written + "tail"))
    (change,) = parse_property_update(body)
    assert change.text == text
    (original,) = etree.fromstring(body).iterfind("{DAV:}set/{DAV:}prop/*")
    assert change.name == original.tag
    for around in AROUND:
        assert infoset(embedded(change, around)) == infoset(original)
    assert etree.fromstring(change.value or "").tail is None


def test_a_prefix_that_only_contents_use_is_kept() -> None:
    body = update(setting("<a type='q:b'>q:c</a>"), f'{DECLARED} xmlns:q="urn:q"')
    (change,) = parse_property_update(body)
    assert etree.fromstring(change.value or "").nsmap["q"] == "urn:q"


@pytest.mark.parametrize(
    ("update_lang", "set_lang", "prop_lang", "own", "kept"),
    [
        (None, None, None, None, None),
        ("en", None, None, None, "en"),
        ("en", "fr", None, None, "fr"),
        ("en", "fr", "de", None, "de"),
        ("en", "fr", "de", "it", "it"),
        (None, None, "de", None, "de"),
        ("en", None, None, "", ""),
        # An empty one says that the language is not known (XML 1.0 §2.12).
        ("en", "", None, None, None),
        (None, "a&amp;&lt;&quot;", None, None, 'a&<"'),
    ],
)
def test_the_language_in_force_is_kept(
    update_lang: str | None, set_lang: str | None, prop_lang: str | None, own: str | None, kept: str | None
) -> None:
    outer, instruction, prop, element = (
        "" if lang is None else f' xml:lang="{lang}"' for lang in (update_lang, set_lang, prop_lang, own)
    )
    inner = f"<D:set{instruction}><D:prop{prop}><X:a{element}><X:b/></X:a><b{element}/></D:prop></D:set>"
    for change in parse_property_update(update(inner, DECLARED + outer)):
        root = etree.fromstring(change.value or "")
        assert root.get(LANG) == kept
        assert all(child.get(LANG) is None for child in root)


def test_a_sibling_does_not_inherit_the_language() -> None:
    first, second = parse_property_update(update(setting("<X:a xml:lang='en'/>", "<X:b/>")))
    assert "lang" in (first.value or "")
    assert "lang" not in (second.value or "")


# Documents that a value may be put into: ours, and one that binds everything otherwise.
AROUND = [
    '<D:prop xmlns:D="DAV:" xmlns:P="urn:partwise:batch">{}</D:prop>',
    '<prop xmlns="urn:default" xmlns:D="urn:d" xmlns:X="urn:1" xmlns:a="urn:2" xmlns:b="urn:3">\n{}tail</prop>',
]


def embedded(change: Change, around: str) -> etree._Element:
    (element,) = etree.fromstring(around.format(change.value)).iterchildren("*")
    return element


def infoset(element: etree._Element) -> tuple[Any, ...]:
    """What RFC 4918 §4.3 wants kept, and the prefix, comments and processing instructions."""
    if not isinstance(element.tag, str):
        return (element.tag, element.text, element.get("target"))
    attributes = sorted((str(name), str(value)) for name, value in element.attrib.items())
    children: list[Any] = [element.text or ""]
    for child in element:
        children += [infoset(child), child.tail or ""]
    return (element.tag, element.prefix, attributes, children)


def bindings(element: etree._Element) -> list[dict[str | None, str]]:
    """Prefix → namespace in scope of each element, no entry for what is bound to nothing."""
    return [{prefix: uri for prefix, uri in node.nsmap.items() if uri} for node in element.iter("*")]


URIS = st.sampled_from(["urn:1", "urn:2", "DAV:", "http://example.org/a?b#c"])
LOCALS = st.sampled_from(["a", "b", "größe", "x.y-z"])
CHARACTERS = st.text(st.sampled_from(f"ab<&>\"'\r\n\t \u0085\u2028é\ud7ff\ufffd{SMILE}\U0010ffff"), max_size=4)
ESCAPES = {ord(char): f"&#{ord(char)};" for char in "<&>\"'\r\n\t"}


@st.composite
def elements(draw: st.DrawFn, scope: tuple[tuple[str, str], ...], depth: int = 3) -> str:
    """An element as a client may write it; prefixes are bound and bound again anywhere. "" is the default."""
    here = dict(scope)
    declared = draw(st.dictionaries(st.sampled_from(["a", "b", "D", ""]), URIS, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        declared[""] = ""
    here.update(declared)
    prefixes = [prefix for prefix, uri in here.items() if uri and prefix] + [""]
    name = qualified(draw(st.sampled_from(prefixes)), draw(LOCALS))
    attributes = "".join(f' xmlns{":" if p else ""}{p}="{uri}"' for p, uri in declared.items())
    for local in draw(st.lists(LOCALS, max_size=2, unique=True)):
        prefix = draw(st.sampled_from(prefixes))
        attributes += f' {qualified(prefix, local)}="{draw(CHARACTERS).translate(ESCAPES)}"'
    if draw(st.integers(0, 4)) == 0:
        attributes += f' xml:lang="{draw(st.sampled_from(["en", "fr", ""]))}"'
    inner = draw(CHARACTERS).translate(ESCAPES)
    for _ in range(draw(st.integers(0, 2 if depth else 0))):
        kind = draw(st.sampled_from(["element", "element", "<!-- a -->", "<?b c?>", "<![CDATA[<&]]>"]))
        inner += draw(elements(tuple(here.items()), depth - 1)) if kind == "element" else kind
        inner += draw(CHARACTERS).translate(ESCAPES)
    return f"<{name}{attributes}>{inner}</{name}>"


def qualified(prefix: str, local: str) -> str:
    return f"{prefix}:{local}" if prefix else local


@st.composite
def updates(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """A body that sets some properties, and the language in force around them."""
    scope = {"D": "DAV:"}
    declared = draw(st.dictionaries(st.sampled_from(["a", "b", ""]), URIS, max_size=2))
    scope.update(declared)
    spelt = "".join(f' xmlns{":" if p else ""}{p}="{uri}"' for p, uri in declared.items())
    undone = ' xmlns=""' if "" in scope and draw(st.booleans()) else ""
    if undone:
        scope[""] = ""
    langs = draw(st.tuples(*[st.sampled_from([None, "en", "de", ""])] * 3))
    language = next((lang for lang in reversed(langs) if lang is not None), None) or None
    outer, middle, inner = ("" if lang is None else f' xml:lang="{lang}"' for lang in langs)
    properties = "".join(draw(st.lists(elements(tuple(scope.items())), min_size=1, max_size=3)))
    body = (
        f'<D:propertyupdate xmlns:D="DAV:"{spelt}{outer}><D:set{undone}{middle}>'
        f"<D:prop{inner}>{properties}</D:prop></D:set></D:propertyupdate>"
    )
    return body.encode(), language


@settings(max_examples=150)
@given(updates())
def test_any_value_means_the_same_in_any_document(made: tuple[bytes, str | None]) -> None:
    body, language = made
    originals = list(etree.fromstring(body).iterfind("{DAV:}set/{DAV:}prop/*"))
    changes = parse_property_update(body)
    assert [change.name for change in changes] == [original.tag for original in originals]
    for change, original in zip(changes, originals, strict=True):
        if language is not None and original.get(LANG) is None:
            original.set(LANG, language)
        canonical = etree.tostring(original, method="c14n", exclusive=True, with_tail=False)
        for around in AROUND:
            copy = embedded(change, around)
            assert infoset(copy) == infoset(original)
            assert etree.tostring(copy, method="c14n", exclusive=True, with_tail=False) == canonical
            for wanted, found in zip(bindings(original), bindings(copy), strict=True):
                assert wanted.items() <= found.items()
        assert change.text == "".join(t for t in original.xpath(".//text()"))
        # A value that is read back and set again is the same.
        (again,) = parse_property_update(update(setting(change.value or ""), 'xmlns:D="DAV:"'))
        assert infoset(embedded(again, AROUND[0])) == infoset(original)


FRAGMENTS = [
    *"<>&:= /",
    "<D:set>",
    "</D:set>",
    "<D:remove>",
    "</D:remove>",
    "<D:prop>",
    "</D:prop>",
    "<X:a>",
    "</X:a>",
    "<b/>",
    "text",
    "<!-- -->",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_any_bytes_are_understood_or_refused_with_a_reason(inner: str) -> None:
    for parse, body in ((parse_property_update, update(inner)), (parse_mkcol, mkcol(inner))):
        try:
            changes = parse(body)
        except Failure as refused:
            assert isinstance(refused, (NotWellFormed, SchemaInvalid))
            assert refused.issues[0].message
        else:
            assert all(
                change.name in ("{urn:x}a", "b", "{DAV:}set", "{DAV:}remove", "{DAV:}prop") for change in changes
            )


SMALL = update(setting("<X:a b='c'>&amp;</X:a>") + removing("<b/>"))


@pytest.mark.parametrize("end", range(len(SMALL)))
def test_a_body_cut_anywhere_is_ill_formed(end: int) -> None:
    with pytest.raises(NotWellFormed):
        parse_property_update(SMALL[:end])


def test_the_order_is_that_of_the_document_however_many() -> None:
    many = "".join((setting if n % 3 else removing)(f"<X:a{n:03}/>") for n in range(200))
    changes = parse_property_update(update(many))
    assert len(changes) == 200
    assert all(one.name < other.name for one, other in pairwise(changes))
    assert [change.value is None for change in changes] == [n % 3 == 0 for n in range(200)]
