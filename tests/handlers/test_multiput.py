"""Apple's multiput over a real socket: bulk create, update and delete."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client, read_head

NAMESPACES = (
    'xmlns:D="DAV:" xmlns:MM="http://me.com/_namespace/" xmlns:C="urn:ietf:params:xml:ns:caldav" '
    'xmlns:A="urn:ietf:params:xml:ns:carddav"'
)
UID = "{http://calendarserver.org/ns/}uid"


def document(*resources: str) -> bytes:
    inner = "\n".join(f"<MM:resource>{resource}</MM:resource>" for resource in resources)
    return f'<?xml version="1.0"?>\n<MM:multiput {NAMESPACES}>{inner}</MM:multiput>'.encode()


def event(uid: str) -> str:
    return f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:{uid}\nEND:VEVENT\nEND:VCALENDAR"


def put(uid: str, href: str = "", more: str = "", match: str = "") -> str:
    named = f"<D:href>{href}</D:href>" if href else ""
    condition = f"<MM:if-match><D:getetag>{match}</D:getetag></MM:if-match>" if match else ""
    data = f"<C:calendar-data>{event(uid)}</C:calendar-data>"
    return f"{named}{condition}<D:set><D:prop>{data}{more}</D:prop></D:set>"


def delete(href: str, match: str = "") -> str:
    condition = f"<MM:if-match><D:getetag>{match}</D:getetag></MM:if-match>" if match else ""
    return f"<D:href>{href}</D:href>{condition}<MM:delete/>"


def stored(uid: str) -> bytes:
    return event(uid).replace("\n", "\r\n").encode() + b"\r\n"


async def send(client: Client, *resources: str, target: str = "/cal/", **headers: str) -> Answer:
    headers.setdefault("Content_Type", 'application/xml; charset="utf-8"')
    return await client.request("POST", target, document(*resources), **headers)


@pytest.fixture
def cal(folder: Path) -> Path:
    path = folder / "cal"
    path.mkdir()
    for name in "234":
        (path / f"{name}.ics").write_bytes(stored(f"old{name}"))
    return path


async def etag(client: Client, target: str) -> str:
    return (await client.request("HEAD", target)).headers["ETag"]


async def test_the_example_of_the_description(client: Client, cal: Path) -> None:
    right = [await etag(client, f"/cal/{name}.ics") for name in "23"]
    name = "<D:displayname>event {}</D:displayname>"
    answer = await send(
        client,
        put("event1@example.com", more=name.format(1)),
        put("two", "/cal/2.ics", name.format(2), match=right[0]),
        delete("/cal/3.ics", right[1]),
        put("four", "/cal/4.ics", name.format(4), match='"12345"'),
    )
    assert answer.status == 207
    assert answer.statuses == [200, 200, 204, 412]
    created, updated, deleted, refused = answer.rows
    assert created.element.findtext(f".//{UID}") == "event1@example.com"
    for row in (created, updated):
        assert row.element.findtext(".//{DAV:}getetag") == await etag(client, row.href)
        listing = await client.request("PROPFIND", row.href, Depth="0")
        assert b"<D:displayname" in listing.body and b"text/calendar" in listing.body
    assert created.href.startswith("/cal/") and created.href.endswith(".ics")
    assert (cal / created.href.removeprefix("/cal/")).read_bytes() == stored("event1@example.com")
    assert [row.href for row in (updated, deleted, refused)] == ["/cal/2.ics", "/cal/3.ics", "/cal/4.ics"]
    assert (cal / "2.ics").read_bytes() == stored("two")
    assert not (cal / "3.ics").exists()
    assert (cal / "4.ics").read_bytes() == stored("old4")
    assert b"displayname" not in (await client.request("PROPFIND", "/cal/4.ics", Depth="0")).body
    assert answer.summary.items() >= {"items": "4", "failed": "1", "state": "complete"}.items()


async def test_a_uid_is_created_once(client: Client, cal: Path) -> None:
    answer = await send(client, put("one"), put("one"), put("other"))
    assert answer.statuses == [200, 409, 200]
    again = await send(client, put("one"))
    assert again.statuses == [412]
    assert again.rows[0].href == answer.rows[0].href
    assert again.rows[0].element.findtext(f"{{DAV:}}error/{UID}") == "one"


async def test_properties_alone(client: Client, cal: Path) -> None:
    before = await etag(client, "/cal/2.ics")
    colour = '<D:set><D:prop><X:colour xmlns:X="urn:x">red</X:colour></D:prop></D:set>'
    protected = "<D:set><D:prop><D:getetag>1</D:getetag></D:prop></D:set>"
    answer = await send(
        client,
        f"<D:href>/cal/2.ics</D:href>{colour}",
        f"<D:href>/cal/3.ics</D:href>{colour}{protected}",
        f"<D:href>/cal/9.ics</D:href>{colour}",
        put("four", "/cal/4.ics", "<D:getetag>1</D:getetag>"),
    )
    assert answer.statuses == [200, 403, 404, 403]
    assert await etag(client, "/cal/2.ics") == before
    assert b">red</" in (await client.request("PROPFIND", "/cal/2.ics", Depth="0")).body
    assert b">red</" not in (await client.request("PROPFIND", "/cal/3.ics", Depth="0")).body
    assert (cal / "4.ics").read_bytes() == stored("old4")


async def test_vcards(client: Client, cal: Path) -> None:
    card = "<D:set><D:prop><A:address-data>BEGIN:VCARD\nEND:VCARD</A:address-data></D:prop></D:set>"
    answer = await send(client, card, card)
    assert answer.statuses == [200, 200]
    for row in answer.rows:
        assert row.href.endswith(".vcf") and row.element.find(f".//{UID}") is None
        got = await client.request("GET", row.href)
        assert (got.body, got.headers["Content-Type"]) == (b"BEGIN:VCARD\r\nEND:VCARD\r\n", "text/vcard; charset=utf-8")


async def test_each_resource_is_judged_by_itself(client: Client, cal: Path) -> None:
    (cal / "folder").mkdir()
    answer = await send(
        client,
        put("a", "/other/a.ics"),
        delete("/cal/"),
        put("b", "/cal/folder"),
        delete("/cal/nothing.ics"),
        "<MM:delete/>",
        put("c", "/cal/new/c.ics"),
        put("d", "/cal/2.ics", match="2"),
        delete("/cal/3.ics"),
        put("e", "/cal/3.ics"),
    )
    assert answer.statuses == [403, 403, 405, 404, 422, 200, 400, 204, 200]
    assert (cal / "new" / "c.ics").read_bytes() == stored("c")
    assert (cal / "3.ics").read_bytes() == stored("e")


async def test_all_or_nothing(client: Client, cal: Path) -> None:
    answer = await send(
        client, put("new"), put("two", "/cal/2.ics"), delete("/cal/3.ics"), delete("/cal/9"), target="/cal/?atomic=1"
    )
    assert answer.statuses == [424, 424, 424, 404]
    assert sorted(path.name for path in cal.iterdir()) == ["2.ics", "3.ics", "4.ics"]
    assert (cal / "2.ics").read_bytes() == stored("old2")
    answer = await send(client, put("new"), put("two", "/cal/2.ics"), delete("/cal/3.ics"), target="/cal/?atomic=1")
    assert answer.statuses == [200, 200, 204]
    assert len(list(cal.iterdir())) == 3 and (cal / "2.ics").read_bytes() == stored("two")


async def test_other_forms_of_the_report(client: Client, cal: Path) -> None:
    answer = await send(client, put("one"), Accept="application/x-ndjson")
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    monitor = (await send(client, put("two"))).headers["Link"].split(">")[0].removeprefix("<")
    assert (await client.request("GET", monitor)).statuses == [201]


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (b"<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", {}, 403, "no-external-entities"),
        (b'<D:propfind xmlns:D="DAV:"/>', {}, 422, "schema-invalid"),
        (b"", {}, 400, "not-well-formed"),
        (b"<a", {}, 400, "not-well-formed"),
        (document(put("x")), {"Content_Encoding": "gzip"}, 415, "unsupported-type"),
        (document(put("x")), {"Content_Type": "application/calendar+xml"}, 415, "unsupported-type"),
        (document(put("x")), {"If_None_Match": "*"}, 412, None),
        (document(put("x")), {"Accept": "image/png"}, 406, None),
        (document(put("x")), {"Origin": "http://other.example"}, 403, "cross-site"),
        (document(put("x" * 60_000)), {}, 413, "too-large"),
    ],
)
async def test_the_whole_request_can_be_wrong(
    serve: Serve, cal: Path, body: bytes, headers: dict[str, str], status: int, error: str | None
) -> None:
    client = await serve(max_batch_size=50_000)
    answer = await client.request("POST", "/cal/", body, **{"Content_Type": "text/xml", **headers})
    assert (answer.status, answer.error) == (status, error)
    assert len(list(cal.iterdir())) == 3


async def test_what_was_complete_before_the_document_broke_is_stored(client: Client, cal: Path) -> None:
    body = document(put("one"), put("two", "/cal/2.ics"))
    answer = await client.request("POST", "/cal/", body.replace(b"UID:two", b"</two>"), Content_Type="text/xml")
    assert (answer.status, answer.statuses, answer.summary["state"]) == (207, [200, 400], "aborted")
    assert (cal / "2.ics").read_bytes() == stored("old2")


async def test_rows_come_while_the_document_is_sent(client: Client, cal: Path) -> None:
    body = document(put("one"), put("two"))
    first, rest = body[: body.index(b"</MM:resource>") + 14], body[body.index(b"</MM:resource>") + 14 :]
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"POST /cal/ HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + first)
    assert (await read_head(reader))[0] == 207
    await reader.readuntil(b"</D:response>")
    writer.write(rest)
    assert b'items="2" stored="2"' in await reader.readuntil(b"</D:multistatus>")
    writer.close()


async def test_many_resources(client: Client, cal: Path) -> None:
    answer = await send(client, *(put(f"uid{n}") for n in range(500)))
    assert answer.statuses == [200] * 500
    assert [row.element.findtext(f".//{UID}") for row in answer.rows] == [f"uid{n}" for n in range(500)]
    assert len(list(cal.iterdir())) == 503


async def test_a_named_request_can_be_sent_again(client: Client, cal: Path) -> None:
    resources = put("one"), put("two", "/cal/2.ics"), delete("/cal/3.ics")
    tries = [await send(client, *resources, Idempotency_Key="import-of-november") for _ in range(2)]
    assert tries[0].statuses == tries[1].statuses == [200, 200, 204]
    assert [row.href for row in tries[0].rows] == [row.href for row in tries[1].rows]
    assert len(list(cal.iterdir())) == 3
