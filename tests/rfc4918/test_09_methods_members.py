"""RFC 4918 §9.3 MKCOL, §9.4 GET and §9.5 POST for collections, §9.6 DELETE, §9.7 PUT."""

from __future__ import annotations

import pytest
from tests.harness import Client
from tests.rfc4918.dav import D, hrefs, lock, lockinfo, locks_of, mkcol, properties, put, set_x, status, x_of


@pytest.mark.parametrize("target", ["/c/", "/c"])
async def test_9_3_a_collection_is_made(client: Client, target: str) -> None:
    # §9.3: the server "MUST make the Request-URI an internal member of its parent collection"; the new collection "SHOULD
    # have no members".
    answer = await client.request("MKCOL", target)
    assert (answer.status, answer.body) == (201, b"")
    assert await hrefs(client, "/") == {"/", "/c/"}


@pytest.mark.parametrize("target", ["/", "/c", "/c/", "/file", "/file/"])
async def test_9_3_what_exists_is_not_made_again(client: Client, target: str) -> None:
    # §9.3: "If the Request-URI is already mapped to a resource, then the MKCOL MUST fail." §9.3.1: 405.
    await mkcol(client, "/c/")
    await put(client, "/c/kept")
    await put(client, "/file")
    answer = await client.request("MKCOL", target)
    assert answer.status == 405
    assert "MKCOL" not in answer.headers["Allow"]
    assert await hrefs(client, "/") == {"/", "/c/", "/c/kept", "/file"}


@pytest.mark.parametrize("target", ["/a/b/", "/a/b/c/d/", "/file/b/"])
async def test_9_3_ancestors_must_exist(client: Client, target: str) -> None:
    # §9.3: "all ancestors MUST already exist, or the method MUST fail with a 409 (Conflict) status code." §9.3.1: "The
    # server MUST NOT create those intermediate collections automatically."
    await put(client, "/file")
    assert await status(client, "MKCOL", target) == 409
    assert await hrefs(client, "/") == {"/", "/file"}


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/octet-stream", "image/png"])
async def test_9_3_a_body_of_another_type_is_415(client: Client, kind: str) -> None:
    # §9.3: "If a server receives a MKCOL request entity type it does not support or understand, it MUST respond with a 415
    # (Unsupported Media Type) status code."
    assert (await client.request("MKCOL", "/c/", b"{}", Content_Type=kind)).status == 415
    assert await status(client, "GET", "/c/") == 404


async def test_9_3_1_a_place_where_nothing_can_be_made(client: Client) -> None:
    # §9.3.1: 403, "The server does not allow the creation of collections at the given location in its URL namespace".
    assert await status(client, "MKCOL", "/-/c/") == 403


async def test_9_4_get_of_a_collection(client: Client) -> None:
    # §9.4: GET of a collection may answer something for a person; HEAD answers as GET does.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    got, head = await client.request("GET", "/c/"), await client.request("HEAD", "/c/")
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (head.status, head.headers["Content-Type"], head.body) == (200, "text/html; charset=utf-8", b"")
    # §5.2: without its slash it is served all the same, and told in Content-Location.
    assert (await client.request("GET", "/c")).headers["Content-Location"] == "/c/"


async def test_9_5_post_to_a_file(client: Client) -> None:
    # §9.5: what POST does is the server's to say: a collection takes batches, a file takes none.
    await put(client, "/a")
    assert (await client.post("/a", [])).status == 405


async def test_9_6_the_mapping_and_its_locks_are_gone(client: Client) -> None:
    # §9.6: a server "MUST destroy locks rooted on the deleted resource" and "MUST remove the mapping from the Request-URI
    # to any resource."
    await put(client, "/a")
    await set_x(client, "/a")
    granted = await lock(client, "/a")
    assert await status(client, "DELETE", "/a", If=granted.header) == 204
    # "a subsequent GET/HEAD/PROPFIND request to the target Request-URI MUST return 404 (Not Found)".
    assert [await status(client, method, "/a") for method in ("GET", "HEAD", "PROPFIND")] == [404, 404, 404]
    await put(client, "/a")
    assert (await locks_of(client, "/a"), await x_of(client, "/a")) == ([], None)


@pytest.mark.parametrize("depth", [None, "infinity"])
async def test_9_6_1_a_collection_goes_with_its_members(client: Client, depth: str | None) -> None:
    # §9.6.1: "The DELETE method on a collection MUST act as if a 'Depth: infinity' header was used on it."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    headers = {} if depth is None else {"Depth": depth}
    assert await status(client, "DELETE", "/c/", **headers) == 204
    assert await hrefs(client, "/") == {"/"}
    assert [entry.name for entry in client.folder.iterdir() if not entry.name.startswith(".")] == []


@pytest.mark.parametrize("depth", ["0", "1"])
async def test_9_6_1_another_depth_deletes_nothing(client: Client, depth: str) -> None:
    # §9.6.1: clients MUST NOT submit another Depth; it is 400 here, since doing more than was asked cannot be undone.
    await mkcol(client, "/c/")
    assert await status(client, "DELETE", "/c/", Depth=depth) == 400
    assert await hrefs(client, "/") == {"/", "/c/"}


async def test_9_6_1_ancestors_of_what_stays_stay(client: Client) -> None:
    # §9.6.1: "If any resource identified by a member URL cannot be deleted, then all of the member's ancestors MUST NOT be
    # deleted, so as to maintain URL namespace consistency."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    await put(client, "/c/b")
    granted = await lock(client, "/c/d/a")
    answer = await client.request("DELETE", "/c/")
    assert answer.status == 207
    # "424 (Failed Dependency) status codes SHOULD NOT be in the 207 (Multi-Status) response for DELETE", nor 204.
    assert {row.href: (row.status, row.error) for row in answer.rows} == {"/c/d/a": (423, "lock-token-submitted")}
    assert {"/c/", "/c/d/", "/c/d/a"} <= await hrefs(client, "/")
    assert await status(client, "DELETE", "/c/", If=f"</c/d/a> {granted.header}") == 204


async def test_9_7_1_put_replaces_contents_and_keeps_properties(client: Client) -> None:
    # §9.7.1: "A PUT performed on an existing resource replaces the GET response entity of the resource. Properties defined
    # on the resource may be recomputed during PUT processing but are not otherwise affected."
    assert (await put(client, "/a", b"one")).status == 201
    await set_x(client, "/a")
    created = (await properties(client, "/a", "<D:creationdate/>"))[f"{D}creationdate"].text
    assert (await put(client, "/a", b"other")).status == 204
    assert (await client.request("GET", "/a")).body == b"other"
    assert await x_of(client, "/a") == "kept"
    assert (await properties(client, "/a", "<D:creationdate/>"))[f"{D}creationdate"].text == created
    assert (await properties(client, "/a", "<D:getcontentlength/>"))[f"{D}getcontentlength"].text == "5"


@pytest.mark.parametrize("target", ["/no/a", "/no/b/a", "/file/a"])
async def test_9_7_1_put_needs_its_parent(client: Client, target: str) -> None:
    # §9.7.1: "A PUT that would result in the creation of a resource without an appropriately scoped parent collection MUST
    # fail with a 409 (Conflict)."
    await put(client, "/file")
    assert (await client.request("PUT", target, b"x")).status == 409
    assert await hrefs(client, "/") == {"/", "/file"}


async def test_9_7_1_the_declared_type_is_kept(client: Client) -> None:
    # §9.7.1: clients SHOULD provide a Content-Type; what it says is what GET answers.
    await put(client, "/a.bin", b"text", Content_Type="text/x-special", Content_Language="de-CH")
    headers = (await client.request("GET", "/a.bin")).headers
    assert (headers["Content-Type"], headers["Content-Language"]) == ("text/x-special", "de-CH")


@pytest.mark.parametrize("target", ["/", "/c", "/c/"])
async def test_9_7_2_put_onto_a_collection(client: Client, target: str) -> None:
    # §9.7.2: "A PUT request to an existing collection MAY be treated as an error (405 Method Not Allowed)."
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    assert (await client.request("PUT", target, b"x")).status == 405
    assert await hrefs(client, "/") == {"/", "/c/", "/c/a"}
    assert (await client.request("LOCK", target, lockinfo(), Depth="0")).status == 200
