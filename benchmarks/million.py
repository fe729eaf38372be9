"""A million files: what single operations, a start and a listing cost there, beside the same at ten thousand."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.listing import FIRST_BYTE, GROWTH
from benchmarks.peers import PARTWISE
from benchmarks.report import aligned
from benchmarks.rounds import Say, Wrong, good, run_job
from benchmarks.servers import NotStarted, Running, serving
from benchmarks.wire import Response, WrongResponse, request
from benchmarks.workloads import plant

_MIB = 1024**2
#: How many times an operation may cost what it costs in the small tree.
TIMES = 2.0
#: Seconds by which a start, up to the first answer, may take longer than with the small tree, after a clean stop.
START = 1.0
#: The median of so many starts.
_STARTS = 3
_LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@dataclass(frozen=True, slots=True)
class MillionSizes:
    """``members`` files in each of ``collections``, and in each of the ``few`` of the tree that is compared with."""

    collections: int
    few: int
    members: int = 100
    #: How often each operation is done in each tree.
    times: int = 200


MILLION = MillionSizes(collections=10_000, few=100)
SMALL_MILLION = MillionSizes(collections=100, few=10, times=30)


@dataclass(frozen=True, slots=True)
class Cost:
    """``found`` against ``limit``, both in ``unit``; ``beside``: the same in the smaller tree. ``problem``: empty if all
    was well."""

    name: str
    found: float = 0.0
    limit: float = 0.0
    unit: str = ""
    beside: float | None = None
    problem: str = ""

    @property
    def within(self) -> bool:
        return not self.problem and self.found <= self.limit


def million(sizes: MillionSizes, folder: Path, say: Say) -> list[Cost]:
    """Two trees with a server each, asked in turn; then starts; then one listing of everything."""
    places = [folder / "few", folder / "million"]
    try:
        for place, collections in zip(places, (sizes.few, sizes.collections), strict=True):
            say(f"{collections * sizes.members:,} files")
            plant(place, collections, sizes.members)
        steps: tuple[Callable[[MillionSizes, Sequence[Path]], list[Cost]], ...] = (_operations, _starts, _listing)
        costs: list[Cost] = []
        for step in steps:
            say(step.__name__.strip("_"))
            try:
                costs += step(sizes, places)
            except (Wrong, WrongResponse, NotStarted, OSError) as error:
                costs.append(Cost(step.__name__.strip("_"), problem=str(error) or type(error).__name__))
        return costs
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)


class _Client:
    """One kept-alive connection, and the seconds of each request on it."""

    def __init__(self, running: Running) -> None:
        self._port = running.port
        self._connection = socket.create_connection(("127.0.0.1", running.port), timeout=60)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, target: str, body: bytes = b"", **fields: str) -> tuple[float, Response]:
        """Raises WrongResponse unless it is a success."""
        whole, response = request(method, target, self._port, len(body), **fields) + body, Response()
        start = time.perf_counter()
        self._connection.sendall(whole)
        while not response.feed(self._connection.recv(65536)):
            pass
        seconds = time.perf_counter() - start
        if not 200 <= response.status < 300:
            raise WrongResponse(f"{method} {target}: status {response.status}")
        return seconds, response

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _clients(places: Sequence[Path]) -> Iterator[list[_Client]]:
    few, million = places
    with serving(PARTWISE, few) as first, serving(PARTWISE, million) as second:
        clients = [_Client(first), _Client(second)]
        try:
            yield clients
        finally:
            for client in clients:
                client.close()


def _operations(sizes: MillionSizes, places: Sequence[Path]) -> list[Cost]:
    names = {"PUT": _put, "LOCK": _lock, "MOVE of a collection": _move}
    costs = []
    with _clients(places) as clients:
        for name, operation in names.items():
            seconds: list[list[float]] = [[], []]
            for turn in range(sizes.times + 5):
                collection = f"/collection-{turn % sizes.few:05}/"
                # Each is the first in every other turn: the second finds the disk busy with what the first one did.
                for number in (0, 1) if turn % 2 else (1, 0):
                    seconds[number].append(operation(clients[number], collection, turn))
            # The first ones load what all others find loaded.
            few, many = (median(spent[5:]) * 1000 for spent in seconds)
            title = f"{name} among {sizes.collections * sizes.members:,} files"
            costs.append(Cost(title, many, few * TIMES, "ms", few))
    return costs


def _put(client: _Client, collection: str, turn: int) -> float:
    return client.ask("PUT", f"{collection}new-{turn}", b"partwise")[0]


def _lock(client: _Client, collection: str, turn: int) -> float:
    seconds, response = client.ask("LOCK", f"{collection}member-0001.txt", _LOCK, Content_Type="application/xml")
    client.ask("UNLOCK", f"{collection}member-0001.txt", Lock_Token=response.field("Lock-Token"))
    return seconds


def _move(client: _Client, collection: str, turn: int) -> float:
    seconds, _ = client.ask("MOVE", collection, Destination="/moved/")
    client.ask("MOVE", "/moved/", Destination=collection)
    return seconds


def _starts(sizes: MillionSizes, places: Sequence[Path]) -> list[Cost]:
    """After a clean stop each."""
    seconds: list[list[float]] = [[], []]
    for _ in range(_STARTS):
        for place, spent in zip(places, seconds, strict=True):
            with serving(PARTWISE, place) as running:
                spent.append(running.started)
    few, many = map(median, seconds)
    return [Cost(f"start with {sizes.collections * sizes.members:,} files", many, few + START, "s", few)]


def _listing(sizes: MillionSizes, places: Sequence[Path]) -> list[Cost]:
    """Memory and the first byte of a listing of each tree, by a server that has answered one request."""
    found = []
    for place, collections in zip(places, (sizes.few, sizes.collections), strict=True):
        with serving(PARTWISE, place) as running:
            # The operations before have left new files.
            members = _resources(place)
            job = {"port": running.port, "connections": 1, "seconds": 0}
            one = "/collection-00000/"
            below = sum(1 for _ in (place / one.strip("/")).iterdir())
            good(run_job("propfind", targets=[one], depth="1", members=below, **job))
            before = running.memory()
            tally = good(run_job("propfind", targets=["/"], depth="infinity", members=members, **job))
            found.append((running.peak_memory() - before, tally))
            if collections == sizes.collections:
                resources = tally.units
    (few_growth, few), (growth, many) = found
    title = f"PROPFIND infinity over {resources:,} resources"
    each = [tally.seconds / tally.units * 1e6 for tally in (many, few)]
    return [
        Cost(f"{title}: growth of the process", growth / _MIB, GROWTH / _MIB, "MiB", few_growth / _MIB),
        Cost(f"{title}: first byte", many.first_byte * 1000, FIRST_BYTE * 1000, "ms", few.first_byte * 1000),
        Cost(f"{title}: each resource", each[0], each[1] * TIMES, "µs", each[1]),
    ]


def _resources(place: Path) -> int:
    found = 0
    for _, folders, files in os.walk(place):
        if ".partwise" in folders:
            folders.remove(".partwise")
        found += len(folders) + len(files)
    return found


def million_text(costs: Sequence[Cost]) -> str:
    """The table, with problems below it."""
    lines = [["", "here", "at a hundredth", "limit", ""]]
    for cost in costs:
        verdict = "within" if cost.within else "failed" if cost.problem else "EXCEEDED"
        beside = "" if cost.beside is None else f"{cost.beside:.2f} {cost.unit}"
        lines.append([cost.name, f"{cost.found:.2f} {cost.unit}", beside, f"{cost.limit:.2f} {cost.unit}", verdict])
    problems = [f"  ! {cost.name}: {cost.problem}" for cost in costs if cost.problem]
    title = "million: what operations cost in a large tree, and in a small one at the same time (medians)"
    return "\n".join([title, aligned(lines), *problems])
