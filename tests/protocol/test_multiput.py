"""multiput: a document gives the same resources however it is cut, and nothing in it costs more than its limits."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.xml_documents import check_xml

from partwise.errors import ExternalEntities, Failure, NotWellFormed, SchemaInvalid, TooLarge, UnsupportedType
from partwise.protocol.multipart import NEED_DATA, End, PartBegin, PartData, PartEnd
from partwise.protocol.multiput import MultiputDecoder, MultiputLimits
from partwise.protocol.multiput_resource import Resource
from partwise.protocol.property_update import parse_property_update
from partwise.protocol.xml_bodies import parse_body

EVENT = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:event1@ex\n ample.com\nEND:VEVENT\nEND:VCALENDAR"
STORED = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:event1@ex\r\n ample.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
CARD = "BEGIN:VCARD\nitem1.UID;VALUE=text:ann@example.com\nEND:VCARD"

CALENDAR = f"<C:calendar-data>{EVENT}</C:calendar-data>"
CREATE = f"<D:set><D:prop>{CALENDAR}</D:prop></D:set>"
IF_MATCH = '<MM:if-match><D:getetag>"67890"</D:getetag></MM:if-match>'
DELETE = f"<D:href>/cal/3.ics</D:href>{IF_MATCH}<MM:delete/>"
NAMED = "<D:href>/cal/4.ics</D:href><D:set><D:prop><X:colour xmlns:X='urn:x'>é <b/></X:colour></D:prop></D:set>"
NAMESPACES = (
    'xmlns:D="DAV:" xmlns:MM="http://me.com/_namespace/" xmlns:C="urn:ietf:params:xml:ns:caldav" '
    'xmlns:A="urn:ietf:params:xml:ns:carddav"'
)


DEFAULT = MultiputLimits()


def document(*resources: str) -> bytes:
    inner = "\n".join(f"<MM:resource>{resource}</MM:resource>" for resource in resources)
    return f'<?xml version="1.0"?>\n<MM:multiput {NAMESPACES}>{inner}\n</MM:multiput>\n'.encode()


def decode(body: bytes, *cuts: int, limits: MultiputLimits = DEFAULT) -> list[Resource]:
    """The resources, after a check that the events tell each body whole; cut at these positions."""
    decoder, found, arrived = MultiputDecoder(limits), list[Resource](), b""
    state: type = PartEnd
    edges = [0, *cuts, len(body)]
    for piece in (*(body[a:b] for a, b in pairwise(edges) if a < b), b""):
        decoder.receive(piece)
        while (event := decoder.next_event()) is not NEED_DATA:
            match event:
                case PartBegin():
                    assert state is PartEnd
                    arrived = b""
                    assert decoder.resource is not None
                    found.append(decoder.resource)
                case PartData(data):
                    assert state in (PartBegin, PartData) and data
                    arrived += data
                case PartEnd():
                    assert arrived == found[-1].body
            state = type(event)
    assert state is End
    return found


def told(resources: list[Resource]) -> list[object]:
    return [
        (*(getattr(r, name) for name in Resource.__slots__ if name != "failure"), str(r.failure)) for r in resources
    ]


def one(resource: str) -> Resource:
    (found,) = decode(document(resource))
    return found


WHOLE = document(CREATE, DELETE, "", NAMED)


def test_the_four_shapes() -> None:
    create, delete, wrong, properties = decode(WHOLE)
    assert create == Resource(
        "PUT", None, None, STORED, "text/calendar; charset=utf-8", ".ics", (), "event1@example.com"
    )
    assert delete == Resource("DELETE", "/cal/3.ics", '"67890"')
    assert isinstance(wrong.failure, SchemaInvalid)
    assert (properties.method, properties.href) == ("PROPPATCH", "/cal/4.ics")
    assert parse_property_update(properties.body) == properties.changes
    assert [(change.name, change.text) for change in properties.changes] == [("{urn:x}colour", "é ")]


def test_every_split_and_byte_by_byte() -> None:
    expected = told(decode(WHOLE))
    assert told(decode(WHOLE, *range(1, len(WHOLE)))) == expected
    for at in range(1, len(WHOLE)):
        assert told(decode(WHOLE, at)) == expected


def test_what_is_complete_is_told_before_the_rest_arrives() -> None:
    decoder = MultiputDecoder()
    decoder.receive(WHOLE[: WHOLE.index(b"</MM:resource>") + 14])
    assert decoder.next_event() == PartBegin(())
    assert decoder.next_event() == PartData(STORED)
    assert decoder.next_event() == PartEnd()
    assert decoder.next_event() is NEED_DATA


def test_an_update_takes_its_properties_along_in_any_order() -> None:
    resource = one(
        f"<D:remove><D:prop><D:displayname/></D:prop></D:remove><D:set><D:prop><p/>{CALENDAR}<q xmlns='urn:q'>1</q></D:prop>"
        f"</D:set>{IF_MATCH}<D:href> /cal/2.ics </D:href>"
    )
    assert (resource.method, resource.href, resource.if_match) == ("PUT", "/cal/2.ics", '"67890"')
    assert resource.body == STORED
    names = [(change.name, change.value is None) for change in resource.changes]
    assert names == [("{DAV:}displayname", True), ("p", False), ("{urn:q}q", False)]
    # Each value means the same in any document.
    assert etree.fromstring(resource.changes[2].value or "").tag == "{urn:q}q"


def test_a_vcard() -> None:
    resource = one(f"<D:set><D:prop><A:address-data>\n{CARD}\n</A:address-data></D:prop></D:set>")
    assert (resource.suffix, resource.media_type) == (".vcf", "text/vcard; charset=utf-8")
    assert (resource.uid, resource.body) == ("ann@example.com", CARD.replace("\n", "\r\n").encode() + b"\r\n")


@pytest.mark.parametrize(
    "data", [f"<![CDATA[{EVENT}]]>", EVENT.replace("\n", "&#13;\n"), f"{EVENT[:9]}<!-- c -->{EVENT[9:]}"]
)
def test_line_ends_are_those_of_the_format(data: str) -> None:
    assert one(CREATE.replace(EVENT, data)).body == STORED


def test_the_other_namespace() -> None:
    other = WHOLE.replace(b"http://me.com/_namespace/", b"http://calendarserver.org/ns/")
    assert str(told(decode(other))).replace("calendarserver.org/ns/", "me.com/_namespace/") == str(told(decode(WHOLE)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "iso-8859-1", "windows-1252"])
def test_encodings(encoding: str) -> None:
    body = WHOLE.decode().replace('"1.0"', f'"1.0" encoding="{encoding.removesuffix("-le")}"')
    raw = ("\ufeff" if encoding == "utf-16-le" else "") + body
    assert decode(raw.encode(encoding))[0].body == STORED
    assert decode(raw.encode(encoding))[3].changes == decode(WHOLE)[3].changes


def test_language_and_declarations_of_the_root_are_kept() -> None:
    body = document(NAMED).replace(b"<MM:multiput ", b"<MM:multiput xml:lang='de' xmlns:Q='urn:q' ")
    value = decode(body)[0].changes[0].value
    assert value is not None and 'xml:lang="de"' in value and 'xmlns:Q="urn:q"' in value


WRONG = {
    "nothing": "",
    "no contents": "<D:set><D:prop/></D:set>",
    "properties without href": "<D:set><D:prop><p/></D:prop></D:set>",
    "empty contents": "<D:set><D:prop><C:calendar-data> \n</C:calendar-data></D:prop></D:set>",
    "two contents": f"<D:set><D:prop>{CALENDAR}{CALENDAR}</D:prop></D:set>",
    "delete without href": "<MM:delete/>",
    "delete and set": f"<D:href>/a</D:href><MM:delete/>{CREATE}",
    "two hrefs": f"<D:href>/a</D:href><D:href>/b</D:href>{CREATE}",
    "an empty href": f"<D:href/>{CREATE}",
    "no tag to match": f"<D:href>/a</D:href><MM:if-match/>{CREATE}",
    "set without prop": f"{CREATE}<D:set/>",
}


@pytest.mark.parametrize("resource", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_wrong_for_itself(resource: str) -> None:
    wrong, right = decode(document(resource, CREATE))
    assert isinstance(wrong.failure, SchemaInvalid)
    assert right.failure is None


def test_another_media_type() -> None:
    resource = one(CREATE.replace("<C:calendar-data>", "<C:calendar-data content-type='application/calendar+json'>"))
    assert isinstance(resource.failure, UnsupportedType) and resource.uid == "event1@example.com"
    assert one(CREATE.replace("<C:calendar-data>", "<C:calendar-data content-type='text/calendar'>")).body == STORED


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 10}">' for n in range(12))
REFUSED = {
    "doctype": (b"<!DOCTYPE a><a/>", ExternalEntities),
    "external": (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', ExternalEntities),
    "bomb": (f"<!DOCTYPE a [{BOMB}]><a>&e11;</a>".encode(), ExternalEntities),
    "bomb in UTF-16": (f"\ufeff<!DOCTYPE a [{BOMB}]><a>&e11;</a>".encode("utf-16-le"), ExternalEntities),
    "entity": (WHOLE.replace(b"BEGIN:", b"&unknown;", 1), NotWellFormed),
    "another root": (b'<D:propfind xmlns:D="DAV:"/>', SchemaInvalid),
    "no namespace": (b"<multiput/>", SchemaInvalid),
    "empty": (b" ", NotWellFormed),
    "cut short": (WHOLE[:-4], NotWellFormed),
    "more behind": (WHOLE + b"<a/>", NotWellFormed),
    "a tag that does not match": (WHOLE.replace(b"</D:set>", b"</D:sat>", 1), NotWellFormed),
    "an undeclared prefix": (WHOLE.replace(b"<D:set>", b"<Z:set>", 1), NotWellFormed),
    "not of its encoding": (WHOLE.replace(b"event1", b"\xff\xfe", 1), NotWellFormed),
    "unknown encoding": (WHOLE.replace(b'"1.0"', b'"1.0" encoding="klingon"'), NotWellFormed),
    "no text encoding": (WHOLE.replace(b'"1.0"', b'"1.0" encoding="hex"'), NotWellFormed),
    "wide encoding": (WHOLE.replace(b'"1.0"', b'"1.0" encoding="shift_jis"'), NotWellFormed),
    "deep": (document("<a>" * 70 + "</a>" * 70), NotWellFormed),
    "long prologue": (b"<!--" + b"-x" * 40_000 + b"-->" + WHOLE, TooLarge),
    "many comments before": (b"<!--x-->" * 10_000 + WHOLE, TooLarge),
    "a long tag": (document(f"<a b='{'x' * 90_000}'/>"), TooLarge),
}


@pytest.mark.parametrize(("body", "kind"), REFUSED.values(), ids=REFUSED)
def test_the_whole_document_is_refused(body: bytes, kind: type[Failure]) -> None:
    for cuts in ((), (40,), range(1, len(body)) if len(body) < 2000 else range(7, len(body), 997)):
        with pytest.raises(kind):
            decode(body, *cuts)


@pytest.mark.parametrize("element", ["<a{}/>", "<a b{}=''/>", "<a xmlns='urn:{}'/>", "<a xmlns:b{}='urn:x'/>"])
def test_too_many_names(element: str) -> None:
    for limits in (MultiputLimits(names=100), MultiputLimits(names_length=1000)):
        assert decode(document("".join(map(element.format, range(40)))), limits=limits)
        with pytest.raises(TooLarge, match="names"):
            decode(document("".join(map(element.format, range(300)))), limits=limits)


def test_a_failure_comes_again_and_after_what_was_complete() -> None:
    decoder = MultiputDecoder()
    decoder.receive(WHOLE.replace(b"<MM:delete/>", b"</nothing>"))
    assert [type(decoder.next_event()) for _ in range(3)] == [PartBegin, PartData, PartEnd]
    for _ in range(2):
        with pytest.raises(NotWellFormed, match="line 8"):
            decoder.next_event()
    decoder.receive(b"more")
    decoder.close()


@pytest.mark.parametrize(
    "filler", ["<D:set><D:prop><C:calendar-data>%s</C:calendar-data></D:prop></D:set>", "<!-- %s -->", "<?x %s?>"]
)
def test_a_resource_that_is_too_large_is_skipped(filler: str) -> None:
    large = f"<D:href>/cal/large.ics</D:href>{filler % ('x' * 60_000)}"
    found = decode(document(CREATE, large, CREATE), *range(50, 60_000, 5000), limits=MultiputLimits(resource=50_000))
    assert [type(each.failure) for each in found] == [type(None), TooLarge, type(None)]
    assert (found[1].href, found[2].body) == ("/cal/large.ics", STORED)


def test_memory_does_not_grow_with_the_document() -> None:
    resource = document(CREATE.replace(EVENT, "x" * 10_000))
    head, rest = resource.split(b"<MM:resource>")
    body, _ = rest.split(b"\n</MM:multiput>")
    decoder, count = MultiputDecoder(), 0
    decoder.receive(head)
    tracemalloc.start()
    try:
        for _ in range(100):
            decoder.receive(b"<MM:resource>" + body)
            while (event := decoder.next_event()) is not NEED_DATA:
                count += isinstance(event, PartEnd)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100 and peak < 200_000


resources = st.lists(st.sampled_from([CREATE, DELETE, NAMED, *WRONG.values()]), max_size=4)


@settings(max_examples=40)
@given(resources, st.data())
def test_any_documents_any_cuts(chosen: list[str], data: st.DataObject) -> None:
    body = document(*chosen)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(body) - 1), max_size=6)))
    assert told(decode(body, *cuts)) == told(decode(body))


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3), st.integers(0, 4), st.integers(1, len(WHOLE) - 1))
def test_damage_is_refused_exactly_when_an_xml_parser_refuses_it(at: int, put: bytes, cut: int, split: int) -> None:
    body = WHOLE[:at] + put + WHOLE[at + cut :]
    try:
        parse_body(body)
        refused = False
    except Failure:
        refused = True
    try:
        decode(body, split)
    except SchemaInvalid:
        pass  # another root
    except Failure:
        assert refused
    else:
        assert not refused


def test_the_schema_takes_what_is_understood() -> None:
    check_xml(document(CREATE, DELETE, NAMED, f"<D:href>/a</D:href>{IF_MATCH}{CREATE}"))
    for wrong in ("", "<MM:delete/>", "<D:href>/a</D:href>", f"{CREATE}{CREATE}"):
        with pytest.raises(AssertionError, match="line"):
            check_xml(document(wrong))
