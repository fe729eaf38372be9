"""The verbs on files and collections over a real socket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Client

OLD = "Sun, 09 Sep 2001 01:46:40 GMT"
FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture
def tree(folder: Path) -> Path:
    (folder / "c" / "d").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"0123456789")
    (folder / "c" / "b.json").write_bytes(b"{}")
    (folder / "c" / "d" / "big").write_bytes(bytes(range(256)) * 1000)
    os.utime(folder / "a.txt", (1_000_000_000, 1_000_000_000))
    return folder


# -- GET and HEAD


async def test_get(tree: Path, client: Client) -> None:
    answer = await client.request("GET", "/a.txt")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Last-Modified"] == OLD
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = await client.request("HEAD", "/a.txt")
    same = ("Content-Length", "ETag", "Last-Modified", "Content-Type")
    assert (head.status, head.body) == (200, b"")
    assert [head.headers[name] for name in same] == [answer.headers[name] for name in same]
    big = await client.request("GET", "/c/d/big")
    assert big.body == bytes(range(256)) * 1000
    assert (await client.request("HEAD", "/c/d/big")).headers["Content-Length"] == "256000"


@pytest.mark.parametrize("target", ["/no", "/a.txt/", "/a.txt/x", "/.partwise", "/.partwise/writer.lock", "/-/no"])
async def test_not_found(tree: Path, client: Client, target: str) -> None:
    for method in ("GET", "HEAD", "PROPFIND"):
        if method == "PROPFIND" and target.startswith("/-"):
            continue
        answer = await client.request(method, target)
        assert answer.status == 404
        assert str(tree).encode() not in answer.body


async def test_an_error_page_for_a_browser(client: Client) -> None:
    answer = await client.request(
        "GET", "/no", Accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    )
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("field", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=x", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=" + ",".join(["0-0"] * 1000), 200, b"0123456789", None),
    ],
)
async def test_range(
    tree: Path, client: Client, field: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    answer = await client.request("GET", "/a.txt", Range=field)
    assert (answer.status, answer.headers.get("Content-Range")) == (status, content_range)
    if body is not None:
        assert answer.body == body
    head = await client.request("HEAD", "/a.txt", Range=field)
    assert (head.status, head.headers["Content-Length"]) == (200, "10")


async def test_multiple_ranges(tree: Path, client: Client) -> None:
    answer = await client.request("GET", "/c/d/big", Range="bytes=0-1,1000-1001,-2")
    assert answer.status == 206
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = answer.body.split(f"--{boundary}".encode())
    assert [part.strip(b"\r\n").partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [
        b"\x00\x01",
        b"\xe8\xe9",
        b"\xfe\xff",
    ]
    assert b"Content-Range: bytes 1000-1001/256000" in parts[2]
    assert parts[-1] == b"--\r\n"


async def test_if_range(tree: Path, client: Client) -> None:
    etag = (await client.request("HEAD", "/a.txt")).headers["ETag"]
    for value, status in [(etag, 206), ('"other"', 200), (OLD, 206), (FUTURE, 200), ("W/" + etag, 200)]:
        answer = await client.request("GET", "/a.txt", Range="bytes=0-0", If_Range=value)
        assert answer.status == status, value


#: headers, status of GET, status of PUT ("etag" stands for the current one)
CONDITIONS = [
    ({"If_Match": "etag"}, 200, 204),
    ({"If_Match": "*"}, 200, 204),
    ({"If_Match": '"x", etag'}, 200, 204),
    ({"If_Match": '"x"'}, 412, 412),
    ({"If_Match": "W/etag"}, 412, 412),
    ({"If_None_Match": "etag"}, 304, 412),
    ({"If_None_Match": "W/etag"}, 304, 412),
    ({"If_None_Match": "*"}, 304, 412),
    ({"If_None_Match": '"x"'}, 200, 204),
    ({"If_Modified_Since": FUTURE}, 304, 204),
    ({"If_Modified_Since": OLD}, 304, 204),
    ({"If_Modified_Since": "Sun, 09 Sep 2001 01:46:39 GMT"}, 200, 204),
    ({"If_Modified_Since": "yesterday"}, 200, 204),
    ({"If_None_Match": '"x"', "If_Modified_Since": FUTURE}, 200, 204),
    ({"If_Unmodified_Since": OLD}, 200, 204),
    ({"If_Unmodified_Since": "Sun, 09 Sep 2001 01:46:39 GMT"}, 412, 412),
    ({"If_Match": "etag", "If_Unmodified_Since": "Sun, 09 Sep 2000 01:46:39 GMT"}, 200, 204),
    ({"If_Match": "etag", "If_None_Match": "etag"}, 304, 412),
    ({"If_Match": "etag"[1:]}, 400, 400),
]


@pytest.mark.parametrize(("headers", "get", "put"), CONDITIONS)
async def test_conditions(tree: Path, client: Client, headers: dict[str, str], get: int, put: int) -> None:
    etag = (await client.request("HEAD", "/a.txt")).headers["ETag"]
    sent = {name: value.replace("etag", etag) for name, value in headers.items()}
    answer = await client.request("GET", "/a.txt", **sent)
    assert answer.status == get
    if get == 304:
        assert answer.headers["ETag"] == etag and answer.body == b""
    assert (await client.request("PUT", "/a.txt", b"new", **sent)).status == put
    assert (tree / "a.txt").read_bytes() == (b"new" if put == 204 else b"0123456789")


@pytest.mark.parametrize(
    ("headers", "status"), [({"If_Match": "*"}, 412), ({"If_Match": '"x"'}, 412), ({"If_None_Match": "*"}, 201)]
)
async def test_conditions_on_what_is_not_there(client: Client, headers: dict[str, str], status: int) -> None:
    assert (await client.request("PUT", "/new", b"x", **headers)).status == status


async def test_active_contents_are_sandboxed(client: Client) -> None:
    await client.request("PUT", "/x.html", b"<script>1</script>")
    answer = await client.request("GET", "/x.html")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


# -- collections


async def test_a_collection_without_its_slash_is_served(tree: Path, client: Client) -> None:
    for method in ("GET", "PROPFIND"):
        answer = await client.request(method, "/c", Depth="1")
        assert answer.status in (200, 207)
        assert answer.headers["Content-Location"] == "/c/"
    page = (await client.request("GET", "/c")).body
    assert b'href="/c/b.json"' in page and b'href="/c/d/"' in page and b"ETag" not in page
    assert "ETag" not in (await client.request("GET", "/c/")).headers


async def test_a_listing_escapes_names(client: Client) -> None:
    name = "a<script>alert(1)</script>&\"'.txt"
    (client.folder / name.replace("/", "")).write_bytes(b"x")
    page = (await client.request("GET", "/")).body
    assert b"<script>alert" not in page


async def test_a_large_listing(client: Client) -> None:
    for number in range(3000):
        (client.folder / f"file-{number:05}").touch()
    page = (await client.request("GET", "/")).body.decode()
    assert page.count('href="/file-') == 3000
    assert page.index("file-00001") < page.index("file-02999")


async def test_options(tree: Path, client: Client) -> None:
    for target, has, has_not in [
        ("/c/", {"POST", "PROPFIND", "DELETE"}, {"PUT", "MKCOL"}),
        ("/a.txt", {"GET", "HEAD", "PUT", "DELETE"}, {"POST", "MKCOL"}),
        ("/new", {"PUT", "MKCOL"}, {"GET", "DELETE"}),
        ("/-/schemas/", {"GET"}, {"PUT"}),
    ]:
        answer = await client.request("OPTIONS", target)
        methods = set(answer.headers["Allow"].split(", "))
        assert answer.status == 200 and has <= methods and not has_not & methods
        # RFC 4918 §18: "1" and "2" stand in the header of every resource that supports them.
        classes = set(answer.headers.get("DAV", "").split(", "))
        assert ({"1", "2", "3"} <= classes) is (target != "/-/schemas/")
    assert "multipart/mixed" in (await client.request("OPTIONS", "/c")).headers["Accept-Post"]
    assert (await client.raw(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200


# -- PUT


async def test_put(client: Client) -> None:
    created = await client.request("PUT", "/a%20b", b"x")
    assert (created.status, created.body) == (201, b"")
    replaced = await client.request("PUT", "/a%20b", b"yy")
    assert replaced.status == 204 and replaced.headers["ETag"] != created.headers["ETag"]
    assert (await client.request("GET", "/a%20b")).headers["ETag"] == replaced.headers["ETag"]
    assert (client.folder / "a b").read_bytes() == b"yy"


@pytest.mark.parametrize(
    ("target", "headers", "status", "error"),
    [
        ("/c", {}, 405, None),
        ("/c/", {}, 405, None),
        ("/", {}, 405, None),
        ("/no/x", {}, 409, "parent-missing"),
        ("/a.txt/x", {}, 409, "parent-missing"),
        ("/new/", {}, 403, "forbidden-name"),
        ("/a.txt/", {}, 403, "forbidden-name"),
        ("/.partwise/x", {}, 403, "forbidden-name"),
        ("/-/x", {}, 403, "forbidden-name"),
        ("/a/../b", {}, 403, "forbidden-name"),
        ("/a%2fb", {}, 403, "forbidden-name"),
        ("/a%5Cb", {}, 403, "forbidden-name"),
        ("/%ff", {}, 400, "malformed-name"),
        ("/a%01", {}, 400, "malformed-name"),
        ("/x", {"Content_Range": "bytes 0-0"}, 400, "malformed"),
        ("/x", {"Content_Encoding": "gzip"}, 415, "unsupported-type"),
        ("/x", {"Content_Type": "text/xml"}, 400, "not-well-formed"),
        ("/x", {"Content_MD5": "x"}, 400, "malformed"),
        ("/x", {"OC_Checksum": "SHA1:" + "0" * 40}, 400, "digest-mismatch"),
        ("/a.txt", {"Overwrite": "F"}, 412, None),
        ("/a.txt", {"Overwrite": "x"}, 400, "malformed"),
        ("/a.txt", {"If": "(<urn:x>)"}, 412, None),
        ("/x", {"Expect": "200-ok"}, 417, None),
    ],
)
async def test_put_refused(
    tree: Path, client: Client, target: str, headers: dict[str, str], status: int, error: str | None
) -> None:
    before = sorted(path for path in tree.rglob("*") if ".partwise" not in path.parts)
    answer = await client.request("PUT", target, b"body", **headers)
    assert (answer.status, answer.error) == (status, error)
    if status == 405:
        assert "PUT" not in answer.headers["Allow"]
    assert sorted(path for path in tree.rglob("*") if ".partwise" not in path.parts) == before
    assert (tree / "a.txt").read_bytes() == b"0123456789"


async def test_put_of_a_limited_size(serve: Serve) -> None:
    client = await serve(max_item_size=10)
    assert (await client.request("PUT", "/x", b"x" * 11)).status == 413

    async def pieces():  # type: ignore[no-untyped-def]
        for _ in range(11):
            yield b"x"

    assert (await client.request("PUT", "/x", pieces())).status == 413
    assert (await client.request("PUT", "/x", b"x" * 10)).status == 201


async def test_put_keeps_a_modification_time(client: Client) -> None:
    answer = await client.request("PUT", "/x", b"x", X_OC_Mtime="1000000000")
    assert answer.headers["X-OC-Mtime"] == "accepted"
    assert (client.folder / "x").stat().st_mtime == 1_000_000_000


async def test_a_gzip_body_is_not_unpacked(client: Client) -> None:
    """A file that happens to be compressed is stored as it is."""
    data = b"\x1f\x8b\x08\x00" + b"x" * 100
    assert (await client.request("PUT", "/x.gz", data, Content_Type="application/gzip")).status == 201
    assert (client.folder / "x.gz").read_bytes() == data
    assert (await client.request("GET", "/x")).status == 404


@pytest.mark.parametrize(("target", "status"), [("/x", 201), ("/no/x", 409)])
async def test_expect_is_answered_after_the_checks(client: Client, target: str, status: int) -> None:
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode())
    line = await reader.readline()
    if status == 201:
        assert line == b"HTTP/1.1 100 Continue\r\n"
        await reader.readline()
        writer.write(b"body")
        line = await reader.readline()
    assert int(line.split()[1]) == status
    writer.close()


# -- DELETE and MKCOL


async def test_delete(tree: Path, client: Client) -> None:
    assert (await client.request("DELETE", "/a.txt/")).status == 404
    assert (await client.request("DELETE", "/a.txt")).status == 204
    assert (await client.request("DELETE", "/a.txt")).status == 404
    assert (await client.request("DELETE", "/c")).status == 204
    assert (await client.request("DELETE", "/")).status == 403
    assert (await client.request("DELETE", "/.partwise")).status == 403
    assert [path.name for path in tree.iterdir()] == [".partwise"]


async def test_delete_refused(tree: Path, client: Client) -> None:
    assert (await client.request("DELETE", "/a.txt", b"body")).status == 415
    assert (await client.request("DELETE", "/a.txt", If_Match='"x"')).status == 412
    # aiohttp's own reading of this target is "/c/": the parent would die.
    answer = await client.raw(b"DELETE /c/#ment HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 400
    answer = await client.raw(b"DELETE /x%2Fy/%2e%2e/c HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 403
    assert (tree / "c" / "d" / "big").exists() and (tree / "a.txt").exists()


async def test_mkcol(tree: Path, client: Client) -> None:
    for target, status in [
        ("/new", 201),
        ("/new/", 405),
        ("/new/x/", 201),
        ("/a.txt", 405),
        ("/no/x", 409),
        ("/", 405),
        ("/-/x", 403),
        ("/.partwise/x", 403),
        ("/a%5Cb", 403),
    ]:
        answer = await client.request("MKCOL", target)
        assert answer.status == status, target
        assert ("Allow" in answer.headers) is (status == 405)
    assert (await client.request("MKCOL", "/body", b"<x/>", Content_Type="text/plain")).status == 415
    assert (await client.request("MKCOL", "/body", b"<x/>", Content_Type="text/xml")).status == 422
    assert (tree / "new" / "x").is_dir() and not (tree / "body").exists()


# -- the rest


async def test_schemas_are_served(client: Client) -> None:
    index = await client.request("GET", "/-/schemas/")
    names = index.body.decode().split()
    assert "/-/schemas/multistatus.xsd" in names and "/-/schemas/batch.xsd" in names
    for name in names:
        answer = await client.request("GET", name)
        assert answer.status == 200 and b"<xs:schema" in answer.body
    for method, status in [("PUT", 403), ("MKCOL", 403), ("POST", 403), ("DELETE", 405), ("PROPFIND", 405)]:
        assert (await client.request(method, "/-/schemas/multistatus.xsd")).status == status
    listing = await client.request("PROPFIND", "/", Depth="infinity")
    assert [row.href for row in listing.rows] == ["/"]


@pytest.mark.parametrize("method", ["SEARCH", "TRACE", "FROBNICATE", "ACL"])
async def test_unknown_methods(client: Client, method: str) -> None:
    assert (await client.request(method, "/")).status == 501


def test_a_folder_with_the_reserved_name_is_not_served(folder: Path) -> None:
    from partwise import Config, make_app

    (folder / "-").mkdir()
    with pytest.raises(ValueError, match="--service-prefix"):
        make_app(Config(directory=folder))
    make_app(Config(directory=folder, service_prefix="~"))
