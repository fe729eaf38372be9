"""Over a real socket: what a client can learn before an upload, and that it is told in the form that it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.batch.test_forms import READERS, check_json_api, read_json_api, strict_json
from tests.conftest import Serve
from tests.harness import Client, form_part
from tests.xml_documents import check_xml

from partwise.actions.methods import CONTAINERS
from partwise.batch.forms import FORMS

P = "{urn:partwise:batch}"
ASKING = b'<D:propfind xmlns:D="DAV:"><D:prop><limits xmlns="urn:partwise:batch"/></D:prop></D:propfind>'
SETTINGS: dict[str, Any] = {
    "max_items": 7,
    "max_atomic_items": 5,
    "max_batch_size": 10_000,
    "max_item_size": 1000,
    "accept": ("image/*", "text/csv"),
}


def told(element: Any) -> dict[str, Any]:
    found: dict[str, Any] = {name: int(value) for name, value in element.attrib.items()}
    for child in element:
        found.setdefault(child.tag.removeprefix(P), []).append(child.text)
    return found


async def test_the_property(serve: Serve) -> None:
    client = await serve(**SETTINGS)
    (client.folder / "c").mkdir()
    (client.folder / "f").write_bytes(b"x")
    answer = await client.request("PROPFIND", "/", ASKING, Depth="1")
    assert {row.href: row.status for row in answer.rows} == {"/": 200, "/c/": 200, "/f": 404}
    for element in answer.xml.iterfind(f"{{DAV:}}response/{{DAV:}}propstat/{{DAV:}}prop/{P}limits"):
        if len(element):
            found = told(element)
            assert (found["max-items"], found["max-bytes"], found["max-item-size"]) == (7, 10_000, 1000)
            assert (found["type"], found["form"]) == (["image/*", "text/csv"], list(FORMS))
            assert found["container"] == list(CONTAINERS)


async def test_what_is_not_limited_is_not_told(client: Client) -> None:
    answer = await client.request("PROPFIND", "/", ASKING, Depth="0")
    [element] = answer.xml.iter(f"{P}limits")
    assert set(element.attrib) == {"max-items", "max-atomic-items"}
    assert told(element)["type"] == ["*/*"]


async def test_it_is_told_by_name_only(client: Client) -> None:
    for body in (b"", b'<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'):
        assert not list((await client.request("PROPFIND", "/", body, Depth="0")).xml.iter(f"{P}limits"))
    names = b'<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>'
    [element] = (await client.request("PROPFIND", "/", names, Depth="0")).xml.iter(f"{P}limits")
    assert not element.attrib and not len(element)


async def test_it_is_protected(client: Client) -> None:
    for verb in (
        "<D:set><D:prop><P:limits>1</P:limits></D:prop></D:set>",
        "<D:remove><D:prop><P:limits/></D:prop></D:remove>",
    ):
        body = f'<D:propertyupdate xmlns:D="DAV:" xmlns:P="urn:partwise:batch">{verb}</D:propertyupdate>'
        answer = await client.request("PROPPATCH", "/", body.encode())
        assert [row.status for row in answer.rows] == [403]
        assert b"<D:cannot-modify-protected-property/>" in answer.body


async def test_other_names_of_the_namespace_are_nobodys(client: Client) -> None:
    body = b"""<D:propertyupdate xmlns:D="DAV:" xmlns:P="urn:partwise:batch"><D:set><D:prop><P:mine>1</P:mine></D:prop></D:set>
    </D:propertyupdate>"""
    assert [row.status for row in (await client.request("PROPPATCH", "/", body)).rows] == [200]


# -- OPTIONS

#: Of clients of WebDAV, and of browsers that ask whether they may (Fetch Standard §4.8).
SILENT = [None, "*/*", "text/html, */*;q=0.5", "application/*", "application/json;q=0, */*", "image/png"]


@pytest.mark.parametrize("accept", SILENT)
async def test_options_has_no_body_unless_it_is_named(client: Client, accept: str | None) -> None:
    lines = "OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + ("" if accept is None else f"Accept: {accept}\r\n")
    answer = await client.raw(lines.encode() + b"\r\n")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert "POST" in answer.headers["Allow"] and answer.headers["Accept-Post"] == ", ".join(CONTAINERS)


@pytest.mark.parametrize("accept", ["application/xml", "text/xml", "*/*;q=0.1, application/xml"])
async def test_options_in_xml(serve: Serve, accept: str) -> None:
    answer = await (await serve(**SETTINGS)).request("OPTIONS", "/", Accept=accept)
    root = check_xml(answer.body)
    assert told(root)["max-items"] == 7
    assert answer.headers["Vary"] == "Accept" and answer.headers["MS-Author-Via"] == "DAV"


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*"])
async def test_options_in_json(serve: Serve, accept: str) -> None:
    answer = await (await serve(**SETTINGS)).request("OPTIONS", "/", Accept=accept)
    assert answer.headers["Content-Type"] == "application/json"
    found = strict_json(answer.body)
    assert found == {
        "maxItems": 7,
        "maxAtomicItems": 5,
        "maxBytes": 10_000,
        "maxItemSize": 1000,
        "types": ["image/*", "text/csv"],
        "containers": list(CONTAINERS),
        "codings": ["gzip", "zstd"],
        "forms": list(FORMS),
    }


async def test_options_of_a_file_has_no_limits(client: Client) -> None:
    (client.folder / "f").write_bytes(b"x")
    assert (await client.request("OPTIONS", "/f", Accept="application/json")).body == b""


async def test_the_limits_hold(serve: Serve) -> None:
    client = await serve(**SETTINGS)
    parts = [form_part(f"{n}.csv", b"x" * (1001 if n == 3 else 1), Content_Type="text/csv") for n in range(8)]
    answer = await client.post("/", parts)
    assert answer.statuses.count(201) == 6 and answer.statuses[3] == 413 and answer.statuses[-1] == 413


async def test_the_limit_of_bytes_holds(serve: Serve) -> None:
    client = await serve(**SETTINGS)
    answer = await client.request("POST", "/", b"x" * 10_001, Content_Type="multipart/form-data; boundary=b")
    assert (answer.status, answer.error) == (413, "too-large")


# -- reports and failures in the form that was asked for


@pytest.mark.parametrize("media_type", FORMS)
async def test_a_batch_is_reported_in_each_form(client: Client, media_type: str) -> None:
    parts = [form_part("photos/a.txt", b"1"), form_part("../b", b"2"), form_part("caf\udce9", b"3")]
    (client.folder / "photos").mkdir()
    answer = await client.post("/photos/", parts, Accept=media_type)
    assert answer.status == 207
    expected = "application/xml" if media_type == "text/xml" else media_type
    assert answer.headers["Content-Type"].partition(";")[0] == expected
    rows, summary = READERS[media_type](answer.body)
    assert len(rows) == (2 if media_type == "application/vnd.api+json" else 3)
    assert summary is not None


async def test_no_form_is_acceptable(client: Client) -> None:
    answer = await client.post("/", [form_part("a", b"x")], Accept="image/png")
    assert answer.status == 406
    assert all(name.encode() in answer.body for name in FORMS)
    answer = await client.post("/", [form_part("a", b"x")], Accept="image/svg+json")
    assert strict_json(answer.body)["accepted"] == list(FORMS)
    assert list(client.folder.glob("a")) == []


PROBLEMS = [
    ("application/json", "application/problem+json"),
    ("application/problem+json", "application/problem+json"),
    ("application/problem+json, application/xml;q=0.5", "application/problem+json"),
    ("application/geo+json", "application/problem+json"),
    ("application/x-ndjson", "application/problem+json"),
    ("text/event-stream", "application/problem+json"),
    ("application/json, text/plain, */*", "application/problem+json"),
    ("application/vnd.api+json", "application/vnd.api+json"),
    ("application/vnd.api+json; charset=utf-8", "application/problem+json"),
    ("*/*", "application/xml"),
    ("image/png", "application/xml"),
    ("application/json;q=0.5, application/xml", "application/xml"),
    ("application/geo+json;q=0", "application/xml"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
]


@pytest.mark.parametrize(("accept", "media_type"), PROBLEMS)
async def test_a_single_failure_is_told_in_what_is_read(client: Client, accept: str, media_type: str) -> None:
    answer = await client.request("PUT", "/a/b", b"x", Accept=accept)
    assert answer.status == 409
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert "Accept" in answer.headers["Vary"]
    if media_type == "application/problem+json":
        problem = strict_json(answer.body)
        detail = problem.pop("detail")
        assert problem == {"type": "urn:partwise:batch:parent-missing", "title": "Conflict", "status": 409}
        assert detail.endswith(".")
    elif media_type == "application/vnd.api+json":
        document = json.loads(answer.body)
        check_json_api({**document, "errors": [{**error, "meta": {}} for error in document["errors"]]})
        [error] = document["errors"]
        assert (error["status"], error["code"], error["title"]) == ("409", "parent-missing", "Conflict")


async def test_several_lines_of_accept_are_one_list(client: Client) -> None:
    lines = b"GET /none HTTP/1.1\r\nHost: h\r\nAccept: image/png\r\nAccept: application/json\r\n\r\n"
    answer = await client.raw(lines)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_problem_tells_what_the_document_in_xml_tells(client: Client) -> None:
    (client.folder / "f").write_bytes(b"x")
    schema_less = await client.request(
        "PUT", "/x.xml", b"<a><b></a>", Content_Type="text/xml", Accept="application/json"
    )
    problem = strict_json(schema_less.body)
    assert problem["type"] == "urn:partwise:batch:not-well-formed" and problem["issues"][0]["line"] == 1
    wrong_verb = strict_json((await client.request("MKCOL", "/f", Accept="application/json")).body)
    assert wrong_verb["type"] == "about:blank" and "PUT" in wrong_verb["accepted"]
    assert wrong_verb["title"] == "Method Not Allowed"


async def test_a_row_tells_what_a_put_would_have_been_told(client: Client) -> None:
    alone = strict_json(
        (await client.request("PUT", "/x.xml", b"<a>", Content_Type="text/xml", Accept="application/json")).body
    )
    batch = await client.post("/", [form_part("x.xml", b"<a>", Content_Type="text/xml")], Accept="application/json")
    [row] = strict_json(batch.body)["items"]
    assert row["status"] == alone["status"]
    assert row["error"] == {
        "type": alone["type"],
        "text": alone["detail"],
        **{name: alone[name] for name in ("issues", "limit", "accepted", "href", "more") if name in alone},
    }


async def test_all_good_in_json_api(client: Client) -> None:
    answer = await client.post("/", [form_part("a", b"x")], Accept="application/vnd.api+json")
    errors, meta = read_json_api(answer.body)
    assert (errors, meta["stored"]) == ([], 1)
    assert answer.headers["Content-Type"] == "application/vnd.api+json"
