"""Bytes that are not quite HTTP, or not quite a batch: an answer or a closed connection, never a 500 or a hang."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.handlers.test_post import files
from tests.harness import BOUNDARY, Client, form_part, mixed_part, multipart, read_chunk, read_head, read_response


def request(body: bytes, *, length: int | None = None, **headers: str) -> bytes:
    """A POST of a form, byte by byte as it goes over the wire."""
    lines = ["POST / HTTP/1.1", "Host: a", f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", 431),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nxx", 400),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nxx", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a:1/none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", 400),
    ],
)
async def test_not_quite_http(client: Client, data: bytes, status: int) -> None:
    answer = await client.raw(data)
    assert answer.status == status
    assert b"Traceback" not in answer.body and str(client.folder).encode() not in answer.body
    assert files(client.folder) == {}


GOOD = form_part("good", b"1", Content_Type="text/plain")


@pytest.mark.parametrize(
    ("body", "status", "rows"),
    [
        (b"", 400, None),
        (b"no delimiter at all", 400, None),
        (b"x" * 200_000, 400, None),
        (b"--other\r\n\r\n\r\n--other--\r\n", 400, None),
        (multipart([GOOD])[:-4], 207, [400]),
        (multipart([GOOD])[:-4] + b"\r\n", 207, [201, 400]),
        (multipart([GOOD]).rpartition(b"\r\n--")[0], 207, [400]),
        (multipart([GOOD, form_part("cut", b"x" * 1000)])[:-500], 207, [201, 400]),
        (multipart([GOOD]) + b"e" * 200_000, 207, [201, 400]),
        (b"preamble\r\n" + multipart([GOOD]) + b"epilogue", 207, [201]),
    ],
)
async def test_broken_framing(client: Client, body: bytes, status: int, rows: list[int] | None) -> None:
    answer = await client.raw(request(body))
    assert answer.status == status
    if rows is None:
        assert answer.error == "malformed"
    else:
        assert answer.statuses == rows
        assert answer.summary["state"] == ("complete" if 400 not in rows else "aborted")
        assert files(client.folder) == ({"good": b"1"} if 201 in rows else {})


async def test_a_half_closed_connection_still_gets_its_response(client: Client) -> None:
    answer = await client.raw(request(multipart([GOOD])), close=True)
    assert answer.statuses == [201]
    answer = await client.raw(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n", close=True)
    assert answer.body == b"1"
    answer = await client.raw(b"PUT /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", close=True)
    assert (answer.status, answer.error) == (400, "length-mismatch")
    cut = multipart([form_part("more", b"1"), form_part("cut", b"x" * 100)])[:-100]
    answer = await client.raw(request(cut, length=len(cut) + 100), close=True)
    assert (answer.statuses, answer.summary["state"]) == ([201, 400], "aborted")
    assert set(files(client.folder)) == {"good", "more"}


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"PUT /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", 400),
        (b"PUT /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n1", 400),
    ],
)
async def test_a_half_closed_connection_gets_all_its_responses_and_ends(
    client: Client, last: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3 + last)
    writer.write_eof()
    async with asyncio.timeout(10):
        assert [(await read_response(reader)).status for _ in range(4)] == [200, 200, 200, status]
        assert await reader.read() == b""
    writer.close()
    assert files(client.folder) == {}


async def test_an_item_is_told_before_the_next_is_sent(client: Client) -> None:
    """While it arrives: item 2 is sent only after the row of item 1 was read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    names = [f"n{number}" for number in range(5)]
    parts = [f"--{BOUNDARY}\r\n".encode() + form_part(name, b"x" * 10) + b"\r\n" for name in names]
    end = f"--{BOUNDARY}--\r\n".encode()
    writer.write(request(b"", length=sum(map(len, parts)) + len(end)))
    writer.write(parts[0] + f"--{BOUNDARY}\r\n".encode())
    status, headers = await read_head(reader)
    assert (status, headers["Incremental"]) == (207, "?1")
    seen = b""
    for number, name in enumerate(names):
        while f"<D:href>/{name}</D:href>".encode() not in seen:
            seen += await read_chunk(reader)
        assert (client.folder / name).read_bytes() == b"x" * 10
        assert seen.count(b"<D:response>") == number + 1
        if number + 1 < len(names):
            last = number + 2 == len(names)
            writer.write(parts[number + 1][len(BOUNDARY) + 4 :] + (end if last else f"--{BOUNDARY}\r\n".encode()))
    while piece := await read_chunk(reader):
        seen += piece
    assert b'items="5" stored="5" failed="0"' in seen and b'state="complete"' in seen
    writer.close()


@pytest.mark.parametrize(
    "headers",
    [{"Via": "1.1 proxy"}, {"X_Forwarded_For": "10.0.0.1"}, {"Forwarded": "for=x"}, {"X_Real_IP": "10.0.0.1"}],
)
async def test_behind_an_unknown_proxy_the_report_is_held(client: Client, headers: dict[str, str]) -> None:
    assert await begins_early(client, **headers) is False


async def test_early_or_held(client: Client) -> None:
    assert await begins_early(client) is True
    assert await begins_early(client, field="0") is False
    assert await begins_early(client, Incremental="?1") is True


async def begins_early(client: Client, field: str | None = None, **headers: str) -> bool:
    """Does the head come before the request has ended? If it is held, it comes with the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    steering = [form_part(None, field.encode(), name="early")] if field else []
    body = multipart([*steering, form_part("a", b"1"), form_part("b", b"2")])
    cut = body.index(b'filename="b"')
    writer.write(request(b"", length=len(body), **headers) + body[:cut])
    try:
        # Long enough for a row that is not held; a held one never comes.
        status, found = await asyncio.wait_for(read_head(reader), 0.5)
        early = True
    except TimeoutError:
        early = False
    writer.write(body[cut:])
    if not early:
        status, found = await read_head(reader)
    assert status == 207 and ("Incremental" in found) is early
    writer.close()
    return early


@pytest.mark.parametrize("seed", range(12))
async def test_a_client_that_vanishes_at_any_byte(client: Client, seed: int) -> None:
    """Items are whole or absent, nothing is left in staging, and the server goes on."""
    rng = random.Random(seed)
    bodies = {f"f{number}": rng.randbytes(rng.choice([10, 5_000, 400_000])) for number in range(6)}
    body = multipart([form_part(name, data, Content_Type="application/octet-stream") for name, data in bodies.items()])
    cut = rng.randrange(len(body))
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(request(body)[: len(request(b"", length=len(body))) + cut])
    await writer.drain()
    writer.transport.abort() if seed % 2 else writer.close()
    staging = client.folder / ".partwise" / "staging"
    for _ in range(200):
        assert (await client.request("GET", "/")).status == 200
        names = set(files(client.folder))
        if not [path for path in staging.rglob("*") if path.is_file()]:
            break
    for name, data in files(client.folder).items():
        assert data == bodies[name]
    assert names <= set(bodies)
    assert not [path for path in staging.rglob("*") if path.is_file()]


async def test_a_put_that_is_cut_short_is_not_stored(client: Client) -> None:
    for cut in (0, 1, 50_000, 99_999):
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * cut)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    for _ in range(20):
        assert (await client.request("GET", "/x")).status == 404


async def test_pipelined_requests(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    one = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
    writer.write(one + request(multipart([form_part("b", b"2")])) + b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    answers = [await read_response(reader) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 207, 200]
    assert answers[2].body == b"2"
    writer.close()


async def test_a_part_that_lies_about_its_length_does_not_hide_a_delimiter(client: Client) -> None:
    parts = [mixed_part("a", b"12", Content_Length="500"), mixed_part("b", b"2")]
    answer = await client.post("/", parts, "mixed")
    assert answer.statuses == [400, 201]


@pytest.mark.parametrize("broken", [b"ZZZ\r\n", b"-5\r\n", b"3\r\nabcde\r\n"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_chunked_coding_that_breaks_later(client: Client, method: str, broken: bytes) -> None:
    """The break comes in a packet of its own, when the body is being received."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    first = multipart([GOOD, form_part("half", b"x" * 100)])[:-60]
    head = request(b"", Transfer_Encoding="chunked").replace(b"POST /", b"POST /" if method == "POST" else b"PUT /x")
    writer.write(head + f"{len(first):x}\r\n".encode() + first + b"\r\n")
    if method == "POST":
        while not (client.folder / "good").exists():
            await asyncio.sleep(0.01)
    else:
        await asyncio.sleep(0.05)
    writer.write(broken)
    answer = await asyncio.wait_for(read_response(reader), 20)
    if method == "POST":
        assert (answer.statuses, answer.summary["state"]) == ([201, 400], "aborted")
        assert files(client.folder) == {"good": b"1"}
    else:
        assert (answer.status, answer.error) == (400, "malformed")
        assert files(client.folder) == {}
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_other_transfer_codings_are_not_taken(client: Client) -> None:
    data = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    answer = await client.raw(data)
    assert answer.status == 501
    assert files(client.folder) == {}
