"""Headless Chromium, driven by its DevTools protocol over a websocket."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

#: The whole browser, or Debian's smaller build of it without windows.
PROGRAMS = ("chromium", "chromium-headless-shell")

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


def program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One page. Every call waits for the browser's answer."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._session: str | None = None
        self._events: deque[str] = deque()

    async def open(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        found = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        await self.call("Page.enable")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers; events that come meanwhile wait for :meth:`event`."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        await self._socket.send_json(message)
        while True:
            found = await self._socket.receive_json()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result
            self._events.append(found.get("method", ""))

    async def event(self, name: str) -> None:
        """Wait for an event of this name that came after the last one that was waited for."""
        while True:
            while self._events:
                if self._events.popleft() == name:
                    return
            self._events.append((await self._socket.receive_json()).get("method", ""))

    async def go(self, url: str) -> None:
        self._events.clear()
        found = await self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        await self.event("Page.loadEventFired")

    async def loads(self) -> None:
        """Wait until the next page is there whole."""
        await self.event("Page.loadEventFired")

    async def value(self, expression: str) -> Any:
        """What a piece of JavaScript gives, as JSON carries it."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Fill a file picker."""
        document = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(file) for file in files])

    async def press(self, selector: str) -> None:
        """Click in the middle of an element, which must be visible."""
        rectangle = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y = await self.value(
            f"document.querySelector({selector!r}).scrollIntoView(), "
            f"[{rectangle}.x + {rectangle}.width / 2, {rectangle}.y + {rectangle}.height / 2]"
        )
        self._events.clear()
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def quit(self) -> None:
        """End the whole browser, which ends its many processes."""
        self._session = None
        await self.call("Browser.close")


@asynccontextmanager
async def chromium(work: Path) -> AsyncIterator[Page]:
    """A browser with an empty profile below ``work``, and a page of it; ended at the end."""
    found = program()
    assert found is not None
    # Its sandbox does not run as root, as CI does.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        found,
        *_FLAGS,
        *sandbox,
        f"--user-data-dir={work / 'profile'}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # It goes on to complain about what this machine has not; nobody reads that, and it must not wait.
        limit=1 << 24,
        start_new_session=True,
        env={"PATH": os.environ["PATH"], "HOME": str(work), "LC_ALL": "C.UTF-8"},
    )
    assert process.stderr is not None
    try:
        address, said = None, b""
        async with asyncio.timeout(120):
            while address is None:
                line = await process.stderr.readline()
                assert line, f"{found} ended: {said.decode(errors='replace')}"
                said += line
                address = re.search(r"ws://\S+", line.decode(errors="replace"))
        async with ClientSession() as session, session.ws_connect(address[0], max_msg_size=0) as socket:
            page = Page(socket)
            await page.open()
            yield page
            await page.quit()
        async with asyncio.timeout(60):
            await process.wait()
    finally:
        # After a failure. What was called may be a script, and a browser is many processes: they are a group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            await process.wait()
