"""What the parts of other projects' requests mean to the engine, and what their answers look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from itertools import pairwise

import pytest
from tests.xml_documents import check_xml

from partwise.batch.containers import ItemPart, OperationPart
from partwise.batch.doors.bulk import BulkContainer, BulkForm, home
from partwise.batch.doors.multiput import MultiputContainer, MultiputForm
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import (
    Duplicate,
    Failure,
    ForbiddenName,
    Malformed,
    MalformedName,
    OutOfSpace,
    ProtectedProperty,
    SchemaInvalid,
)
from partwise.protocol.multiput import MultiputDecoder
from partwise.protocol.paths import Mount, Path

MOUNT = Mount("/served", "/public")

# -- Nextcloud's bulk upload


@pytest.mark.parametrize(
    ("path", "collection"),
    [
        (("dav", "bulk"), ()),
        (("remote.php", "dav", "bulk"), ()),
        (("alice", "dav", "bulk"), ("alice",)),
        (("alice", "remote.php", "dav", "bulk"), ("alice",)),
        (("remote.php", "remote.php", "dav", "bulk"), ("remote.php",)),
        ((), None),
        (("bulk",), None),
        (("dav",), None),
        (("dav", "bulk", "x"), None),
        (("dav", "Bulk"), None),
    ],
)
def test_where_the_door_is(path: Path, collection: Path | None) -> None:
    assert home(path) == collection


def bulk(*headers: tuple[str, str | bytes]) -> ItemPart:
    raw = [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]
    return BulkContainer(MOUNT, ("alice",)).part(raw)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/small file.txt", ("alice", "small file.txt")),
        ("a/b/ü.txt", ("alice", "a", "b", "ü.txt")),
        ("/100%25", ("alice", "100%25")),
    ],
)
def test_the_path_of_a_part(name: str, path: Path) -> None:
    part = bulk(("x-file-path", name), ("content-length", "5"))
    assert (part.name, part.path, part.promised, part.failure) == (name, path, True, None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"", MalformedName),
        (b"/", MalformedName),
        (b"//a", ForbiddenName),
        (b"/a//b", MalformedName),
        (b"/../a", ForbiddenName),
        (b"/a\\b", ForbiddenName),
        (b"/a/", ForbiddenName),
        (b"/\xff", MalformedName),
    ],
)
def test_a_path_that_cannot_be_used(name: bytes, kind: type[Failure]) -> None:
    part = bulk(("x-file-path", name))
    assert isinstance(part.failure, kind)
    assert part.name == name.decode("utf-8", "replace")


def test_no_path_at_all() -> None:
    assert isinstance(bulk(("content-length", "5")).failure, MalformedName)


MD5 = "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({"x-file-md5": MD5}, {"oc-checksum": f"MD5:{MD5}"}),
        ({"x-file-md5": MD5, "oc-checksum": "SHA1:00"}, {"oc-checksum": "SHA1:00"}),
        ({"x-file-mtime": "1", "x-oc-mtime": "2"}, {"x-oc-mtime": "1"}),
        ({"x-oc-mtime": "2"}, {"x-oc-mtime": "2"}),
        ({"content-type": "a/b", "overwrite": "F", "if-match": "*"}, {"content-type": "a/b", "if-match": "*"}),
    ],
)
def test_what_the_headers_mean(said: dict[str, str], counted: dict[str, str]) -> None:
    assert bulk(("x-file-path", "a"), *said.items()).headers == counted


def test_a_checksum_that_cannot_be_read() -> None:
    part = bulk(("x-file-path", "a"), ("x-file-md5", "xyz"))
    assert isinstance(part.failure, Malformed) and "X-File-MD5" in part.failure.text


def stored(index: int, name: str, **more: object) -> Outcome:
    return Outcome(index, f"/public/{name}", HTTPStatus.CREATED, name, etag=f'"e{index}"', size=1, **more)  # type: ignore[arg-type]


def failed(index: int, name: str, failure: Failure, href: str | None = None) -> Outcome:
    return Outcome(index, href or f"/public/?batch=b&item={index}", failure.status, name, failure=failure)


def test_the_answer_is_one_json_object_however_it_is_cut() -> None:
    rows = [stored(1, '/a"b'), failed(2, "", MalformedName("no name")), failed(3, "/c", Malformed("bad"))]
    for cuts in ([0, 3], [0, 1, 3], [0, 1, 2, 3]):
        form = BulkForm()
        pieces = [form.head("/public/")]
        pieces += [form.rows(rows[a:b]) + form.keep_alive for a, b in pairwise(cuts)]
        assert json.loads(b"".join([*pieces, form.rows([]), form.end(Summary("b"))])) == {
            '/a"b': {"error": False, "etag": "e1"},
            "2": {"error": True, "message": "no name"},
            "/c": {"error": True, "message": "bad"},
        }
    assert json.loads(BulkForm().head("/") + BulkForm().end(Summary("b"))) == {}
    assert json.loads(BulkForm().single("/", rows[2])) == {"/c": {"error": True, "message": "bad"}}


def test_a_second_part_of_one_path_is_told_last() -> None:
    form, rows = BulkForm(), [stored(1, "/a"), failed(2, "/a", Duplicate("twice"))]
    document = form.head("/public/") + form.rows(rows) + form.end(Summary("b"))
    assert json.loads(document) == {"/a": {"error": True, "message": "twice"}}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_long_path_is_told_as_it_was_sent(slash: str) -> None:
    name = f"{slash}{'ü' * 120}/{'%' * 250}/{'x' * 200}"
    target = MOUNT.href(("alice", *name.removeprefix("/").split("/")))
    outcome = Outcome(1, target, HTTPStatus.CREATED, name[:500], etag='"e"')
    form = BulkForm()
    document = form.head("/public/alice/") + form.rows([outcome]) + form.end(Summary("b"))
    assert list(json.loads(document)) == [name]


# -- Apple's multiput

OPEN = (
    '<m:multiput xmlns="DAV:" xmlns:m="http://me.com/_namespace/" xmlns:c="urn:ietf:params:xml:ns:caldav" '
    'xmlns:a="urn:ietf:params:xml:ns:carddav"><m:resource>'
)
EVENT = "<c:calendar-data>BEGIN:VCALENDAR\nUID:one\nEND:VCALENDAR</c:calendar-data>"
CARD = "<a:address-data>BEGIN:VCARD\nEND:VCARD</a:address-data>"


def multiput(resource: str, standing: Mapping[str, str] | None = None) -> ItemPart | OperationPart:
    decoder = MultiputDecoder()
    container = MultiputContainer(
        MOUNT, ("cal",), "dav.example", decoder, lambda: "made", 1000, lambda path: dict(standing or {})
    )
    decoder.receive(f"{OPEN}{resource}</m:resource></m:multiput>".encode())
    decoder.next_event()
    return container.part(())


def contents(inner: str) -> str:
    return f"<set><prop>{inner}</prop></set>"


def test_a_resource_is_created_under_a_name_made_from_its_uid() -> None:
    part = multiput(contents(EVENT))
    assert isinstance(part, ItemPart) and part.path is not None
    assert (part.path[0], part.path[1][-4:], len(part.path[1]), part.name) == ("cal", ".ics", 40, part.path[1])
    assert part.path == multiput(contents(EVENT.replace("END", "SUMMARY:x\nEND"))).path  # type: ignore[union-attr]
    assert part.path != multiput(contents(EVENT.replace("one", "two"))).path  # type: ignore[union-attr]
    assert part.headers == {
        "content-type": "text/calendar; charset=utf-8",
        "content-length": "41",
        "if-none-match": "*",
    }
    assert (part.content_id, part.promised, part.failure) == ("one", True, None)


def test_without_a_uid_the_name_is_any() -> None:
    part = multiput(contents(CARD))
    assert isinstance(part, ItemPart) and (part.path, part.content_id) == (("cal", "made.vcf"), None)


@pytest.mark.parametrize(
    "href", ["/public/cal/2.ics", "/served/cal/2.ics", "2.ics", "http://dav.example/public/cal/2.ics"]
)
def test_an_update_changes_contents_and_properties_together(href: str) -> None:
    part = multiput(
        f'<href>{href}</href><m:if-match><getetag>"1"</getetag></m:if-match>'
        + contents(f"{EVENT}<x xmlns=''/><lastmodified>1700000000</lastmodified>")
        + "<remove><prop><displayname/></prop></remove>"
    )
    assert isinstance(part, ItemPart)
    assert (part.name, part.path, part.failure) == (href, ("cal", "2.ics"), None)
    assert part.headers["if-match"] == '"1"' and "if-none-match" not in part.headers
    assert part.headers["x-oc-mtime"] == "1700000000"
    assert set(part.properties) == {"x", "{DAV:}displayname"} and part.properties["{DAV:}displayname"] is None


@pytest.mark.parametrize(
    ("resource", "method", "headers"),
    [
        ("<href>3.ics</href><m:delete/>", "DELETE", {}),
        (
            '<href>/public/cal/3.ics</href><m:delete/><m:if-match><getetag>"1"</getetag></m:if-match>',
            "DELETE",
            {"if-match": '"1"'},
        ),
        ("<href>3.ics</href>" + contents("<x/>"), "PROPPATCH", {"content-type": "application/xml"}),
    ],
)
def test_the_others_are_operations(resource: str, method: str, headers: dict[str, str]) -> None:
    part = multiput(resource)
    assert isinstance(part, OperationPart) and part.request is not None
    assert (part.request.method, part.request.target) == (method, "/public/cal/3.ics")
    length = part.request.headers.get("content-length")
    assert part.request.headers == headers | ({"content-length": length} if length else {})


REFUSED = {
    "outside": ("<href>/public/other/1</href><m:delete/>", ForbiddenName),
    "itself": ("<href>/public/cal/</href><m:delete/>", ForbiddenName),
    "elsewhere": (f"<href>http://other.example/public/cal/1</href>{contents(EVENT)}", ForbiddenName),
    "dots": (f"<href>../1</href>{contents(EVENT)}", ForbiddenName),
    "query": (f"<href>1?a</href>{contents(EVENT)}", MalformedName),
    "percent": (f"<href>%ff</href>{contents(EVENT)}", MalformedName),
    "a protected property": (contents(f"{EVENT}<getetag>1</getetag><x/>"), ProtectedProperty),
    "too many properties": (contents(f"{EVENT}<x>{'x' * 1000}</x>"), OutOfSpace),
    "nothing": ("<href>1</href>", SchemaInvalid),
}


@pytest.mark.parametrize(("resource", "kind"), REFUSED.values(), ids=REFUSED)
def test_what_speaks_against_a_resource_is_its_own(resource: str, kind: type[Failure]) -> None:
    part = multiput(resource)
    assert isinstance(part, ItemPart) and isinstance(part.failure, kind)
    assert "Content-Location" not in part.failure.text


def test_properties_are_counted_with_those_that_stand() -> None:
    inner = contents(f"{EVENT}<x>{'x' * 400}</x>")
    assert multiput(inner).failure is None
    assert isinstance(multiput(inner, {"y": "y" * 600}).failure, OutOfSpace)


def test_a_failed_resource_keeps_its_href_and_uid() -> None:
    part = multiput(f"<href>1.ics</href>{contents(EVENT)}<set/>")
    assert isinstance(part, ItemPart) and part.failure is not None
    assert (part.name, part.path, part.content_id) == ("1.ics", ("cal", "1.ics"), "one")


def test_the_answer_is_a_multistatus() -> None:
    rows = [
        stored(1, "a.ics", content_id="one"),
        Outcome(2, "/public/?batch=b&item=2", HTTPStatus.CREATED, "a.ics", etag='"2"', location="/public/b.ics"),
        Outcome(3, "/public/c.ics", HTTPStatus.NO_CONTENT, "c.ics", method="DELETE"),
        Outcome(
            4, "/public/d.ics", HTTPStatus.CONFLICT, "", content_id="<&", failure=Duplicate("twice", href="/public/a")
        ),
        Outcome(5, "/public/e.ics", HTTPStatus.LOCKED, "", failure=ForbiddenName("x" * 400)),
    ]
    form = MultiputForm()
    root = check_xml(form.head("/") + form.rows(rows[:2]) + form.rows(rows[2:]) + form.end(Summary("b", 5, 3, 2)))
    uid = "{http://calendarserver.org/ns/}uid"
    told = [
        (
            row.findtext("{DAV:}status") or row.findtext("{DAV:}propstat/{DAV:}status"),
            row.findtext("{DAV:}propstat/{DAV:}prop/{DAV:}getetag"),
            row.findtext(f".//{uid}"),
        )
        for row in root.iterfind("{DAV:}response")
    ]
    assert told == [
        ("HTTP/1.1 200 OK", '"e1"', "one"),
        ("HTTP/1.1 200 OK", '"2"', None),
        ("HTTP/1.1 204 No Content", None, None),
        ("HTTP/1.1 409 Conflict", None, "<&"),
        ("HTTP/1.1 423 Locked", None, None),
    ]
    check_xml(form.single("/", rows[0]))
