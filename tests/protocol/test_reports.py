"""The bodies of REPORT: which report is asked for, and what of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from tests.xml_documents import check_xml

from partwise.errors import ExternalEntities, Failure, NotWellFormed, SchemaInvalid, TooLarge
from partwise.protocol.reports import (
    MAX_NESTING,
    MAX_PROPERTIES,
    Expand,
    ExpandProperty,
    Report,
    SyncCollection,
    UnknownReport,
    parse_report,
)

DECLARED = 'xmlns:D="DAV:" xmlns:X="urn:x"'
TOKEN = "<D:sync-token>urn:t:1</D:sync-token>"
ONE = "<D:sync-level>1</D:sync-level>"
PROP = "<D:prop><D:getetag/></D:prop>"
ETAG = ("{DAV:}getetag",)


def sync(*inner: str) -> bytes:
    return f"<D:sync-collection {DECLARED}>{''.join(inner)}</D:sync-collection>".encode()


def expand(inner: str) -> bytes:
    return f"<D:expand-property {DECLARED}>{inner}</D:expand-property>".encode()


def level(value: str) -> str:
    return f"<D:sync-level>{value}</D:sync-level>"


def limit(value: str) -> str:
    return f"<D:limit><D:nresults>{value}</D:nresults></D:limit>"


def prop(name: str, inner: str = "") -> str:
    return f'<D:property name="{name}">{inner}</D:property>'


# Every row is valid under the schema of its report too.
ASKED: list[tuple[bytes, Report]] = [
    (sync(TOKEN, ONE, PROP), SyncCollection("urn:t:1", False, None, ETAG)),
    # RFC 6578 §3.4: the initial synchronization.
    (sync("<D:sync-token/>", ONE, PROP), SyncCollection("", False, None, ETAG)),
    (sync("<D:sync-token></D:sync-token>", ONE, PROP), SyncCollection("", False, None, ETAG)),
    (sync(TOKEN, level("infinite"), PROP), SyncCollection("urn:t:1", True, None, ETAG)),
    (sync(TOKEN, level("\n infinite\t"), PROP), SyncCollection("urn:t:1", True, None, ETAG)),
    (sync(TOKEN, level("<!-- -->1<?a b?>"), PROP), SyncCollection("urn:t:1", False, None, ETAG)),
    (sync("<D:sync-token>\n urn:t:1 </D:sync-token>", ONE, PROP), SyncCollection("urn:t:1", False, None, ETAG)),
    (
        sync("<D:sync-token>http://h/?a=b&amp;c</D:sync-token>", PROP),
        SyncCollection("http://h/?a=b&c", None, None, ETAG),
    ),
    (sync(TOKEN, ONE, limit("1"), PROP), SyncCollection("urn:t:1", False, 1, ETAG)),
    (sync(TOKEN, ONE, limit(" 00100 "), PROP), SyncCollection("urn:t:1", False, 100, ETAG)),
    (sync(TOKEN, ONE, limit("9" * 18), PROP), SyncCollection("urn:t:1", False, 10**18 - 1, ETAG)),
    (sync(TOKEN, limit("0" * 5000 + "7"), PROP), SyncCollection("urn:t:1", None, 7, ETAG)),
    (sync(TOKEN, ONE, "<D:prop/>"), SyncCollection("urn:t:1", False, None, ())),
    (
        sync(TOKEN, ONE, "<D:prop><X:b/><a/><D:getetag/><X:b/></D:prop><X:new/>"),
        SyncCollection("urn:t:1", False, None, ("{urn:x}b", "a", "{DAV:}getetag")),
    ),
    (expand(""), ExpandProperty(())),
    (expand(prop("owner")), ExpandProperty((Expand("{DAV:}owner"),))),
    (expand(prop("b") + prop("a")), ExpandProperty((Expand("{DAV:}b"), Expand("{DAV:}a")))),
    (expand(prop(" größe\n")), ExpandProperty((Expand("{DAV:}größe"),))),
    (
        expand('<D:property name="a" namespace="urn:x"/><D:property name="b" namespace=""/>'),
        ExpandProperty((Expand("{urn:x}a"), Expand("b"))),
    ),
    (
        expand(prop("a", prop("b", prop("c")) + prop("d")) + prop("e")),
        ExpandProperty(
            (
                Expand("{DAV:}a", (Expand("{DAV:}b", (Expand("{DAV:}c"),)), Expand("{DAV:}d"))),
                Expand("{DAV:}e"),
            )
        ),
    ),
    # A name twice is one property, wanted with what is nested in either.
    (
        expand(prop("a", prop("b")) + prop("c") + prop("a", prop("d") + prop("b", prop("e")))),
        ExpandProperty(
            (
                Expand("{DAV:}a", (Expand("{DAV:}b", (Expand("{DAV:}e"),)), Expand("{DAV:}d"))),
                Expand("{DAV:}c"),
            )
        ),
    ),
    # RFC 4918 §17.
    (
        expand(f"<X:new>{prop('b')}</X:new><D:property name='a' X:c='' d=''><new/></D:property>"),
        ExpandProperty((Expand("{DAV:}a"),)),
    ),
]


@pytest.mark.parametrize(("body", "report"), ASKED)
def test_a_report_says_what_is_asked(body: bytes, report: Report) -> None:
    assert parse_report(body) == report
    check_xml(body)


# Taken although the schemas have no place for them: RFC 4918 §17.
@pytest.mark.parametrize(
    ("body", "report"),
    [
        (sync(PROP, limit("5"), ONE, TOKEN), SyncCollection("urn:t:1", False, 5, ETAG)),
        (sync("text", "<D:unknown/>", TOKEN, PROP), SyncCollection("urn:t:1", None, None, ETAG)),
        (expand(f"text<D:unknown>{prop('b')}</D:unknown>{prop('a', 'text')}"), ExpandProperty((Expand("{DAV:}a"),))),
        # A token that was not given out here is the action's to refuse.
        (sync("<D:sync-token>no URI</D:sync-token>", PROP), SyncCollection("no URI", None, None, ETAG)),
    ],
)
def test_order_unknown_elements_and_text_are_ignored(body: bytes, report: Report) -> None:
    assert parse_report(body) == report


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'<D:version-tree xmlns:D="DAV:"/>', "{DAV:}version-tree"),
        (b'<sync-collection xmlns="urn:x"/>', "{urn:x}sync-collection"),
        (b"<expand-property><property/></expand-property>", "expand-property"),
        (b'<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>', "{DAV:}propfind"),
    ],
)
def test_another_report_is_named(body: bytes, name: str) -> None:
    assert parse_report(body) == UnknownReport(name)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (sync(), "must hold a sync-token"),
        (sync(ONE, PROP), "must hold a sync-token"),
        (sync("<sync-token/>", ONE, PROP), "must hold a sync-token"),
        (sync(TOKEN, TOKEN, PROP), "only one sync-token"),
        (sync(TOKEN, ONE), "must hold a prop"),
        (sync(TOKEN, ONE, "<X:new>" + PROP + "</X:new>"), "must hold a prop"),
        (sync(TOKEN, ONE, PROP, PROP), "only one prop"),
        (sync(TOKEN, ONE, ONE, PROP), "only one sync-level"),
        (sync(TOKEN, level(""), PROP), "must be 1 or infinite"),
        (sync(TOKEN, level("0"), PROP), "must be 1 or infinite"),
        (sync(TOKEN, level("infinity"), PROP), "must be 1 or infinite"),
        (sync(TOKEN, level("Infinite"), PROP), "must be 1 or infinite"),
        (sync(TOKEN, level("1 infinite"), PROP), "must be 1 or infinite"),
        (sync(TOKEN, level("\u00a01"), PROP), "must be 1 or infinite"),
        (sync(TOKEN, ONE, "<D:limit/>", PROP), "must hold a nresults"),
        (sync(TOKEN, ONE, limit("1"), limit("1"), PROP), "only one limit"),
        (
            sync(TOKEN, ONE, "<D:limit><D:nresults>1</D:nresults><D:nresults>1</D:nresults></D:limit>", PROP),
            "only one nresults",
        ),
        *(
            (sync(TOKEN, ONE, limit(count), PROP), "positive integer")
            for count in ("", "0", "-1", "+1", "1.0", "1e3", "0x1", "1 0", "1_0", "٣", "9" * 19, "0" * 50)
        ),
        (expand("<D:property/>"), "name of an XML element"),
        (expand('<D:property X:name="a"/>'), "name of an XML element"),
        *((expand(prop(name)), "name of an XML element") for name in ("", " ", "a b", "1", "a:b", "-", "a}b", "&lt;")),
        (expand(prop("a", prop("b:c"))), "name of an XML element"),
    ],
)
def test_readable_and_wrong_is_422_under_the_schema_too(body: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalid, match=words) as refused:
        parse_report(body)
    assert refused.value.status == 422
    assert [issue.line for issue in refused.value.issues] == [1]
    with pytest.raises(AssertionError):
        check_xml(body)


@pytest.mark.parametrize("namespace", ["a b", "%2", "a}b", "{", "http://www.w3.org/2000/xmlns/"])
def test_a_namespace_that_no_document_can_declare_is_422(namespace: str) -> None:
    with pytest.raises(SchemaInvalid, match="name of an XML element"):
        parse_report(expand(f'<D:property name="a" namespace="{namespace}"/>'))


def test_the_rules_of_all_bodies_hold() -> None:
    for body in (b"", b" ", b"<", b"<a:b/>"):
        with pytest.raises(NotWellFormed):
            parse_report(body)
    with pytest.raises(ExternalEntities):
        parse_report(b"<!DOCTYPE a>" + sync(TOKEN, ONE, PROP))


def nested(levels: int) -> str:
    return '<D:property name="a">' * levels + "</D:property>" * levels


def test_nesting_up_to_the_limit() -> None:
    report = parse_report(expand(nested(MAX_NESTING)))
    assert isinstance(report, ExpandProperty)
    levels, found = 0, report.properties
    while found:
        levels, found = levels + 1, found[0].nested
    assert levels == MAX_NESTING
    with pytest.raises(TooLarge, match="8 levels") as refused:
        parse_report(expand(prop("b") + nested(MAX_NESTING + 1)))
    assert refused.value.limit == MAX_NESTING


def test_properties_up_to_the_limit_on_all_levels() -> None:
    half = "".join(prop(f"a{n}") for n in range(MAX_PROPERTIES // 2 - 1))
    two_levels = half + prop("b", half) + prop("c")
    report = parse_report(expand(two_levels))
    assert isinstance(report, ExpandProperty)
    assert len(report.properties) + sum(len(wanted.nested) for wanted in report.properties) == MAX_PROPERTIES
    # What names the same counts too: reading it is work.
    with pytest.raises(TooLarge, match="256") as refused:
        parse_report(expand(two_levels + prop("c")))
    assert refused.value.limit == MAX_PROPERTIES


NAMES = st.from_regex(r"[A-Za-zé_][A-Za-z0-9._é-]{0,8}", fullmatch=True)
SPACES = st.sampled_from(["DAV:", "urn:x", "http://example.org/a?b#c", ""])


@given(st.lists(st.tuples(SPACES, NAMES), max_size=8), st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]))
def test_names_are_the_same_in_both_reports(names: list[tuple[str, str]], encoding: str) -> None:
    collection, expanded = etree.Element("{DAV:}sync-collection"), etree.Element("{DAV:}expand-property")
    etree.SubElement(collection, "{DAV:}sync-token")
    wanted = etree.SubElement(collection, "{DAV:}prop")
    for space, name in names:
        etree.SubElement(wanted, etree.QName(space or None, name))
        etree.SubElement(expanded, "{DAV:}property", name=name, namespace=space)
    expected = tuple(dict.fromkeys(f"{{{space}}}{name}" if space else name for space, name in names))
    body = etree.tostring(collection, encoding=encoding, xml_declaration=True)
    assert parse_report(body) == SyncCollection("", None, None, expected)
    body = etree.tostring(expanded, encoding=encoding, xml_declaration=True)
    assert parse_report(body) == ExpandProperty(tuple(Expand(name) for name in expected))


@given(st.text() | st.text("ab:}{ -1é\u0300\U00010000", max_size=4), st.text("a:/%{} #é", max_size=4))
def test_any_property_asked_for_can_be_answered(name: str, namespace: str) -> None:
    root = etree.Element("{DAV:}expand-property")
    try:
        etree.SubElement(root, "{DAV:}property", name=name, namespace=namespace)
    except ValueError:  # what no attribute can hold
        return
    try:
        report = parse_report(etree.tostring(root, encoding="utf-8"))
    except SchemaInvalid:
        return
    assert isinstance(report, ExpandProperty)
    (wanted,) = report.properties
    assert parse_report(etree.tostring(etree.Element(wanted.name), encoding="utf-8")) == UnknownReport(wanted.name)


FRAGMENTS = [
    *"<>&:= /1",
    "<D:property>",
    '<D:property name="a">',
    "</D:property>",
    TOKEN,
    ONE,
    PROP,
    limit("3"),
    "<D:limit>",
    "</D:limit>",
    "<!-- -->",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_any_bytes_are_understood_or_refused_with_a_reason(inner: str) -> None:
    for body, kind in ((sync(inner), SyncCollection), (expand(inner), ExpandProperty)):
        try:
            report = parse_report(body)
        except Failure as refused:
            assert isinstance(refused, (NotWellFormed, SchemaInvalid))
            assert refused.issues[0].message
        else:
            assert isinstance(report, kind)
