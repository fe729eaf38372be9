"""Request bodies in XML: what is refused before it is read, and what a PROPFIND asks for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from tests.xml_documents import check_xml

from partwise.errors import ExternalEntities, Failure, NotWellFormed, SchemaInvalid
from partwise.protocol.propfind import AllProp, Prop, PropFind, PropName
from partwise.protocol.xml_bodies import parse_body, parse_propfind

OPEN, CLOSE = '<D:propfind xmlns:D="DAV:" xmlns:X="urn:x">', "</D:propfind>"


def propfind(inner: str) -> bytes:
    return f"{OPEN}{inner}{CLOSE}".encode()


# Every row is valid under propfind.xsd too, so that the schema and the reader tell the same story.
ASKED: list[tuple[str, PropFind]] = [
    ("<D:allprop/>", AllProp()),
    ("<D:allprop></D:allprop>", AllProp()),
    ("<D:propname/>", PropName()),
    ("<D:prop/>", Prop(())),
    ("<D:prop><D:getetag/></D:prop>", Prop(("{DAV:}getetag",))),
    ("<D:prop><D:getetag/><X:a/><b/></D:prop>", Prop(("{DAV:}getetag", "{urn:x}a", "b"))),
    ('<D:prop><bar xmlns=""/><getetag xmlns="DAV:"/></D:prop>', Prop(("bar", "{DAV:}getetag"))),
    ("<D:prop><X:b/><X:a/><X:b/></D:prop>", Prop(("{urn:x}b", "{urn:x}a"))),
    ("<D:prop><X:größe/></D:prop>", Prop(("{urn:x}größe",))),
    ("<D:prop><X:a><X:b/></X:a></D:prop>", Prop(("{urn:x}a",))),
    ("<D:prop><!-- a --><?b c?><X:a/></D:prop>", Prop(("{urn:x}a",))),
    ("<D:allprop/><D:include><X:a/><D:getetag/></D:include>", AllProp(("{urn:x}a", "{DAV:}getetag"))),
    ("<D:allprop/><D:include/>", AllProp()),
    # RFC 4918 §17: "Element ordering is irrelevant unless otherwise stated".
    ("<D:include><X:a/></D:include><D:allprop/>", AllProp(("{urn:x}a",))),
    # §17: unexpected elements and attributes, "and all children of unrecognized elements", are not there.
    ("<X:new><D:propname/></X:new><D:allprop X:y='z' w=''/><new/>", AllProp()),
    ("<D:propname><X:new/></D:propname><X:new/>", PropName()),
    ("\n <D:prop>\n <X:a/>\n </D:prop> <!-- end -->\n", Prop(("{urn:x}a",))),
]


@pytest.mark.parametrize(("inner", "asked"), ASKED)
def test_propfind_says_what_is_asked(inner: str, asked: PropFind) -> None:
    body = propfind(inner)
    assert parse_propfind(body) == asked
    check_xml(body)


def test_no_body_asks_for_all_properties() -> None:
    assert parse_propfind(b"") == AllProp()


# Taken although propfind.xsd has no place for them.
@pytest.mark.parametrize(
    ("inner", "asked"),
    [
        ("<D:unknown><D:propname/></D:unknown><D:allprop/>", AllProp()),
        ("text<D:prop>text<X:a/></D:prop>", Prop(("{urn:x}a",))),
    ],
)
def test_unknown_dav_elements_and_text_are_ignored(inner: str, asked: PropFind) -> None:
    assert parse_propfind(propfind(inner)) == asked


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'<D:include xmlns:D="DAV:"/>', "root element"),
        (b"<propfind><allprop/></propfind>", "root element"),
        (b'<propfind xmlns="dav:"><allprop/></propfind>', "root element"),
        (propfind(""), "must hold one of"),
        (propfind("<D:unknown/>"), "must hold one of"),
        (propfind("<allprop/>"), "must hold one of"),
        (propfind("<X:deeper><D:allprop/></X:deeper>"), "must hold one of"),
        (propfind("<D:include><X:a/></D:include>"), "must hold one of"),
        (propfind("<D:allprop/><D:prop/>"), "only one of"),
        (propfind("<D:prop/><D:propname/>"), "only one of"),
        (propfind("<D:allprop/><D:allprop/>"), "only one of"),
        (propfind("<D:prop/><D:include/>"), "beside allprop"),
        (propfind("<D:propname/><D:include/>"), "beside allprop"),
        (propfind("<D:allprop/><D:include/><D:include/>"), "only one include"),
    ],
)
def test_readable_and_wrong_is_422_under_the_schema_too(body: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalid, match=words) as refused:
        parse_propfind(body)
    assert refused.value.status == 422
    assert [issue.line for issue in refused.value.issues] == [1]
    with pytest.raises(AssertionError):
        check_xml(body)


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (b"<foo>", 1, "."),
        (b" ", 1, "Start tag expected"),
        (b"\0", 1, "empty"),
        (b"not XML", 1, "Start tag expected"),
        (b"<a>\n<b>\n</a>", 3, "mismatch: b line 2 and a"),
        (b"<a/><a/>", 1, "Extra content"),
        (b"<a b='1' b='2'/>", 1, "redefined"),
        (b"<a>&undeclared;</a>", 1, "'undeclared' not defined"),
        (b"<a>&#1;</a>", 1, "invalid"),
        (b"<a>\x01</a>", 1, "invalid"),
        (b"<a>\xff</a>", 1, "."),
        (b'<?xml version="1.0" encoding="unheard-of"?><a/>', 1, "Unsupported encoding"),
        (b"<!DOCTYPE", 1, "DOCTYPE"),
        (b"<a><!DOCTYPE a></a>", 1, "."),
        # Namespaces in XML: what litmus sends, and the like. The parser could repair these.
        (b'<D:propfind xmlns:D="DAV:"><D:prop><bar:foo xmlns:bar=""/></D:prop></D:propfind>', 1, "Empty XML namespace"),
        (b"<bar:foo/>", 1, "prefix bar on foo is not defined"),
        (b"<foo bar:baz=''/>", 1, "prefix bar for baz on foo is not defined"),
        (b"<a:b:c xmlns:a='u:'/>", 1, "'a:b:c'"),
        (b"<a xmlns:b='u:' xmlns:c='u:' b:d='' c:d=''/>", 1, "redefined"),
        (b"<a xmlns:xmlns='u:'/>", 1, "xmlns"),
    ],
)
def test_ill_formed_is_400_and_says_where(body: bytes, line: int, words: str) -> None:
    for parse in (parse_body, parse_propfind):
        with pytest.raises(NotWellFormed, match=words) as refused:
            parse(body)
        assert refused.value.status == 400
        (issue,) = refused.value.issues
        assert issue.line == line
        assert re.search(words, issue.message)
        assert f"line {line}" in refused.value.text


def test_an_error_is_not_that_of_an_earlier_body() -> None:
    for name in ("first", "second"):
        with pytest.raises(NotWellFormed, match=name):
            parse_body(f"<{name}:a/>".encode())


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(NotWellFormed) as refused:
        parse_body(b"<" + b"a" * 5000 + b":b/>")
    assert len(refused.value.issues[0].message) <= 200
    assert len(refused.value.text) < 400


ENTITIES = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 40))
DOCTYPES = [
    "<!DOCTYPE a>",
    "<!DOCTYPE a []>",
    "<!DOCTYPE a",
    "<!-- --><?a b?>\n <!DOCTYPE a>",
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    '<!DOCTYPE a PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:9/a.dtd">',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/a.dtd"> %x;]>',
    '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]>',
    f"<!DOCTYPE a [{ENTITIES}]>",
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "iso-8859-1"])
@pytest.mark.parametrize("doctype", DOCTYPES)
def test_a_doctype_is_refused_in_any_encoding(doctype: str, encoding: str) -> None:
    named = encoding.replace("-sig", "").replace("-le", "").replace("-be", "")
    body = f'<?xml version="1.0" encoding="{named}"?>{doctype}<a b="&a39;">&a39;</a>'.encode(encoding)
    with pytest.raises(ExternalEntities) as refused:
        parse_body(body)
    assert refused.value.status == 403
    assert refused.value.element == "D:no-external-entities"


def test_a_doctype_of_utf_7_is_refused() -> None:
    # An encoding in which no "<" may be seen in the bytes of the declaration.
    hidden = "+" + "ADwAIQBEAE8AQwBUAFkAUABFACAAYQA+" + "-"
    assert hidden.encode().decode("utf-7") == "<!DOCTYPE a>"
    with pytest.raises(Failure):
        parse_body(b'<?xml version="1.0" encoding="utf-7"?>' + hidden.encode() + b"<a/>")


def test_the_declaration_is_never_read() -> None:
    # What follows "<!DOCTYPE a [" is no declaration at all: had the parser read on, the body would be ill-formed.
    with pytest.raises(ExternalEntities):
        parse_body(b"<!DOCTYPE a [<<<>>>")


@pytest.mark.parametrize(
    "body", [b"<!-- <!DOCTYPE a> --><a/>", b"<a><![CDATA[<!DOCTYPE a>]]></a>", b'<a b="!DOCTYPE"/>']
)
def test_a_mention_of_a_doctype_is_none(body: bytes) -> None:
    assert parse_body(body).tag == "a"


@pytest.mark.parametrize(("depth", "limit"), [(1, 1), (64, 64), (200, 200)])
def test_depth_up_to_the_limit(depth: int, limit: int) -> None:
    # Siblings and comments are no depth.
    body = b"<a>" * depth + b"<!-- -->" + b"</a>" * depth
    assert parse_body(body, max_depth=limit).tag == "a"
    parse_body(b"<a>" + b"<a/>" * 500 + b"</a>", max_depth=2)


@pytest.mark.parametrize(("depth", "limit"), [(2, 1), (65, 64), (256, 64), (257, 64), (5000, 64), (300, 1000)])
def test_depth_beyond_the_limit(depth: int, limit: int) -> None:
    for filling in (b"", b"<b/>"):
        with pytest.raises(NotWellFormed, match="deeper") as refused:
            parse_body(b"<a>" * depth + filling + b"</a>" * depth, max_depth=limit)
        assert "HUGE" not in str(refused.value.issues)


def test_depth_is_bounded_by_default_for_propfind() -> None:
    deep = propfind("<D:prop>" + "<X:a>" * 63 + "</X:a>" * 63 + "</D:prop>")
    with pytest.raises(NotWellFormed, match="64 levels"):
        parse_propfind(deep)
    assert parse_propfind(deep, max_depth=65) == Prop(("{urn:x}a",))


def test_xml_id_is_an_attribute_like_any_other() -> None:
    assert parse_body(b'<a xml:id="1"><b xml:id="1"/></a>').tag == "a"


def test_xinclude_and_stylesheets_are_not_followed() -> None:
    xi = b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    root = parse_body(b'<?xml-stylesheet href="http://127.0.0.1:9/"?><a>' + xi + b"</a>")
    assert [child.tag for child in root] == ["{http://www.w3.org/2001/XInclude}include"]


FRAGMENTS = [
    b"<",
    b">",
    b"/>",
    b"</",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?",
    b"?>",
    b"&",
    b"&a;",
    b"&#0;",
    b"a",
    b":",
    b'"',
    b"'",
    b"=",
    b" ",
    b"\n",
    b"\0",
    b"\x7f",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"xmlns",
    b"DAV:",
    b'<?xml version="1.0" encoding="utf-16"?>',
    b'<D:propfind xmlns:D="DAV:">',
    b"<D:prop>",
    b"<D:allprop/>",
    b"</D:prop>",
    b"</D:propfind>",
]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=12).map(b"".join))
def test_any_bytes_are_understood_or_refused_with_a_reason(body: bytes) -> None:
    try:
        asked = parse_propfind(body)
    except Failure as refused:
        assert isinstance(refused, (NotWellFormed, SchemaInvalid))
        assert refused.issues
        assert refused.issues[0].message
        assert refused.text.isprintable()
    else:
        assert isinstance(asked, (AllProp, PropName, Prop))


NAMES = st.from_regex(r"[A-Za-zé_][A-Za-z0-9._é-]{0,8}", fullmatch=True)
SPACES = st.sampled_from(["DAV:", "urn:x", "http://example.org/a?b#c", ""])


@given(st.lists(st.tuples(SPACES, NAMES), max_size=8), st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]))
def test_names_come_back_in_clark_notation(names: list[tuple[str, str]], encoding: str) -> None:
    root = etree.Element("{DAV:}propfind")
    prop = etree.SubElement(root, "{DAV:}prop")
    for space, name in names:
        etree.SubElement(prop, etree.QName(space or None, name))
    expected = dict.fromkeys(f"{{{space}}}{name}" if space else name for space, name in names)
    body = etree.tostring(root, encoding=encoding, xml_declaration=True)
    assert parse_propfind(body) == Prop(tuple(expected))


SMALL = propfind("<!-- a --><D:prop><X:a b='c'>&amp;<![CDATA[d]]></X:a></D:prop>")


@pytest.mark.parametrize("end", range(1, len(SMALL)))
def test_a_body_cut_anywhere_is_ill_formed(end: int) -> None:
    with pytest.raises(NotWellFormed):
        parse_propfind(SMALL[:end])
