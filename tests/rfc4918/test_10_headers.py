"""RFC 4918 §10: DAV, Depth, Destination, If, Lock-Token, Overwrite, Timeout; §18: compliance classes."""

from __future__ import annotations

import pytest
from tests.harness import Client
from tests.rfc4918.dav import D, hrefs, lock, lockinfo, locks_of, mkcol, put, status

NONE = "urn:uuid:00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("target", ["/", "/c/", "/a", "/missing", "*"])
async def test_10_1_dav(client: Client, target: str) -> None:
    # §10.1: "All DAV-compliant resources MUST return the DAV header with compliance-class '1' on all OPTIONS responses."
    await mkcol(client, "/c/")
    await put(client, "/a")
    if target == "*":
        answer = await client.raw(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
    else:
        answer = await client.request("OPTIONS", target)
    classes = [name.strip() for name in answer.headers["DAV"].split(",")]
    # §18: a class 2 or 3 resource must say 1 too.
    assert classes[:3] == ["1", "2", "3"]
    assert answer.status in (200, 204)


async def test_10_1_outside_of_the_tree_nothing_is_advertised(client: Client) -> None:
    # §10.1: "an OPTIONS request to non-WebDAV resources (including '/') SHOULD NOT advertise WebDAV support."
    assert "DAV" not in (await client.request("OPTIONS", "/-/")).headers


@pytest.mark.parametrize("depth", ["2", "-1", "", "nonsense", "0, 1"])
@pytest.mark.parametrize("method", ["PROPFIND", "COPY", "MOVE", "DELETE", "LOCK"])
async def test_10_2_a_depth_that_does_not_exist(client: Client, method: str, depth: str) -> None:
    # §10.2: Depth = "0" | "1" | "infinity".
    await mkcol(client, "/c/")
    body = lockinfo() if method == "LOCK" else None
    answer = await client.request(method, "/c/", body, Depth=depth, Destination="/d/")
    assert answer.status == 400
    assert await hrefs(client, "/") == {"/", "/c/"}


@pytest.mark.parametrize("method", ["PROPFIND", "COPY", "MOVE", "DELETE"])
async def test_10_2_depth_of_a_file_is_ignored(client: Client, method: str) -> None:
    # §10.2: "If a resource does not have internal members, then the Depth header MUST be ignored."
    for depth in ("0", "1", "infinity"):
        await put(client, "/a")
        assert await status(client, method, "/a", Depth=depth, Destination="/b") < 300


async def test_10_2_locks_in_the_scope_of_a_depth(client: Client) -> None:
    # §10.2: the token of a locked resource within the scope of the method "MUST be submitted with the request in the If
    # request header."
    await mkcol(client, "/c/", "/c/d/")
    granted = await lock(client, "/c/d/")
    assert await status(client, "DELETE", "/c/") == 207
    assert await status(client, "DELETE", "/c/", If=f"</c/d/> {granted.header}") == 204


async def test_10_3_destination(client: Client) -> None:
    # §10.3: Destination = Simple-ref, an absolute URI or an absolute path.
    await put(client, "/a")
    for number, form in enumerate(("/b{}", "http://127.0.0.1:{port}/b{}", "HTTP://127.0.0.1:{port}/%62{}")):
        assert await status(client, "COPY", "/a", Destination=form.format(number, port=client.port)) == 201
        assert (client.folder / f"b{number}").exists()


@pytest.mark.parametrize(
    "destination", ["", "b", "../b", "/c/../../b", "/a%00b", "/b#fragment", "/b\\c", "/" + "x" * 300]
)
async def test_10_3_a_destination_that_is_not_acceptable(client: Client, destination: str) -> None:
    # §10.3: "If the Destination value is too long or otherwise unacceptable, the server SHOULD return 400 (Bad Request),
    # ideally with helpful information in an error body." Names that are readable and forbidden are 403 here.
    await put(client, "/a")
    answer = await client.request("COPY", "/a", Destination=destination)
    assert answer.status in (400, 403)
    assert answer.xml.findtext("{urn:partwise:batch}message")
    assert await hrefs(client, "/") == {"/", "/a"}


async def test_10_3_a_remote_destination_fails(client: Client) -> None:
    # §10.3: "If the source server cannot attempt a copy to the remote server, it MUST fail the request."
    await put(client, "/a")
    assert await status(client, "COPY", "/a", Destination="http://other.example/b") == 502


async def test_10_4_1_if_makes_a_request_conditional(client: Client) -> None:
    # §10.4.1: if all state lists fail, "the request MUST fail with a 412 (Precondition Failed) status code."
    etag = (await put(client, "/a")).headers["ETag"]
    assert await status(client, "PUT", "/a", If='(["other"])') == 412
    assert await status(client, "DELETE", "/a", If=f"(<{NONE}>)") == 412
    assert await status(client, "PUT", "/a", If=f"([{etag}])") == 204


async def test_10_4_1_a_token_is_submitted_wherever_it_stands(client: Client) -> None:
    # §10.4.1: "the mere fact that a state token appears in an If header means that it has been 'submitted' with the
    # request."
    etag = (await put(client, "/a")).headers["ETag"]
    granted = await lock(client, "/a")
    assert (
        await status(client, "PUT", "/a", If=f"([{etag}]) (<{granted.token}> [{etag}x])".replace('"x]', 'x"]')) == 204
    )
    # Its list does not hold, another one does.
    assert await status(client, "PUT", "/a", If=f'(Not ["none"]) (<{granted.token}> ["none"])') == 204
    assert await status(client, "PUT", "/a", If='(Not ["none"])') == 423


@pytest.mark.parametrize(
    "field",
    ["", "()", "nonsense", "(<no uri>)", "(<urn:x>", '("etag")', "(Not)", "</a>", '([W/"a"]) </a> (["b"])', '(["a"'],
)
async def test_10_4_2_syntax(client: Client, field: str) -> None:
    # §10.4.2: If = 1*No-tag-list | 1*Tagged-list; what is neither cannot be judged.
    await put(client, "/a")
    assert await status(client, "PUT", "/a", If=field) == 400


async def test_10_4_3_evaluation(client: Client) -> None:
    # §10.4.3: a list is the conjunction of its conditions, lists are a disjunction, Not reverses one condition.
    etag = (await put(client, "/a")).headers["ETag"]
    await put(client, "/b")
    token = (await lock(client, "/b")).token
    rows = [
        (f"([{etag}])", 207),
        (f'(["no"]) ([{etag}])', 207),
        (f'([{etag}] ["no"])', 412),
        (f'([{etag}] Not ["no"])', 207),
        (f"(Not [{etag}])", 412),
        ('(Not ["no"])', 207),
        (f"(Not <{NONE}>)", 207),
        (f"(<{NONE}>) (Not <{NONE}>)", 207),
        (f"</b> (<{token}>)", 207),
        (f"</b> (Not <{token}>)", 412),
        (f"</a> (<{token}>)", 412),
        (f'</a> (["no"]) </b> (<{token}>)', 207),
        (f'</b> (<{token}> ["no"]) </a> ([{etag}])', 207),
        (f"(<{token}>)", 412),
    ]
    body = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns=""/></D:prop></D:set></D:propertyupdate>'
    for field, expected in rows:
        assert (await client.request("PROPPATCH", "/a", body, If=field)).status == expected, field


async def test_10_4_4_a_token_matches_in_the_whole_scope(client: Client) -> None:
    # §10.4.4: "A lock state token is considered to match if the resource is anywhere in the scope of the lock."
    await mkcol(client, "/c/", "/c/d/")
    await put(client, "/c/d/a")
    granted = await lock(client, "/c/", Depth="infinity")
    for tag in ("", "</c/> ", "</c/d/> ", "</c/d/a> ", "</c/d/unmapped> ", f"<http://127.0.0.1:{client.port}/c/> "):
        assert await status(client, "PUT", "/c/d/a", If=f"{tag}{granted.header}") == 204, tag
    assert await status(client, "PUT", "/c/d/a", If=f"</> {granted.header}") == 412


async def test_10_4_4_unmapped_names(client: Client) -> None:
    # §10.4.4: "treat as if the URL identifies a resource that exists but does not have the specified state." §10.4.11 has
    # the two examples.
    await put(client, "/a")
    assert await status(client, "PUT", "/a", If='</specs/rfc2518.doc> (["4217"])') == 412
    assert await status(client, "PUT", "/a", If='</specs/rfc2518.doc> (Not ["4217"])') == 204
    assert await status(client, "PUT", "/a", If=f"</specs/rfc2518.doc> (<{NONE}>)") == 412
    assert await status(client, "PUT", "/new", If='(["4217"])') == 412
    assert await status(client, "PUT", "/a", If='<http://other.example/a> (Not ["4217"])') == 204


async def test_10_4_8_no_lock(client: Client) -> None:
    # §10.4.8: "The 'DAV:no-lock' state token is known to never represent a current lock token."
    await put(client, "/a")
    granted = await lock(client, "/a")
    gone = f"(<{NONE}>) (Not <DAV:no-lock>)"
    assert await status(client, "PUT", "/a", If=gone) == 423
    assert await status(client, "PUT", "/a", If=f"(<{granted.token}>) (Not <DAV:no-lock>)") == 204
    assert await status(client, "PUT", "/a", If="(<DAV:no-lock>)") == 412


async def test_10_5_lock_token(client: Client) -> None:
    # §10.5: a request token "MUST identify a lock that contains the resource identified by Request-URI as a member"; the
    # response header tells the token of the new lock.
    await put(client, "/a")
    granted = await lock(client, "/a")
    assert granted.answer.headers["Lock-Token"] == f"<{granted.token}>"
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{NONE}>") == 409
    assert await locks_of(client, "/a") == [granted.token]
    assert await status(client, "UNLOCK", "/a", Lock_Token=f"<{granted.token}>") == 204


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_10_6_overwrite(client: Client, method: str) -> None:
    # §10.6: without the header, "the resource MUST treat the request as if it has an Overwrite header of value 'T'"; with
    # "F" it "MUST fail with a 412 (Precondition Failed) status code."
    await put(client, "/b", b"b")
    for value, expected in (("F", 412), ("f", 412), ("nonsense", 400), (None, 204), ("T", 204)):
        await put(client, "/a", b"a")
        headers = {} if value is None else {"Overwrite": value}
        assert await status(client, method, "/a", Destination="/b", **headers) == expected, value
        assert (client.folder / "b").read_bytes() == (b"a" if expected == 204 or value is None else b"b")


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        (None, 3500, 3600),
        ("Second-100", 90, 100),
        ("Infinite", 604700, 604800),
        ("Infinite, Second-4100000000", 604700, 604800),
        ("Second-4294967295", 604700, 604800),
        ("Second-99999999999999999999", 604700, 604800),
        ("Extended, Second-200", 190, 200),
        ("nonsense", 3500, 3600),
    ],
)
async def test_10_7_timeout(client: Client, field: str | None, least: int, most: int) -> None:
    # §10.7: the server "is not required to honor or even consider these requests"; what it grants is told, and "MUST NOT be
    # greater than 2^32-1".
    await put(client, "/a")
    headers = {} if field is None else {"Timeout": field}
    answer = (await lock(client, "/a", **headers)).answer
    told = answer.xml.findtext(f".//{D}timeout") or ""
    assert least <= int(told.removeprefix("Second-")) <= most
