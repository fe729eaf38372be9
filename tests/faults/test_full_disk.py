"""A disk without room, and one without inodes: what does not fit is refused with 507, and all the rest goes on.

The real server runs on a small file system in memory, in a mount namespace of its own.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from tests.faults.forking import Ask, forking
from tests.harness import BOUNDARY, Answer, Client, Running, form_part, multipart

MIB = 1 << 20
#: As much as the served folder may hold, state and staging included.
ROOM = 8 * MIB
DATA = random.Random(7).randbytes(ROOM + MIB)
PROPERTY = (
    '<D:propertyupdate xmlns:D="DAV:" xmlns:t="urn:test"><D:set><D:prop><t:note>{}</t:note></D:prop></D:set>'
    "</D:propertyupdate>"
)
LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>'
    "<D:owner>{}</D:owner></D:lockinfo>"
)
FULL = 507


@dataclass(frozen=True)
class Small:
    """A server on a small disk. ``folder`` is that disk as this process sees it."""

    client: Client
    folder: Path

    async def put(self, target: str, data: bytes) -> int:
        return (await self.client.request("PUT", target, io.BytesIO(data))).status

    async def post(self, target: str, items: dict[str, bytes]) -> Answer:
        body = multipart([form_part(name, data) for name, data in items.items()])
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return await self.client.request("POST", target, io.BytesIO(body), Content_Type=kind)

    async def get(self, target: str) -> bytes:
        answer = await self.client.request("GET", target)
        assert answer.status == 200
        return answer.body

    def free(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def fill(self, *, but: int = 0) -> Path:
        """By hand: no more than ``but`` bytes are left."""
        path = self.folder / "filler"
        with path.open("ab") as file:
            while (free := self.free()) > but:
                file.write(bytes(min(free - but, MIB)))
                file.flush()
        return path

    def use_up_inodes(self) -> list[Path]:
        made: list[Path] = []
        while os.statvfs(self.folder).f_ffree:
            made.append(self.folder / f"inode-{len(made)}")
            made[-1].touch()
        return made

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {".partwise", "filler"}

    def staged(self) -> list[Path]:
        """Names of uploads; a nameless one shows in the room that it takes."""
        return list(self.folder.glob(".partwise/staging/*/*"))


Start = Callable[..., Awaitable[Small]]


def _within(folder: Path) -> list[str]:
    """A command that runs another one where every folder in ``folder`` is a small file system."""
    mount = 'mount -t tmpfs -o size=8m,nr_inodes="${point##*-}",mode=0700 partwise-test "$point"'
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c"]
    return [*unshare, f'for point in {folder}/*; do {mount} || exit 1; done; exec "$@"', "sh"]


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ask, Path]]:
    """Something that starts servers, and a folder of disks for them, named for how many inodes they have."""
    folder = tmp_path_factory.mktemp("disks")
    for number in range(6):
        (folder / f"{number}-10000").mkdir()
        (folder / f"{number}-100").mkdir()
    within = _within(folder)
    if subprocess.run([*within, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        reason = "needs the right to mount a file system in a namespace of its own"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with forking(*within) as ask:
        yield ask, folder


@pytest.fixture
async def small(disks: tuple[Ask, Path]) -> AsyncIterator[Start]:
    """Start a server on a disk with so many ``inodes``. In the end it stops, and there is nothing to repair."""
    ask, folder = disks
    async with AsyncExitStack() as stack:

        async def start(inodes: int = 10_000) -> Small:
            point = next(path for path in folder.glob(f"*-{inodes}") if path.stat().st_mode & 0o070)
            point.chmod(0o700)  # taken; the disk itself is mounted elsewhere
            server = await asyncio.to_thread(ask, serve=str(point))
            parent = Path(f"/proc/{server['pid']}/stat").read_text().rpartition(")")[2].split()[1]
            # That file system exists in a namespace of its own alone.
            seen = Path(f"/proc/{parent}/root{point}")
            stack.callback(_stop, ask, server["pid"], point)
            port = int(re.findall(r":(\d+)/", server["says"])[0])
            return Small(await stack.enter_async_context(Client(Running(seen, port, web.Application()))), seen)

        yield start


def _stop(ask: Ask, process: int, point: Path) -> None:
    os.kill(process, signal.SIGTERM)
    assert ask(end=process) == 0
    assert ask(check=[str(point)]) == 0


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_put(small: Start) -> None:
    disk = await small()
    assert await disk.put("/old", b"old") == 201
    before = disk.free()
    for body in (io.BytesIO(DATA), pieces(DATA)):
        for target in ("/new", "/old"):
            assert (await disk.client.request("PUT", target, body)).status == FULL
            body = pieces(DATA)
    assert await disk.get("/old") == b"old"
    assert disk.names() == {"old"}
    assert disk.free() > before - MIB // 8, "something of what did not fit still takes room"
    # What fits, fits: also in place of a file, and to the last page but those of the state.
    assert await disk.put("/old", DATA[: 3 * MIB]) == 204
    assert await disk.put("/other", DATA[: 4 * MIB]) == 201
    assert await disk.put("/third", DATA[: 2 * MIB]) == FULL
    assert await disk.put("/third", b"small") == 201
    assert (await disk.client.request("DELETE", "/other")).status == 204
    assert await disk.put("/third", DATA[: 2 * MIB]) == 204
    assert await disk.get("/third") == DATA[: 2 * MIB]


async def test_batch(small: Start) -> None:
    """Every item by itself: the small ones behind a large one are stored."""
    disk = await small()
    items = {f"item-{number}": DATA[: 5 * MIB if number % 4 == 1 else 1000 + number] for number in range(12)}
    # The first large one fits.
    expected = [201 if name == "item-1" or len(data) < MIB else FULL for name, data in items.items()]
    answer = await disk.post("/", items)
    assert answer.status == 207
    assert answer.statuses == expected
    assert (answer.summary["state"], answer.summary["stored"]) == ("complete", "10")
    stored = {name for name, status in zip(items, expected, strict=True) if status == 201}
    assert disk.names() == stored
    for name in stored:
        assert await disk.get(f"/{name}") == items[name]
    # The report is there to be read also when nothing else fits.
    filler = disk.fill()
    place = answer.headers["Link"].partition("<")[2].partition(">")[0]
    assert (await disk.client.request("GET", place)).statuses == expected
    refused = await disk.post("/", {"more": b"more" * 3000})
    assert refused.status == FULL or refused.statuses == [FULL]
    filler.unlink()
    # Room returns, and what did not fit is sent again.
    assert (await disk.client.request("DELETE", "/item-1")).status == 204
    again = await disk.post("/", {"item-5": items["item-5"]})
    assert again.statuses == [201]


async def test_atomic_batch(small: Start) -> None:
    disk = await small()
    assert await disk.put("/b", b"old") == 201
    before = disk.free()
    items = {"a": DATA[: 3 * MIB], "b": b"new", "c": DATA[: 6 * MIB]}
    answer = await disk.post("/?atomic=1", items)
    assert answer.statuses == [424, 424, FULL]
    assert disk.names() == {"b"}
    assert await disk.get("/b") == b"old"
    assert not disk.staged()
    assert disk.free() > before - MIB // 4
    answer = await disk.post("/?atomic=1", {"a": items["a"], "b": items["b"]})
    assert answer.statuses == [201, 204]


CHANGES: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "COPY": ("COPY", "/folder", "", {"Destination": "/copy"}),
    "COPY onto": ("COPY", "/large", "", {"Destination": "/copied"}),
    "MKCOL": ("MKCOL", "/made", "", {}),
    "PROPPATCH": ("PROPPATCH", "/noted", PROPERTY.format("n" * 60_000), {}),
    "LOCK": ("LOCK", "/locked", LOCK.format("o" * 4000), {}),
    "LOCK of nothing": ("LOCK", "/locked-new", LOCK.format("o" * 4000), {}),
    "PUT": ("PUT", "/put", "n" * 300_000, {}),
    "PUT of nothing": ("PUT", "/empty", "", {}),
    "PUT onto": ("PUT", "/replaced", "n" * 300_000, {}),
    "MOVE": ("MOVE", "/moving", "", {"Destination": "/moved"}),
    "POST": ("POST", "/", "", {}),
}
#: Files there before, and what each may hold afterwards.
STANDING = {
    "copied": (b"old", DATA[:MIB]),
    "noted": (b"old",),
    "locked": (b"old",),
    "replaced": (b"old", b"n" * 300_000),
    "moving": (b"old",),
    "large": (DATA[:MIB],),
    **{f"folder/{number}": (DATA[number : MIB // 10],) for number in range(10)},
}
#: What may be there afterwards besides.
NEW = {
    "put": b"n" * 300_000,
    "empty": b"",
    "moved": b"old",
    "locked-new": b"",
    **{f"copy/{number}": DATA[number : MIB // 10] for number in range(10)},
    **{f"new-{number}": b"n" * 3000 for number in range(50)},
}


async def populate(disk: Small) -> None:
    assert (await disk.client.request("MKCOL", "/folder")).status == 201
    for name, contents in STANDING.items():
        assert await disk.put(f"/{name}", contents[0]) == 201
    assert (await disk.client.request("PROPPATCH", "/folder", PROPERTY.format("mine"))).status == 207


async def change(disk: Small, name: str) -> bool:
    """True if it was done, or parts of it; False if it was refused for want of room. Nothing else may happen."""
    method, target, body, headers = CHANGES[name]
    if method == "POST":
        answer = await disk.client.post("/", [form_part(f"new-{number}", b"n" * 3000) for number in range(50)])
        assert answer.status == FULL or {*answer.statuses} <= {201, 204, FULL}
        return answer.status == 207 and FULL not in answer.statuses
    answer = await disk.client.request(method, target, body.encode() or None, **headers)
    if answer.status == FULL or b"HTTP/1.1 507" in answer.body:
        return False
    assert answer.status < 300, (name, answer)
    if method == "LOCK":
        unlocked = await disk.client.request("UNLOCK", target, Lock_Token=answer.headers["Lock-Token"])
        assert unlocked.status == 204
    if method == "MOVE":
        assert (await disk.client.request("MOVE", "/moved", Destination="/moving")).status == 201
    return True


async def check_whole(disk: Small) -> None:
    """Nothing is half-written: every name has the contents of before, or those of the request."""
    for name, contents in STANDING.items():
        assert (disk.folder / name).read_bytes() in contents, name
    for name, content in NEW.items():
        if (disk.folder / name).exists():
            assert (disk.folder / name).read_bytes() == content, name
    known = {name.partition("/")[0] for name in (*STANDING, *NEW)} | {"made"}
    assert {name for name in disk.names() if not name.startswith("inode")} <= known
    found = await disk.client.request("PROPFIND", "/folder", Depth="0")
    assert b">mine</" in found.body
    assert not disk.staged()


async def check_alive(disk: Small) -> None:
    """After room has returned everything works again."""
    for name in disk.names() - {name.partition("/")[0] for name in STANDING}:
        assert (await disk.client.request("DELETE", f"/{name}")).status == 204
    for name in CHANGES:
        assert await change(disk, name), name
    await check_whole(disk)


async def test_no_room(small: Start) -> None:
    disk = await small()
    await populate(disk)
    disk.fill()
    for name in CHANGES:
        done = await change(disk, name)
        assert not (done and name in ("COPY", "COPY onto", "PUT", "PUT onto", "POST")), name
        await check_whole(disk)
        disk.fill()
    # Nothing but a deletion makes room: it works without.
    assert (await disk.client.request("DELETE", "/filler")).status == 204
    await check_alive(disk)
    filler = disk.fill()
    assert (await disk.client.request("DELETE", "/copy")).status == 204
    assert (await disk.client.request("PROPFIND", "/copy")).status == 404
    disk.fill()
    assert not await change(disk, "COPY")
    filler.unlink()
    await check_alive(disk)


async def test_no_inodes(small: Start) -> None:
    disk = await small(inodes=100)
    await populate(disk)
    made = disk.use_up_inodes()
    for name in CHANGES:
        done = await change(disk, name)
        assert not (done and name in ("COPY", "MKCOL", "PUT", "PUT onto", "POST")), name
        await check_whole(disk)
        made += disk.use_up_inodes()
    assert (await disk.client.request("DELETE", f"/{made.pop().name}")).status == 204
    assert await disk.put("/put", NEW["put"]) == 201
    for path in made:
        path.unlink(missing_ok=True)
    await check_alive(disk)
