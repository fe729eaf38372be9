"""The schemas: each compiles and explains itself, takes the documents it should, and refuses others for the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lxml import etree
from tests.xml_documents import SCHEMAS, check_xml

from partwise.errors import Failure
from partwise.protocol.locking import SUPPORTED_LOCK

XS = "{http://www.w3.org/2001/XMLSchema}"
FILES = sorted(path.name for path in SCHEMAS.glob("*.xsd"))
NAMESPACES = 'xmlns:D="DAV:" xmlns:P="urn:partwise:batch" xmlns:X="urn:x"'


def document(root: str, inner: str) -> bytes:
    declaration = '<?xml version="1.0" encoding="utf-8"?>\n'
    return f"{declaration}<D:{root} {NAMESPACES}>{inner}</D:{root}>".encode()


def multistatus(*inner: str) -> bytes:
    return document("multistatus", "\n".join(inner))


def row(*after: str, href: str = "/a", status: str = "HTTP/1.1 200 OK") -> str:
    return f"<D:response><D:href>{href}</D:href><D:status>{status}</D:status>{''.join(after)}</D:response>"


def found(*properties: str) -> bytes:
    """A multistatus with these properties."""
    inner = f"<D:propstat><D:prop>{''.join(properties)}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
    return multistatus(f"<D:response><D:href>/a</D:href>{inner}</D:response>")


def items(*indexes: int, summary: str = "") -> bytes:
    return multistatus(*(row(f'<P:item index="{n}"/>', href=f"/{i}") for i, n in enumerate(indexes)), summary)


def total(n: int) -> str:
    return f'<P:summary items="{n}" stored="{n}" failed="0"/>'


# The document of the design, as the server writes it.
REPORT = """<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:P="urn:partwise:batch">
<D:response><D:href>/photos/a.jpg</D:href><D:status>HTTP/1.1 201 Created</D:status>\
<P:item index="1" name="a.jpg" size="48213" etag="&quot;1-bc55&quot;" \
digest="sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"/></D:response>
<D:response><D:href>/photos/b.xml</D:href><D:status>HTTP/1.1 422 Unprocessable Content</D:status><D:error>\
<P:schema-invalid><P:issue line="12" column="9" path="/order/date">'2026-02-31' is not a valid xs:date</P:issue>\
</P:schema-invalid></D:error><D:responsedescription>…</D:responsedescription>\
<P:item index="2" name="b.xml"/></D:response>
<D:responsedescription>2 items: 1 stored, 1 failed</D:responsedescription>
<P:summary items="2" stored="1" failed="1" bytes="48213" batch="0123456789abcdef" state="complete"/>
</D:multistatus>
""".encode()

EXCLUSIVE, WRITE = "<D:lockscope><D:exclusive/></D:lockscope>", "<D:locktype><D:write/></D:locktype>"
OWNER = "<D:owner><D:href>CORP\\ann lee</D:href> <X:b/> &amp; others</D:owner>"


def lock(
    scope: str = EXCLUSIVE,
    depth: str = "infinity",
    timeout: str = "Second-604800",
    token: str = "<D:href>urn:uuid:e71d4fae-5dec-22d6-fea5-00a0c91e6be4</D:href>",
    root: str = "<D:href>http://example.com/workspace/webdav/proposal.doc</D:href>",
) -> str:
    """The lock of RFC 4918 §9.10.7, changed as told."""
    return (
        f"<D:activelock>{scope}{WRITE}<D:depth>{depth}</D:depth>{OWNER}<D:timeout>{timeout}</D:timeout>"
        f"<D:locktoken>{token}</D:locktoken><D:lockroot>{root}</D:lockroot></D:activelock>"
    )


def locked(*locks: str) -> bytes:
    """The answer to a LOCK."""
    return document("prop", f"<D:lockdiscovery>{''.join(locks)}</D:lockdiscovery>")


def reports(*inner: str) -> bytes:
    supported = "".join(f"<D:supported-report>{one}</D:supported-report>" for one in inner)
    return found(f"<D:supported-report-set>{supported}</D:supported-report-set>")


# RFC 4918 §9.1.5, shortened.
PROPERTIES = found(
    "<D:creationdate>1997-12-01T17:42:21-08:00</D:creationdate>",
    "<D:displayname>Example HTML resource</D:displayname>",
    "<D:getcontentlanguage>en</D:getcontentlanguage>",
    "<D:getcontentlength>4525</D:getcontentlength>",
    "<D:getcontenttype>text/html; charset=utf-8</D:getcontenttype>",
    '<D:getetag>W/"zzyzx"</D:getetag>',
    "<D:getlastmodified>Mon, 12 Jan 1998 09:25:56 GMT</D:getlastmodified>",
    "<D:resourcetype><D:collection/></D:resourcetype>",
    f"<D:supportedlock>{SUPPORTED_LOCK}</D:supportedlock>",
    "<D:lockdiscovery/>",
    '<X:author X:a="b">text <X:name>and</X:name> elements</X:author>',
    "<null-namespace/>",
)

GOOD = {
    "report of a batch": REPORT,
    "no responses": multistatus(),
    "an empty batch": multistatus('<P:summary items="0" stored="0" failed="0" state="complete"/>'),
    "properties": PROPERTIES,
    "names of properties": found("<D:getcontentlength/><D:getlastmodified/><D:getetag/><D:creationdate/><X:a/>"),
    "two propstats": multistatus(
        "<D:response><D:href>/a</D:href>"
        '<D:propstat><D:prop><D:getetag>"1"</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>'
        "<D:propstat><D:prop><X:a/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>"
        "<D:responsedescription>No such property.</D:responsedescription></D:propstat></D:response>"
    ),
    "every child of a response": multistatus(
        row(
            "<D:error><P:damaged/></D:error><D:responsedescription>A sentence.</D:responsedescription>",
            "<D:location><D:href>http://example.org/b</D:href></D:location>",
            '<P:item index="1"/><X:more/><more/>',
        ),
        "<D:responsedescription/><D:sync-token>urn:x:1</D:sync-token>",
        total(1),
    ),
    "a dry run": multistatus(
        row('<P:item index="1" would="201"/>'),
        '<P:summary items="1" stored="0" failed="0" ignored="2" dry-run="true" state="complete"/>',
    ),
    "a replayed item": multistatus(row('<P:item index="1" replayed="1" content-id="&lt;a@b&gt;"/>')),
    "extension attributes": multistatus(
        '<D:response X:a="" b=""><D:href c="">/a</D:href><D:status>HTTP/1.1 200 OK</D:status></D:response>'
    ),
    "failures only": items(2, 5, 9, summary=total(9)),
    "from an index on": items(8, 9, summary=total(9)),
    "a cut-off report": items(1, 2),
    "hrefs": multistatus(
        *(
            row(href=href)
            for href in ("/", "/a/", "/a%20b/", "/a?b=c&amp;d=/?", "http://h/a", "urn:uuid:1", "/a//b", "/;'(!)")
        )
    ),
    "an error without a condition of its own": document("error", "<P:message>No such resource.</P:message>"),
    "an error with issues": document(
        "error",
        '<P:rule-failed more="3"><P:issue code="E7" path="/a/0">Too late.</P:issue></P:rule-failed>'
        "<P:message>The order is too late; order earlier.</P:message>",
    ),
    "a limit": document("error", '<P:too-large limit="1048576"/>'),
    "what is accepted": document(
        "error",
        "<P:unsupported-type><P:accepted>image/png</P:accepted><P:accepted>gzip</P:accepted></P:unsupported-type>",
    ),
    "the other resource": document("error", "<P:duplicate><D:href>/a</D:href></P:duplicate>"),
    "an item that failed": document("error", '<P:depends-on index="7"/>'),
    "locked": document("error", "<D:lock-token-submitted><D:href>/a</D:href></D:lock-token-submitted>"),
    "an issue in a condition of DAV:": document(
        "error", "<D:no-external-entities><P:issue>A DOCTYPE</P:issue></D:no-external-entities>"
    ),
    "somebody else's condition": document("error", "<X:unheard-of><X:a/></X:unheard-of>"),
    "our names as a client's property": found("<P:unheard-of/>"),
    "several locked": document(
        "error", "<D:lock-token-submitted><D:href>/a</D:href><D:href>/b</D:href></D:lock-token-submitted>"
    ),
    "a conflict of locks": document(
        "error", "<D:no-conflicting-lock><D:href>/a</D:href><D:href>/b/</D:href></D:no-conflicting-lock>"
    ),
    "a conflict with a lock that is not named": document("error", "<D:no-conflicting-lock/>"),
    "too many matches": multistatus(
        row(
            "<D:error><D:number-of-matches-within-limits/></D:error>",
            href="/a/",
            status="HTTP/1.1 507 Insufficient Storage",
        )
    ),
    # §15.8, §15.10; RFC 3253, 4331, 5397, 5995, 6578.
    "a lock": locked(lock()),
    "two locks": locked(
        lock("<D:lockscope><D:shared/></D:lockscope>", depth="0"),
        lock("<D:lockscope><X:a/><D:shared/></D:lockscope>", timeout="Infinite"),
    ),
    "no lock": locked(),
    "the least of a lock": locked(
        f"<D:activelock>{EXCLUSIVE}{WRITE}<D:depth>0</D:depth><D:lockroot><D:href>/</D:href></D:lockroot></D:activelock>"
    ),
    "locks as a property": found(f"<D:lockdiscovery>{lock()}</D:lockdiscovery>"),
    "other properties": found(
        "<D:quota-available-bytes>596650</D:quota-available-bytes><D:quota-used-bytes>0</D:quota-used-bytes>",
        "<D:current-user-principal><D:href>/-/users/ann</D:href></D:current-user-principal>",
        "<D:add-member><D:href>/a/?add-member</D:href></D:add-member>",
        "<D:sync-token>urn:x:1</D:sync-token>",
    ),
    "nobody": found("<D:current-user-principal><D:unauthenticated/></D:current-user-principal>"),
    "reports": reports(
        "<D:report><D:expand-property/></D:report>", "<D:report><X:sync-collection/></D:report><X:more/>"
    ),
    "no reports": reports(),
    "names of other properties": found(
        "<D:lockdiscovery/><D:supportedlock/><D:quota-available-bytes/><D:quota-used-bytes/><D:current-user-principal/>",
        "<D:add-member/><D:sync-token/><D:supported-report-set/>",
    ),
    # §14.11; that the reader and the schema agree is tested with the reader.
    "a lock without an owner": document("lockinfo", f"<X:a/>{EXCLUSIVE}<X:a/>{WRITE}<X:a/>"),
    "an owner of any kind": document("lockinfo", f"{EXCLUSIVE}{WRITE}{OWNER}"),
}

BAD = {
    # The document as such.
    "cut off": (REPORT[:-10], "not well-formed"),
    "a DOCTYPE": (b'<!DOCTYPE a><D:multistatus xmlns:D="DAV:"/>', "document type declaration"),
    "another root": (document("href", "/a"), "no schema for .*href"),
    "a root in no namespace": (b"<multistatus/>", "no schema for .*root multistatus"),
    # RFC 4918 §14.16, §14.24.
    "no href": (
        multistatus("<D:response><D:status>HTTP/1.1 200 OK</D:status></D:response>"),
        r"status.*Expected is.*href",
    ),
    "no status": (multistatus("<D:response><D:href>/a</D:href></D:response>"), "Missing child.*propstat.*status"),
    "status before href": (
        multistatus("<D:response><D:status>HTTP/1.1 200 OK</D:status><D:href>/a</D:href></D:response>"),
        "status.*Expected is.*href",
    ),
    "status and propstat": (
        multistatus(row("<D:propstat><D:prop/><D:status>HTTP/1.1 200 OK</D:status></D:propstat>")),
        "propstat.*not expected",
    ),
    "two statuses": (multistatus(row("<D:status>HTTP/1.1 200 OK</D:status>")), "status.*not expected"),
    "error after description": (
        multistatus(row("<D:responsedescription/><D:error><P:damaged/></D:error>")),
        "error.*not expected",
    ),
    "item before error": (
        multistatus(row('<P:item index="1"/><D:error><P:damaged/></D:error>')),
        "error.*not expected",
    ),
    "response after summary": (multistatus(total(0), row()), "response.*not expected"),
    "response after description": (multistatus("<D:responsedescription/>", row()), "response.*not expected"),
    "text between responses": (multistatus("text"), "Character content"),
    "propstat without status": (
        multistatus("<D:response><D:href>/a</D:href><D:propstat><D:prop/></D:propstat></D:response>"),
        "Missing child.*status",
    ),
    "an unknown DAV: element": (multistatus(row("<D:unheard-of/>")), "unheard-of.*not expected"),
    "location without href": (multistatus(row("<D:location>/b</D:location>")), "location"),
    # §14.28.
    "a bare number": (multistatus(row(status="200")), "status.*pattern"),
    "another version": (multistatus(row(status="HTTP/2 200 OK")), "status.*pattern"),
    "no such class": (multistatus(row(status="HTTP/1.1 600 Odd")), "status.*pattern"),
    # §8.3.
    "a relative href": (multistatus(row(href="a/b")), "href.*pattern"),
    "no href text": (multistatus(row(href="")), "href.*pattern"),
    "a network path": (multistatus(row(href="//host/a")), "href.*pattern"),
    "a space": (multistatus(row(href="/a b")), "href.*pattern"),
    "a letter not encoded": (multistatus(row(href="/ä")), "href.*pattern"),
    "half an escape": (multistatus(row(href="/a%2")), "href.*not a valid value"),
    "a fragment": (multistatus(row(href="/a#b")), "href.*pattern"),
    "the same href twice": (multistatus(row(), row(href="/b"), row()), "two responses for the href /a"),
    # §15.
    "a length with a unit": (found("<D:getcontentlength>1 kB</D:getcontentlength>"), "getcontentlength"),
    "a negative length": (found("<D:getcontentlength>-1</D:getcontentlength>"), "getcontentlength"),
    "a date of RFC 3339": (found("<D:getlastmodified>1998-01-12T09:25:56Z</D:getlastmodified>"), "getlastmodified"),
    "a date of one digit": (
        found("<D:getlastmodified>Mon, 5 Jan 1998 09:25:56 GMT</D:getlastmodified>"),
        "getlastmodified",
    ),
    "a local date": (found("<D:creationdate>1997-12-01T17:42:21</D:creationdate>"), "creationdate"),
    "no such day": (found("<D:creationdate>1997-02-30T17:42:21Z</D:creationdate>"), "creationdate"),
    "a tag without quotes": (found("<D:getetag>abc</D:getetag>"), "getetag"),
    "no media type": (found("<D:getcontenttype>text</D:getcontenttype>"), "getcontenttype"),
    "text as a type": (found("<D:resourcetype>collection</D:resourcetype>"), "resourcetype.*Character content"),
    "an unknown type": (found("<D:resourcetype><D:file/></D:resourcetype>"), "file.*not expected"),
    "text in collection": (
        found("<D:resourcetype><D:collection>1</D:collection></D:resourcetype>"),
        "Character content",
    ),
    # The batch.
    "no index": (multistatus(row("<P:item/>")), "attribute 'index' is required"),
    "index 0": (multistatus(row('<P:item index="0"/>')), "index"),
    "a misspelt attribute": (multistatus(row('<P:item index="1" sise="2"/>')), "'sise' is not allowed"),
    "a size of words": (multistatus(row('<P:item index="1" size="big"/>')), "size"),
    "an etag without quotes": (multistatus(row('<P:item index="1" etag="abc"/>')), "etag"),
    "would it": (multistatus(row('<P:item index="1" would="yes"/>')), "would"),
    "text in item": (multistatus(row('<P:item index="1">a</P:item>')), "item.*content"),
    "no counts": (multistatus('<P:summary items="0"/>'), "attribute 'stored' is required"),
    "no such state": (multistatus('<P:summary items="0" stored="0" failed="0" state="done"/>'), "state"),
    "a batch name with a slash": (multistatus('<P:summary items="0" stored="0" failed="0" batch="a/b"/>'), "batch"),
    "dry-run of words": (multistatus('<P:summary items="0" stored="0" failed="0" dry-run="yes"/>'), "dry-run"),
    "descending": (items(1, 3, 2, summary=total(9)), "do not ascend"),
    "the same index": (items(1, 1), "do not ascend"),
    "a gap": (items(1, 3, summary=total(2)), "have gaps"),
    "not from 1": (items(2, 3, summary=total(2)), "have gaps"),
    "more rows than items": (items(1, 2, summary=total(1)), "2 rows"),
    "two items": (multistatus(row('<P:item index="1"/><P:item index="2"/>')), "two items"),
    "two summaries": (multistatus(total(0), total(0)), "two summaries"),
    "a summary in a response": (multistatus(row(total(0))), "summary stands in"),
    "an item outside": (multistatus('<P:item index="1"/>'), "item stands in"),
    "an unknown batch element": (multistatus(row("<P:itme/>")), "itme is not in batch.xsd|itme stands in"),
    # §14.5, §16.
    "an empty error": (document("error", ""), "error.*Missing child"),
    "an error of text": (document("error", "locked"), "error.*Character content"),
    "an unknown DAV: condition": (document("error", "<D:need-privilege/>"), "need-privilege.*not expected"),
    "an unknown condition": (document("error", "<P:schema-invalidated/>"), "schema-invalidated"),
    "text in a condition": (document("error", "<P:schema-invalid>at line 3</P:schema-invalid>"), "Character content"),
    "a lock without its resource": (document("error", "<D:lock-token-submitted/>"), "Missing child.*href"),
    "text in a DAV: condition": (
        document("error", "<D:no-external-entities>x</D:no-external-entities>"),
        "Character content",
    ),
    "a relative href in a condition": (
        document("error", "<P:duplicate><D:href>a</D:href></P:duplicate>"),
        "href.*pattern",
    ),
    "line 0": (document("error", '<P:malformed><P:issue line="0">a</P:issue></P:malformed>'), "line"),
    "elements in an issue": (
        document("error", "<P:malformed><P:issue><X:a/></P:issue></P:malformed>"),
        "issue.*content",
    ),
    "an issue by itself": (document("error", "<P:issue>a</P:issue>"), "no condition"),
    "a condition by itself": (multistatus(row("<P:damaged/>")), "damaged stands in"),
    "a condition in a condition": (document("error", "<P:malformed><P:damaged/></P:malformed>"), "damaged"),
    "accepting nothing": (document("error", "<P:unsupported-type><P:accepted/></P:unsupported-type>"), "accepted"),
    "a limit of words": (document("error", '<P:too-large limit="1 GB"/>'), "limit"),
    "a misspelt limit": (document("error", '<P:too-large limt="1"/>'), "'limt' is not allowed"),
    "depends on what": (document("error", "<P:depends-on/>"), "attribute 'index' is required"),
    "an index elsewhere": (document("error", '<P:damaged index="1"/>'), "'index' is not allowed"),
    "an empty message": (document("error", "<P:message/>"), "message"),
    # §14.20; that the reader and the schema agree is tested with the reader.
    "asking for nothing": (document("propfind", ""), "propfind.*Missing child"),
    "asking twice": (document("propfind", "<D:allprop/><D:prop/>"), "prop.*not expected"),
    "include alone": (document("propfind", "<D:include/>"), "include.*not expected|Missing child.*allprop"),
    "text in allprop": (document("propfind", "<D:allprop>yes</D:allprop>"), "Character content"),
    # Locks.
    "a token without href": (locked(lock(token="urn:a")), "locktoken.*Character content"),
    "two tokens": (locked(lock(token="<D:href>urn:a</D:href><D:href>urn:b</D:href>")), "href.*not expected"),
    "no token": (locked(lock(token="")), "locktoken.*Missing child"),
    "no root": (locked(lock(root="")), "lockroot.*Missing child"),
    "a relative root": (locked(lock(root="<D:href>a</D:href>")), "href.*pattern"),
    "a lock of depth 1": (locked(lock(depth="1")), "depth"),
    "Infinity": (locked(lock(depth="Infinity")), "depth"),
    "no depth": (locked(lock(depth="")), "depth"),
    "minutes": (locked(lock(timeout="Minute-1")), "timeout"),
    "seconds below zero": (locked(lock(timeout="Second--1")), "timeout"),
    "no scope": (locked(lock("<D:lockscope/>")), "lockscope.*Missing child"),
    "both scopes": (locked(lock("<D:lockscope><D:exclusive/><D:shared/></D:lockscope>")), "shared.*not expected"),
    "a lock in disorder": (locked(lock(f"{WRITE}{EXCLUSIVE}")), "locktype.*Expected is.*lockscope"),
    "a token at large": (locked("<D:locktoken><D:href>urn:a</D:href></D:locktoken>"), "locktoken.*not expected"),
    "an empty lockentry": (found("<D:supportedlock><D:lockentry/></D:supportedlock>"), "lockentry.*Missing child"),
    "half a lockentry": (
        found(f"<D:supportedlock><D:lockentry>{EXCLUSIVE}</D:lockentry></D:supportedlock>"),
        "lockentry.*Missing child",
    ),
    "an unknown lock": (found("<D:supportedlock><D:lock/></D:supportedlock>"), "lock.*not expected"),
    "a lock of nothing": (document("lockinfo", ""), "lockinfo.*Missing child"),
    "a lock of no type": (document("lockinfo", EXCLUSIVE), "lockinfo.*Missing child"),
    "a lock of type read": (
        document("lockinfo", f"{EXCLUSIVE}<D:locktype><D:read/></D:locktype>"),
        "read.*not expected",
    ),
    "two owners": (document("lockinfo", f"{OWNER}{EXCLUSIVE}{WRITE}{OWNER}"), "owner.*not expected"),
    # Properties of other RFCs.
    "a quota with a unit": (found("<D:quota-available-bytes>1 GB</D:quota-available-bytes>"), "quota-available-bytes"),
    "a use below zero": (found("<D:quota-used-bytes>-1</D:quota-used-bytes>"), "quota-used-bytes"),
    "a user by name": (found("<D:current-user-principal>ann</D:current-user-principal>"), "Character content"),
    "somebody and nobody": (
        found("<D:current-user-principal><D:href>/a</D:href><D:unauthenticated/></D:current-user-principal>"),
        "unauthenticated.*not expected",
    ),
    "text in add-member": (found("<D:add-member>/a</D:add-member>"), "Character content"),
    "a sync-token of words": (found("<D:sync-token>7</D:sync-token>"), "sync-token"),
    "a report at large": (
        found("<D:supported-report-set><D:report><X:a/></D:report></D:supported-report-set>"),
        "report.*not expected",
    ),
    "a report of nothing": (reports("<D:report/>"), "report.*Missing child"),
    "a report twice": (reports("<D:report><X:a/><X:b/></D:report>"), "b.*not expected"),
    "matches beyond": (
        document("error", "<D:number-of-matches-within-limits>9</D:number-of-matches-within-limits>"),
        "Character content",
    ),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_good_documents(body: bytes) -> None:
    root = check_xml(body)
    assert etree.QName(root).namespace == "DAV:"


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_bad_documents_fail_for_the_reason(body: bytes, words: str) -> None:
    with pytest.raises(AssertionError) as refused:
        check_xml(body)
    reason = str(refused.value).split("\nin the document ")[0]
    assert re.search(words, reason), reason


def test_a_failed_check_shows_the_beginning_of_the_document() -> None:
    with pytest.raises(AssertionError, match=r"in the document b.<D:unheard-of.*…") as refused:
        check_xml(b"<D:unheard-of xmlns:D='DAV:'>" + b" " * 100_000 + b"</D:unheard-of>")
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize("name", FILES)
def test_every_schema_compiles_by_itself(name: str) -> None:
    schema = etree.XMLSchema(file=str(SCHEMAS / name))
    assert not schema.error_log


def declarations(name: str) -> Iterator[etree._Element]:
    root = etree.parse(str(SCHEMAS / name)).getroot()
    for kind in ("element", "attribute"):
        yield from (element for element in root.iter(XS + kind) if element.get("name"))
    yield root


@pytest.mark.parametrize("name", FILES)
def test_every_schema_element_and_attribute_is_documented(name: str) -> None:
    for declared in declarations(name):
        text = declared.findtext(f"{XS}annotation/{XS}documentation") or ""
        assert len(text.split()) >= 3, f"{declared.get('name')} at line {declared.sourceline}"


def failures(base: type[Failure] = Failure) -> Iterator[type[Failure]]:
    yield base
    for refined in base.__subclasses__():
        if refined.__module__ == "partwise.errors":
            yield from failures(refined)


@pytest.mark.parametrize("element", sorted({failure.element for failure in failures() if failure.element}))
def test_every_failure_has_its_condition_in_a_schema(element: str) -> None:
    # RFC 4918 §16: "lock-token-submitted (href+)"; the others may be empty.
    inner = "<D:href>/a</D:href>" if element == "D:lock-token-submitted" else ""
    check_xml(document("error", f"<{element}>{inner}</{element}>"))
