"""A real server killed at random in the midst of uploads, and connections cut at random bytes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.batched import open_archive, standing
from tests.faults.forking import Ask, forking
from tests.faults.uploads import Upload, bad_line, report, send
from tests.test_workers import port_of

TIMES = 200 if os.environ.get("PARTWISE_LONG") == "1" else 25
#: Uploads at once when the server is killed.
AT_ONCE = 3


class Server:
    """``partwise serve``, started by fork from a process that has everything loaded."""

    def __init__(self, ask: Ask, folder: Path) -> None:
        self._ask, self._folder = ask, folder
        self.start()

    def start(self) -> None:
        said = self._ask(serve=str(self._folder))
        self._process, self.port = said["pid"], port_of(said["says"])
        self.killed = False

    def kill(self) -> None:
        if not self.killed:
            self.killed = True
            os.kill(self._process, signal.SIGKILL)

    def ended(self) -> int:
        code = self._ask(end=self._process)
        assert isinstance(code, int)
        return code

    def stop(self) -> None:
        os.kill(self._process, signal.SIGTERM)
        assert self.ended() == 0


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with forking() as asking:
        yield asking


@pytest.fixture
def server(ask: Ask, folder: Path) -> Iterator[Server]:
    found = Server(ask, folder)
    yield found
    found.stop()


def check_nothing_left(folder: Path) -> None:
    [own] = (folder / ".partwise/staging").iterdir()
    assert not list(own.iterdir())
    assert not list(folder.glob(".partwise/transaction*"))


class Trigger:
    """Kills the server when so much has happened."""

    def __init__(self, server: Server, left: int) -> None:
        self._server, self._left = server, left

    def count(self, number: int) -> None:
        self._left -= number
        if self._left <= 0:
            self._server.kill()


async def test_a_server_killed_at_random(server: Server, folder: Path) -> None:
    seeds = random.Random()
    for number in range(TIMES):
        seed = seeds.randrange(1 << 32)
        try:
            await killed_once(server, folder, number, random.Random(seed))
        except BaseException:
            print("seed", seed)
            raise


async def killed_once(server: Server, folder: Path, number: int, chance: random.Random) -> None:
    uploads = [Upload.random(f"killed-in-the-midst-{number}-{each}", chance, folder) for each in range(AT_ONCE)]
    bytes_or_rows = chance.random() < 0.5
    whole = sum(len(upload.body) if bytes_or_rows else len(upload.items) for upload in uploads)
    count = Trigger(server, chance.randrange(1, whole)).count
    counts = {"sent": count} if bytes_or_rows else {"read": count}
    await asyncio.gather(*(send(upload, server.port, **counts) for upload in uploads))
    server.kill()  # rows that a zip or an atomic batch lacks may have been waited for
    assert server.ended() == -signal.SIGKILL
    server.start()
    check_nothing_left(folder)
    for upload in uploads:
        rows, state = await report(server.port, upload.name)
        upload.check(folder, rows, state)
        upload.told = []
        assert await send(upload, server.port) == "complete"
        upload.check_sent_again(folder, rows, upload.told)


async def test_connections_cut_at_random(server: Server, folder: Path) -> None:
    seeds = random.Random()
    for number in range(TIMES):
        seed = seeds.randrange(1 << 32)
        try:
            await cut_once(server, folder, number, random.Random(seed))
        except BaseException:
            print("seed", seed)
            raise
    check_nothing_left(folder)


async def cut_once(server: Server, folder: Path, number: int, chance: random.Random) -> None:
    upload = Upload.random(f"cut-in-the-midst-{number}", chance, folder, atomic=0.5)
    # Also where all items are there, and only the end is missing.
    cut = chance.choice((chance.randrange(len(upload.body)), len(upload.body) - chance.randrange(1, 8)))
    assert await send(upload, server.port, cut=cut, reset=chance.random() < 0.5, dawdle=chance.random() < 0.6) is None
    rows, state = await report(server.port, upload.name)
    while state is None:  # it has asked for the body, so it will make a report
        rows, state = await report(server.port, upload.name)
    assert state == "aborted"
    upload.check(folder, rows, state)
    if upload.atomic:
        assert not upload.good(rows)
        assert standing(folder / upload.name) == standing_of(upload.before)
    upload.told = []
    assert await send(upload, server.port) == "complete"
    upload.check_sent_again(folder, rows, upload.told)


def standing_of(files: dict[str, bytes]) -> dict[str, bytes | str]:
    collections = {str(path): "a collection" for name in files for path in Path(name).parents if path.name}
    return {**files, **collections}


#: Each of so many has its connections cut five times.
PUSHES = TIMES // 5


@pytest.mark.parametrize("atomic", [False, True], ids=["each", "whole"])
async def test_push_finishes_the_job(server: Server, folder: Path, tmp_path: Path, ask: Ask, atomic: bool) -> None:
    seeds = random.Random()
    for number in range(PUSHES - PUSHES // 5 if not atomic else PUSHES // 5):
        seed = seeds.randrange(1 << 32)
        try:
            await pushed_once(server, folder, tmp_path / str(number), random.Random(seed), ask, atomic=atomic)
        except BaseException:
            print("seed", seed)
            raise


async def pushed_once(
    server: Server, folder: Path, source: Path, chance: random.Random, ask: Ask, *, atomic: bool
) -> None:
    for number in range(60):
        path = source / f"d{number % 5}" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(6000)))
    (source / "large").write_bytes(chance.randbytes(300_000))
    total = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    # What is left to send becomes less and less.
    cuts = [chance.randrange(total) if atomic else chance.randrange(total // (2 + place)) for place in range(5)]
    (folder / source.name).mkdir()
    options = ["--atomic"] if atomic else []
    async with bad_line(server.port, cuts, chance) as (line, port):
        url = f"http://127.0.0.1:{port}/{source.name}/"
        code = await asyncio.to_thread(ask, push=[*options, f"{source}/", url])
        assert code == 0
        assert line.uploads > 1
    assert standing(folder / source.name) == standing(source)
    stored = Counter[str]()
    for name, state, rows in reports(folder):
        assert state in ("complete", "aborted"), name
        stored.update(href for href, status in rows if href.startswith(f"/{source.name}/") and status < 300)
    assert set(stored.values()) == {1}, "each was stored once"
    assert len(stored) == 61


def reports(folder: Path) -> Iterator[tuple[str, str, list[tuple[str, int]]]]:
    """All that there are: the id, the state, and href and status of the rows."""
    archive = open_archive(str(folder))
    for path in folder.glob(".partwise/reports/*.ndjson"):
        reader = archive.find(path.stem, None)
        assert reader is not None
        start, rows = 1, []
        while found := reader.rows(start):
            rows += [(row.href, int(row.status)) for row in found]
            start = found[-1].index + 1
        yield path.stem, reader.summary.state, rows
        reader.close()
