"""RFC 4918 §9.8 COPY and §9.9 MOVE."""

from __future__ import annotations

import os

import pytest
from tests.harness import Client
from tests.rfc4918.dav import (
    D,
    hrefs,
    lock,
    locks_of,
    mkcol,
    properties,
    proppatch,
    put,
    set_x,
    setting,
    status,
    x_of,
)

BOTH = pytest.mark.parametrize("method", ["COPY", "MOVE"])


async def tree(client: Client) -> None:
    """/c/ with /c/a and /c/d/b."""
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/a", b"a")
    await put(client, "/c/d/b", b"b")


@BOTH
async def test_9_8_the_destination_must_be_named(client: Client, method: str) -> None:
    # §9.8: "The Destination header MUST be present."
    await put(client, "/a")
    assert await status(client, method, "/a") == 400


async def test_9_8_1_copy_of_a_file(client: Client) -> None:
    # §9.8.1: changes of one of the two do not change the other afterwards.
    await put(client, "/a", b"one", Content_Type="text/x-special")
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    await put(client, "/a", b"changed")
    got = await client.request("GET", "/b")
    assert (got.body, got.headers["Content-Type"]) == (b"one", "text/x-special")
    await put(client, "/b", b"other")
    assert (await client.request("GET", "/a")).body == b"changed"


async def test_9_8_2_properties_are_copied(client: Client) -> None:
    # §9.8.2: dead properties "SHOULD be duplicated on the destination resource"; live ones as live ones.
    await put(client, "/a")
    await set_x(client, "/a")
    await proppatch(client, "/a", setting("<D:displayname>shown</D:displayname>"))
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    assert await x_of(client, "/b") == "kept"
    assert (await properties(client, "/b", "<D:displayname/>"))[f"{D}displayname"].text == "shown"
    # They are still live: the copy computes its own.
    await put(client, "/b", b"12")
    assert (await properties(client, "/b", "<D:getcontentlength/>"))[f"{D}getcontentlength"].text == "2"
    await set_x(client, "/b", "own")
    assert await x_of(client, "/a") == "kept"


async def test_9_8_2_creationdate_of_a_copy_is_new(client: Client) -> None:
    # §9.8.2: "Live properties that are related to resource creation (such as DAV:creationdate) should have their values set
    # accordingly." §9.9.1: they stay with a MOVE.
    await put(client, "/a", X_OC_CTime="1000000000")
    before = (await properties(client, "/a", "<D:creationdate/>"))[f"{D}creationdate"].text
    assert await status(client, "MOVE", "/a", Destination="/b") == 201
    assert (await properties(client, "/b", "<D:creationdate/>"))[f"{D}creationdate"].text == before
    os.utime(client.folder / "b", ns=(10**18, 10**18))
    assert await status(client, "COPY", "/b", Destination="/c") == 201
    copied = (await properties(client, "/c", "<D:creationdate/>"))[f"{D}creationdate"].text or ""
    assert copied >= (before or "")
    assert not copied.startswith("2001-09-09")


@pytest.mark.parametrize("depth", [None, "infinity"])
async def test_9_8_3_a_collection_is_copied_whole(client: Client, depth: str | None) -> None:
    # §9.8.3: "The COPY method on a collection without a Depth header MUST act as if a Depth header with value 'infinity'
    # was included."
    await tree(client)
    await set_x(client, "/c/d/b")
    headers = {} if depth is None else {"Depth": depth}
    assert await status(client, "COPY", "/c/", Destination="/e/", **headers) == 201
    assert await hrefs(client, "/e/") == {"/e/", "/e/a", "/e/d/", "/e/d/b"}
    assert await hrefs(client, "/c/") == {"/c/", "/c/a", "/c/d/", "/c/d/b"}
    assert await x_of(client, "/e/d/b") == "kept"


async def test_9_8_3_depth_0_copies_no_members(client: Client) -> None:
    # §9.8.3: "Servers MUST support the '0' and 'infinity' Depth header behaviors on WebDAV-compliant resources."
    await tree(client)
    await set_x(client, "/c/")
    assert await status(client, "COPY", "/c/", Destination="/e/", Depth="0") == 201
    assert await hrefs(client, "/e/") == {"/e/"}
    assert await x_of(client, "/e/") == "kept"
    # The user agent: for a few libraries, that of these tests among them, 1 is a misspelt infinity (protocol/quirks).
    assert await status(client, "COPY", "/c/", Destination="/f/", Depth="1", User_Agent="curl/8.1") == 400


@BOTH
async def test_9_8_3_into_itself(client: Client, method: str) -> None:
    # §9.8.3: a COPY of /A/ into /A/B/ "could lead to infinite recursion if not handled correctly": it is refused.
    await tree(client)
    before = await hrefs(client, "/")
    for source, destination in (("/c/", "/c/d/e/"), ("/c/", "/c/e/"), ("/c/d/", "/c/")):
        answer = await client.request(method, source, Destination=destination)
        assert (answer.status, answer.error) == (403, "overlapping")
    assert await hrefs(client, "/") == before


async def test_9_8_3_a_member_that_cannot_be_copied_is_named(client: Client) -> None:
    # §9.8.3: an error with another resource than the Request-URI is a 207, "and the URL of the resource causing the failure
    # MUST appear with the specific error." Its members MUST NOT be copied; the rest is.
    await tree(client)
    await mkcol(client, "/real/")
    await put(client, "/real/member")
    for link in ("one", "two"):
        # Two links to one collection: a copy would hold its contents twice, and of a circle for ever.
        (client.folder / "c" / link).symlink_to(client.folder / "real")
    answer = await client.request("COPY", "/c/", Destination="/e/")
    assert answer.status == 207
    # Neither 424 nor 201 nor 204 stands in it.
    [(failed, number)] = [(row.href, row.status) for row in answer.rows]
    assert number == 403 and failed in ("/c/one/", "/c/two/", "/c/one", "/c/two")
    copied = "two" if "one" in failed else "one"
    assert await hrefs(client, "/e/") == {"/e/", "/e/a", "/e/d/", "/e/d/b", f"/e/{copied}/", f"/e/{copied}/member"}


@BOTH
async def test_9_8_4_overwrite_f(client: Client, method: str) -> None:
    # §9.8.4: with Overwrite "F" and a resource at the destination, "the server MUST fail the request." §9.8.5: 412.
    await put(client, "/a", b"a")
    await put(client, "/b", b"b")
    assert await status(client, method, "/a", Destination="/b", Overwrite="F") == 412
    assert [(client.folder / name).read_bytes() for name in "ab"] == [b"a", b"b"]
    assert await status(client, method, "/a", Destination="/new", Overwrite="F") == 201


@BOTH
@pytest.mark.parametrize("overwrite", [None, "T", "t"])
async def test_9_8_4_overwriting_does_not_merge(client: Client, method: str, overwrite: str | None) -> None:
    # §9.8.4: "the membership of the destination collection after the successful COPY request MUST be the same membership as
    # the source collection immediately before the COPY." §9.9.3: MOVE "MUST perform a DELETE with 'Depth: infinity' on the
    # destination resource."
    await tree(client)
    await mkcol(client, "/e/", "/e/old/")
    await put(client, "/e/a", b"old")
    await set_x(client, "/e/a", "of the old")
    headers = {} if overwrite is None else {"Overwrite": overwrite}
    assert await status(client, method, "/c/", Destination="/e/", **headers) == 204
    assert await hrefs(client, "/e/") == {"/e/", "/e/a", "/e/d/", "/e/d/b"}
    assert (await client.request("GET", "/e/a")).body == b"a"
    assert await x_of(client, "/e/a") is None


@BOTH
async def test_9_8_4_a_file_and_a_collection_replace_each_other(client: Client, method: str) -> None:
    # §9.8.4, §9.9.3: what is overwritten may be of another kind.
    await tree(client)
    await put(client, "/f", b"file")
    await put(client, "/g")
    assert await status(client, method, "/f", Destination="/c/d") == 204
    assert await hrefs(client, "/c/") == {"/c/", "/c/a", "/c/d"}
    assert await status(client, method, "/c/", Destination="/g") == 204
    assert await hrefs(client, "/g/") == {"/g/", "/g/a", "/g/d"}


@BOTH
async def test_9_8_5_created_and_no_content(client: Client, method: str) -> None:
    # §9.8.5, §9.9.4: "201 (Created)" for a new resource, "204 (No Content)" for a pre-existing one.
    await put(client, "/a")
    await put(client, "/b")
    await put(client, "/there")
    assert (await client.request(method, "/a", Destination="/new")).status == 201
    assert (await client.request(method, "/b", Destination="/there")).status == 204


@BOTH
async def test_9_8_5_onto_itself(client: Client, method: str) -> None:
    # §9.8.5, §9.9.4: 403 "if the source and destination resources are the same resource".
    await tree(client)
    for target in ("/c/", "/c/a"):
        for destination in (target, client.url(target).human_repr()):
            assert await status(client, method, target, Destination=destination) == 403
    assert (client.folder / "c" / "a").read_bytes() == b"a"


@BOTH
@pytest.mark.parametrize("destination", ["/no/a", "/no/b/c/", "/file/a"])
async def test_9_8_5_the_parent_of_the_destination_must_exist(client: Client, method: str, destination: str) -> None:
    # §9.8.5: 409; "The server MUST NOT create those intermediate collections automatically."
    await tree(client)
    await put(client, "/file")
    for source in ("/c/", "/c/a"):
        assert await status(client, method, source, Destination=destination) == 409
    assert await hrefs(client, "/") == {"/", "/c/", "/c/a", "/c/d/", "/c/d/b", "/file"}


@BOTH
async def test_9_8_5_a_locked_destination(client: Client, method: str) -> None:
    # §9.8.5, §9.9.4: 423 with lock-token-submitted; a locked member of what would be overwritten is named in a 207.
    await tree(client)
    await put(client, "/b")
    await mkcol(client, "/e/")
    await put(client, "/e/held")
    await lock(client, "/b")
    await lock(client, "/e/held")
    answer = await client.request(method, "/c/a", Destination="/b")
    assert (answer.status, answer.error) == (423, "lock-token-submitted")
    answer = await client.request(method, "/c/", Destination="/e/")
    # §9.8.3, §9.9.2: neither 424 nor 201 nor 204 stands in it.
    assert (answer.status, {row.href: row.status for row in answer.rows}) == (207, {"/e/held": 423})
    assert await hrefs(client, "/e/") == {"/e/", "/e/held"}


@BOTH
async def test_9_8_5_another_server(client: Client, method: str) -> None:
    # §9.8.5: "502 (Bad Gateway): This may occur when the destination is on another server".
    await put(client, "/a")
    for destination in ("http://other.example/b", f"http://127.0.0.1:{client.port + 1}/b", "ftp://127.0.0.1/b"):
        assert await status(client, method, "/a", Destination=destination) in (400, 502), destination
    assert await status(client, method, "/a", Destination="http://other.example/b") == 502
    assert await hrefs(client, "/") == {"/", "/a"}


@BOTH
async def test_9_8_5_a_missing_source(client: Client, method: str) -> None:
    # §9.8: the source is what the Request-URI names.
    assert await status(client, method, "/missing", Destination="/b") == 404


async def test_9_9_1_properties_move_along(client: Client) -> None:
    # §9.9.1: "Dead properties MUST be moved along with the resource."
    await tree(client)
    for target in ("/c/", "/c/d/b"):
        await set_x(client, target)
    await put(client, "/dated", X_OC_Mtime="1000000000", Content_Type="text/x-special")
    before = await properties(client, "/dated", "<D:creationdate/><D:getlastmodified/><D:getcontenttype/>")
    assert await status(client, "MOVE", "/c/", Destination="/e/") == 201
    assert await status(client, "MOVE", "/dated", Destination="/e/moved") == 201
    assert (await x_of(client, "/e/"), await x_of(client, "/e/d/b")) == ("kept", "kept")
    after = await properties(client, "/e/moved", "<D:creationdate/><D:getlastmodified/><D:getcontenttype/>")
    # "the DAV:creationdate property value SHOULD remain the same after a MOVE."
    assert {name: element.text for name, element in after.items()} == {
        name: element.text for name, element in before.items()
    }
    # What is made under the old names has nothing of it.
    await mkcol(client, "/c/")
    assert await x_of(client, "/c/") is None


@pytest.mark.parametrize("depth", [None, "infinity"])
async def test_9_9_2_a_collection_is_moved_whole(client: Client, depth: str | None) -> None:
    # §9.9.2: "The MOVE method on a collection MUST act as if a 'Depth: infinity' header was used on it."
    await tree(client)
    headers = {} if depth is None else {"Depth": depth}
    assert await status(client, "MOVE", "/c/", Destination="/e/", **headers) == 201
    assert await hrefs(client, "/") == {"/", "/e/", "/e/a", "/e/d/", "/e/d/b"}


@pytest.mark.parametrize("depth", ["0", "1"])
async def test_9_9_2_another_depth_moves_nothing(client: Client, depth: str) -> None:
    # §9.9.2: clients MUST NOT submit another Depth for a collection.
    await tree(client)
    assert await status(client, "MOVE", "/c/", Destination="/e/", Depth=depth) == 400
    assert "/c/d/b" in await hrefs(client, "/")
    # §10.2: without internal members, "the Depth header MUST be ignored."
    assert await status(client, "MOVE", "/c/a", Destination="/moved", Depth=depth) == 201


async def test_9_9_2_a_locked_member_of_the_source(client: Client) -> None:
    # §9.9.2: the resource that failed is named in a 207. Nothing is moved here, so that no half of a tree is left.
    await tree(client)
    granted = await lock(client, "/c/d/b")
    answer = await client.request("MOVE", "/c/", Destination="/e/")
    assert (answer.status, {row.href: row.status for row in answer.rows}) == (207, {"/c/d/b": 423})
    assert await hrefs(client, "/") == {"/", "/c/", "/c/a", "/c/d/", "/c/d/b"}
    assert await status(client, "MOVE", "/c/", Destination="/e/", If=f"</c/d/b> {granted.header}") == 201
    assert await locks_of(client, "/e/d/b") == []
