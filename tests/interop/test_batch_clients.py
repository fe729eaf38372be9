"""5,000 files in one request, sent by the clients that people have at hand, each in its own way; each sees every row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from tests.interop.many import FORM, check_stored, check_told, contents_of, form_body, names, quick_folder, rows_of
from tests.interop.served import said, served

ITEMS = 5_000
NODE = Path(__file__).with_name("batch_fetch.mjs")
#: Seconds without a byte; a client gives up by itself.
SILENCE = 240


def curl(url: str, work: Path) -> bytes:
    files = work / "files"
    files.mkdir()
    for name in names(ITEMS):
        (files / name).write_bytes(contents_of(name))
    # More files than a command line has room for.
    config = work / "curl.conf"
    config.write_text("".join(f'form = "files=@{files / name}"\n' for name in names(ITEMS)))
    said("curl", "-sS", "--fail", "-K", config, "-o", "report.xml", url, cwd=work)
    return (work / "report.xml").read_bytes()


def requests_(url: str, _: Path) -> bytes:
    found = requests.post(url, files=[("files", (name, contents_of(name))) for name in names(ITEMS)], timeout=SILENCE)
    assert found.status_code == 207
    return found.content


def httpx_(url: str, _: Path) -> bytes:
    found = httpx.post(url, files=[("files", (name, contents_of(name))) for name in names(ITEMS)], timeout=SILENCE)
    assert found.status_code == 207
    return found.content


def node_form(url: str, work: Path) -> bytes:
    return said("node", NODE, url, str(ITEMS), "form", cwd=work).encode()


def node_stream(url: str, work: Path) -> bytes:
    return said("node", NODE, url, str(ITEMS), "stream", cwd=work).encode()


@pytest.fixture
def place() -> Iterator[tuple[str, Path]]:
    """The URL of a server with default settings, and its folder."""
    with quick_folder() as folder, served(folder) as url:
        yield url, folder


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(curl, marks=pytest.mark.needs("curl")),
        requests_,
        httpx_,
        pytest.param(node_form, marks=pytest.mark.needs("node")),
        pytest.param(node_stream, marks=pytest.mark.needs("node")),
    ],
)
def test_a_client(send: Callable[[str, Path], bytes], place: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = place
    check_told(rows_of(send(url, tmp_path)), ITEMS)
    check_stored(folder, ITEMS)


async def aiohttp_form(session: aiohttp.ClientSession, url: str) -> bytes:
    form = aiohttp.FormData(default_to_multipart=True)
    for name in names(ITEMS):
        form.add_field("files", contents_of(name), filename=name)
    async with session.post(url, data=form) as response:
        assert response.status == 207
        return await response.read()


async def aiohttp_stream(session: aiohttp.ClientSession, url: str) -> bytes:
    """Reads while it writes: the report begins before the upload has ended."""
    async with session.post(url, data=form_body(ITEMS, 100), headers={"Content-Type": FORM}) as response:
        assert (response.status, response.headers["Incremental"]) == (207, "?1")
        return await response.read()


@pytest.mark.parametrize("send", [aiohttp_form, aiohttp_stream])
async def test_aiohttp(send: Callable[[aiohttp.ClientSession, str], Awaitable[bytes]], place: tuple[str, Path]) -> None:
    url, folder = place
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=SILENCE)) as session:
        check_told(rows_of(await send(session, url)), ITEMS)
    check_stored(folder, ITEMS)
