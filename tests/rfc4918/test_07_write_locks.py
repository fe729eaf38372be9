"""RFC 4918 §7: what a write lock protects."""

from __future__ import annotations

import pytest
from tests.harness import Client, form_part
from tests.rfc4918.dav import (
    D,
    hrefs,
    lock,
    lockinfo,
    locks_of,
    mkcol,
    properties,
    propfind,
    put,
    set_x,
    setting,
    status,
    update,
    x_of,
)


async def write(client: Client, method: str, **headers: str) -> int:
    """One write to /a."""
    bodies = {"PUT": b"new", "PROPPATCH": update(setting("<x:a/>"))}
    if method == "MOVE":
        headers["Destination"] = "/elsewhere"
    if method == "COPY":
        headers |= {"Destination": "/a"}
        return await status(client, "COPY", "/other", **headers)
    return (await client.request(method, "/a", bodies.get(method), **headers)).status


@pytest.mark.parametrize("method", ["PUT", "PROPPATCH", "MOVE", "COPY", "DELETE"])
async def test_7_methods_that_a_lock_restricts(client: Client, method: str) -> None:
    # §7: "Of the methods defined in HTTP and WebDAV, PUT, POST, PROPPATCH, LOCK, UNLOCK, MOVE, COPY (for the destination
    # resource), DELETE, and MKCOL are affected by write locks."
    await put(client, "/a")
    await put(client, "/other")
    granted = await lock(client, "/a")
    assert await write(client, method) == 423
    assert (client.folder / "a").read_bytes() == b"contents"
    tagged = f"</a> {granted.header}"
    assert await write(client, method, If=tagged) in (201, 204, 207)


async def test_7_post_to_a_locked_collection(client: Client) -> None:
    # §7: POST is affected by write locks; here each item that would become a member is refused.
    await mkcol(client, "/c/")
    granted = await lock(client, "/c/")
    answer = await client.post("/c/", [form_part("a", b"1")])
    assert answer.status == 423 or answer.statuses == [423]
    assert await hrefs(client, "/c/") == {"/c/"}
    answer = await client.post("/c/", [form_part("a", b"1")], If=granted.header)
    assert (answer.status, answer.statuses) == (207, [201])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND"])
async def test_7_reading_is_not_restricted(client: Client, method: str) -> None:
    # §7: "All other HTTP/WebDAV methods defined so far -- GET in particular -- function independently of a write lock."
    await put(client, "/a")
    await lock(client, "/a")
    assert await status(client, method, "/a") in (200, 207)


async def test_7_1_properties_of_a_locked_resource(client: Client) -> None:
    # §7.1: who does not hold the lock may not alter dead properties.
    await put(client, "/a")
    await set_x(client, "/a")
    granted = await lock(client, "/a")
    answer = await client.request("PROPPATCH", "/a", update(setting("<x:a>no</x:a>")))
    assert (answer.status, answer.error) == (423, "lock-token-submitted")
    assert await x_of(client, "/a") == "kept"
    await set_x(client, "/a", "new", If=granted.header)
    assert await x_of(client, "/a") == "new"


async def test_7_3_a_locked_empty_resource_is_an_ordinary_one(client: Client) -> None:
    # §7.3: "A successful lock request to an unmapped URL MUST result in the creation of a locked (non-collection)
    # resource with empty content."
    granted = await lock(client, "/a")
    # "The response MUST indicate that a resource was created, by use of the '201 Created' response code [...] The body
    # must still include the DAV:lockdiscovery property".
    assert granted.answer.status == 201
    assert granted.answer.xml.findtext(f".//{D}lockdiscovery/{D}activelock/{D}locktoken/{D}href") == granted.token
    # It can be read and copied, and appears as a member of its parent collection.
    got = await client.request("GET", "/a")
    assert (got.status, got.body) == (200, b"")
    assert "/a" in await hrefs(client, "/", "1")
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    # It "MUST have defined values for DAV:lockdiscovery and DAV:supportedlock properties".
    assert len(await properties(client, "/a", "<D:lockdiscovery/><D:supportedlock/>")) == 2
    # "MUST NOT be converted into a collection. The server MUST fail a MKCOL request".
    assert await status(client, "MKCOL", "/a", If=granted.header) == 405
    # A PUT with the token gives it contents.
    assert (await put(client, "/a", b"filled", If=granted.header)).status == 204


async def test_7_3_an_empty_resource_stays_when_its_lock_goes(client: Client) -> None:
    # §7.3: it "SHOULD NOT disappear when its lock goes away".
    granted = await lock(client, "/a")
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>") == 204
    assert await status(client, "GET", "/a") == 200


@pytest.mark.parametrize("depth", ["0", "infinity"])
async def test_7_4_a_lock_protects_the_members_a_collection_has(client: Client, depth: str) -> None:
    # §7.4: either kind of lock protects against requests "that would create a new resource in a write-locked collection",
    # "that would remove an internal member URL", "that would change the segment name of any internal member".
    await mkcol(client, "/c/", "/c/sub/")
    await put(client, "/c/a")
    await put(client, "/out")
    granted = await lock(client, "/c/", Depth=depth)
    attempts: list[tuple[str, str, dict[str, str]]] = [
        ("DELETE", "/c/a", {}),
        ("MOVE", "/c/a", {"Destination": "/moved"}),
        ("MOVE", "/out", {"Destination": "/c/moved"}),
        ("MOVE", "/c/a", {"Destination": "/c/renamed"}),
        ("COPY", "/out", {"Destination": "/c/copied"}),
        ("PUT", "/c/new", {}),
        ("MKCOL", "/c/made/", {}),
        ("LOCK", "/c/locked", {}),
        ("DELETE", "/c/sub/", {}),
    ]
    before = await hrefs(client, "/")
    for method, target, headers in attempts:
        body = b"<x/>" if method == "PUT" else None
        if method == "LOCK":
            body = lockinfo()
        answer = await client.request(method, target, body, **headers)
        assert answer.status == 423, (method, target)
    assert await hrefs(client, "/") == before
    tagged = f"</c/> {granted.header}"
    assert await status(client, "MOVE", "/c/a", Destination="/c/renamed", If=tagged) == 201
    assert await status(client, "DELETE", "/c/renamed", If=tagged) == 204


async def test_7_4_a_lock_of_depth_0_leaves_contents_of_members_free(client: Client) -> None:
    # §7.4: a depth-0 lock protects the collection's properties and which members it has, "while not protecting the
    # properties or content of member resources".
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    await lock(client, "/c/")
    assert (await put(client, "/c/a", b"new")).status == 204
    await set_x(client, "/c/a")
    answer = await client.request("PROPPATCH", "/c/", update(setting("<x:a/>")))
    assert answer.status == 423


async def test_7_4_a_deep_lock_protects_every_member(client: Client) -> None:
    # §7.4: "a depth-infinity lock affects all write operations to all members of the write-locked collection".
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    granted = await lock(client, "/c/", Depth="infinity")
    answer = await client.request("PUT", "/c/d/a", b"no")
    assert (answer.status, answer.error) == (423, "lock-token-submitted")
    # §7.5.2: the href names the root of the lock.
    assert answer.xml.findtext(f"{D}lock-token-submitted/{D}href") == "/c/"
    await put(client, "/c/d/a", b"yes", If=granted.header)


async def test_7_4_a_member_lock_needs_its_own_token_too(client: Client) -> None:
    # §7.4: "The collection's lock token is required in addition to the lock token on the internal member itself, if it
    # is locked separately."
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    outer, inner = await lock(client, "/c/"), await lock(client, "/c/a")
    for one in (outer, inner):
        tag = "/c/" if one is outer else "/c/a"
        assert await status(client, "DELETE", "/c/a", If=f"<{tag}> {one.header}") == 423
    both = f"</c/> {outer.header} </c/a> {inner.header}"
    assert await status(client, "DELETE", "/c/a", If=both) == 204


async def test_7_4_a_deep_lock_over_a_conflicting_member_fails(client: Client) -> None:
    # §7.4: if a member is locked in a conflicting way, the request "MUST fail with a 423 (Locked) status code"; §9.10.3
    # says how: a 207 in which the member has the 423.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    await lock(client, "/c/a")
    answer = await client.request("LOCK", "/c/", lockinfo(), Depth="infinity")
    assert answer.status == 207
    assert {row.href: (row.status, row.error) for row in answer.rows} == {
        "/c/a": (423, "no-conflicting-lock"),
        "/c/": (424, None),
    }
    assert await locks_of(client, "/c/") == []


async def test_7_5_every_locked_resource_needs_its_token(client: Client) -> None:
    # §7.5: "if a resource is to be moved and both the source and destination are locked, then two lock tokens must be
    # submitted in the If header, one for the source and the other for the destination."
    await put(client, "/a", b"source")
    await put(client, "/b", b"destination")
    source, destination = await lock(client, "/a"), await lock(client, "/b")
    assert await status(client, "MOVE", "/a", Destination="/b", If=f"</a> {source.header}") == 423
    assert await status(client, "MOVE", "/a", Destination="/b", If=f"</b> {destination.header}") == 423
    both = f"</a> {source.header} </b> {destination.header}"
    assert await status(client, "MOVE", "/a", Destination="/b", If=both) == 204
    assert (client.folder / "b").read_bytes() == b"source"


async def test_7_5_1_the_source_of_a_copy_needs_none(client: Client) -> None:
    # §7.5.1: the token of the destination's lock is enough, since COPY does not modify its source.
    await put(client, "/a", b"source")
    await put(client, "/b")
    await lock(client, "/a")
    destination = await lock(client, "/b")
    assert await status(client, "COPY", "/a", Destination="/b") == 423
    assert await status(client, "COPY", "/a", Destination="/b", If=f"</b> {destination.header}") == 204


async def test_7_6_copy_does_not_copy_locks(client: Client) -> None:
    # §7.6: "A COPY method invocation MUST NOT duplicate any write locks active on the source."
    await put(client, "/a")
    await mkcol(client, "/deep/")
    await lock(client, "/a")
    deep = await lock(client, "/deep/", Depth="infinity")
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    assert await locks_of(client, "/b") == []
    # "if the COPY copies the resource into a collection that is locked with a depth-infinity lock, then the resource will
    # be added to the lock."
    assert await status(client, "COPY", "/a", Destination="/deep/a", If=f"</deep/> {deep.header}") == 201
    assert await locks_of(client, "/deep/a") == [deep.token]


async def test_7_6_move_does_not_move_locks(client: Client) -> None:
    # §7.6: "A successful MOVE request on a write locked resource MUST NOT move the write lock with the resource."
    await put(client, "/a")
    await mkcol(client, "/deep/")
    granted, deep = await lock(client, "/a"), await lock(client, "/deep/", Depth="infinity")
    assert await status(client, "MOVE", "/a", Destination="/b", If=granted.header) == 201
    assert await locks_of(client, "/b") == []
    # "if there is an existing lock at the destination, the server MUST add the moved resource to the destination lock
    # scope."
    assert await status(client, "MOVE", "/b", Destination="/deep/b", If=f"</deep/> {deep.header}") == 201
    assert await locks_of(client, "/deep/b") == [deep.token]
    # Within the scope of one lock it stays in it.
    assert await status(client, "MOVE", "/deep/b", Destination="/deep/c", If=f"</deep/> {deep.header}") == 201
    assert await locks_of(client, "/deep/c") == [deep.token]


async def test_7_7_a_lock_without_body_makes_no_lock(client: Client) -> None:
    # §7.7: "A server that receives a LOCK request with no body MUST NOT create a new lock".
    await put(client, "/a")
    assert await status(client, "LOCK", "/a") == 400
    assert await status(client, "LOCK", "/unmapped") == 400
    assert await locks_of(client, "/a") == []
    assert await status(client, "GET", "/unmapped") == 404
    granted = await lock(client, "/a", Timeout="Second-100")
    refreshed = await client.request("LOCK", "/a", If=granted.header, Timeout="Second-500")
    assert refreshed.status == 200
    assert await locks_of(client, "/a") == [granted.token]
    # The timer is reset, and the new value told.
    left = refreshed.xml.findtext(f".//{D}timeout") or ""
    assert 100 < int(left.removeprefix("Second-")) <= 500


async def test_7_7_refresh_of_nothing(client: Client) -> None:
    # §9.10.6 of a refresh: 412 with lock-token-matches-request-uri.
    await put(client, "/a")
    await put(client, "/b")
    granted = await lock(client, "/b")
    answer = await client.request("LOCK", "/a", If=granted.header)
    assert (answer.status, answer.error) == (412, "lock-token-matches-request-uri")
    assert (await propfind(client, "/a")).status == 207
