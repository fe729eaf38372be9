"""One server for many rows: it runs in a thread of its own, and is asked from plain synchronous code.

Two principals may write, ``alice`` and ``bob``; ``eve`` may only read; ``nobody`` sends no credentials.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bcrypt
from lxml import etree
from multidict import CIMultiDict, CIMultiDictProxy
from tests.harness import Answer, Running, checked, running

from partwise.handlers.context import SERVICES

PASSWORDS = {"alice": "one", "bob": "two", "eve": "three"}
DEAD = "{urn:t}p"
_D = "{DAV:}"
_ASKED = b'<propfind xmlns="DAV:"><prop><resourcetype/><getetag/><lockdiscovery/><p xmlns="urn:t"/></prop></propfind>'


class Shown(NamedTuple):
    """A resource as PROPFIND tells it. ``locks``: tokens with the paths of their roots; ``timeouts`` in seconds."""

    collection: bool
    etag: str | None
    dead: str | None
    locks: Mapping[str, str]
    timeouts: Mapping[str, int]


class Server:
    """Requests to a running server, over one connection."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self.authority = f"127.0.0.1:{server.port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def request(
        self, principal: str, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        sent = dict(headers or {})
        if principal in PASSWORDS:
            secret = base64.b64encode(f"{principal}:{PASSWORDS[principal]}".encode()).decode()
            sent["Authorization"] = f"Basic {secret}"
        self._connection.request(method, target, body or None, sent)
        response = self._connection.getresponse()
        found: CIMultiDict[str] = CIMultiDict(response.getheaders())
        return checked(response.status, CIMultiDictProxy(found), response.read())

    def expire(self, token: str) -> None:
        """The lock's end lies in the past, as if its time had gone by."""
        assert self._server.app[SERVICES].store.refresh(token, 1.0) is not None

    def tree(self, target: str) -> dict[str, Shown]:
        """All resources at and below a collection by their paths relative to it, without slashes at the end."""
        answer = self.request("alice", "PROPFIND", target, {"Depth": "infinity"}, _ASKED)
        assert answer.status == 207, answer.body
        base = target.rstrip("/")
        return {
            _relative(response.findtext(f"{_D}href") or "", base): _shown(response, base)
            for response in answer.xml.iterfind(f"{_D}response")
        }

    def close(self) -> None:
        self._connection.close()


def _relative(href: str, base: str) -> str:
    assert (href + "/").startswith(base + "/"), href
    return href[len(base) :].strip("/")


def _shown(response: etree._Element, base: str) -> Shown:
    [prop] = [
        stat.find(f"{_D}prop")
        for stat in response.iterfind(f"{_D}propstat")
        if " 200 " in (stat.findtext(f"{_D}status") or "")
    ]
    locks, timeouts = {}, {}
    for active in prop.iterfind(f"{_D}lockdiscovery/{_D}activelock"):
        token = active.findtext(f"{_D}locktoken/{_D}href") or ""
        locks[token] = _relative(active.findtext(f"{_D}lockroot/{_D}href") or "", base)
        timeouts[token] = int(re.sub(r"\D", "", active.findtext(f"{_D}timeout") or ""))
    dead = prop.findtext(DEAD)
    return Shown(
        prop.find(f"{_D}resourcetype/{_D}collection") is not None, prop.findtext(f"{_D}getetag"), dead, locks, timeouts
    )


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server for the folder ``served`` below ``folder``, with its users."""
    served, users = folder / "served", folder / "users"
    served.mkdir()
    users.write_text(
        "".join(
            f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
            for name, password in PASSWORDS.items()
        )
    )
    loop = asyncio.new_event_loop()
    started: asyncio.Future[Running] = loop.create_future()
    ended = asyncio.Event()

    async def serve() -> None:
        async with running(served, htpasswd=users, read_only=("eve",), max_item_size=1000) as found:
            started.set_result(found)
            ready.set()
            await ended.wait()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    ready = threading.Event()
    thread = threading.Thread(target=work, name="server")
    thread.start()
    ready.wait()
    client = Server(started.result())
    try:
        yield client
    finally:
        client.close()
        loop.call_soon_threadsafe(ended.set)
        thread.join()
