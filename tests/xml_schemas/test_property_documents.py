"""The schemas of properties changed and synchronized; that the readers agree with them is tested with the readers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import xml_documents
from tests.xml_documents import SCHEMAS, check_xml

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
NAMESPACES = 'xmlns:D="DAV:" xmlns:P="urn:partwise:batch" xmlns:X="urn:x"'


def document(root: str, inner: str = "", attributes: str = "") -> bytes:
    return f"{DECLARATION}<D:{root} {NAMESPACES}{attributes}>{inner}</D:{root}>".encode()


def propstat(*properties: str, status: str = "HTTP/1.1 200 OK", after: str = "") -> str:
    return f"<D:propstat><D:prop>{''.join(properties)}</D:prop><D:status>{status}</D:status>{after}</D:propstat>"


FORBIDDEN = "HTTP/1.1 403 Forbidden"
DEPENDENCY = "HTTP/1.1 424 Failed Dependency"
ROW = f"<D:response><D:href>/a</D:href>{propstat('<X:a/>')}</D:response>"

# RFC 4918 §9.2.2, RFC 5689 §3, RFC 6578 §3, RFC 3253 §3.8: shaped like the examples there.
AUTHORS = """
<D:set><D:prop><X:authors><X:Author>Jim Whitehead</X:Author><X:Author>Roy Fielding</X:Author></X:authors></D:prop></D:set>
<D:remove><D:prop><X:Copyright-Owner/></D:prop></D:remove>
"""
MKCOL = """
<D:set><D:prop><D:resourcetype><D:collection/><X:special-resource/></D:resourcetype>
<D:displayname>Special Resource</D:displayname></D:prop></D:set>
"""
SYNC = """<D:sync-token>http://example.com/ns/sync/1232</D:sync-token><D:sync-level>1</D:sync-level>
<D:limit><D:nresults>100</D:nresults></D:limit><D:prop xmlns:R="urn:r"><D:getetag/><R:bigbox/></D:prop>"""
EXPAND = """<D:property name="version-history"><D:property name="version-set">
<D:property name="creator-displayname" namespace="DAV:"/><D:property name="activity-set" namespace="urn:x"/>
</D:property></D:property>"""

GOOD = {
    "set and remove": document("propertyupdate", AUTHORS),
    "a language": document("propertyupdate", '<D:set xml:lang="de"><D:prop/></D:set>', ' xml:lang="en"'),
    "extensions of an update": document("propertyupdate", f"<X:a/>{AUTHORS}<b/><X:c>d</X:c>", ' X:e="" f=""'),
    "our names as a client's property": document("propertyupdate", "<D:set><D:prop><P:item/></D:prop></D:set>"),
    "a special collection": document("mkcol", MKCOL),
    "several sets": document("mkcol", f"<X:a/>{MKCOL}<b/>{MKCOL}"),
    "a changed collection": document("sync-collection", SYNC),
    "the first time": document("sync-collection", "<D:sync-token/><D:prop/>"),
    "hrefs expanded": document("expand-property", EXPAND),
    "nothing expanded": document("expand-property"),
    "no collection made": document(
        "mkcol-response",
        propstat(
            "<D:getetag/>",
            status=FORBIDDEN,
            after="<D:error><D:cannot-modify-protected-property/></D:error><D:responsedescription/>",
        )
        + propstat("<D:displayname/>", status=DEPENDENCY),
    ),
    "our condition about a property": document(
        "mkcol-response",
        propstat("<X:a/>", status="HTTP/1.1 413 Content Too Large", after="<D:error><P:too-large/></D:error>"),
    ),
    "an update answered": document(
        "multistatus",
        f"<D:response><D:href>/a</D:href>{propstat('<X:authors/>', status=DEPENDENCY)}"
        f"{propstat('<X:Copyright-Owner/>', status='HTTP/1.1 409 Conflict')}"
        "<D:responsedescription>Copyright Owner cannot be deleted or altered.</D:responsedescription></D:response>",
    ),
    "changes and a token": document(
        "multistatus",
        f"{ROW}<D:response><D:href>/b</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>"
        "<D:sync-token>http://example.com/ns/sync/1234</D:sync-token>",
    ),
    "no changes": document("multistatus", "<D:sync-token>urn:t:1</D:sync-token>"),
    "a token, then extensions": document(
        "multistatus",
        '<D:responsedescription/><D:sync-token X:a="">urn:t:1</D:sync-token><X:a/>'
        '<P:summary items="0" stored="0" failed="0"/>',
    ),
    "a truncated answer": document(
        "multistatus",
        f"{ROW}<D:response><D:href>/</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>"
        "<D:sync-token>urn:t:1</D:sync-token>",
    ),
}

BAD = {
    # RFC 4918 §14.19, §14.26, §14.23.
    "no instruction": (document("propertyupdate"), "propertyupdate.*Missing child"),
    "set without prop": (document("propertyupdate", "<D:set/>"), "set.*Missing child"),
    "remove without prop": (document("propertyupdate", "<D:remove><X:a/></D:remove>"), "remove.*Missing child"),
    "prop without set": (document("propertyupdate", "<D:prop/>"), "prop.*not expected"),
    "two props": (document("propertyupdate", "<D:set><D:prop/><D:prop/></D:set>"), "prop.*not expected"),
    "text in an update": (document("propertyupdate", f"text{AUTHORS}"), "Character content"),
    "an unknown instruction": (document("propertyupdate", f"{AUTHORS}<D:replace/>"), "replace.*not expected"),
    # RFC 5689 §5.
    "mkcol of nothing": (document("mkcol"), "mkcol.*Missing child.*set"),
    "mkcol removes": (document("mkcol", AUTHORS), "remove.*not expected"),
    "a response of nothing": (document("mkcol-response"), "mkcol-response.*Missing child.*propstat"),
    "a response with a status": (
        document("mkcol-response", f"<D:status>{FORBIDDEN}</D:status>"),
        "status.*not expected",
    ),
    "a response with hrefs": (document("mkcol-response", ROW), "response.*not expected"),
    "a condition out of place": (
        document("mkcol-response", f"{propstat('<X:a/>')}<P:damaged/>"),
        "damaged stands in",
    ),
    "no such condition": (
        document("mkcol-response", propstat("<X:a/>", after="<D:error><D:valid-resource-type/></D:error>")),
        "valid-resource-type.*not expected",
    ),
    # RFC 6578 §6.
    "a token in no place": (
        document("multistatus", f"<D:sync-token>urn:t:1</D:sync-token>{ROW}"),
        "response.*not expected",
    ),
    "two tokens": (document("multistatus", "<D:sync-token>urn:t</D:sync-token>" * 2), "sync-token.*not expected"),
    "an empty token": (document("multistatus", "<D:sync-token/>"), "sync-token.*pattern"),
    "a token that is no URI": (document("multistatus", "<D:sync-token>a b</D:sync-token>"), "sync-token.*pattern"),
    "asking without a token": (
        document("sync-collection", "<D:sync-level>1</D:sync-level><D:prop/>"),
        "Expected is.*sync-token",
    ),
    "asking with a word": (document("sync-collection", "<D:sync-token>a b</D:sync-token><D:prop/>"), "sync-token"),
    "a depth": (
        document("sync-collection", "<D:sync-token/><D:sync-level>infinity</D:sync-level><D:prop/>"),
        "sync-level.*enumeration",
    ),
    "a limit of 0": (
        document("sync-collection", "<D:sync-token/><D:limit><D:nresults>0</D:nresults></D:limit><D:prop/>"),
        "nresults.*pattern",
    ),
    "a limit of nothing": (document("sync-collection", "<D:sync-token/><D:limit/><D:prop/>"), "limit.*Missing child"),
    "no properties": (document("sync-collection", "<D:sync-token/>"), "Missing child.*prop"),
    # RFC 3253 §3.8.
    "a property without a name": (document("expand-property", "<D:property/>"), "'name' is required"),
    "a name with a prefix": (document("expand-property", '<D:property name="D:a"/>'), "name.*NCName"),
    "a property as an element": (document("expand-property", "<D:prop/>"), "prop.*not expected"),
    "text between properties": (document("expand-property", "owner"), "Character content"),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_good_documents(body: bytes) -> None:
    check_xml(body)


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_bad_documents_fail_for_the_reason(body: bytes, words: str) -> None:
    with pytest.raises(AssertionError) as refused:
        check_xml(body)
    reason = str(refused.value).split("\nin the document ")[0]
    assert re.search(words, reason), reason


def test_what_clients_gave_is_theirs_also_in_a_lock() -> None:
    owner = "<D:owner><P:item/><P:unheard-of/></D:owner>"
    lock = (
        "<D:activelock><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>"
        f"<D:depth>infinity</D:depth>{owner}<D:timeout>Second-60</D:timeout>"
        "<D:locktoken><D:href>urn:uuid:1</D:href></D:locktoken><D:lockroot><D:href>/a</D:href></D:lockroot></D:activelock>"
    )
    check_xml(document("prop", f"<D:lockdiscovery>{lock}</D:lockdiscovery>"))


def test_every_schema_of_a_document_is_used() -> None:
    shared = {"webdav-common.xsd", "batch.xsd"}
    assert set(xml_documents.DOCUMENTS.values()) | shared == {path.name for path in Path(SCHEMAS).glob("*.xsd")}
