"""Requests in parts of type ``application/http``, against the real server."""

from __future__ import annotations

from tests.harness import Client

LOCK = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'


def part(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{line} HTTP/1.1", *fields, "", ""))
    return b"Content-Type: application/http\r\n\r\n" + head.encode() + body


async def statuses(client: Client, *parts: bytes, query: str = "") -> list[int]:
    answer = await client.post(f"/c/{query}", parts, kind="mixed")
    return [row.status for row in answer.rows]


async def made(client: Client, **files: bytes) -> None:
    await client.request("MKCOL", "/c/")
    for name, body in files.items():
        await client.request("PUT", f"/c/{name}", body)


async def test_each_sees_what_those_before_have_left(client: Client) -> None:
    await made(client, a=b"a")
    assert await statuses(
        client,
        part("MKCOL /c/n/"),
        part("MOVE /c/a", "Destination: /c/n/a"),
        part("PUT /c/a", "Content-Type: text/plain", body=b"new"),
        part("COPY /c/a", "Destination: /c/n/copy"),
        part("DELETE /c/a"),
        part("PUT /c/a", body=b"newer"),
    ) == [201, 201, 201, 201, 204, 201]
    bodies = [(await client.request("GET", f"/c/{name}")).body for name in ("a", "n/a", "n/copy")]
    assert bodies == [b"newer", b"a", b"new"]


async def test_a_put_is_judged_as_one_of_its_own(client: Client) -> None:
    await made(client, x=b"old", held=b"old")
    granted = await client.request("LOCK", "/c/held", LOCK)
    assert await statuses(
        client,
        part("PUT /c/x", "Overwrite: F", body=b"new"),
        part("PUT /c/new", "Overwrite: F", body=b"new"),
        part("PUT /c/x", 'If-Match: "other"', body=b"new"),
        part("PUT /c/short", "Content-Length: 4", body=b"new"),
        part("PUT /c/coded", "Content-Encoding: gzip", body=b"new"),
        part("PUT /c/x", "Content-Range: bytes 0-2/3", body=b"new"),
        part("PUT /c/slash/", body=b"new"),
        part("PUT /out", body=b"new"),
        part("PUT /c/held", body=b"new"),
    ) == [412, 201, 412, 400, 415, 400, 403, 403, 423]
    assert (await client.request("GET", "/c/x")).body == (await client.request("GET", "/c/held")).body == b"old"
    token = f"If: ({granted.headers['Lock-Token']})"
    assert await statuses(client, part("PUT /c/held", token, body=b"new")) == [204]


async def test_a_dry_run_leaves_no_trace(client: Client) -> None:
    """Nobody sees anything come or go, and entity tags stay."""
    await made(client, a=b"a", b=b"b")
    before = await client.request("PROPFIND", "/c/", Depth="1")
    answer = await client.post(
        "/c/?dry-run=1",
        [
            part("DELETE /c/a"),
            part("MOVE /c/b", "Destination: /c/new"),
            part("COPY /c/b", "Destination: /c/a"),
            part("MKCOL /c/n"),
            part("MKCOL /c/a"),
        ],
        kind="mixed",
    )
    assert [(row.status, row.item.get("would")) for row in answer.rows] == [
        (200, "204"),
        (200, "201"),
        (200, "204"),
        (200, "201"),
        (405, None),
    ]
    assert (await client.request("PROPFIND", "/c/", Depth="1")).body == before.body
