"""RFC 4918 §9.10 LOCK and §9.11 UNLOCK."""

from __future__ import annotations

import pytest
from tests.harness import Client
from tests.rfc4918.dav import D, hrefs, lock, lockinfo, locks_of, mkcol, put, set_x, status


async def test_9_10_1_the_answer_holds_the_lock(client: Client) -> None:
    # §9.10.1: "The response MUST contain the value of the DAV:lockdiscovery property in a prop XML element."
    await put(client, "/a")
    owner = '<D:owner xml:lang="en">J. Doe <x:mail xmlns:x="urn:x" kind="home">mailto:j@example.org</x:mail>!</D:owner>'
    answer = await client.request("LOCK", "/a", lockinfo(owner=owner), Depth="0", Timeout="Second-600")
    assert (answer.status, answer.xml.tag) == (200, f"{D}prop")
    [active] = answer.xml.iterfind(f"{D}lockdiscovery/{D}activelock")
    # "the Lock-Token response header": the token of the new lock, in angle brackets (§10.5).
    assert answer.headers["Lock-Token"] == f"<{active.findtext(f'{D}locktoken/{D}href')}>"
    assert active.find(f"{D}lockscope/{D}exclusive") is not None and active.find(f"{D}locktype/{D}write") is not None
    assert (active.findtext(f"{D}depth"), active.findtext(f"{D}timeout")) == ("0", "Second-600")
    assert active.findtext(f"{D}lockroot/{D}href") == "/a"
    # §14.17: the owner is told as it was given.
    told = active.find(f"{D}owner")
    assert told is not None
    assert "".join(told.itertext()) == "J. Doe mailto:j@example.org!"
    assert told.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"
    assert told[0].attrib == {"kind": "home"}


async def test_9_10_1_a_lock_stays_over_writes(client: Client) -> None:
    # §9.10.1: "The lock [...] is on the resource and not on one representation of it."
    await put(client, "/a")
    granted = await lock(client, "/a")
    await put(client, "/a", b"new", If=granted.header)
    await set_x(client, "/a", If=granted.header)
    assert await locks_of(client, "/a") == [granted.token]


async def test_9_10_2_refresh(client: Client) -> None:
    # §9.10.2: a LOCK without body to a resource within the scope of the lock; it MUST name the lock in If, one token only.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    granted = await lock(client, "/c/", Depth="infinity", Timeout="Second-100")
    for target in ("/c/", "/c/a"):
        answer = await client.request("LOCK", target, If=granted.header, Timeout="Second-900")
        assert answer.status == 200
        # "the Lock-Token header is not returned in the response for a successful refresh LOCK request, but the LOCK response
        # body MUST contain the new value for the DAV:lockdiscovery property."
        assert "Lock-Token" not in answer.headers
        left = answer.xml.findtext(f"{D}lockdiscovery/{D}activelock/{D}timeout") or ""
        assert 100 < int(left.removeprefix("Second-")) <= 900
    assert await locks_of(client, "/c/") == [granted.token]


async def test_9_10_2_one_lock_is_refreshed_at_a_time(client: Client) -> None:
    # §9.10.2: "only one lock may be refreshed at a time"; other shared locks are not touched.
    await put(client, "/a")
    one, two = await lock(client, "/a", "shared"), await lock(client, "/a", "shared", Timeout="Second-50")
    assert await status(client, "LOCK", "/a", If=f"{one.header} {two.header}") == 400
    assert await status(client, "LOCK", "/a", If=one.header, Timeout="Second-900") == 200
    answer = await client.request("PROPFIND", "/a", Depth="0")
    left = {
        active.findtext(f"{D}locktoken/{D}href"): active.findtext(f"{D}timeout")
        for active in answer.xml.iter(f"{D}activelock")
    }
    assert int((left[two.token] or "").removeprefix("Second-")) <= 50
    assert int((left[one.token] or "").removeprefix("Second-")) > 800


@pytest.mark.parametrize("depth", ["0", "1", "infinity"])
async def test_9_10_2_depth_of_a_refresh_is_ignored(client: Client, depth: str) -> None:
    # §9.10.2: "A server MUST ignore the Depth header on a LOCK refresh."
    await mkcol(client, "/c/")
    granted = await lock(client, "/c/", Depth="0")
    answer = await client.request("LOCK", "/c/", If=granted.header, Depth=depth)
    assert answer.status == 200
    assert answer.xml.findtext(f".//{D}activelock/{D}depth") == "0"


async def test_9_10_3_without_depth_it_is_infinite(client: Client) -> None:
    # §9.10.3: "If no Depth header is submitted on a LOCK request, then the request MUST act as if a 'Depth:infinity' had
    # been submitted."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    answer = await client.request("LOCK", "/c/", lockinfo())
    assert answer.xml.findtext(f".//{D}activelock/{D}depth") == "infinity"
    assert await status(client, "PUT", "/c/d/a") == 423
    assert len(await locks_of(client, "/c/d/a")) == 1


@pytest.mark.parametrize("depth", ["1", "2", "nonsense", ""])
async def test_9_10_3_other_depths_are_refused(client: Client, depth: str) -> None:
    # §9.10.3: "Values other than 0 or infinity MUST NOT be used with the Depth header on a LOCK method."
    await mkcol(client, "/c/")
    assert (await client.request("LOCK", "/c/", lockinfo(), Depth=depth)).status == 400
    assert await locks_of(client, "/c/") == []


async def test_9_10_3_depth_0_locks_the_resource_alone(client: Client) -> None:
    # §9.10.3: "A Depth header of value 0 means to just lock the resource specified by the Request-URI."
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    await lock(client, "/c/", Depth="0")
    assert await locks_of(client, "/c/a") == []


async def test_9_10_3_no_partial_success(client: Client) -> None:
    # §9.10.3: "Partial success is not an option for LOCK. Either the entire hierarchy is locked or no resources are locked."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/a")
    await put(client, "/c/d/b")
    held = await lock(client, "/c/d/b", "shared")
    answer = await client.request("LOCK", "/c/", lockinfo(), Depth="infinity")
    # "a Multi-Status response with a 'response' element for at least one resource that prevented the lock from being
    # granted, along with a suitable status code"; the Request-URI with 424.
    assert answer.status == 207
    assert {row.href: row.status for row in answer.rows} == {"/c/d/b": 423, "/c/": 424}
    assert [await locks_of(client, target) for target in ("/c/", "/c/a", "/c/d/")] == [[], [], []]
    assert await locks_of(client, "/c/d/b") == [held.token]
    # Shared locks do not stand in each other's way.
    await lock(client, "/c/", "shared", Depth="infinity")


async def test_9_10_4_an_unmapped_name(client: Client) -> None:
    # §9.10.4: a successful LOCK of an unmapped URL "MUST create an empty resource that is locked (and that is not a
    # collection)".
    answer = await client.request("LOCK", "/new", lockinfo())
    assert answer.status == 201
    assert await hrefs(client, "/") == {"/", "/new"}
    assert (await client.request("GET", "/new")).body == b""


@pytest.mark.parametrize("target", ["/no/a", "/no/b/c", "/file/a"])
async def test_9_10_4_its_parent_must_exist(client: Client, target: str) -> None:
    # §9.10.6: 409; "The server MUST NOT create those intermediate collections automatically."
    await put(client, "/file")
    assert (await client.request("LOCK", target, lockinfo())).status == 409
    assert await hrefs(client, "/") == {"/", "/file"}


@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        (None, "shared", True),
        (None, "exclusive", True),
        ("shared", "shared", True),
        ("shared", "exclusive", False),
        ("exclusive", "shared", False),
        ("exclusive", "exclusive", False),
    ],
)
@pytest.mark.parametrize("above", [False, True])
async def test_9_10_5_the_table_of_compatible_locks(
    client: Client, held: str | None, asked: str, granted: bool, above: bool
) -> None:
    # §9.10.5: the lock compatibility table, for a lock on the resource and for one it inherits.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    if held is not None:
        await lock(client, "/c/" if above else "/c/a", held, Depth="infinity")
    answer = await client.request("LOCK", "/c/a", lockinfo(asked), Depth="0")
    assert answer.status == (200 if granted else 423)
    if not granted:
        # §9.10.6: 423 with no-conflicting-lock; its href names the root of the lock in the way (§16).
        assert answer.error == "no-conflicting-lock"
        assert answer.xml.findtext(f".//{D}href") == ("/c/" if above else "/c/a")


async def test_9_10_6_a_refresh_outside_of_the_scope(client: Client) -> None:
    # §9.10.6: 412 with lock-token-matches-request-uri, "the Request-URI did not fall within the scope of the lock".
    await put(client, "/a")
    await put(client, "/b")
    granted = await lock(client, "/a")
    answer = await client.request("LOCK", "/b", If=f"</a> {granted.header}")
    assert (answer.status, answer.error) == (412, "lock-token-matches-request-uri")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<D:lockscope/><D:locktype><D:write/></D:locktype>",
        "<D:lockscope><D:exclusive/></D:lockscope>",
        "<D:lockscope><D:exclusive/><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype>",
        "<D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:read/></D:locktype>",
    ],
)
async def test_9_10_a_lockinfo_that_is_wrong(client: Client, inner: str) -> None:
    # §9.10.1, §14.11: the body "MUST contain a lockinfo XML element" with a scope and a type.
    await put(client, "/a")
    body = f'<D:lockinfo xmlns:D="DAV:">{inner}</D:lockinfo>'.encode()
    assert (await client.request("LOCK", "/a", body)).status == 422
    assert await locks_of(client, "/a") == []


async def test_9_11_unlock_removes_the_whole_lock(client: Client) -> None:
    # §9.11: "The Request-URI MUST identify a resource within the scope of the lock": also a member; the server then "MUST
    # delete the lock entirely."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    granted = await lock(client, "/c/", Depth="infinity")
    answer = await client.request("UNLOCK", "/c/d/a", Lock_Token=f"<{granted.token}>")
    # §9.11.1: "204 (No Content) - Normal success response".
    assert (answer.status, answer.body) == (204, b"")
    assert [await locks_of(client, target) for target in ("/c/", "/c/d/", "/c/d/a")] == [[], [], []]


async def test_9_11_other_locks_stay(client: Client) -> None:
    # §9.11: success "does not mean that the resource is necessarily unlocked".
    await put(client, "/a")
    one, two = await lock(client, "/a", "shared"), await lock(client, "/a", "shared")
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{one.token}>") == 204
    assert await locks_of(client, "/a") == [two.token]


@pytest.mark.parametrize("condition", ["(<urn:uuid:00000000-0000-0000-0000-000000000000>)", '(["no"])'])
async def test_9_11_if_means_what_it_does_elsewhere(client: Client, condition: str) -> None:
    # §9.11: "when present, the If header has its normal meaning as a conditional header."
    await put(client, "/a")
    granted = await lock(client, "/a")
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>", If=condition) == 412
    assert await locks_of(client, "/a") == [granted.token]


async def test_9_11_1_no_token(client: Client) -> None:
    # §9.11.1: "400 (Bad Request) - No lock token was provided."
    await put(client, "/a")
    granted = await lock(client, "/a")
    assert await status(client, "UNLOCK", "/a") == 400
    assert await status(client, "UNLOCK", "/a", If=granted.header) == 400
    assert await status(client, "UNLOCK", "/a", Lock_Token="nonsense") == 400
    assert await locks_of(client, "/a") == [granted.token]


async def test_9_11_1_a_token_of_another_resource(client: Client) -> None:
    # §9.11.1: 409 with lock-token-matches-request-uri, the resource was not locked or not in the lock's scope.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    await put(client, "/b")
    granted = await lock(client, "/c/a")
    for target in ("/b", "/c/", "/"):
        answer = await client.request("UNLOCK", target, Lock_Token=f"<{granted.token}>")
        assert (answer.status, answer.error) == (409, "lock-token-matches-request-uri")
    assert await locks_of(client, "/c/a") == [granted.token]
