"""Quotas as clients meet them: 507 for what does not fit, and the properties of RFC 4331."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client, form_part

ASK = b'<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>'


@pytest.fixture
async def client(serve: Serve, folder: Path) -> Client:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "x").write_bytes(b"x" * 400)
    return await serve(quota={"/a": 1000})


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def is_full(answer: Answer) -> bool:
    assert answer.status == 507
    assert "1000 bytes" in answer.body.decode()
    return answer.error == "quota-not-exceeded"


async def quota(client: Client, target: str, depth: str = "0") -> dict[str, tuple[int, int] | None]:
    """By href: available and used; ``None`` where a resource has no such properties."""
    answer = await client.request("PROPFIND", target, ASK, Depth=depth, Content_Type="application/xml")
    assert answer.status == 207
    found: dict[str, tuple[int, int] | None] = {}
    for row in answer.rows:
        values = [row.element.findtext(f".//{{DAV:}}{name}") for name in ("quota-available-bytes", "quota-used-bytes")]
        numbers = [int(value) for value in values if value]
        found[row.href] = (numbers[0], numbers[1]) if row.status == 200 else None
    return found


@pytest.mark.parametrize(("size", "status"), [(599, 201), (600, 201), (601, 507)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_put(client: Client, folder: Path, size: int, status: int, chunked: bool) -> None:
    data = b"x" * size
    answer = await client.request("PUT", "/a/new", pieces(data[:300], data[300:]) if chunked else data)
    assert answer.status == status
    if status == 507:
        assert is_full(answer)
    assert (folder / "a" / "new").exists() is (status == 201)


async def test_put_is_refused_before_its_bytes(client: Client) -> None:
    head = b"PUT /a/new HTTP/1.1\r\nHost: x\r\nContent-Length: 601\r\nExpect: 100-continue\r\n\r\n"
    assert is_full(await client.raw(head))


async def test_a_body_without_end_is_stopped(client: Client) -> None:
    """Nothing ends this body but the refusal."""
    head = b"PUT /a/new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert is_full(await client.raw(head + b"259\r\n" + b"x" * 601 + b"\r\n"))


@pytest.mark.parametrize(("size", "status"), [(1000, 204), (1001, 507)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_replaced_makes_room(client: Client, size: int, status: int, chunked: bool) -> None:
    data = b"x" * size
    answer = await client.request("PUT", "/a/x", pieces(data) if chunked else data)
    assert answer.status == status


async def test_the_smaller_of_two_limits_is_told(serve: Serve) -> None:
    client = await serve(quota={"/": 1000}, max_item_size=500)
    answer = await client.request("PUT", "/x", b"x" * 501)
    assert answer.status == 413
    assert answer.error == "too-large"
    assert (await client.request("PUT", "/x", b"x" * 500)).status == 201
    assert (await client.request("PUT", "/y", b"x" * 500)).status == 201
    assert is_full(await client.request("PUT", "/z", b"x" * 500))


async def test_each_item_of_a_batch_is_judged_by_itself(client: Client, folder: Path) -> None:
    sizes = {"one": 300, "two": 301, "three": 300, "four": 1, "x": 399, "five": 1, "deep/six": 0}
    answer = await client.post("/a/", [form_part(name, b"x" * size) for name, size in sizes.items()])
    assert answer.statuses == [201, 507, 201, 507, 204, 201, 201]
    assert [row.error for row in answer.rows if row.status == 507] == ["quota-not-exceeded"] * 2
    assert sum(path.stat().st_size for path in (folder / "a").rglob("*") if path.is_file()) == 1000


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(("size", "status"), [(600, 201), (601, 507)])
@pytest.mark.parametrize("tree", [False, True])
async def test_copy_and_move(client: Client, folder: Path, method: str, size: int, status: int, tree: bool) -> None:
    source = folder / "source"
    if tree:
        source.mkdir()
    (source / "file" if tree else source).write_bytes(b"x" * size)
    answer = await client.request(method, "/source", Destination="/a/new")
    assert answer.status == status
    if status == 507:
        assert is_full(answer)
        assert source.exists()
        assert os.listdir(folder / "a") == ["b", "x"] or sorted(os.listdir(folder / "a")) == ["b", "x"]


@pytest.mark.parametrize(("size", "status"), [(600, 204), (601, 507)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_patch(client: Client, folder: Path, size: int, status: int, chunked: bool) -> None:
    data = b"y" * size
    kind = "application/x-sabredav-partialupdate"
    body = pieces(data) if chunked else data
    answer = await client.request("PATCH", "/a/x", body, X_Update_Range="append", Content_Type=kind)
    assert answer.status == status
    assert (folder / "a" / "x").stat().st_size == (400 + size if status == 204 else 400)


async def test_what_takes_nothing_always_fits(client: Client) -> None:
    assert (await client.request("PUT", "/a/x", b"x" * 1000)).status == 204
    assert (await client.request("PUT", "/a/empty", b"")).status == 201
    assert (await client.request("MKCOL", "/a/c")).status == 201
    lock = b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'
    assert (await client.request("LOCK", "/a/locked", lock, Content_Type="application/xml")).status == 201


async def test_properties_follow_what_is_stored(client: Client) -> None:
    assert await quota(client, "/a/", "1") == {"/a/": (600, 400), "/a/b/": (600, 400), "/a/x": None}
    await client.request("PUT", "/a/b/y", b"x" * 100)
    assert await quota(client, "/a/b/") == {"/a/b/": (500, 500)}
    await client.request("DELETE", "/a/x")
    assert await quota(client, "/a/") == {"/a/": (900, 100)}


async def test_above_all_quotas_the_disk_is_told(client: Client, folder: Path) -> None:
    found = (await quota(client, "/"))["/"]
    assert found is not None
    status = os.statvfs(folder)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    # Others use the disk too.
    assert abs(found[0] - status.f_bavail * status.f_frsize) < 1 << 30
    assert abs(found[1] - used) < 1 << 30


async def test_a_quota_never_promises_more_than_the_disk_has(serve: Serve) -> None:
    client = await serve(quota={"/": 1 << 60})
    found = (await quota(client, "/"))["/"]
    assert found is not None
    assert found[0] < 1 << 60
    assert found[1] == 0


async def test_the_tightest_of_nested_quotas_is_told(serve: Serve, folder: Path) -> None:
    (folder / "a" / "b c").mkdir(parents=True)
    (folder / "a" / "b c" / "x").write_bytes(b"x" * 10)
    client = await serve(quota={"/": 1000, "/a": 100, "/a/b c": 500})
    found = await quota(client, "/", "infinity")
    assert found["/"] == (990, 10)
    assert found["/a/"] == found["/a/b%20c/"] == (90, 10)


async def test_over_the_limit_nothing_is_left(serve: Serve, folder: Path) -> None:
    (folder / "x").write_bytes(b"x" * 20)
    assert await quota(await serve(quota={"/": 10}), "/") == {"/": (0, 20)}


async def test_they_are_told_by_name_only(client: Client) -> None:
    everything = await client.request("PROPFIND", "/a/", Depth="0")
    assert b"quota" not in everything.body
    names = b'<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>'
    answer = await client.request("PROPFIND", "/a/", names, Depth="1", Content_Type="application/xml")
    assert answer.body.count(b"<D:quota-used-bytes/>") == 2


@pytest.mark.parametrize("name", ["quota-available-bytes", "quota-used-bytes"])
async def test_they_are_protected(client: Client, name: str) -> None:
    body = f'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:{name}>1</D:{name}></D:prop></D:set></D:propertyupdate>'
    answer = await client.request("PROPPATCH", "/a/", body.encode(), Content_Type="application/xml")
    assert answer.statuses == [403]
    assert b"cannot-modify-protected-property" in answer.body


async def test_a_new_server_counts_what_is_there(client: Client, folder: Path, serve: Serve) -> None:
    """A second one on the same folder, as a second process."""
    await client.request("PUT", "/a/y", b"x" * 500)
    other = await serve(quota={"/a": 1000})
    assert await quota(other, "/a/") == {"/a/": (100, 900)}
    assert (await other.request("PUT", "/a/z", b"x" * 101)).status == 507
    assert (await other.request("PUT", "/a/z", b"x" * 100)).status == 201
    assert (await client.request("PUT", "/a/more", b"x")).status == 507
