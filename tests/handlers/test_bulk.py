"""Nextcloud's bulk upload over a real socket."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import BOUNDARY, Answer, Client, multipart

MTIME = 1_700_000_000


def part(path: str, body: bytes, **headers: str) -> bytes:
    """As the manual has it; headers may be changed, and left out with an empty value."""
    fields = {
        "X-File-Path": path,
        "X-File-MD5": hashlib.md5(body).hexdigest(),
        "X-File-Mtime": str(MTIME),
        "Content-Length": str(len(body)),
        "Content-Type": "application/octet-stream",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}".encode() for name, value in fields.items() if value]
    return b"\r\n".join([*lines, b"", body])


async def send(client: Client, *parts: bytes, target: str = "/dav/bulk", **headers: str) -> Answer:
    return await client.post(target, parts, kind="related", **headers)


def read(answer: Answer) -> dict[str, dict[str, object]]:
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json; charset=utf-8"
    document: dict[str, dict[str, object]] = json.loads(answer.body)
    return document


async def test_each_part_is_a_file(client: Client) -> None:
    found = read(
        await send(
            client, part("/small file.txt", b"hello\r\n--x"), part("/a/ü.bin", b"\0" * 100_000), part("empty", b"")
        )
    )
    assert list(found) == ["/small file.txt", "/a/ü.bin", "empty"]
    for name, told in found.items():
        assert set(told) == {"error", "etag"} and told["error"] is False
        path = client.folder / name.removeprefix("/")
        assert path.stat().st_mtime == MTIME
        answer = await client.request("HEAD", "/" + name.removeprefix("/").replace(" ", "%20").replace("ü", "%C3%BC"))
        assert answer.headers["ETag"] == f'"{told["etag"]}"'
    assert (client.folder / "small file.txt").read_bytes() == b"hello\r\n--x"
    assert (client.folder / "a/ü.bin").read_bytes() == b"\0" * 100_000


@pytest.mark.parametrize(
    ("target", "below"),
    [("/remote.php/dav/bulk", ""), ("/alice/dav/bulk", "alice"), ("/alice/remote.php/dav/bulk/", "alice")],
)
async def test_where_the_files_go(client: Client, target: str, below: str) -> None:
    (client.folder / "alice").mkdir()
    assert read(await send(client, part("/f", b"x"), target=target))["/f"]["error"] is False
    assert (client.folder / below / "f").read_bytes() == b"x"


async def test_one_bad_part_does_not_stop_the_others(client: Client) -> None:
    (client.folder / "folder").mkdir()
    found = read(
        await send(
            client,
            part("/good", b"1"),
            part("/damaged", b"2", X_File_MD5=hashlib.md5(b"3").hexdigest()),
            part("/longer", b"4", Content_Length="9", X_File_MD5=""),
            part("/../outside", b"5"),
            part("", b"6"),
            part("/a\\b", b"7"),
            part("/folder", b"8"),
            part("/sum", b"9", OC_Checksum=f"SHA1:{hashlib.sha1(b'9').hexdigest()}", X_File_MD5="no"),
            part("/last", b"0", X_File_MD5="", X_File_Mtime="", Content_Type=""),
        )
    )
    assert {name: told["error"] for name, told in found.items()} == {
        "/good": False,
        "/damaged": True,
        "/longer": True,
        "/../outside": True,
        "5": True,
        "/a\\b": True,
        "/folder": True,
        "/sum": False,
        "/last": False,
    }
    assert all(told.get("message") for told in found.values() if told["error"])
    names = {path.name for path in client.folder.iterdir() if path.is_file()}
    assert names == {"good", "sum", "last"}
    listing = await client.request("PROPFIND", "/sum", Depth="0")
    assert hashlib.sha1(b"9").hexdigest().encode() in listing.body


async def test_the_report_is_that_of_a_batch(client: Client) -> None:
    answer = await send(client, part("/good", b"1"), part("/../bad", b"2"), Prefer="return=minimal")
    monitor = answer.headers["Link"].split(">")[0].removeprefix("<")
    report = await client.request("GET", monitor)
    assert report.statuses == [201, 403]


async def test_how_the_files_are_treated_can_be_said(client: Client) -> None:
    (client.folder / "there").write_bytes(b"old")
    whole = read(await send(client, part("/a", b"1"), part("/../bad", b"2"), target="/dav/bulk?atomic=1"))
    assert [told["error"] for told in whole.values()] == [True, True]
    tried = read(await send(client, part("/a", b"1"), target="/dav/bulk?dry-run=1", Prefer="return=minimal"))
    assert tried == {"/a": {"error": False}}
    kept = read(await send(client, part("/there", b"new"), Overwrite="F"))
    assert kept["/there"]["error"] is True
    assert [path.name for path in client.folder.iterdir() if path.is_file()] == ["there"]
    assert (client.folder / "there").read_bytes() == b"old"
    assert (await send(client, part("/a", b"1"), target="/dav/bulk?atomic=maybe")).status == 400


async def test_a_part_that_was_cut_short_is_not_stored(client: Client) -> None:
    body = multipart([part("/one", b"1"), part("/two", b"2" * 100)])
    cut = body[: body.index(b"2222") + 50]
    answer = await client.request("POST", "/dav/bulk", cut, Content_Type=f"multipart/related; boundary={BOUNDARY}")
    found = read(answer)
    assert (found["/one"]["error"], found["/two"]["error"]) == (False, True)
    assert not (client.folder / "two").exists()


async def test_the_whole_request_can_be_wrong(serve: Serve) -> None:
    client = await serve(max_batch_size=10_000)
    (client.folder / "file").write_bytes(b"")
    good = multipart([part("/f", b"x")])
    kind = f"multipart/related; boundary={BOUNDARY}"
    for target, body, headers, status in [
        ("/dav/bulk", good, {"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ("/dav/bulk", good, {"Content_Type": "multipart/related"}, 400),
        ("/dav/bulk", good, {"Content_Type": kind, "Content_Encoding": "gzip"}, 415),
        ("/dav/bulk", b"nonsense", {"Content_Type": kind}, 400),
        ("/dav/bulk", b"x" * 10_001, {"Content_Type": kind}, 413),
        ("/dav/bulk", good, {"Content_Type": kind, "Origin": "http://other.example"}, 403),
        ("/dav/bulk", good, {"Content_Type": kind, "If_None_Match": "*"}, 412),
        ("/dav/bulk", good, {"Content_Type": kind, "If": "(<urn:uuid:00000000-0000-0000-0000-000000000000>)"}, 412),
        ("/missing/dav/bulk", good, {"Content_Type": kind}, 404),
        ("/file/dav/bulk", good, {"Content_Type": kind}, 404),
        ("/bulk", good, {"Content_Type": kind}, 404),
    ]:
        answer = await client.request("POST", target, body, **headers)
        assert answer.status == status, (target, headers)
    assert {path.name for path in client.folder.iterdir()} == {"file", ".partwise"}


async def test_a_collection_of_that_name_is_one(client: Client) -> None:
    (client.folder / "dav" / "bulk").mkdir(parents=True)
    answer = await send(client, b"Content-Location: f\r\n\r\nx")
    assert answer.status == 207
    assert (client.folder / "dav" / "bulk" / "f").read_bytes() == b"x"


async def test_locks_count(client: Client) -> None:
    info = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    (client.folder / "mine").write_bytes(b"old")
    assert (await client.request("LOCK", "/mine", info, Content_Type="application/xml")).status == 200
    found = read(await send(client, part("/mine", b"new"), part("/free", b"x")))
    assert (found["/mine"]["error"], found["/free"]["error"]) == (True, False)
    assert (client.folder / "mine").read_bytes() == b"old"


async def test_nobody_may_write_who_may_not(folder: Path, serve: Serve) -> None:
    client = await serve(anonymous="read")
    assert (await send(client, part("/f", b"x"))).status in (401, 403)
    assert not os.path.exists(folder / "f")


async def test_many_files(client: Client) -> None:
    found = read(await send(client, *(part(f"/d{n % 7}/{n}", b"%d" % n) for n in range(700))))
    assert list(found) == [f"/d{n % 7}/{n}" for n in range(700)]
    assert not any(told["error"] for told in found.values())
    assert (client.folder / "d6/699").read_bytes() == b"699"
