"""Preferences (RFC 7240, RFC 8144) over the real server."""

from __future__ import annotations

import pytest
from tests.harness import Client

_COLOUR = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><c xmlns="urn:x">1</c></D:prop></D:set></D:propertyupdate>'
_WRONG = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:getetag>1</D:getetag></D:prop></D:set></D:propertyupdate>'
_ASK = b'<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:nothing/></D:prop></D:propfind>'


async def test_a_put_that_is_shown(client: Client) -> None:
    made = await client.request("PUT", "/a.txt", b"one", Prefer="return=representation")
    assert (made.status, made.body) == (201, b"one")
    assert made.headers["Preference-Applied"] == "return=representation"
    assert made.headers["Content-Location"] == "/a.txt" and made.headers["ETag"]
    again = await client.request("PUT", "/a.txt", b"x" * 100_000, Prefer="return=representation")
    assert (again.status, again.body) == (200, b"x" * 100_000)


async def test_a_failed_condition_that_shows_what_is_there(client: Client) -> None:
    await client.request("PUT", "/a.txt", b"one")
    refused = await client.request("PUT", "/a.txt", b"two", If_Match='"old"', Prefer="return=representation")
    assert (refused.status, refused.body) == (412, b"one")
    assert refused.headers["ETag"]
    plain = await client.request("PUT", "/a.txt", b"two", If_Match='"old"')
    assert plain.status == 412 and b"<D:error" in plain.body


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_the_destination_is_shown(client: Client, method: str) -> None:
    await client.request("PUT", "/a.txt", b"one")
    answer = await client.request(method, "/a.txt", Destination="/b.txt", Prefer="return=representation")
    assert (answer.status, answer.body, answer.headers["Content-Location"]) == (201, b"one", "/b.txt")


@pytest.mark.parametrize("asked", [{"Prefer": "return=minimal"}, {"Brief": "t"}])
async def test_minimal(client: Client, asked: dict[str, str]) -> None:
    await client.request("PUT", "/a.txt", b"one")
    done = await client.request("PROPPATCH", "/a.txt", _COLOUR, **asked)
    assert (done.status, done.body) == (200, b"")
    assert done.headers["Preference-Applied"] == "return=minimal"
    assert (await client.request("PROPPATCH", "/a.txt", _WRONG, **asked)).status == 207
    found = await client.request("PROPFIND", "/a.txt", _ASK, Depth="0", **asked)
    assert found.headers["Preference-Applied"] == "return=minimal"
    assert b"nothing" not in found.body and b"resourcetype" in found.body
    assert b"nothing" in (await client.request("PROPFIND", "/a.txt", _ASK, Depth="0")).body


async def test_without_the_root(client: Client) -> None:
    await client.request("PUT", "/a.txt", b"one")
    found = await client.request("PROPFIND", "/", Depth="1", Prefer="depth-noroot, return=minimal")
    assert [row.href for row in found.rows] == ["/a.txt"]
    assert found.headers["Preference-Applied"] == "return=minimal, depth-noroot"
    alone = await client.request("PROPFIND", "/a.txt", Depth="0", Prefer="depth-noroot")
    assert "Preference-Applied" not in alone.headers and len(alone.rows) == 1
