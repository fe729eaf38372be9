"""RFC 4918 §8: what holds for every request and response."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Client
from tests.rfc4918.dav import (
    D,
    asking,
    hrefs,
    lock,
    lockinfo,
    mkcol,
    properties,
    propfind,
    proppatch,
    put,
    set_x,
    setting,
    status,
    update,
)


@pytest.mark.parametrize("target", ["/there", "/missing", "/locked"])
@pytest.mark.parametrize("method", ["GET", "PROPFIND", "PUT", "DELETE", "MKCOL", "LOCK", "COPY", "MOVE", "PROPPATCH"])
async def test_8_1_authorisation_comes_first(serve: Serve, tmp_path: Path, method: str, target: str) -> None:
    # §8.1: "Servers MUST return authorization errors in preference to other errors."
    users = tmp_path / "users"
    users.write_text("ann:$2b$04$abcdefghijklmnopqrstuuKx3qA2lI8kF1bO0Q7mQvXyKqzq0l2mG\n")
    client = await serve(htpasswd=users)
    (client.folder / "there").write_bytes(b"")
    # §8.5: "Servers MUST do authorization checks before checking any HTTP conditional header."
    answer = await client.request(method, target, b"<not xml", If="(<urn:x>)", If_Match='"no"', Depth="nonsense")
    assert answer.status == 401


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL"])
@pytest.mark.parametrize(
    "body",
    [
        b"<D:propfind xmlns:D='DAV:'>",
        b"<propfind><a></b></propfind>",
        b"no XML",
        b"<D:propfind/>",
        b"<a xmlns:x=''/>",
        b"<a b='1' b='2'/>",
        b"\xff\xfe<",
        b"<?xml version='1.0'?>",
        b"<a>\x00</a>",
    ],
)
async def test_8_2_ill_formed_xml_is_refused(client: Client, method: str, body: bytes) -> None:
    # §8.2: "If a server receives XML that is not well-formed, then the server MUST reject the entire request with a 400
    # (Bad Request)." It must be namespace-well-formed too.
    await put(client, "/a")
    target = "/new" if method == "MKCOL" else "/a"
    answer = await client.request(method, target, body, Content_Type="application/xml")
    assert (answer.status, answer.error) == (400, "not-well-formed")


@pytest.mark.parametrize("kind", ["application/xml", "text/xml", 'text/xml; charset="utf-8"', 'application/xml; a="b"'])
async def test_8_2_both_media_types_are_taken(client: Client, kind: str) -> None:
    # §8.2: "Implementations MUST accept both text/xml and application/xml in request and response bodies."
    await put(client, "/a")
    assert await status_of(client, "PROPFIND", "/a", asking("<D:propname/>"), kind) == 207
    assert await status_of(client, "PROPPATCH", "/a", update(setting("<x:a/>")), kind) == 207
    assert await status_of(client, "LOCK", "/a", lockinfo(), kind) == 200
    mkcol_body = b'<D:mkcol xmlns:D="DAV:"><D:set><D:prop/></D:set></D:mkcol>'
    assert await status_of(client, "MKCOL", "/c/", mkcol_body, kind) == 201


async def status_of(client: Client, method: str, target: str, body: bytes, kind: str) -> int:
    return (await client.request(method, target, body, Content_Type=kind)).status


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_8_2_encodings_that_every_xml_parser_knows(client: Client, encoding: str) -> None:
    # §8.2: XML parsers that are compliant with [REC-XML], so UTF-8 and UTF-16.
    await put(client, "/a")
    body = update(setting("<x:a>ü😀</x:a>")).decode().encode(encoding)
    assert (await client.request("PROPPATCH", "/a", body)).status == 207
    assert (await properties(client, "/a", "<x:a/>"))["{urn:x}a"].text == "ü😀"


async def test_8_2_answers_are_application_xml(client: Client) -> None:
    # §8.2: "When XML is used for a request or response body, the Content-Type type SHOULD be application/xml."
    for answer in (
        await propfind(client, "/"),
        (await lock(client, "/a")).answer,
        await client.request("LOCK", "/a", lockinfo()),
    ):
        assert answer.headers["Content-Type"].startswith("application/xml")


async def test_8_3_hrefs(client: Client) -> None:
    # §8.3: "Servers MUST ensure" that hrefs of one multistatus have the same format; senders MUST NOT "use dot-segments" or
    # "have prefixes that do not match the Request-URI"; "Identifiers for collections SHOULD end in a '/' character."
    names = ["a test", "ü", "%41", "a&b<c>", "q?", "h#", "..a", "semi;colon=1"]
    (client.folder / "sample" / "sub dir").mkdir(parents=True)
    for name in names:
        (client.folder / "sample" / name).write_bytes(b"")
    found = await hrefs(client, "/sample/", "1")
    assert "/sample/" in found and "/sample/sub%20dir/" in found and "/sample/a%20test" in found
    assert len(found) == len(names) + 2
    for href in found:
        assert href.startswith("/sample/") and href.isascii()
        assert not {".", ".."} & set(href.split("/"))
        assert await status(client, "HEAD", href) == 200, href


async def test_8_3_request_uri_in_another_spelling(client: Client) -> None:
    # §8.3: as RFC 2616 §3.2.3 compares; the hrefs are written in one spelling.
    await mkcol(client, "/%7Ea%2Db/")
    assert await hrefs(client, "/%7ea-b/", "0") <= {"/~a-b/", "/%7Ea-b/"}


BODILESS = ["DELETE", "COPY", "MOVE", "UNLOCK", "MKCOL"]


@pytest.mark.parametrize("method", BODILESS)
async def test_8_4_a_body_that_would_be_ignored_is_refused(client: Client, method: str) -> None:
    # §8.4: "In cases where a request body is present but would be ignored by a server, the server MUST reject the request
    # with 415 (Unsupported Media Type)."
    await put(client, "/a")
    headers = {"Destination": "/b"} if method in ("COPY", "MOVE") else {}
    if method == "UNLOCK":
        headers["Lock_Token"] = f"<{(await lock(client, '/a')).token}>"
    target = "/new/" if method == "MKCOL" else "/a"
    before = await hrefs(client, "/")
    answer = await client.request(method, target, b"something", Content_Type="text/plain", **headers)
    assert answer.status == 415
    assert await hrefs(client, "/") == before
    assert (await client.request(method, target, **headers)).status in (201, 204)


async def test_8_6_a_put_tells_the_etag(client: Client) -> None:
    # §8.6: strong entity tags; what PUT tells is that of GET.
    answer = await put(client, "/a", b"one")
    got = await client.request("GET", "/a")
    assert got.headers["ETag"] == answer.headers["ETag"]
    assert not got.headers["ETag"].startswith("W/")


async def test_8_6_an_etag_stays_while_the_body_does(client: Client) -> None:
    # §8.6: "a WebDAV server SHOULD NOT change the ETag (or the Last-Modified time) for a resource that has an unchanged
    # body and location."
    await put(client, "/a")
    before = (await client.request("HEAD", "/a")).headers
    await set_x(client, "/a")
    granted = await lock(client, "/a")
    await client.request("UNLOCK", "/a", Lock_Token=f"<{granted.token}>")
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    after = (await client.request("HEAD", "/a")).headers
    assert (after["ETag"], after["Last-Modified"]) == (before["ETag"], before["Last-Modified"])


async def test_8_7_a_failure_says_its_condition(client: Client) -> None:
    # §8.7, §16: the condition that was not met stands in DAV:error.
    await put(client, "/a")
    await lock(client, "/a")
    answer = await client.request("PUT", "/a", b"no")
    assert (answer.status, answer.xml.tag, answer.error) == (423, f"{D}error", "lock-token-submitted")


async def test_8_8_an_etag_is_not_used_again(client: Client) -> None:
    # §8.8: "For any given URL, an ETag value MUST NOT be reused for different representations returned by GET."
    seen: dict[str, bytes] = {}

    async def look() -> None:
        got = await client.request("GET", "/a")
        etag = (await properties(client, "/a", "<D:getetag/>"))[f"{D}getetag"].text
        assert got.headers["ETag"] == etag
        assert seen.setdefault(got.headers["ETag"], got.body) == got.body

    for turn in range(12):
        body = b"%02d" % turn
        await put(client, "/a", body)
        # The clock of the files must not be what tells two contents apart.
        os.utime(client.folder / "a", ns=(10**18, 10**18))
        await look()
        await put(client, "/b", body[::-1])
        os.utime(client.folder / "b", ns=(10**18, 10**18))
        assert await status(client, ("MOVE", "COPY")[turn % 2], "/b", Destination="/a") == 204
        await look()
        if turn % 3 == 0:
            assert await status(client, "DELETE", "/a") == 204
    assert len(seen) == 24


async def test_8_8_getlastmodified_is_the_header(client: Client) -> None:
    # §8.8: properties inherited from HTTP headers "MUST behave accordingly".
    await put(client, "/a", X_OC_Mtime="1000000000")
    head = (await client.request("HEAD", "/a")).headers["Last-Modified"]
    assert (await properties(client, "/a", "<D:getlastmodified/>"))[f"{D}getlastmodified"].text == head
    assert (await proppatch(client, "/a", setting("<D:getlastmodified>x</D:getlastmodified>"))).status == 207
