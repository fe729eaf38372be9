"""RFC 5689 extended MKCOL, RFC 5397 current-user-principal, RFC 5995 add-member, over the real server."""

from __future__ import annotations

import base64
from pathlib import Path

import bcrypt
import pytest
from lxml import etree
from tests.conftest import Serve
from tests.harness import Answer, Client
from tests.rfc4918.dav import D, X, hrefs, lock, mkcol, properties, propfind, put, status

COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>"


async def make(client: Client, target: str, properties: str, **headers: str) -> Answer:
    body = f'<D:mkcol xmlns:D="DAV:" xmlns:x="urn:x"><D:set><D:prop>{properties}</D:prop></D:set></D:mkcol>'
    return await client.request("MKCOL", target, body.encode(), Content_Type="application/xml", **headers)


async def test_5689_3_properties_of_a_new_collection(client: Client) -> None:
    # RFC 5689 §3: the collection is made with the properties, or not at all.
    answer = await make(client, "/c/", f"{COLLECTION}<D:displayname>Shown</D:displayname><x:a>1</x:a>")
    assert answer.status == 201
    found = await properties(client, "/c/", "<D:displayname/><x:a/><D:resourcetype/>")
    assert (found[f"{D}displayname"].text, found[f"{X}a"].text) == ("Shown", "1")
    assert found[f"{D}resourcetype"].find(f"{D}collection") is not None


@pytest.mark.parametrize(
    ("wrong", "name", "expected", "condition"),
    [
        ("<D:getetag>no</D:getetag>", f"{D}getetag", 403, "cannot-modify-protected-property"),
        (
            '<D:resourcetype><D:collection/><c:calendar xmlns:c="urn:ietf:params:xml:ns:caldav"/></D:resourcetype>',
            f"{D}resourcetype",
            403,
            "valid-resourcetype",
        ),
    ],
)
async def test_5689_3_all_or_nothing(client: Client, wrong: str, name: str, expected: int, condition: str) -> None:
    # RFC 5689 §3, §3.3: what cannot be set is told in a mkcol-response, the rest as 424, and nothing is made.
    answer = await make(client, "/c/", f"<x:a>1</x:a>{wrong}")
    assert (answer.status, answer.xml.tag) == (424, f"{D}mkcol-response")
    told = {
        str(element.tag): int((propstat.findtext(f"{D}status") or "").split()[1])
        for propstat in answer.xml.iterfind(f"{D}propstat")
        for element in propstat.iterfind(f"{D}prop/*")
    }
    assert told == {name: expected, f"{X}a": 424}
    assert answer.xml.find(f".//{D}error/{D}{condition}") is not None
    assert await hrefs(client, "/") == {"/"}


async def test_5689_3_as_an_ordinary_mkcol(client: Client) -> None:
    # RFC 5689 §3: everything that RFC 4918 says of MKCOL holds.
    await put(client, "/there")
    assert (await make(client, "/there", COLLECTION)).status == 405
    assert (await make(client, "/no/c/", COLLECTION)).status == 409
    await mkcol(client, "/held/")
    granted = await lock(client, "/held/")
    assert (await make(client, "/held/c/", COLLECTION)).status == 423
    assert (await make(client, "/held/c/", COLLECTION, If=f"</held/> {granted.header}")).status == 201


@pytest.mark.parametrize("inner", ["", "<D:remove><D:prop><a/></D:prop></D:remove>", "<D:set/>"])
async def test_5689_5_a_body_that_is_wrong(client: Client, inner: str) -> None:
    # RFC 5689 §5.1: one or more set, no remove.
    body = f'<D:mkcol xmlns:D="DAV:">{inner}</D:mkcol>'.encode()
    assert (await client.request("MKCOL", "/c/", body, Content_Type="text/xml")).status == 422
    assert await status(client, "GET", "/c/") == 404


async def test_5689_3_1_it_is_advertised(client: Client) -> None:
    # RFC 5689 §3.1: "extended-mkcol" in the DAV header of OPTIONS.
    classes = [name.strip() for name in (await client.request("OPTIONS", "/")).headers["DAV"].split(",")]
    assert "extended-mkcol" in classes


async def test_5397_3_current_user_principal(serve: Serve, tmp_path: Path) -> None:
    # RFC 5397 §3: the URL of the principal, or unauthenticated; protected, and not in allprop.
    users = tmp_path / "users"
    users.write_text(f"Zoë A:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    client = await serve(htpasswd=users, anonymous="read")

    async def principal(**headers: str) -> etree._Element:
        answer = await propfind(client, "/", "<D:prop><D:current-user-principal/></D:prop>", **headers)
        found = answer.xml.find(f".//{D}current-user-principal")
        assert found is not None
        return found

    assert (await principal()).find(f"{D}unauthenticated") is not None
    zoe = f"Basic {base64.b64encode('Zoë A:secret'.encode()).decode()}"
    assert (await principal(Authorization=zoe)).findtext(f"{D}href") == "/-/principals/Zo%C3%AB%20A"
    assert (await propfind(client, "/")).xml.find(f".//{D}current-user-principal") is None
    found = await client.request("GET", "/-/principals/Zo%C3%AB%20A", Authorization=zoe)
    assert (found.status, found.body.decode()) == (200, "Zoë A\n")
    assert (await client.request("GET", "/-/principals/bob", Authorization=zoe)).status == 404


async def test_5995_3_2_1_add_member(client: Client) -> None:
    # RFC 5995 §3.2.1: the property of a collection names where to POST a member; §3.1: 201 with Location.
    await mkcol(client, "/c/")
    found = await properties(client, "/c/", "<D:add-member/>")
    target = found[f"{D}add-member"].findtext(f"{D}href") or ""
    answer = await client.request("POST", target, b"text", Content_Type="text/plain", Slug="A note")
    assert (answer.status, answer.headers["Location"].partition("/c/")[1]) == (201, "/c/")
    assert len(await hrefs(client, "/c/")) == 2
    await put(client, "/a")
    assert await properties(client, "/a", "<D:add-member/>") == {}
