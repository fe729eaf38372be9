"""The demonstration: over a thousand real files in one request, and damaged ones among them.

Every item gets the row of ``docs/status-codes.md`` that speaks of it; what is stored is what was sent, byte by byte; nothing
else is, neither in the served folder nor outside of it.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import requests
from multidict import CIMultiDict, CIMultiDictProxy
from tests.conftest import Serve
from tests.demonstration.damage import (
    FORM,
    MIXED,
    OUTSIDE_BYTES,
    PUT,
    STANDING,
    STANDING_BYTES,
    Damaged,
    damaged,
    everything,
    prepare,
    spread,
)
from tests.demonstration.real_files import ACCEPTED, LARGEST, RealFile, gather, of_kind, schema
from tests.harness import BOUNDARY, Answer, Client, checked, form_part, mixed_part

Sent = RealFile | Damaged

#: How many of each kind there must be at least.
AT_LEAST = {"png": 20, "svg": 10, "jpg": 2, "gif": 1, "xml": 15, "json": 250, "csv": 25, "pdf": 10, "py": 600}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return tmp_path / "outside"


@pytest.fixture
async def client(serve: Serve, folder: Path, outside: Path, tmp_path: Path) -> Client:
    """A client of a server that takes the kinds of the demonstration, and knows pymavlink's schema."""
    prepare(folder, outside)
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    shutil.copy(schema(), schemas)
    return await serve(schemas=schemas, accept=ACCEPTED, max_item_size=LARGEST)


def as_part(item: Sent, way: str) -> bytes:
    if isinstance(item, Damaged):
        return item.part(way)
    if way == FORM:
        return form_part(item.name, item.read(), Content_Type=item.media_type)
    return mixed_part(quote(item.name), item.read(), Content_Type=item.media_type)


async def container(items: Iterable[Sent], way: str) -> AsyncIterator[bytes]:
    """The container, part by part: it is never in memory as a whole."""
    for item in items:
        yield f"--{BOUNDARY}\r\n".encode() + as_part(item, way) + b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


async def send(client: Client, items: Iterable[Sent], way: str, query: str = "") -> Answer:
    kind = f"multipart/{way}; boundary={BOUNDARY}"
    return await client.request("POST", f"/{query}", container(items, way), Content_Type=kind)


def fate(item: Sent) -> tuple[str, int, str | None]:
    return (item.case, item.status, item.error) if isinstance(item, Damaged) else (item.name, 201, None)


def files_below(folder: Path) -> dict[str, bytes]:
    """Contents by relative name; links are not followed, and the server's own state is left out."""
    found = {}
    for place, folders, names in os.walk(folder):
        if Path(place) == folder and ".partwise" in folders:
            folders.remove(".partwise")
        for name in names:
            path = Path(place, name)
            found[path.relative_to(folder).as_posix()] = b"a link" if path.is_symlink() else path.read_bytes()
    return found


def check_report(answer: Answer, sent: list[Sent]) -> None:
    """Rows in the order of the request, each with exactly the fate of its item, and a summary that adds up."""
    assert answer.status == 207
    rows = answer.rows
    assert [int(row.item["index"]) for row in rows] == list(range(1, len(sent) + 1))
    named = [(fate(item)[0], row.status, row.error) for item, row in zip(sent, rows, strict=True)]
    assert named == [fate(item) for item in sent]
    for item, row in zip(sent, rows, strict=True):
        if isinstance(item, RealFile):
            assert (unquote(row.href), row.item["name"]) == (f"/{item.name}", item.name)
            assert row.item["size"] == str(item.path.stat().st_size)
            assert row.text is None
        else:
            assert row.text and row.text[0].isupper() and row.text.endswith("."), (item.case, row.text)
    good = [item for item in sent if isinstance(item, RealFile)]
    told = answer.summary
    assert told["state"] == "complete"
    assert [int(told[name]) for name in ("items", "stored", "failed")] == [len(sent), len(good), len(sent) - len(good)]
    assert int(told["bytes"]) == sum(item.path.stat().st_size for item in good)


def check_disk(folder: Path, outside: Path, sent: Iterable[Sent]) -> None:
    """The good ones as they were sent, what stood there before, and nothing else; outside nothing changed."""
    expected = {item.name: item.read() for item in sent if isinstance(item, RealFile)}
    stored = files_below(folder)
    assert stored.pop(STANDING) == STANDING_BYTES
    # The links are still links.
    assert stored.pop("leak.txt") == b"a link" and (folder / "escape").is_symlink()
    assert stored.keys() == expected.keys()
    assert [name for name in expected if stored[name] != expected[name]] == []
    assert files_below(outside) == {"secret.txt": OUTSIDE_BYTES}
    assert {entry.name for entry in folder.parent.iterdir()} <= {"served", "outside", "schemas", "damaged"}
    assert {entry.name for entry in folder.iterdir()} <= {
        *(name.split("/")[0] for name in expected),
        *("standing", "escape", "leak.txt", ".partwise"),
    }
    assert [path for path in (folder / ".partwise" / "staging").rglob("*") if not path.is_dir()] == []


def test_there_are_a_thousand_files_of_many_kinds() -> None:
    found = Counter(file.kind for file in gather())
    assert {kind: found[kind] for kind in AT_LEAST if found[kind] < AT_LEAST[kind]} == {}
    assert found.total() >= 1000
    assert len({file.name for file in gather()}) == found.total()


def test_the_damaged_ones_are_all_different() -> None:
    cases = [item.case for item in damaged()]
    assert len(set(cases)) == len(cases) >= 50
    assert {item.status for item in damaged()} == {400, 403, 405, 409, 412, 413, 415, 422}


@pytest.mark.parametrize("way", [FORM, MIXED])
async def test_one_request(client: Client, folder: Path, outside: Path, way: str) -> None:
    sent = everything(way)
    check_report(await send(client, sent, way), sent)
    check_disk(folder, outside, sent)

    async def fetch(file: RealFile) -> str | None:
        answer = await client.request("GET", f"/{quote(file.name)}")
        return None if (answer.status, answer.body) == (200, file.read()) else file.name

    assert [name for name in await asyncio.gather(*map(fetch, gather())) if name] == []


@pytest.mark.parametrize("kind", AT_LEAST)
async def test_a_put_takes_it_too(client: Client, kind: str) -> None:
    file = of_kind(kind)[0]
    target = f"/the%20largest.{kind}"
    answer = await client.request("PUT", target, io.BytesIO(file.read()), Content_Type=file.media_type)
    assert (answer.status, answer.body) == (201, b"")
    assert (await client.request("GET", target)).body == file.read()


async def test_sent_again(client: Client, folder: Path) -> None:
    """With ``overwrite=F`` nothing is touched; without, everything is replaced by the same bytes."""
    files = list(gather()[:200])
    assert set((await send(client, files, FORM)).statuses) == {201}
    before = {file.name: (folder / file.name).stat() for file in files}
    again = await send(client, files, FORM, "?overwrite=F")
    assert (set(again.statuses), again.summary["stored"]) == ({412}, "0")
    assert {file.name: (folder / file.name).stat() for file in files} == before
    assert set((await send(client, files, FORM)).statuses) == {204}
    assert [file.name for file in files if (folder / file.name).read_bytes() != file.read()] == []


async def test_a_good_one_after_a_damaged_one_of_the_same_name(client: Client, folder: Path) -> None:
    file = of_kind("png")[0]
    half = file.read()[: file.path.stat().st_size // 2]
    bodies = [half, file.read(), half, file.read()]
    answer = await client.post("/", [form_part("a.png", body, Content_Type=file.media_type) for body in bodies])
    assert [(row.status, row.error) for row in answer.rows] == [
        (400, "damaged"),
        (201, None),
        (409, "duplicate"),
        (409, "duplicate"),
    ]
    assert (folder / "a.png").read_bytes() == file.read()


@pytest.mark.parametrize("item", damaged(PUT), ids=lambda item: item.case)
async def test_a_row_says_what_a_put_says(client: Client, folder: Path, outside: Path, item: Damaged) -> None:
    # The one difference: a batch makes missing collections, so for PUT it is made beforehand.
    (folder / "damaged").mkdir()
    answer = await client.request("PUT", item.target, io.BytesIO(item.body), **item.fields())
    assert (answer.status, answer.error) == (item.status, item.error)
    (folder / "damaged").rmdir()
    for way in (FORM, MIXED):
        if way in item.ways:
            (row,) = (await send(client, [item], way)).rows
            assert (row.status, row.error) == (item.status, item.error)
            assert row.text == answer.xml.findtext("{urn:partwise:batch}message")
    check_disk(folder, outside, [])


async def test_a_schema_error_says_where(client: Client) -> None:
    (item,) = (item for item in damaged() if item.case == "XML with a bad number")
    (row,) = (await send(client, [item], FORM)).rows
    (issue,) = row.element.iter("{urn:partwise:batch}issue")
    line = item.body[: item.body.index(b"<version>")].count(b"\n") + 1
    assert (issue.get("line"), issue.get("path")) == (str(line), "/mavlink/version")


async def test_a_sentence_is_about_the_item(client: Client) -> None:
    """What is wrong is the missing end tag; that the document type it names is not loaded is nobody's fault."""
    (item,) = (item for item in damaged() if item.case == "an SVG that lacks its end tag")
    assert b"<!DOCTYPE" in item.body
    (row,) = (await send(client, [item], FORM)).rows
    assert row.text and "svg" in row.text and "load" not in row.text and "http" not in row.text
    (issue,) = row.element.iter("{urn:partwise:batch}issue")
    assert int(issue.get("line", "0")) >= item.body.rstrip().count(b"\n")


async def test_a_document_type_is_not_loaded(client: Client, folder: Path, outside: Path) -> None:
    """If it were read, the document would be refused for what stands in it."""
    (outside / "broken.dtd").write_bytes(b"<!ENTITY <<<")
    file = of_kind("svg")[0]
    named = re.compile(rb'"http://www\.w3\.org/[^"]*\.dtd"')
    bodies = [
        named.sub(f'"{place}"'.encode(), file.read(), count=1)
        for place in (outside / "broken.dtd", (outside / "broken.dtd").as_uri(), outside / "missing.dtd")
    ]
    assert len({file.read(), *bodies}) == 4
    parts = [form_part(f"{n}.svg", body, Content_Type=file.media_type) for n, body in enumerate(bodies)]
    assert [(row.status, row.text) for row in (await client.post("/", parts)).rows] == [(201, None)] * 3
    assert [(folder / f"{n}.svg").read_bytes() for n in range(3)] == bodies


def hundred() -> list[Sent]:
    """Eight of each kind, or as many as there are, more sources to make a hundred, and damaged ones between them."""
    some = [file for kind in AT_LEAST for file in of_kind(kind)[-8:]]
    some += [file for file in of_kind("py")[-100:] if file not in some][: 100 - len(some)]
    # What every client can say: names that are text, types that are types, and no header fields of its own.
    bad = [item for item in damaged(FORM) if isinstance(item.filename, str) and item.filename.isprintable()]
    return spread(tuple(some), [item for item in bad if not item.headers and "/" in item.media_type])


async def test_with_requests(client: Client, folder: Path, outside: Path) -> None:
    sent = hundred()
    files = [("files", (_name(item), _body(item), item.media_type)) for item in sent]

    def post() -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"http://127.0.0.1:{client.port}/", files=files, timeout=60)

    response = await asyncio.to_thread(post)
    headers = CIMultiDictProxy(CIMultiDict(response.headers))
    check_report(checked(response.status_code, headers, response.content), sent)
    check_disk(folder, outside, sent)


@pytest.mark.needs("curl")
async def test_with_curl(client: Client, folder: Path, outside: Path, tmp_path: Path) -> None:
    sent = hundred()
    bodies, report = tmp_path / "damaged", tmp_path / "damaged" / "report.xml"
    bodies.mkdir()
    arguments = []
    for number, item in enumerate(sent):
        path = item.path if isinstance(item, RealFile) else bodies / str(number)
        if isinstance(item, Damaged):
            path.write_bytes(item.body)
        name = _name(item).replace("\\", "\\\\").replace('"', '\\"')
        arguments += ["-F", f'files=@"{path}";filename="{name}";type={item.media_type}']
    url = f"http://127.0.0.1:{client.port}/"
    options = [
        "-q",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "-o",
        str(report),
        "-w",
        "%{http_code} %{content_type}",
    ]
    process = await asyncio.create_subprocess_exec("curl", *options, *arguments, url, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    status, _, kind = output.decode().partition(" ")
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": kind}))
    check_report(checked(int(status), headers, report.read_bytes()), sent)
    check_disk(folder, outside, sent)


def _name(item: Sent) -> str:
    name = item.name if isinstance(item, RealFile) else item.filename
    assert isinstance(name, str)
    return name


def _body(item: Sent) -> bytes:
    return item.read() if isinstance(item, RealFile) else item.body
