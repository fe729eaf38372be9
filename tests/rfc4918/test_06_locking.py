"""RFC 4918 §6: what a lock is."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import bcrypt
import pytest
from tests.conftest import Serve
from tests.harness import Client
from tests.rfc4918.dav import D, lock, lockinfo, locks_of, mkcol, properties, propfind, put, status


async def test_6_1_an_unmapped_name_is_locked_with_a_new_empty_resource(client: Client) -> None:
    # §6.1, 2: a LOCK of an unmapped URL makes a new resource with empty content, which is directly locked.
    granted = await lock(client, "/new")
    assert granted.answer.status == 201
    assert (client.folder / "new").read_bytes() == b""
    assert await locks_of(client, "/new") == [granted.token]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("exclusive", "exclusive", 423),
        ("exclusive", "shared", 423),
        ("shared", "exclusive", 423),
        ("shared", "shared", 200),
    ],
)
async def test_6_1_no_conflicting_locks(client: Client, first: str, second: str, expected: int) -> None:
    # §6.1, 3: "A server MUST NOT create conflicting locks on a resource."
    await put(client, "/a")
    await lock(client, "/a", first)
    answer = await client.request("LOCK", "/a", lockinfo(second), Depth="0")
    assert answer.status == expected
    if expected == 423:
        assert answer.error == "no-conflicting-lock"
        assert len(await locks_of(client, "/a")) == 1


async def test_6_1_members_of_a_deep_lock_are_locked_as_they_come_and_go(client: Client) -> None:
    # §6.1, 4: "For a collection that is locked with a depth-infinity lock L, all member resources are indirectly locked."
    await mkcol(client, "/c/", "/c/d/", "/free/")
    granted = await lock(client, "/c/", Depth="infinity")
    await put(client, "/c/d/a", If=f"</c/> {granted.header}")
    assert await locks_of(client, "/c/d/a") == [granted.token]
    moved = await client.request("MOVE", "/c/d/a", Destination="/free/a", If=f"</c/> {granted.header}")
    assert moved.status == 201
    assert await locks_of(client, "/free/a") == []


async def test_6_1_unlock_deletes_the_lock_everywhere(client: Client) -> None:
    # §6.1, 6: "After a lock is deleted, no resource is locked by that lock."
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    granted = await lock(client, "/c/", Depth="infinity")
    assert await status(client, "UNLOCK", "/c/", Lock_Token=f"<{granted.token}>") == 204
    assert [await locks_of(client, target) for target in ("/c/", "/c/a")] == [[], []]
    await put(client, "/c/a", b"free")


@pytest.mark.parametrize("method", ["DELETE", "MOVE"])
async def test_6_1_a_lock_ends_when_its_root_is_unmapped(client: Client, method: str) -> None:
    # §6.1, 8: if a request makes the lock-root of a lock an unmapped URL, "then the lock MUST also be deleted by that
    # request".
    await put(client, "/a")
    granted = await lock(client, "/a")
    headers = {"Destination": "/b"} if method == "MOVE" else {}
    assert await status(client, method, "/a", If=granted.header, **headers) in (201, 204)
    assert (await put(client, "/a")).status == 201
    assert await locks_of(client, "/a") == []
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>") == 409


async def test_6_2_several_shared_locks(client: Client) -> None:
    # §6.2: a shared lock may be held by several; whoever has one of the tokens may write.
    await put(client, "/a")
    first, second = await lock(client, "/a", "shared"), await lock(client, "/a", "shared")
    assert set(await locks_of(client, "/a")) == {first.token, second.token}
    assert await status(client, "PUT", "/a") == 423
    await put(client, "/a", If=second.header)


async def test_6_4_only_the_creator_can_use_a_token(serve: Serve, tmp_path: Path) -> None:
    # §6.4: "When a locked resource is modified, a server MUST check that the authenticated principal matches the lock
    # creator (in addition to checking for valid lock token submission)."
    users = tmp_path / "users"
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    users.write_text(f"ann:{hashed}\nbob:{hashed}\n")
    client = await serve(htpasswd=users)
    ann, bob = (f"Basic {base64.b64encode(f'{name}:secret'.encode()).decode()}" for name in ("ann", "bob"))
    await put(client, "/a", Authorization=ann)
    granted = await lock(client, "/a", Authorization=ann)
    assert await status(client, "PUT", "/a", If=granted.header, Authorization=bob) == 423
    # §9.11.1: 403, "The currently authenticated principal does not have permission to remove the lock."
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>", Authorization=bob) == 403
    assert await status(client, "LOCK", "/a", If=granted.header, Authorization=bob) == 403
    await put(client, "/a", If=granted.header, Authorization=ann)


async def test_6_5_tokens_are_unique_uris(client: Client) -> None:
    # §6.5: "Lock token URIs MUST be unique across all resources for all time."
    tokens = set()
    for _ in range(20):
        granted = await lock(client, "/a")
        assert granted.token.startswith("urn:uuid:")
        tokens.add(granted.token)
        assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>") == 204
    assert len(tokens) == 20


async def test_6_6_a_lock_ends_at_its_timeout(client: Client) -> None:
    # §6.6: "If the timeout expires, then the lock SHOULD be removed. In this case the server SHOULD act as if an UNLOCK
    # method was executed by the server on the resource".
    await put(client, "/a")
    granted = await lock(client, "/a", Timeout="Second-1")
    assert await status(client, "PUT", "/a") == 423

    async def free() -> None:
        while await status(client, "PUT", "/a") == 423:
            await asyncio.sleep(0.02)

    await asyncio.wait_for(free(), 10)
    assert await locks_of(client, "/a") == []
    # A token of a lock that has ended is that of no lock.
    assert await status(client, "PUT", "/a", If=granted.header) == 412


async def test_6_7_supportedlock(client: Client) -> None:
    # §6.7: "Any DAV-compliant resource that supports the LOCK method MUST support the DAV:supportedlock property."
    await mkcol(client, "/c/")
    await put(client, "/a")
    for target in ("/", "/c/", "/a"):
        found = (await properties(client, target, "<D:supportedlock/>"))[f"{D}supportedlock"]
        scopes = [str(scope.tag) for scope in found.iterfind(f"{D}lockentry/{D}lockscope/*")]
        assert sorted(scopes) == [f"{D}exclusive", f"{D}shared"]


async def test_6_8_lockdiscovery(client: Client) -> None:
    # §6.8: "Any DAV-compliant resource that supports the LOCK method MUST support the DAV:lockdiscovery property."
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    owner = '<D:owner><x:who xmlns:x="urn:x" xml:lang="de">Zoë</x:who></D:owner>'
    granted = await lock(client, "/c/", owner=owner, Depth="infinity", Timeout="Second-100")
    for target in ("/c/", "/c/a"):
        found = (await properties(client, target, "<D:lockdiscovery/>"))[f"{D}lockdiscovery"]
        [active] = found
        assert active.findtext(f"{D}locktoken/{D}href") == granted.token
        assert active.findtext(f"{D}lockroot/{D}href") == "/c/"
        assert active.findtext(f"{D}depth") == "infinity"
        assert active.find(f"{D}lockscope/{D}exclusive") is not None
        assert active.find(f"{D}locktype/{D}write") is not None
        assert active.findtext(f"{D}owner/{{urn:x}}who") == "Zoë"
        seconds = (active.findtext(f"{D}timeout") or "").removeprefix("Second-")
        assert 0 < int(seconds) <= 100
    answer = await propfind(client, "/", "<D:prop><D:lockdiscovery/></D:prop>")
    assert list(answer.xml.iter(f"{D}activelock")) == []
