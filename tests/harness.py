"""The real server over a real socket, and clients that validate every XML document they are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, web
from lxml import etree
from multidict import CIMultiDict, CIMultiDictProxy
from tests.xml_documents import check_xml
from yarl import URL

from partwise import Config, make_app
from partwise.handlers.wire import make_runner

BOUNDARY = "boundary-of-the-tests"


@dataclass(frozen=True)
class Running:
    """A server that listens on ``port`` of loopback and serves ``folder``."""

    folder: Path
    port: int
    app: web.Application


@asynccontextmanager
async def running(folder: Path, validators: Sequence[Any] = (), **values: Any) -> AsyncIterator[Running]:
    config = Config(directory=folder, port=0, **{"grace": 1.0, **values})
    app = make_app(config, tuple(validators))
    runner = make_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Running(folder, runner.addresses[0][1], app)
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Row:
    """One response of a multistatus."""

    href: str
    status: int
    error: str | None  # local name of the condition in DAV:error
    text: str | None
    item: Mapping[str, str]
    element: etree._Element


@dataclass(frozen=True)
class Answer:
    """A response, read to its end; if it is XML it has been validated."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def xml(self) -> etree._Element:
        return etree.fromstring(self.body)

    @property
    def error(self) -> str | None:
        """The local name of the condition in a ``DAV:error`` document."""
        names = [etree.QName(child).localname for child in self.xml]
        return next((name for name in names if name != "message"), None)

    @property
    def rows(self) -> list[Row]:
        return [_row(element) for element in self.xml.iterfind("{DAV:}response")]

    @property
    def statuses(self) -> list[int]:
        return [row.status for row in self.rows]

    @property
    def summary(self) -> Mapping[str, str]:
        found = self.xml.find("{urn:partwise:batch}summary")
        assert found is not None, "the document has no summary: it is truncated"
        return dict(found.attrib)


def _row(element: etree._Element) -> Row:
    status = element.findtext("{DAV:}status") or element.findtext("{DAV:}propstat/{DAV:}status") or ""
    error = element.find("{DAV:}error")
    item = element.find("{urn:partwise:batch}item")
    return Row(
        href=element.findtext("{DAV:}href") or "",
        status=int(status.split()[1]),
        error=None if error is None else etree.QName(error[0]).localname,
        text=element.findtext("{DAV:}responsedescription"),
        item={} if item is None else dict(item.attrib),
        element=element,
    )


def checked(status: int, headers: CIMultiDictProxy[str], body: bytes) -> Answer:
    """Every XML document of the server is valid, in every test, without being asked."""
    kind = headers.get("Content-Type", "")
    ours = "P=" in body[:300].decode("utf-8", "replace") or "DAV:" in body[:300].decode("utf-8", "replace")
    if kind.startswith("application/xml; charset") and body and ours:
        check_xml(body)
    return Answer(status, headers, body)


class Client:
    """Requests to one server. Targets are sent as they are written, nothing is normalised."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.folder = server.folder
        self.port = server.port
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    def url(self, target: str) -> URL:
        return URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)

    async def request(self, method: str, target: str, data: Any = None, **headers: str) -> Answer:
        """``If_None_Match="*"`` is sent as ``If-None-Match: *``."""
        assert self._session is not None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, self.url(target), data=data, headers=named, allow_redirects=False
        ) as response:
            return checked(response.status, response.headers, await response.read())

    async def post(self, target: str, parts: Iterable[bytes], kind: str = "form-data", **headers: str) -> Answer:
        """A batch of parts made by :func:`form_part` or :func:`mixed_part`."""
        headers.setdefault("Content_Type", f"multipart/{kind}; boundary={BOUNDARY}")
        return await self.request("POST", target, multipart(parts), **headers)

    async def raw(self, data: bytes, *, close: bool = False) -> Answer:
        """Send bytes over a socket of their own, and read one response to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            writer.write(data)
            await writer.drain()
            if close:
                writer.write_eof()
            return await read_response(reader)
        finally:
            writer.close()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, CIMultiDictProxy[str]]:
    """The status and headers of the final response."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        if status != 100:
            break
    headers: CIMultiDict[str] = CIMultiDict()
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return status, CIMultiDictProxy(headers)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body; empty at its end."""
    size = int((await reader.readline()).split(b";")[0], 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def read_response(reader: asyncio.StreamReader) -> Answer:
    status, headers = await read_head(reader)
    if headers.get("Transfer-Encoding") == "chunked":
        pieces = []
        while piece := await read_chunk(reader):
            pieces.append(piece)
        body = b"".join(pieces)
    else:
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return checked(status, headers, body)


def form_part(filename: str | bytes | None, body: bytes, *, name: str = "files", **headers: str) -> bytes:
    """A part of multipart/form-data without its delimiter; ``filename=None`` makes a field."""
    disposition = f'Content-Disposition: form-data; name="{name}"'.encode()
    if filename is not None:
        raw = filename.encode("utf-8", "surrogateescape") if isinstance(filename, str) else filename
        disposition += b'; filename="' + raw + b'"'
    return b"\r\n".join([disposition, *_fields(headers), b"", body])


def mixed_part(location: str | bytes | None, body: bytes, **headers: str) -> bytes:
    """A part of multipart/mixed without its delimiter."""
    fields = _fields(headers)
    if location is not None:
        raw = location.encode("utf-8", "surrogateescape") if isinstance(location, str) else location
        fields.insert(0, b"Content-Location: " + raw)
    return b"\r\n".join([*fields, b"", body])


def _fields(headers: Mapping[str, str]) -> list[bytes]:
    return [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]


def multipart(parts: Iterable[bytes], boundary: str = BOUNDARY) -> bytes:
    """A whole container."""
    opening = f"--{boundary}\r\n".encode()
    return b"".join(opening + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
