"""Timeout, Lock-Token and lockinfo as clients send them, and the locks that are told to them."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from tests.xml_documents import check_xml

from partwise.errors import ExternalEntities, Failure, Malformed, NotWellFormed, SchemaInvalid, TooLarge
from partwise.protocol.locking import (
    MAX_OWNER,
    SUPPORTED_LOCK,
    LockInfo,
    active_lock,
    lock_document,
    parse_lock_token,
    parse_lockinfo,
    parse_timeout,
)

TOKEN = "urn:uuid:e71d4fae-5dec-22d6-fea5-00a0c91e6be4"
DEFAULT, LONGEST = 600.0, 86_400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, DEFAULT),
        ("Second-60", 60.0),
        ("Second-86400", LONGEST),
        ("Second-86401", LONGEST),
        ("Second-4294967295", LONGEST),
        ("Infinite", LONGEST),
        # RFC 4918 §9.10.7, npm's webdav, and GanttProject with two field lines.
        ("Infinite, Second-4100000000", LONGEST),
        ("Infinite, Infinite", LONGEST),
        # The first that is understood.
        ("Second-60, Infinite", 60.0),
        ("Second-60,Second-30", 60.0),
        ("Extend, Second-60", 60.0),
        ("Minute-1,\tSecond-60 ,Infinite", 60.0),
        (", ,Second-60,", 60.0),
        # Any case.
        ("SECOND-60", 60.0),
        ("infinite", LONGEST),
        # Odd numbers.
        ("Second-007", 7.0),
        ("Second-0", DEFAULT),
        ("Second-000, Second-60", 60.0),
        ("Second-99999999999", LONGEST),
        ("Second-" + "9" * 60_000, LONGEST),
        ("Second-" + "0" * 60_000 + "7", 7.0),
        # Not understood.
        ("", DEFAULT),
        ("60", DEFAULT),
        ("Second", DEFAULT),
        ("Second-", DEFAULT),
        ("Second--1", DEFAULT),
        ("Second-+1", DEFAULT),
        ("Second-1.5", DEFAULT),
        ("Second-60s", DEFAULT),
        ("Second- 60", DEFAULT),
        ("Second-٦٠", DEFAULT),
        ("Second-60;q=1", DEFAULT),
        ("Second-60\n", DEFAULT),
        ("Infinitely", DEFAULT),
    ],
)
def test_timeout(value: str | None, seconds: float) -> None:
    assert parse_timeout(value, default=DEFAULT, longest=LONGEST) == seconds


@given(st.text() | st.text("Second-Infinite0123456789, "))
def test_any_timeout_is_granted_something(value: str) -> None:
    assert 0 < parse_timeout(value, default=DEFAULT, longest=LONGEST) <= LONGEST


@pytest.mark.parametrize(
    "value",
    [
        f"<{TOKEN}>",
        f" <{TOKEN}>\t",
        # npm's webdav.
        TOKEN,
    ],
)
def test_lock_token(value: str) -> None:
    assert parse_lock_token(value) == TOKEN


def test_tokens_of_other_servers_are_tokens() -> None:
    assert parse_lock_token("<opaquelocktoken:{1-2}20120101T0Z>") == "opaquelocktoken:{1-2}20120101T0Z"
    assert parse_lock_token("<DAV:no-lock>") == "DAV:no-lock"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "<>",
        f"<{TOKEN}",
        f"{TOKEN}>",
        f"<<{TOKEN}>>",
        f"< {TOKEN}>",
        f"(<{TOKEN}>)",
        f"<{TOKEN}>, <{TOKEN}>",
        "abc",
        "<abc>",
        "<urn:>",
        "<:a>",
        "<urn:a b>",
        f"<{TOKEN}>\n",
        "<urn:a\x00>",
    ],
)
def test_malformed_lock_token(value: str) -> None:
    with pytest.raises(Malformed, match="must hold one lock token"):
        parse_lock_token(value)


def test_a_missing_lock_token() -> None:
    with pytest.raises(Malformed, match="UNLOCK needs a Lock-Token"):
        parse_lock_token(None)


WRITE = "<D:locktype><D:write/></D:locktype>"
EXCLUSIVE = "<D:lockscope><D:exclusive/></D:lockscope>"
SHARED = "<D:lockscope><D:shared/></D:lockscope>"


def lockinfo(inner: str, attributes: str = "") -> bytes:
    return f'<D:lockinfo xmlns:D="DAV:"{attributes}>{inner}</D:lockinfo>'.encode()


def words(owner: str) -> str:
    """What an owner says to a person, without the white space around it; the text must stand alone."""
    return " ".join("".join(etree.fromstring(owner).itertext()).split())


DECLARATION = '<?xml version="1.0" encoding="utf-8" ?>'

# What clients send, and whom they name.
CLIENTS = {
    "Windows": (
        f'{DECLARATION}<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/>'
        "</D:locktype><D:owner><D:href>DESKTOP-1\\ann lee</D:href></D:owner></D:lockinfo>",
        "DESKTOP-1\\ann lee",
    ),
    "neon (cadaver, davfs2, litmus, LibreOffice)": (
        f"{DECLARATION}\n<lockinfo xmlns='DAV:'>\n <lockscope><exclusive/></lockscope>\n"
        "<locktype><write/></locktype><owner>ann/davfs2 1.6.1</owner>\n</lockinfo>\n",
        "ann/davfs2 1.6.1",
    ),
    "macOS": (
        f'{DECLARATION}\n<D:lockinfo xmlns:D="DAV:">\n<D:lockscope><D:exclusive/></D:lockscope>\n'
        "<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n"
        "</D:owner>\n</D:lockinfo>\n",
        "http://www.apple.com/webdav_fs/",
    ),
    "git": (
        f'{DECLARATION}\n<D:lockinfo xmlns:D="DAV:">\n<D:lockscope><D:exclusive/></D:lockscope>\n'
        "<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>mailto:a@b.example</D:href>\n</D:owner>\n</D:lockinfo>",
        "mailto:a@b.example",
    ),
    "npm webdav": (
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
        "<owner><href>https://example.org/contact</href></owner></lockinfo>",
        "https://example.org/contact",
    ),
    "Weave, type before scope and no owner": (
        f'{DECLARATION}\n<D:lockinfo xmlns:D="DAV:">\n  <D:locktype><D:write/></D:locktype>\n'
        "  <D:lockscope><D:exclusive/></D:lockscope>\n</D:lockinfo>",
        None,
    ),
    "GanttProject": (
        f"{DECLARATION}<D:lockinfo \nxmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></"
        "D:locktype><D:owner>null</D:owner></D:lockinfo>",
        "null",
    ),
    "Orbeon, an owner of its own elements": (
        '<d:lockinfo xmlns:d="DAV:" xmlns:fr="http://orbeon.org/oxf/xml/form-runner"><d:lockscope><d:exclusive/>'
        "</d:lockscope><d:locktype><d:write/></d:locktype><d:owner> <fr:username>ann</fr:username>"
        " <fr:groupname>x</fr:groupname></d:owner></d:lockinfo>",
        "ann x",
    ),
    # RFC 4918 §9.10.7, with white space where it likes.
    "the RFC": (
        f"{DECLARATION} \n<D:lockinfo xmlns:D='DAV:'> \n <D:lockscope> <D:exclusive/> </D:lockscope> \n"
        " <D:locktype> <D:write/> </D:locktype> \n <D:owner> \n"
        "  <D:href>http://example.org/~ejw/contact.html</D:href> \n </D:owner> \n</D:lockinfo> ",
        "http://example.org/~ejw/contact.html",
    ),
}


@pytest.mark.parametrize(("body", "owner"), CLIENTS.values(), ids=CLIENTS)
def test_what_clients_send(body: str, owner: str | None) -> None:
    found = parse_lockinfo(body.encode())
    assert found.exclusive
    assert (words(found.owner) if owner is not None else found.owner or None) == owner


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    body = f'<lockinfo xmlns="DAV:">{EXCLUSIVE}{WRITE}<owner>Zoë 🗝</owner></lockinfo>'.replace("D:", "").encode(
        encoding
    )
    assert parse_lockinfo(body) == LockInfo(True, '<owner xmlns="DAV:">Zoë 🗝</owner>')


@pytest.mark.parametrize("order", list(permutations([SHARED, WRITE, "<D:owner>a</D:owner>"])))
def test_any_order(order: tuple[str, ...]) -> None:
    # §17: "Element ordering is irrelevant".
    body = lockinfo("<X:a xmlns:X='urn:x'>b</X:a>".join(order))
    assert parse_lockinfo(body) == LockInfo(False, '<D:owner xmlns:D="DAV:">a</D:owner>')
    check_xml(body)


@pytest.mark.parametrize(
    "inner",
    [
        # §17: text, comments, and elements that nobody expects.
        f"text{SHARED}<!-- a -->{WRITE}<?b c?>",
        f"{SHARED}{WRITE}<D:depth>1</D:depth><D:new><D:lockscope/></D:new>",
        f"<D:lockscope a='b'><D:new/><D:shared c='d'>x</D:shared></D:lockscope>{WRITE}",
        f"{SHARED}<D:locktype><D:transaction/><D:write/></D:locktype>",
    ],
)
def test_what_is_not_expected_is_not_there(inner: str) -> None:
    assert parse_lockinfo(lockinfo(inner)) == LockInfo(False, "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'<D:owner xmlns:D="DAV:"/>', "the root element must be lockinfo"),
        (b"<lockinfo/>", "the root element must be lockinfo"),
        (lockinfo(""), "exactly one lockscope"),
        (lockinfo(WRITE), "exactly one lockscope"),
        (lockinfo(EXCLUSIVE + SHARED + WRITE), "exactly one lockscope"),
        (lockinfo(f"<D:lockscope/>{WRITE}"), "exactly one of exclusive and shared"),
        (lockinfo(f"<D:lockscope>exclusive</D:lockscope>{WRITE}"), "exactly one of exclusive and shared"),
        (lockinfo(f"<D:lockscope><exclusive/></D:lockscope>{WRITE}"), "exactly one of exclusive and shared"),
        (lockinfo(f"<D:lockscope><D:exclusive/><D:shared/></D:lockscope>{WRITE}"), "exactly one of exclusive"),
        (lockinfo(f"<D:lockscope><D:shared/><D:shared/></D:lockscope>{WRITE}"), "exactly one of exclusive"),
        (lockinfo(f"<D:lockscope><D:new><D:shared/></D:new></D:lockscope>{WRITE}"), "exactly one of exclusive"),
        (lockinfo(EXCLUSIVE), "exactly one locktype"),
        (lockinfo(EXCLUSIVE + WRITE + WRITE), "exactly one locktype"),
        (lockinfo(f"{EXCLUSIVE}<D:locktype/>"), "must hold write"),
        (lockinfo(f"{EXCLUSIVE}<D:locktype><D:read/></D:locktype>"), "must hold write"),
        (lockinfo(f"{EXCLUSIVE}{WRITE}\n<D:owner/><D:owner/>"), "only one owner"),
    ],
)
def test_wrong_bodies(body: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalid, match=words) as refused:
        parse_lockinfo(body)
    assert refused.value.issues[0].line in (1, 2)
    with pytest.raises(AssertionError):
        check_xml(body)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"", NotWellFormed),
        (b"<D:lockinfo>", NotWellFormed),
        (b'{"lockscope": "exclusive"}', NotWellFormed),
        (b'<!DOCTYPE D:lockinfo SYSTEM "lock.dtd">' + lockinfo(EXCLUSIVE + WRITE), ExternalEntities),
        (lockinfo(f"{EXCLUSIVE}{WRITE}<D:owner>{'<a>' * 99}{'</a>' * 99}</D:owner>"), NotWellFormed),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        parse_lockinfo(body)


# The owner, the attributes of lockinfo beside xmlns:D, and the text that is kept.
OWNERS = [
    ("<D:owner/>", "", '<D:owner xmlns:D="DAV:"/>'),
    (
        "<D:owner>ann &amp; &lt;bob&gt;</D:owner>",
        "",
        '<D:owner xmlns:D="DAV:">ann &amp; &lt;bob&gt;</D:owner>',
    ),
    ("<D:owner><![CDATA[<b>]]></D:owner>", "", '<D:owner xmlns:D="DAV:">&lt;b&gt;</D:owner>'),
    # Mixed content, attributes and comments are kept, in order.
    (
        "<D:owner a='1'>ann <D:href>mailto:a@b</D:href> or<!-- or --> <i/>bob</D:owner>",
        "",
        '<D:owner xmlns="" xmlns:D="DAV:" a="1">ann <D:href>mailto:a@b</D:href> or<!-- or --> <i/>bob</D:owner>',
    ),
    # Namespaces come along, also those that only a text uses.
    (
        '<D:owner t="x:date"><x:n/></D:owner>',
        ' xmlns:x="urn:x"',
        '<D:owner xmlns:D="DAV:" xmlns:x="urn:x" t="x:date"><x:n/></D:owner>',
    ),
    (
        "<owner><n/><m xmlns=''/></owner>",
        ' xmlns="DAV:"',
        '<owner xmlns:D="DAV:" xmlns="DAV:"><n/><m xmlns=""/></owner>',
    ),
    ('<D:owner xmlns=""><n/></D:owner>', ' xmlns="urn:q"', '<D:owner xmlns="" xmlns:D="DAV:"><n/></D:owner>'),
    ("<D:owner><n/></D:owner>", ' xmlns="urn:q"', '<D:owner xmlns:D="DAV:" xmlns="urn:q"><n/></D:owner>'),
    # The language comes along, unless the owner has its own.
    ("<D:owner>b</D:owner>", ' xml:lang="de"', '<D:owner xmlns:D="DAV:" xml:lang="de">b</D:owner>'),
    (
        '<D:owner xml:lang="fr">b</D:owner>',
        ' xml:lang="de"',
        '<D:owner xmlns:D="DAV:" xml:lang="fr">b</D:owner>',
    ),
    ('<D:owner xml:lang="">b</D:owner>', ' xml:lang="de"', '<D:owner xmlns:D="DAV:" xml:lang="">b</D:owner>'),
]


def canonical(text: str) -> bytes:
    """All that is said, prefixes included, but not the order of declarations and attributes."""
    return etree.tostring(etree.fromstring(text), method="c14n")


@pytest.mark.parametrize(("owner", "attributes", "kept"), OWNERS)
def test_the_owner_means_the_same_anywhere(owner: str, attributes: str, kept: str) -> None:
    found = parse_lockinfo(lockinfo(f"{EXCLUSIVE}{WRITE}{owner} tail", attributes)).owner
    assert canonical(found) == canonical(kept)
    assert "tail" not in found
    # Among other declarations it still says what the client said.
    elsewhere = etree.fromstring(f'<a xmlns="urn:other" xmlns:D="urn:d" xmlns:x="urn:y">{found}</a>')[0]
    alone = etree.fromstring(kept)
    assert [node.tag for node in elsewhere.iter()] == [node.tag for node in alone.iter()]
    assert elsewhere.attrib == alone.attrib
    for prefix, namespace in alone.nsmap.items():
        assert elsewhere.nsmap[prefix] == namespace


def test_the_owner_has_a_limit() -> None:
    def body(letters: int) -> bytes:
        return f'<lockinfo xmlns="DAV:">{EXCLUSIVE}{WRITE}<owner>{"ü" * letters}</owner></lockinfo>'.replace(
            "D:", ""
        ).encode()

    room = (MAX_OWNER - len('<owner xmlns="DAV:"></owner>')) // 2
    assert len(parse_lockinfo(body(room)).owner.encode()) == MAX_OWNER
    with pytest.raises(TooLarge, match="owner") as refused:
        parse_lockinfo(body(room + 1))
    assert refused.value.limit == MAX_OWNER


_xml_text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=50)


@given(_xml_text, _xml_text, st.booleans())
def test_an_owner_goes_round(name: str, title: str, exclusive: bool) -> None:
    element = etree.Element("{DAV:}owner", {"title": title}, nsmap={"D": "DAV:"})
    element.text = name
    sent = etree.tostring(element, encoding="unicode")
    found = parse_lockinfo(lockinfo(f"{EXCLUSIVE if exclusive else SHARED}{WRITE}{sent}"))
    lock = active_lock(exclusive=found.exclusive, infinite=True, owner=found.owner, remaining=1, token=TOKEN, root="/a")
    root = check_xml(lock_document(lock).encode())
    told = root.find(".//{DAV:}owner")
    assert told is not None
    assert (told.text or "", told.get("title")) == (name, title)
    assert root.find(f".//{{DAV:}}{'exclusive' if exclusive else 'shared'}") is not None


def test_active_lock() -> None:
    # The order is that of the DTD in §14.1.
    lock = active_lock(
        exclusive=True,
        infinite=True,
        owner='<o:owner xmlns:o="DAV:">ann</o:owner>',
        remaining=604_799.9,
        token=TOKEN,
        root="/workspace/webdav/proposal.doc",
    )
    assert lock == (
        "<D:activelock><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>"
        '<D:depth>infinity</D:depth><o:owner xmlns:o="DAV:">ann</o:owner><D:timeout>Second-604800</D:timeout>'
        f"<D:locktoken><D:href>{TOKEN}</D:href></D:locktoken>"
        "<D:lockroot><D:href>/workspace/webdav/proposal.doc</D:href></D:lockroot></D:activelock>"
    )
    check_xml(lock_document(lock).encode())


def test_the_least_of_an_active_lock() -> None:
    lock = active_lock(exclusive=False, infinite=False, owner="", remaining=-3.5, token="urn:a&b", root="/a&b/")
    root = check_xml(lock_document(lock + lock).encode())
    assert [str(each.tag)[6:] for each in root[0][0]] == [
        "lockscope",
        "locktype",
        "depth",
        "timeout",
        "locktoken",
        "lockroot",
    ]
    assert [each.text for each in root[0][0].iter("{DAV:}depth", "{DAV:}timeout", "{DAV:}href")] == [
        "0",
        "Second-0",
        "urn:a&b",
        "/a&b/",
    ]
    assert len(root[0]) == 2


def test_lock_document_without_locks() -> None:
    assert len(check_xml(lock_document("").encode())[0]) == 0


def test_supported_lock() -> None:
    scopes = re.findall(r"<D:lockscope><D:(\w+)/></D:lockscope><D:locktype><D:write/></D:locktype>", SUPPORTED_LOCK)
    assert scopes == ["exclusive", "shared"]
    check_xml(f'<D:prop xmlns:D="DAV:"><D:supportedlock>{SUPPORTED_LOCK}</D:supportedlock></D:prop>'.encode())


@given(st.binary() | st.text('<>/D:lockinfo "=').map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with pytest.raises((NotWellFormed, SchemaInvalid, ExternalEntities)):
        parse_lockinfo(body)
