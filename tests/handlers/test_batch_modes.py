"""How a client wants its batch treated: as a whole, only judged, stopped early, named and sent again, answered later."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client, form_part, mixed_part, multipart, read_response

from partwise import Candidate, Failure, RuleFailed, Waiting

NAME = "client-named-batch-1"
BAD = {"Content_Digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"}


def files(folder: Path) -> dict[str, bytes]:
    """All files of the served folder, but for the server's own."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if ".partwise" not in path.parts}


def staged(folder: Path) -> list[Path]:
    return [path for path in (folder / ".partwise" / "staging").rglob("*") if path.is_file()]


def errors(answer: Answer) -> list[tuple[int, str | None]]:
    return [(row.status, row.error) for row in answer.rows]


def request(line: str, body: bytes = b"", **headers: str) -> bytes:
    """A part of type application/http."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return b"Content-Type: application/http\r\n\r\n" + f"{line} HTTP/1.1\r\n{fields}\r\n".encode() + body


# -- all or nothing


async def test_an_atomic_batch_in_which_all_is_good(client: Client) -> None:
    (client.folder / "old").write_bytes(b"1")
    answer = await client.post("/?atomic=1", [form_part("a", b"1"), form_part("x/y/b", b"2"), form_part("old", b"3")])
    assert errors(answer) == [(201, None), (201, None), (204, None)]
    assert (answer.summary["atomic"], answer.summary["stored"]) == ("true", "3")
    assert files(client.folder) == {"a": b"1", "x/y/b": b"2", "old": b"3"}
    assert not staged(client.folder)
    for row in answer.rows:
        head = await client.request("HEAD", row.href)
        assert head.headers["ETag"] == row.item["etag"]


async def test_an_atomic_batch_in_which_one_is_wrong(client: Client) -> None:
    (client.folder / "old").write_bytes(b"1")
    parts = [form_part("old", b"2"), form_part("wrong", b"3", **BAD), form_part("x/new", b"4")]
    answer = await client.post("/?atomic=1", parts)
    assert errors(answer) == [(424, "batch-rolled-back"), (400, "digest-mismatch"), (424, "batch-rolled-back")]
    assert (answer.summary["stored"], answer.summary["failed"]) == ("0", "3")
    assert files(client.folder) == {"old": b"1"}
    assert not (client.folder / "x").exists() and not staged(client.folder)


async def test_a_name_that_comes_twice_in_an_atomic_batch(client: Client) -> None:
    answer = await client.post("/?atomic=1", [form_part("a", b"1"), form_part("a", b"2"), form_part("b", b"3")])
    assert errors(answer) == [(424, "batch-rolled-back"), (409, "duplicate"), (424, "batch-rolled-back")]
    assert answer.rows[0].href == "/a"
    assert len({row.href for row in answer.rows}) == 3
    assert files(client.folder) == {}


async def test_a_form_says_that_it_is_atomic(client: Client) -> None:
    parts = [form_part(None, b"1", name="atomic"), form_part("a", b"1"), form_part("..", b"2")]
    assert errors(await client.post("/", parts)) == [(424, "batch-rolled-back"), (403, "forbidden-name")]
    assert files(client.folder) == {}


async def test_an_atomic_batch_that_breaks_off(client: Client) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"POST /?atomic=1&batch={NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n"
    body = multipart([form_part("a", b"1"), form_part("b", b"2")])[:-12] + b"\r\n--"
    kind = "Content-Type: multipart/form-data; boundary=" + body[2 : body.index(b"\r")].decode() + "\r\n\r\n"
    writer.write((head + kind).encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    answer = await client.request("GET", f"/-/batches/{NAME}")
    while answer.status == 404 or answer.summary["state"] == "running":
        answer = await client.request("GET", f"/-/batches/{NAME}")
    assert answer.summary["state"] == "aborted"
    assert {row.status for row in answer.rows} <= {424, 400}
    assert files(client.folder) == {} and not staged(client.folder)


async def test_an_atomic_batch_has_a_limit_of_its_own(serve: Serve) -> None:
    client = await serve(max_atomic_items=2)
    answer = await client.post("/?atomic=1", [form_part(name, b"1") for name in "abc"])
    assert errors(answer) == [(424, "batch-rolled-back")] * 2 + [(413, "too-large")]
    assert files(client.folder) == {}
    assert (await client.post("/", [form_part(name, b"1") for name in "abc"])).statuses == [201] * 3


# -- judged only


@pytest.mark.parametrize("query", ["dry-run=1", "dry-run=1&atomic=1"])
async def test_a_dry_run(client: Client, query: str) -> None:
    (client.folder / "old").write_bytes(b"1")
    before = (await client.request("HEAD", "/old")).headers["ETag"]
    answer = await client.post(f"/?{query}", [form_part("new", b"1"), form_part("old", b"2")])
    assert [(row.status, row.item["would"]) for row in answer.rows] == [(200, "201"), (200, "204")]
    assert answer.summary["dry-run"] == "true"
    assert files(client.folder) == {"old": b"1"}
    assert (await client.request("HEAD", "/old")).headers["ETag"] == before


async def test_a_dry_run_finds_what_is_wrong(client: Client) -> None:
    (client.folder / "old").write_bytes(b"1")
    parts = [
        form_part("old", b"2", If_None_Match="*"),
        form_part("a", b"1", **BAD),
        form_part("b", b"1"),
        form_part("b", b""),
    ]
    assert errors(await client.post("/?dry-run=1", parts)) == [
        (412, None),
        (400, "digest-mismatch"),
        (200, None),
        (409, "duplicate"),
    ]
    assert errors(await client.post("/?dry-run=1&atomic=1", parts[1:3])) == [
        (400, "digest-mismatch"),
        (424, "batch-rolled-back"),
    ]
    assert files(client.folder) == {"old": b"1"}


async def test_a_dry_run_of_operations(client: Client) -> None:
    (client.folder / "old").write_bytes(b"1")
    parts = [
        request("DELETE /old"),
        request("MKCOL /x"),
        request("MOVE /old", Destination="/new"),
        request("DELETE /nix"),
    ]
    answer = await client.post("/?dry-run=1", parts, "mixed")
    assert [(row.status, row.item.get("would")) for row in answer.rows] == [
        (200, "204"),
        (200, "201"),
        (200, "201"),
        (404, None),
    ]
    assert files(client.folder) == {"old": b"1"} and not (client.folder / "x").exists()


# -- stopped early


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("on-error=stop", [201, 400, 424, 424, 424]),
        ("max-failures=2", [201, 400, 201, 400, 424]),
        ("max-failures=3", [201, 400, 201, 400, 201]),
        ("on-error=continue", [201, 400, 201, 400, 201]),
    ],
)
async def test_stopping_after_failures(client: Client, query: str, statuses: Sequence[int]) -> None:
    parts = [form_part(name, b"1", **(BAD if name in "bd" else {})) for name in "abcde"]
    assert (await client.post(f"/?{query}", parts)).statuses == statuses


# -- one honest status


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([form_part("a", b"1"), form_part("b", b"1")], 201),
        ([form_part("a", b"1"), form_part("old", b"1")], 200),
        ([form_part("old", b"1")], 200),
        ([form_part("a", b"1", **BAD), form_part("b", b"1", **BAD)], 400),
        ([form_part("../a", b"1"), form_part("b\\", b"1")], 403),
        ([form_part("a", b"1"), form_part("..", b"1")], 207),
        ([form_part("a", b"1", **BAD), form_part("..", b"1")], 207),
        ([], 207),
    ],
)
async def test_the_final_status(client: Client, parts: Sequence[bytes], status: int) -> None:
    (client.folder / "old").write_bytes(b"1")
    answer = await client.post("/?final-status=1", parts)
    assert answer.status == status
    assert len(answer.rows) == len(parts) and answer.summary["state"] == "complete"


# -- answered later


async def test_respond_async(client: Client) -> None:
    answer = await client.post("/", [form_part("a", b"1"), form_part("..", b"2")], Prefer="respond-async")
    assert answer.status in (202, 207)
    if answer.status == 202:
        assert answer.headers["Preference-Applied"] == "respond-async"
        report = await client.request("GET", answer.headers["Location"])
    else:
        report = answer
    assert errors(report) == [(201, None), (403, "forbidden-name")]
    assert report.summary["state"] == "complete"


# -- named, and sent again


async def named(client: Client, parts: Sequence[bytes], query: str = "") -> Answer:
    return await client.post(f"/?{query}", parts, "mixed", Idempotency_Key=f'"{NAME}"')


async def test_a_batch_sent_again_stores_only_what_is_missing(client: Client) -> None:
    first = await named(client, [mixed_part("/a", b"1"), mixed_part("/b", b"2", **BAD)])
    assert errors(first) == [(201, None), (400, "digest-mismatch")]
    assert first.rows[0].item["digest"].startswith("sha-256=:")
    tag = first.rows[0].item["etag"]
    again = await named(client, [mixed_part("/a", b"1", If_None_Match="*"), mixed_part("/b", b"2")], "overwrite=F")
    assert [(row.status, row.item.get("replayed")) for row in again.rows] == [(201, "1"), (201, None)]
    assert (await client.request("HEAD", "/a")).headers["ETag"] == tag == again.rows[0].item["etag"]
    report = await client.request("GET", f"/-/batches/{NAME}")
    assert [(row.href, row.status) for row in report.rows] == [("/a", 201), ("/b", 201)]


async def test_a_batch_sent_again_overwrites_nothing(client: Client) -> None:
    await named(client, [mixed_part(f"/{name}", b"1") for name in "abc"])
    await client.request("PUT", "/b", b"somebody else's")
    (client.folder / "c").unlink()
    parts = [mixed_part("/a", b"other"), mixed_part("/b", b"1"), mixed_part("/c", b"1"), mixed_part("/d", b"1")]
    assert errors(await named(client, parts)) == [(409, "changed-since")] * 3 + [(201, None)]
    assert files(client.folder) == {"a": b"1", "b": b"somebody else's", "d": b"1"}


async def test_names_belong_to_a_collection(client: Client) -> None:
    (client.folder / "x").mkdir()
    await named(client, [mixed_part("/a", b"1")])
    answer = await client.post("/x/", [mixed_part("/x/a", b"2")], "mixed", Idempotency_Key=NAME)
    assert [(row.status, row.item.get("replayed")) for row in answer.rows] == [(201, None)]


async def test_a_rehearsal_is_not_remembered_as_stored(client: Client) -> None:
    await named(client, [mixed_part("/a", b"1")], "dry-run=1")
    answer = await named(client, [mixed_part("/a", b"1")])
    assert [(row.status, row.item.get("replayed")) for row in answer.rows] == [(201, None)]
    assert files(client.folder) == {"a": b"1"}


async def test_two_uploads_under_one_name(client: Client) -> None:
    body = multipart([mixed_part("/a", b"1"), mixed_part("/b", b"2")])
    boundary = body[2 : body.index(b"\r")].decode()
    head = (
        f"POST /?batch={NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    cut = body.index(b"/b")
    writer.write(head.encode() + body[:cut])
    await reader.readuntil(b"/a</D:href>")
    second = await named(client, [mixed_part("/a", b"1")])
    assert (second.status, second.error) == (409, "batch-running")
    assert f"/-/batches/{NAME}".encode() in second.body or b"/-/batches/" in second.body
    writer.write(body[cut:])
    rest = await reader.readuntil(b"</D:multistatus>")
    assert b'state="complete"' in rest
    writer.close()


async def test_a_cancelled_batch(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    body = multipart([mixed_part("/a", b"1"), mixed_part("/b", b"2")])
    boundary = body[2 : body.index(b"\r")].decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    cut = body.index(b"/b")
    writer.write(
        f"POST /?batch={NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
        + body[:cut]
    )
    answering = asyncio.create_task(read_response(reader))
    monitor = f"/-/batches/{NAME}"
    while (await client.request("HEAD", monitor)).headers.get("P-Batch-Items") != "1":
        pass
    assert (await client.request("DELETE", monitor)).status == 204
    answer = await answering
    assert answer.rows[0].status == 201 and {row.status for row in answer.rows[1:]} <= {424}
    assert answer.summary["state"] == "aborted"
    writer.close()
    assert files(client.folder) == {"a": b"1"}
    report = await client.request("GET", monitor)
    assert report.summary["state"] == "aborted" and report.rows[0].status == 201
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# -- operations


async def test_operations_are_done_in_order(client: Client) -> None:
    parts = [
        mixed_part("/a", b"1"),
        request("MKCOL /x"),
        request("MOVE /a", Destination="/x/b"),
        mixed_part("/a", b"2"),
        request("COPY /a", Destination="/x/c"),
        request("PUT /x/d", b"3", Content_Type="text/plain"),
        request("DELETE /a"),
        request("DELETE /nothing"),
        request("GET /x"),
        request("PUT /x/e"),
    ]
    answer = await client.post("/", parts, "mixed")
    assert answer.statuses == [201, 201, 201, 201, 201, 201, 204, 404, 405, 201]
    methods = [row.item.get("method") for row in answer.rows]
    assert methods == [None, "MKCOL", "MOVE", None, "COPY", None, "DELETE", "DELETE", None, None]
    assert files(client.folder) == {"x/b": b"1", "x/c": b"2", "x/d": b"3", "x/e": b""}
    assert len({row.href for row in answer.rows}) == len(parts)
    assert answer.rows[1].href == "/x/"


@pytest.mark.parametrize("last", [(201, None), (404, "nothing")])
async def test_operations_of_an_atomic_batch(client: Client, last: tuple[int, str | None]) -> None:
    (client.folder / "old").mkdir()
    (client.folder / "old" / "f").write_bytes(b"old")
    status, missing = last
    parts = [
        mixed_part("/a", b"1"),
        request("MOVE /a", Destination="/b"),
        request("DELETE /old"),
        mixed_part("/old", b"now a file"),
        request("PROPPATCH /b", PATCH),
        request(f"COPY /{missing or 'b'}", Destination="/c"),
    ]
    answer = await client.post("/?atomic=1", parts, "mixed")
    if missing:
        assert errors(answer) == [(424, "batch-rolled-back")] * 5 + [(404, None)]
        assert files(client.folder) == {"old/f": b"old"}
    else:
        assert answer.statuses == [201, 201, 204, 201, 200, status]
        assert files(client.folder) == {"b": b"1", "c": b"1", "old": b"now a file"}
        assert b"blue" in (await client.request("PROPFIND", "/c", Depth="0")).body


PATCH = (
    b'<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:" xmlns:X="x:"><D:set><D:prop><X:colour>blue</X:colour>'
    b"</D:prop></D:set></D:propertyupdate>"
)


async def test_operations_of_a_batch_sent_again(client: Client) -> None:
    parts = [mixed_part("/a", b"1"), request("MKCOL /x"), request("DELETE /a"), mixed_part("/b", b"2")]
    assert (await named(client, parts)).statuses == [201, 201, 204, 201]
    again = await named(client, parts)
    assert [(row.status, row.item.get("replayed")) for row in again.rows[1:]] == [
        (201, "1"),
        (204, "1"),
        (201, "1"),
    ]
    assert errors(again)[0] == (409, "changed-since")
    assert files(client.folder) == {"b": b"2"}


async def test_a_move_is_not_done_again(client: Client) -> None:
    (client.folder / "f").write_bytes(b"1")
    (client.folder / "s").write_bytes(b"2")
    parts = [
        request("MOVE /f", Destination="/g"),
        request("COPY /s", Destination="/c1"),
        request("COPY /s", Destination="/c2"),
        request("PROPPATCH /s", PATCH),
        mixed_part("/x", b"x"),
        request("PROPPATCH /x", PATCH),
    ]
    assert (await named(client, parts)).statuses == [201, 201, 201, 200, 201, 200]
    (client.folder / "f").write_bytes(b"new")
    (client.folder / "c2").write_bytes(b"edited")
    for _ in range(2):
        again = await named(client, parts)
        assert [(row.status, row.item.get("replayed")) for row in again.rows] == [
            (201, "1"),
            (201, "1"),
            (201, "1"),
            (200, "1"),
            (201, "1"),
            (200, "1"),
        ]
        # What is not sent again is not forgotten.
        assert (await named(client, [mixed_part("/y", b"y")])).statuses == [201]
    whole = await client.request("GET", f"/-/batches/{NAME}")
    assert len({row.href for row in whole.rows}) == len(whole.rows)
    assert files(client.folder) == {
        "f": b"new",
        "g": b"1",
        "s": b"2",
        "c1": b"2",
        "c2": b"edited",
        "x": b"x",
        "y": b"y",
    }


async def test_what_was_deleted_and_stored_again_stays(client: Client) -> None:
    (client.folder / "d").mkdir()
    parts = [request("DELETE /d"), mixed_part("/d", b"a file now")]
    assert (await named(client, parts)).statuses == [204, 201]
    again = await named(client, parts)
    assert [(row.status, row.item.get("replayed")) for row in again.rows] == [(204, "1"), (201, "1")]
    assert files(client.folder) == {"d": b"a file now"}


async def test_what_failed_behind_a_delete_can_be_sent_again(client: Client) -> None:
    (client.folder / "d").mkdir()
    wrong = mixed_part("/d", b"1", Content_Length="2")
    assert (await named(client, [request("DELETE /d"), wrong])).statuses == [204, 400]
    again = await named(client, [request("DELETE /d"), mixed_part("/d", b"1")])
    assert [(row.status, row.item.get("replayed")) for row in again.rows] == [(204, "1"), (201, None)]


async def test_the_same_operation_twice_in_a_batch(client: Client) -> None:
    parts = [mixed_part("/a", b"1"), request("DELETE /a"), mixed_part("/a", b"2"), request("DELETE /a")]
    assert (await named(client, parts[:3])).statuses == [201, 204, 201]
    # The second DELETE has not been done by the first try.
    again = await named(client, parts[1:])
    assert [(row.status, row.item.get("replayed")) for row in again.rows] == [(204, "1"), (201, "1"), (204, None)]
    assert files(client.folder) == {}


# -- archives


async def test_a_directory_does_not_overtake_a_file_of_its_name(client: Client) -> None:
    body = archive("f", "f/", "g", "g/h/", "f/i")
    answer = await client.request("POST", "/", body, **{"Content-Type": "application/x-tar"})
    assert answer.statuses[:4] == [201, 405, 201, 405]
    assert set(files(client.folder)) == {"f", "g"}


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size, info.mtime = len(name), 1_000_000_000
                tar.addfile(info, io.BytesIO(name.encode()))
    return packed.getvalue()


@pytest.mark.parametrize("query", ["", "?atomic=1", "?dry-run=1"])
async def test_an_archive(client: Client, query: str) -> None:
    (client.folder / "there").mkdir()
    (client.folder / "file").write_bytes(b"")
    body = archive("d/", "d/e/f/", "d/a", "there/")
    answer = await client.request("POST", f"/{query}", body, Content_Type="application/x-tar")
    if query == "?dry-run=1":
        assert [row.item["would"] for row in answer.rows] == ["201", "201", "201", "204"]
        assert files(client.folder) == {"file": b""}
        return
    assert answer.statuses == [201, 201, 201, 204]
    assert files(client.folder) == {"d/a": b"d/a", "file": b""}
    assert (client.folder / "d" / "e" / "f").is_dir()
    assert (client.folder / "d" / "a").stat().st_mtime == 1_000_000_000
    taken = await client.request("POST", "/", archive("file/", "file/x"), Content_Type="application/x-tar")
    assert taken.statuses == [405, 409]


async def test_the_report_as_json(client: Client) -> None:
    answer = await client.post("/?atomic=1", [form_part("a", b"1"), form_part("..", b"1")], Accept="application/json")
    report = json.loads(answer.body)
    assert [row["status"] for row in report["items"]] == [424, 403]
    assert report["summary"]["atomic"] is True


# -- with judges that take their time


class _Slow:
    """Validators that wait until the test answers."""

    def __init__(self) -> None:
        self.tickets: dict[str, Future[Failure | None]] = {}

    def __call__(self, candidate: Candidate) -> _Judged:
        return _Judged(self, candidate.name)


class _Judged:
    def __init__(self, slow: _Slow, name: str) -> None:
        self._slow, self._name = slow, name

    def feed(self, data: bytes) -> None:
        pass

    def finish(self) -> Waiting:
        ticket = self._slow.tickets[self._name] = Future()
        return Waiting(ticket)


@pytest.mark.parametrize("query", ["", "?atomic=1"])
async def test_judges_answer_after_the_response(serve: Serve, query: str) -> None:
    slow = _Slow()
    client = await serve((slow,))
    answer = await client.post(f"/{query}", [form_part("a", b"1"), form_part("b", b"2")], Prefer="respond-async")
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
    monitor = answer.headers["Location"]
    early = await client.request("GET", monitor, Prefer="wait=0")
    assert (early.rows, early.summary["state"]) == ([], "running")
    following = asyncio.create_task(client.request("GET", monitor))
    slow.tickets["a"].set_result(None)
    slow.tickets["b"].set_result(RuleFailed("No."))
    report = await following
    assert report.statuses == ([424, 422] if query else [201, 422])
    assert report.summary["state"] == "complete"
    assert files(client.folder) == ({} if query else {"a": b"1"})


async def test_operations_wait_for_judges(serve: Serve) -> None:
    slow = _Slow()
    client = await serve((slow,))
    parts = [mixed_part("/a", b"1"), request("MOVE /a", Destination="/b"), mixed_part("/c", b"2")]
    answering = asyncio.create_task(client.post("/?atomic=1", parts, "mixed"))
    for name in "ac":
        while name not in slow.tickets:
            await asyncio.sleep(0)
        slow.tickets[name].set_result(None)
    assert (await answering).statuses == [201, 201, 201]
    assert files(client.folder) == {"b": b"1", "c": b"2"}


async def test_judges_that_never_answer_end_a_whole_batch(serve: Serve) -> None:
    client = await serve((_Slow(),), judge_timeout=0.05)
    answer = await client.post("/?atomic=1", [form_part("a", b"1"), form_part("b", b"2")])
    assert answer.statuses == [503, 503] and files(client.folder) == {} and not staged(client.folder)


async def test_a_whole_batch_that_breaks_off_between_two_items(serve: Serve) -> None:
    """Nothing that came is wrong or in progress; it is not all there."""
    slow = _Slow()
    client = await serve((slow,))
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = multipart([form_part("a", b"1"), form_part("b", b"2")])
    boundary = body[2 : body.index(b"\r")]
    begun = body[: body.index(boundary, len(boundary)) + len(boundary) + 2]
    head = f"POST /?atomic=1&batch={NAME} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n\r\n" + begun)
    await writer.drain()
    while "a" not in slow.tickets:
        await asyncio.sleep(0)
    slow.tickets["a"].set_result(None)
    writer.close()
    await writer.wait_closed()
    report = await client.request("GET", f"/-/batches/{NAME}")
    assert errors(report) == [(424, "batch-rolled-back")] and report.summary["state"] == "aborted"
    assert files(client.folder) == {} and not staged(client.folder)
