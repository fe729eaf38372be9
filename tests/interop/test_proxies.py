"""Batches through Debian's nginx and haproxy: with the settings of docs/proxies.md, and with nothing but the packages' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from tests.interop.many import (
    BOUNDARY,
    END,
    FORM,
    check_stored,
    check_told,
    form_body,
    form_item,
    form_length,
    names,
    quick_folder,
    rows_of,
)
from tests.interop.proxies import documented, free_port, haproxy, nginx
from tests.interop.served import served

# 200 MB: enough to fill every buffer on the way many times over.
ITEMS, SIZE = 50_000, 4096

# What somebody writes who has read no page about it: where to, and nothing else.
NGINX = "server {\n    listen 80;\n%s    location / {\n        proxy_pass http://127.0.0.1:8080;\n    }\n}\n"
NO_LIMIT = "    client_max_body_size 0;\n"
HAPROXY = """
frontend files
    bind :80
    default_backend partwise

backend partwise
    server partwise 127.0.0.1:8080
"""


@dataclass(frozen=True)
class Front:
    """A server behind a proxy."""

    url: str
    folder: Path
    #: What a browser that shows the page under the proxy's name sends along, if that proxy keeps the name.
    origin: dict[str, str]


@pytest.fixture
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    """``request.param``: the proxy and its site, or the heading of docs/proxies.md under which site and flags stand."""
    program, site = request.param
    port, behind = free_port(), free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder())
        flags: list[str | Path] = ["--port", str(behind)]
        origin = {}
        if site is None:
            site = documented(program.__name__, program.__name__)
            config = tmp_path / "partwise.toml"
            config.write_text(documented(program.__name__, "toml"))
            origin = {"Origin": f"http://127.0.0.1:{port}"}
            flags += ["--config", config, "--public-url", f"http://127.0.0.1:{port}/"]
        stack.enter_context(served(folder, *flags))
        url = stack.enter_context(program(tmp_path, site, port, f"http://127.0.0.1:{behind}/"))
        yield Front(url, folder, origin)


#: Proxy and site, whether its report is early, and how many items are sent.
SETTINGS = [
    pytest.param((nginx, None), False, ITEMS, id="nginx-documented", marks=pytest.mark.needs("nginx")),
    pytest.param((nginx, NGINX % NO_LIMIT), False, ITEMS, id="nginx-default", marks=pytest.mark.needs("nginx")),
    pytest.param((haproxy, None), True, ITEMS, id="haproxy-documented", marks=pytest.mark.needs("haproxy")),
    pytest.param((haproxy, HAPROXY), True, ITEMS, id="haproxy-default", marks=pytest.mark.needs("haproxy")),
]


def _client() -> ClientSession:
    # A proxy that has stopped for good is silent; a slow machine is not.
    return ClientSession(timeout=ClientTimeout(total=None, sock_read=240))


@pytest.mark.parametrize(("front", "early", "items"), SETTINGS, indirect=["front"])
async def test_200_megabytes_do_not_stall(front: Front, early: bool, items: int) -> None:
    headers = {"Content-Type": FORM, "Content-Length": str(form_length(items, SIZE)), **front.origin}
    sent = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in form_body(items, SIZE):
            yield piece
        sent = True

    async with (
        asyncio.timeout(600),
        _client() as client,
        client.post(front.url, data=body(), headers=headers) as response,
    ):
        assert response.status == 207
        assert sent is not early, "the head came at the wrong time for this proxy"
        document = await response.read()
    check_told(rows_of(document), items)
    check_stored(front.folder, items, SIZE)


class Patient:
    """An upload that sends each item only when it is told that the one before it is stored."""

    count = 5

    def __init__(self) -> None:
        self.document = b""
        self._told = asyncio.Queue[int]()

    async def body(self) -> AsyncIterator[bytes]:
        opening = f"--{BOUNDARY}\r\n".encode()
        yield opening
        for number, name in enumerate(names(self.count), 1):
            # A part has ended when the next delimiter has come.
            yield form_item(name, SIZE).removeprefix(opening) + (opening if number < self.count else END)
            assert await self._told.get() == number

    async def read(self, response: ClientResponse) -> None:
        """The report, as far as it has come, tells what is stored."""
        async for piece in response.content.iter_any():
            before = self.document.count(b"</D:response>")
            self.document += piece
            for number in range(before, self.document.count(b"</D:response>")):
                self._told.put_nowait(number + 1)


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("front", [(haproxy, None), (haproxy, HAPROXY)], indirect=True, ids=["documented", "default"])
async def test_rows_come_through_haproxy_while_the_upload_runs(front: Front) -> None:
    patient, headers = Patient(), {"Content-Type": FORM}
    async with (
        asyncio.timeout(120),
        _client() as client,
        client.post(front.url, data=patient.body(), headers=headers) as response,
    ):
        assert response.headers["Incremental"] == "?1"
        await patient.read(response)
    check_told(rows_of(patient.document), patient.count)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("front", [(nginx, None)], indirect=True, ids=["documented"])
async def test_rows_are_followed_through_nginx_while_the_upload_runs(front: Front) -> None:
    """Its own response waits; the batch is read through the same proxy on a second connection."""
    patient, name = Patient(), "followed-through-nginx"

    async def upload(client: ClientSession) -> bytes:
        headers = {"Content-Type": FORM, "Idempotency-Key": name}
        async with client.post(front.url, data=patient.body(), headers=headers) as response:
            assert "Incremental" not in response.headers
            return await response.read()

    async with asyncio.timeout(120), _client() as client, asyncio.TaskGroup() as tasks:
        uploading = tasks.create_task(upload(client))
        followed = False
        while not followed:
            async with client.get(f"{front.url}-/batches/{name}") as response:
                # The upload may not have begun yet.
                if followed := response.status == 200:
                    await patient.read(response)
    check_told(rows_of(patient.document), patient.count)
    assert rows_of(uploading.result()) == rows_of(patient.document)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("front", [(nginx, NGINX % "")], indirect=True, ids=["default"])
async def test_nginx_refuses_more_than_a_megabyte_unless_told_otherwise(front: Front) -> None:
    """Its own word, before any byte has come here: the page on proxies names the setting."""
    headers = {"Content-Type": FORM, "Content-Length": str(form_length(300, SIZE)), "Expect": "100-continue"}
    async with _client() as client:
        async with client.post(front.url, data=form_body(300, SIZE), headers=headers) as response:
            assert (response.status, response.headers["Server"][:5]) == (413, "nginx")
        assert [path.name for path in front.folder.iterdir() if path.name != ".partwise"] == []
        async with client.post(front.url, data=form_body(100, SIZE), headers={"Content-Type": FORM}) as response:
            check_told(rows_of(await response.read()), 100)
