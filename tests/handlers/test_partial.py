"""PATCH with X-Update-Range, PUT with Content-Range, and PATCH with X-Recalculate-Hash over a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import Serve
from tests.harness import Answer, Client

from partwise.actions.splice import BLOCK
from partwise.intake.validators.base import Candidate

TYPE = "application/x-sabredav-partialupdate"


@pytest.fixture
def file(folder: Path) -> Path:
    (folder / "c").mkdir()
    path = folder / "a.txt"
    path.write_bytes(b"1234567890")
    return path


async def patch(client: Client, place: str, body: Any = b"----", target: str = "/a.txt", **headers: str) -> Answer:
    if isinstance(body, bytes):
        body = io.BytesIO(body)
    return await client.request("PATCH", target, body, X_Update_Range=place, **{"Content_Type": TYPE, **headers})


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def sha256(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def staged(folder: Path) -> list[str]:
    """Files that the server, which is this process, still has open or in staging: none, once a request is answered."""
    named = [str(path) for path in (folder / ".partwise" / "staging").rglob("*") if path.is_file()]
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    opened = [os.readlink(link) for link in links if link.exists() and link.stat().st_mode & 0o170000 == 0o100000]
    ours = [os.path.relpath(path, folder) for path in opened if path.startswith(f"{folder}/")]
    # The server's own state lies beside the staging.
    return named + [path for path in ours if not path.startswith(".partwise/") or "/staging/" in path]


# -- the result


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("place", "result"),
    [
        # The table of SabreDAV's description.
        ("bytes=0-3", b"----567890"),
        ("bytes=1-4", b"1----67890"),
        ("bytes=0-", b"----567890"),
        ("bytes=-4", b"123456----"),
        ("bytes=-2", b"12345678----"),
        ("bytes=2-", b"12----7890"),
        ("bytes=12-", b"1234567890\0\0----"),
        ("append", b"1234567890----"),
        ("bytes=-0", b"1234567890----"),
        ("bytes=8-11", b"12345678----"),
    ],
)
async def test_patch(file: Path, client: Client, place: str, result: bytes, chunked: bool) -> None:
    before = (await client.request("HEAD", "/a.txt")).headers["ETag"]
    answer = await patch(client, place, pieces(b"-", b"--", b"-") if chunked else b"----")
    assert (answer.status, answer.body) == (204, b"")
    assert file.read_bytes() == result
    now = await client.request("GET", "/a.txt")
    assert (now.headers["ETag"], now.body) == (answer.headers["ETag"], result)
    assert answer.headers["ETag"] != before


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("field", "result"),
    [
        ("bytes 3-6/*", b"123----890"),
        ("bytes 3-6/10", b"123----890"),
        ("bytes 10-13/*", b"1234567890----"),
        ("bytes 10-13/100", b"1234567890----"),
        ("bytes 12-15/*", b"1234567890\0\0----"),
    ],
)
async def test_put(file: Path, client: Client, field: str, result: bytes, chunked: bool) -> None:
    answer = await client.request(
        "PUT", "/a.txt", pieces(b"--", b"--") if chunked else b"----", Content_Range=field, Content_Type="text/plain"
    )
    assert answer.status == 204
    assert file.read_bytes() == result
    assert (await client.request("HEAD", "/a.txt")).headers["ETag"] == answer.headers["ETag"]


async def test_an_upload_in_parts(folder: Path, client: Client) -> None:
    body = os.urandom(250)
    for start, status in [(0, 201), (100, 204), (200, 204)]:
        part = body[start : start + 100]
        field = f"bytes {start}-{start + len(part) - 1}/250"
        assert (await client.request("PUT", "/new", part, Content_Range=field)).status == status
    assert (folder / "new").read_bytes() == body


async def test_an_empty_body_changes_no_byte(file: Path, client: Client) -> None:
    for place in ("append", "bytes=3-", "bytes=-3"):
        assert (await patch(client, place, b"")).status == 204
        assert file.read_bytes() == b"1234567890"


async def test_a_file_of_many_blocks(file: Path, client: Client) -> None:
    model = bytearray(os.urandom(3 * BLOCK + 17))
    file.write_bytes(model)
    for start, body in [(BLOCK - 5, b"x" * 10), (5, b"y" * (BLOCK + 7)), (3 * BLOCK, b"z" * 200_000)]:
        assert (await patch(client, f"bytes={start}-", body)).status == 204
        model[start : start + len(body)] = body
        assert file.read_bytes() == model
    assert (await patch(client, "append", pieces(b"a" * 100_000, b"b"))).status == 204
    assert file.read_bytes() == model + b"a" * 100_000 + b"b"


_STEPS = st.tuples(
    st.sampled_from(["from", "range", "suffix", "append", "put"]), st.integers(0, 60), st.binary(max_size=40)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.lists(_STEPS, min_size=1, max_size=6))
async def test_any_updates_do_what_they_do_to_a_bytearray(
    client: Client, before: bytes, steps: list[tuple[str, int, bytes]]
) -> None:
    model = bytearray(before)
    await client.request("PUT", "/m", before)
    for kind, at, body in steps:
        start = {"suffix": len(model) - at, "append": len(model)}.get(kind, at)
        last, status = at + len(body) - 1, 204
        if kind == "put":
            answer = await client.request("PUT", "/m", body, Content_Range=f"bytes {at}-{last}/*")
        else:
            places = {"from": f"bytes={at}-", "range": f"bytes={at}-{last}", "suffix": f"bytes=-{at}"}
            answer = await patch(client, places.get(kind, "append"), body, "/m")
        if kind in ("range", "put") and not body:
            status = 400
        elif start < 0:
            status = 416
        else:
            model += bytes(max(0, start - len(model)))
            model[start : start + len(body)] = body
        assert answer.status == status
        assert (await client.request("GET", "/m")).body == model


# -- what is kept, and what the whole must bear


async def test_the_modification_time_is_kept(file: Path, client: Client) -> None:
    answer = await patch(client, "append", X_OC_Mtime="1000000000")
    assert answer.headers["X-OC-Mtime"] == "accepted"
    assert file.stat().st_mtime == 1_000_000_000


async def test_digests(file: Path, client: Client) -> None:
    whole, body, other = b"1234567890----", b"----", b"other"
    sha1 = f"SHA1:{hashlib.sha1(whole).hexdigest()}"
    md5 = {data: base64.b64encode(hashlib.md5(data).digest()).decode() for data in (whole, body)}
    for headers, status in [
        ({"Content_Digest": sha256(whole)}, 400),
        ({"Repr_Digest": sha256(body)}, 400),
        ({"Repr_Digest": sha256(other)}, 400),
        ({"Content_MD5": md5[whole]}, 400),
        ({"OC_Checksum": sha1.replace(sha1[-1], "0" if sha1[-1] != "0" else "1")}, 400),
        ({"Content_Digest": sha256(body), "Repr_Digest": sha256(whole), "OC_Checksum": sha1}, 204),
    ]:
        answer = await patch(client, "append", **headers)
        assert answer.status == status, headers
        assert file.read_bytes() == (whole if status == 204 else b"1234567890")
    answer = await patch(client, "bytes=10-", Content_MD5=md5[body], Repr_Digest=sha256(whole))
    assert answer.status == 204


async def test_the_whole_is_judged(folder: Path, client: Client) -> None:
    declared = "application/json; charset=utf-8"
    assert (await client.request("PUT", "/a.json", b'{"a": 1}', Content_Type=declared)).status == 201
    answer = await patch(client, "append", b"}", "/a.json")
    assert (answer.status, answer.error) == (400, "not-well-formed")
    assert (await patch(client, "bytes=6-6", b"2", "/a.json")).status == 204
    assert (folder / "a.json").read_bytes() == b'{"a": 2}'


async def test_the_whole_has_a_limit(file: Path, serve: Serve) -> None:
    client = await serve(max_item_size=12)
    assert (await patch(client, "append", b"---")).status == 413
    assert (await patch(client, "append", pieces(b"-", b"--"))).status == 413
    assert (await patch(client, "bytes=12-12", b"-")).status == 413
    assert (await patch(client, "append", b"--")).status == 204
    assert file.read_bytes() == b"1234567890--"


async def test_a_server_that_takes_some_types_only(file: Path, serve: Serve) -> None:
    client = await serve(accept=("text/plain",))
    (client.folder / "a.png").write_bytes(b"x")
    assert (await patch(client, "append")).status == 204
    assert (await patch(client, "append", target="/a.png")).status == 415


# -- refusals


@pytest.mark.parametrize(
    ("target", "headers", "status", "error"),
    [
        ("/a.txt", {}, 400, "malformed"),
        ("/a.txt", {"X_Update_Range": "bytes=6-3"}, 400, "malformed"),
        ("/a.txt", {"X_Update_Range": "bytes=3-7"}, 400, "length-mismatch"),
        ("/none", {"X_Update_Range": "bytes=3-7"}, 400, "length-mismatch"),
        ("/a.txt", {"X_Update_Range": "append", "Content_Digest": "sha-256=x"}, 400, "malformed"),
        ("/none", {"X_Update_Range": "append"}, 404, None),
        ("/none", {"X_Update_Range": "bytes=0-3"}, 404, None),
        ("/none/x", {"X_Update_Range": "append"}, 404, None),
        ("/none", {"X_Update_Range": "append", "Content_Type": "text/plain"}, 404, None),
        ("/a.txt/", {"X_Update_Range": "append"}, 404, None),
        ("/c", {"X_Update_Range": "append"}, 405, None),
        ("/c/", {"X_Update_Range": "append", "Content_Type": "text/plain"}, 405, None),
        ("/", {"X_Update_Range": "append"}, 405, None),
        ("/-/x", {"X_Update_Range": "append"}, 405, None),
        ("/.partwise/x", {"X_Update_Range": "append"}, 403, "forbidden-name"),
        ("/a.txt", {"X_Update_Range": "append", "Content_Type": "text/plain"}, 415, "unsupported-type"),
        (
            "/a.txt",
            {"X_Update_Range": "append", "Content_Type": "text/plain", "If_Match": '"x"'},
            415,
            "unsupported-type",
        ),
        ("/a.txt", {"X_Update_Range": "append", "Content_Encoding": "gzip"}, 415, "unsupported-type"),
        ("/a.txt", {"X_Update_Range": "append", "If_Match": '"x"'}, 412, None),
        ("/a.txt", {"X_Update_Range": "bytes=-11", "If_Match": '"x"'}, 412, None),
        ("/a.txt", {"X_Update_Range": "append", "If_None_Match": "*"}, 412, None),
        ("/a.txt", {"X_Update_Range": "append", "Overwrite": "F"}, 412, None),
        ("/a.txt", {"X_Update_Range": "bytes=-11"}, 416, None),
        ("/a.txt", {"X_Update_Range": "bytes=999999999999-"}, 416, None),
    ],
)
async def test_patch_refused(
    file: Path, client: Client, target: str, headers: dict[str, str], status: int, error: str | None
) -> None:
    answer = await client.request("PATCH", target, b"----", **{"Content_Type": TYPE, **headers})
    assert (answer.status, answer.error) == (status, error)
    assert file.read_bytes() == b"1234567890"
    assert sorted(path.name for path in client.folder.iterdir()) == [".partwise", "a.txt", "c"]
    assert not staged(client.folder)
    if status == 405:
        assert "PATCH" not in answer.headers["Allow"].split(", ")
    if status == 415:
        assert answer.headers["Accept-Patch"] == TYPE
    if status == 416:
        assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    ("target", "field", "status", "error"),
    [
        ("/a.txt", "bytes 3-7/*", 400, "length-mismatch"),
        ("/a.txt", "bytes 6-3/*", 400, "malformed"),
        ("/a.txt", "bytes 3-6/6", 400, "malformed"),
        ("/a.txt", "bytes */10", 400, "malformed"),
        ("/a.txt", "items 3-6/10", 400, "malformed"),
        ("/a.txt", "bytes 0-3/9", 416, None),
        ("/none", "bytes 1-4/*", 416, None),
        ("/none/x", "bytes 0-3/*", 409, "parent-missing"),
        ("/c", "bytes 0-3/*", 405, None),
        ("/", "bytes 0-3/*", 405, None),
    ],
)
async def test_put_refused(file: Path, client: Client, target: str, field: str, status: int, error: str | None) -> None:
    answer = await client.request("PUT", target, b"----", Content_Range=field)
    assert (answer.status, answer.error) == (status, error)
    assert file.read_bytes() == b"1234567890"
    assert not staged(client.folder)
    if status == 416:
        assert answer.headers["Content-Range"] == ("bytes */10" if target == "/a.txt" else "bytes */0")


@pytest.mark.parametrize("body", [(b"---",), (b"--", b"---"), (b"-" * 100_000,)])
async def test_a_chunked_body_must_fill_the_range(file: Path, client: Client, body: tuple[bytes, ...]) -> None:
    answer = await patch(client, "bytes=3-6", pieces(*body))
    assert (answer.status, answer.error) == (400, "length-mismatch")
    assert file.read_bytes() == b"1234567890"
    assert not staged(client.folder)


async def test_a_body_that_is_cut(file: Path, client: Client) -> None:
    head = f"PATCH /a.txt HTTP/1.1\r\nHost: a\r\nContent-Type: {TYPE}\r\nX-Update-Range: append\r\n"
    for length in (100, 1_000_000):
        answer = await client.raw(f"{head}Content-Length: {length}\r\n\r\nabc".encode(), close=True)
        assert answer.status == 400
    assert file.read_bytes() == b"1234567890"
    assert not staged(client.folder)


async def test_reading_only(file: Path, serve: Serve) -> None:
    client = await serve(anonymous="read")
    assert (await patch(client, "append")).status == 403
    assert (await client.request("PATCH", "/a.txt", X_Recalculate_Hash="sha1")).status == 403
    assert file.read_bytes() == b"1234567890"


async def test_a_body_is_asked_for_only_if_it_is_wanted(file: Path, client: Client) -> None:
    head = f"PATCH /a.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\nContent-Type: {TYPE}\r\n"
    refused = await client.raw(f"{head}X-Update-Range: bytes=-11\r\n\r\n".encode())
    assert (refused.status, refused.headers["Connection"]) == (416, "close")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(f"{head}X-Update-Range: append\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"----")
    assert (await reader.readline()).split()[1] == b"204"
    writer.close()
    await writer.wait_closed()
    assert file.read_bytes() == b"1234567890----"


# -- somebody else at the same moment


class ByHand:
    """A validator during whose judgement somebody else changes the file, so many times."""

    def __init__(self, file: Path, times: int) -> None:
        self._file = file
        self._left = times

    def __call__(self, candidate: Candidate) -> ByHand:
        return self

    def feed(self, data: bytes) -> None:
        pass

    def finish(self) -> None:
        if self._left:
            self._left -= 1
            with self._file.open("ab") as file:
                file.write(b"!")


async def test_a_small_update_is_made_to_the_file_as_it_is_now(file: Path, serve: Serve) -> None:
    client = await serve(validators=(ByHand(file, 2),))
    assert (await patch(client, "append")).status == 204
    assert file.read_bytes() == b"1234567890!!----"


async def test_a_large_update_is_to_be_sent_again(file: Path, serve: Serve) -> None:
    client = await serve(validators=(ByHand(file, 1),))
    for status in (503, 204):
        answer = await patch(client, "append", b"-" * 100_000)
        assert answer.status == status
        assert ("Retry-After" in answer.headers) is (status == 503)
        assert not staged(client.folder)
    assert file.read_bytes() == b"1234567890!" + b"-" * 100_000


async def test_it_is_given_up_in_the_end(file: Path, serve: Serve) -> None:
    client = await serve(validators=(ByHand(file, 1000),))
    answer = await patch(client, "append")
    assert (answer.status, answer.error) == (503, "try-again")
    assert re.fullmatch(rb"1234567890!+", file.read_bytes())


async def test_who_set_a_condition_is_told_that_it_failed(file: Path, serve: Serve) -> None:
    client = await serve(validators=(ByHand(file, 1),))
    etag = (await client.request("HEAD", "/a.txt")).headers["ETag"]
    for body in (b"----", b"-" * 100_000):
        assert (await patch(client, "append", body, If_Match=etag)).status == 412
    assert file.read_bytes() == b"1234567890!"


async def test_a_file_that_is_deleted_meanwhile_does_not_come_back(file: Path, serve: Serve) -> None:
    class Deleting(ByHand):
        def finish(self) -> None:
            file.unlink(missing_ok=True)

    client = await serve(validators=(Deleting(file, 1),))
    assert (await patch(client, "append")).status == 404
    assert not file.exists()


async def test_appends_at_once_all_survive_or_are_told(file: Path, client: Client) -> None:
    lines = [f"line {number}\n".encode() * (1 if number % 2 else 9000) for number in range(12)]
    answers = await asyncio.gather(*(patch(client, "append", line) for line in lines))
    assert {answer.status for answer in answers} <= {204, 503}
    stored = [line for line, answer in zip(lines, answers, strict=True) if answer.status == 204]
    assert stored
    contents = file.read_bytes()
    assert len(contents) == 10 + sum(map(len, stored))
    assert all(line in contents for line in stored)


async def test_small_appends_at_once_wait_for_each_other(file: Path, serve: Serve) -> None:
    """Also those of two processes, which cannot wait for each other."""
    clients = [await serve(), await serve()]
    lines = [f"line {number}\n".encode() for number in range(30)]
    answers = await asyncio.gather(
        *(patch(clients[number % 2], "append", line) for number, line in enumerate(lines)),
    )
    assert [answer.status for answer in answers] == [204] * 30
    assert sorted(file.read_bytes()[10:].splitlines(keepends=True)) == sorted(lines)


async def test_readers_see_the_old_or_the_new(file: Path, client: Client) -> None:
    size = 2 * BLOCK
    file.write_bytes(b"a" * size)

    async def write() -> None:
        for letter in b"bcd":
            assert (await patch(client, "bytes=0-", bytes([letter]) * size)).status == 204

    writing = asyncio.create_task(write())
    while not writing.done():
        body = (await client.request("GET", "/a.txt")).body
        assert len(body) == size and len(set(body)) == 1
    await writing


# -- X-Recalculate-Hash


@pytest.mark.parametrize("name", ["sha1", "MD5", "sha256", "sha512"])
async def test_recalculate(file: Path, client: Client, name: str) -> None:
    file.write_bytes(contents := os.urandom(2 * BLOCK + 3))
    answer = await client.request("PATCH", "/a.txt", X_Recalculate_Hash=name)
    digest = hashlib.new(name.lower(), contents).hexdigest()
    assert (answer.status, answer.headers["OC-Checksum"]) == (204, f"{name.upper()}:{digest}")
    assert (await client.request("HEAD", "/a.txt")).headers["ETag"] == answer.headers["ETag"]


async def test_recalculate_an_empty_file(file: Path, client: Client) -> None:
    file.write_bytes(b"")
    answer = await client.request("PATCH", "/a.txt", X_Recalculate_Hash="sha1")
    assert (answer.status, answer.headers["OC-Checksum"]) == (204, f"SHA1:{hashlib.sha1(b'').hexdigest()}")


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/a.txt", {"X_Recalculate_Hash": "crc32"}, 400),
        ("/a.txt", {"X_Recalculate_Hash": ""}, 400),
        ("/none", {}, 404),
        ("/a.txt/", {}, 404),
        ("/c", {}, 405),
        ("/a.txt", {"data": "body"}, 415),
        ("/a.txt", {"If_Match": '"x"'}, 412),
        ("/a.txt", {"If_None_Match": "*"}, 412),
    ],
)
async def test_recalculate_refused(
    file: Path, client: Client, target: str, headers: dict[str, str], status: int
) -> None:
    body = headers.pop("data", None)
    answer = await client.request("PATCH", target, body, **{"X_Recalculate_Hash": "sha1", **headers})
    assert answer.status == status
    assert "OC-Checksum" not in answer.headers
