"""The workloads: what each contender is asked to do, and what must be true afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.compiled import tool
from benchmarks.driving import Tally, noise
from benchmarks.floors import large_file, loop, small_files
from benchmarks.peers import BARE, PEERS, partwise
from benchmarks.report import Section
from benchmarks.rounds import (
    Contender,
    Figures,
    Say,
    Wrong,
    contender,
    good,
    interleave,
    measured,
    rate,
    reading,
    refusal,
    run_job,
)
from benchmarks.servers import Running, Server, cpus

_MB = 1e6
_GIB = 1024**3
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Sizes:
    """``items`` of ``item_size`` bytes; ``seconds`` for each question of a round; ``large`` in bytes.

    ``members`` of each of ``collections`` that are listed with depth 1; ``deep`` collections of ``deep_members``.
    """

    items: int = 20_000
    item_size: int = 4096
    seconds: float = 3.0
    #: A slow peer is judged by what it did in this time.
    put_seconds: float = 15.0
    #: More than any server stores in ``seconds``.
    most_puts: int = 60_000
    read: int = 1_000
    members: int = 1_000
    collections: int = 64
    deep: int = 200
    deep_members: int = 99
    large: int = _GIB


SMALL = Sizes(items=2_000, seconds=0.6, put_seconds=3.0, most_puts=10_000, collections=16, deep=20, large=_GIB // 8)


#: Uploads at once, as many as ``partwise push`` sends.
POSTS = 4


def _ours(workers: int) -> list[Server]:
    return [partwise(workers), partwise(workers, "os")]


# -- batch


def batch(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Many small files: one POST, and a few at once as ``partwise push`` sends them, against one PUT each."""
    title = f"batch: {sizes.items:,} files of {sizes.item_size:,} bytes (PUTs over 16 kept-alive connections)"
    puts = partial(_measure_puts, sizes)
    contenders = [
        *(contender(server, "one POST", partial(_measure_batch, sizes, 1)) for server in _ours(1)),
        *(
            contender(server, f"{POSTS} POSTs at once", partial(_measure_batch, sizes, POSTS))
            for server in _ours(cpus())
        ),
        *(contender(server, "PUTs", puts, label=False) for server in _ours(cpus())),
        *(contender(peer, "PUTs", puts) for peer in PEERS),
        *small_files("items", sizes.items, sizes.item_size, 256),
    ]
    return interleave({"items": Section(title, "items/s", key="batch")}, contenders, folder, rounds, say)


def _measure_batch(sizes: Sizes, posts: int, running: Running, folder: Path) -> Figures:
    tally = run_job("batch", port=running.port, items=sizes.items, size=sizes.item_size, posts=posts)
    _check_files(folder, "item-", tally.units)
    return {"items": rate(tally)}


def _measure_puts(sizes: Sizes, running: Running, folder: Path) -> Figures:
    return {"items": _puts(sizes, running, folder, "item-", sizes.items, 16, sizes.put_seconds)}


def _puts(
    sizes: Sizes, running: Running, folder: Path, prefix: str, items: int, connections: int, seconds: float
) -> float:
    tally = run_job(
        "puts",
        port=running.port,
        prefix=f"/{prefix}",
        items=items,
        size=sizes.item_size,
        connections=connections,
        seconds=seconds,
    )
    _check_files(folder, prefix, tally.units)
    return rate(tally)


def _check_files(folder: Path, prefix: str, expected: int) -> None:
    with os.scandir(folder) as entries:
        found = sum(entry.name.startswith(prefix) for entry in entries)
    if found != expected:
        raise Wrong(f"{expected} files were acknowledged, {found} are there")


# -- small requests


def small(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Single PUTs and GETs."""
    size, each = f"{sizes.item_size:,} bytes", f"{sizes.seconds:g} s a round"
    sections = {
        "put16": Section(f"small: PUT of {size}, 16 connections, {each}", "requests/s", key="put16"),
        "put64": Section(f"small: PUT of {size}, 64 connections, {each}", "requests/s", key="put64"),
        "get": Section(f"small: GET of {size}, {sizes.read:,} files, 16 connections, {each}", "requests/s", key="get"),
    }
    measure, prepare = partial(_measure_small, sizes), partial(_plant_read, sizes)
    contenders = [
        *(contender(server, "", measure, prepare=prepare) for server in (*_ours(cpus()), *PEERS)),
        *small_files("put16", min(sizes.items, 5_000), sizes.item_size, 16),
        contender(BARE, "", partial(_measure_gets, sizes), prepare=prepare),
    ]
    interleave(sections, contenders, folder, rounds, say)
    return [measured(sections["put16"]), measured(sections["put64"]), *reading([measured(sections["get"])])]


def _measure_small(sizes: Sizes, running: Running, folder: Path) -> Figures:
    figures = {
        f"put{connections}": _puts(
            sizes, running, folder, f"of-{connections}-", sizes.most_puts, connections, sizes.seconds
        )
        for connections in (16, 64)
    }
    return {**figures, **_measure_gets(sizes, running, folder)}


def _plant_read(sizes: Sizes, folder: Path) -> None:
    contents = noise(sizes.item_size)
    (folder / "read").mkdir()
    for number in range(sizes.read):
        (folder / "read" / f"{number:06}.bin").write_bytes(contents)


def _measure_gets(sizes: Sizes, running: Running, folder: Path) -> Figures:
    tally = run_job(
        "gets",
        port=running.port,
        prefix="/read/",
        items=sizes.read,
        size=sizes.item_size,
        connections=16,
        seconds=sizes.seconds,
    )
    return {"get": rate(tally)}


# -- propfind


def plant(place: Path, collections: int, members: int) -> None:
    """``collections`` with ``members`` files of 8 bytes each."""
    place.mkdir()
    if tool("floor") is not None:
        loop("plant", place, collections, members, 8)
        return
    for collection in range(collections):
        (path := place / f"collection-{collection:05}").mkdir()
        for member in range(members):
            (path / f"member-{member:04}.txt").write_bytes(b"partwise")


def propfind(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Listings of collections with and without a chance to remember them, and of a whole tree."""
    resources = sizes.deep * (1 + sizes.deep_members)
    each = f"4 properties, 4 connections, {sizes.seconds:g} s a round"
    one, deep = f"Depth 1, {sizes.members:,} members", f"Depth infinity over {resources:,} resources"
    sections = {
        "disk": Section(
            f"propfind: {one}, straight from disk: {sizes.collections} collections in turn, each changed since it was "
            f"listed last, {each}",
            "responses/s",
            key="disk",
        ),
        "again": Section(
            f"propfind: {one}, once listed: the same collection again, {each}", "responses/s", key="again"
        ),
        "infinity": Section(f"propfind: {deep} in {sizes.deep} collections, {each}", "responses/s", key="infinity"),
        "first": Section(
            f"propfind: {deep}, time to the first byte of the first answer", "ms", key="first", lower=True
        ),
    }
    trees = folder / "trees"
    trees.mkdir()
    say("trees to list")
    # One more, which is never changed: its answers all have the same length.
    plant(trees / "many", sizes.collections + 1, sizes.members)
    plant(trees / "deep", sizes.deep, sizes.deep_members)

    def measure(server: Server) -> Contender:
        made = contender(server, "", partial(_measure_propfind, sizes))
        return Contender(made.name, partial(_with_trees, trees, made.measure), "", made.note, made.kind, made.label)

    contenders = [measure(server) for server in (partwise(cpus()), *PEERS)]
    if tool("floor") is not None:
        floor = partial(_with_trees, trees, partial(_floor_listing, sizes))
        contenders.append(Contender("floor: C loop of getdents, statx, snprintf", floor, kind="floor"))
    try:
        interleave(sections, contenders, folder, rounds, say)
    finally:
        shutil.rmtree(trees)
    return [measured(section) for section in sections.values()]


@contextmanager
def _lent(trees: Path, folder: Path) -> Iterator[None]:
    """The trees are moved to where they are served, and back."""
    names = os.listdir(trees)
    for name in names:
        os.rename(trees / name, folder / name)
    try:
        yield
    finally:
        for name in names:
            os.rename(folder / name, trees / name)


def _with_trees(trees: Path, measure: Callable[[Path], Figures], folder: Path) -> Figures:
    with _lent(trees, folder):
        return measure(folder)


def _measure_propfind(sizes: Sizes, running: Running, folder: Path) -> Figures:
    resources = sizes.deep * (1 + sizes.deep_members)
    # What a first request loads is no part of what a listing needs.
    nothing = {"port": running.port, "asked": "prop", "members": 0, "marked": 0, "value": 1_000}
    good(run_job("listing", target="/many/collection-00000/member-0000.txt", depth="0", **nothing))
    first = run_job("listing", target="/deep/", depth="infinity", **nothing | {"members": resources})
    figures: dict[str, float | str] = {"first": refusal(first) or good(first).first_byte * 1000}
    common = {"port": running.port, "connections": 4, "seconds": sizes.seconds}
    one = {**common, "depth": "1", "members": sizes.members}
    names = [f"collection-{number:05}" for number in range(sizes.collections)]
    half = sizes.collections // 2
    changed = [str(folder / "many" / name / "member-0007.txt") for name in (*names[half:], *names[:half])]
    disk = run_job("propfind", targets=[f"/many/{name}/" for name in names], touches=changed, **one)
    figures["disk"] = refusal(disk) or rate(disk)
    again = run_job("propfind", targets=[f"/many/collection-{sizes.collections:05}/"], **one)
    figures["again"] = refusal(again) or rate(again)
    if isinstance(figures["first"], str):
        return figures | {"infinity": figures["first"]}
    deep = run_job("propfind", targets=["/deep/"], depth="infinity", members=resources, **common)
    return figures | {"infinity": rate(deep)}


def _floor_listing(sizes: Sizes, folder: Path) -> Figures:
    figure = loop("list", folder / "many/collection-00000", sizes.seconds)
    return {"disk": figure, "again": figure}


# -- large


def large(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """One large file there and back."""
    size = f"{sizes.large // _MIB:,} MiB"
    sections = {
        "put": Section(f"large: PUT of {size}", "MB/s", key="put"),
        "fetch": Section(f"large: GET of {size}, from the page cache", "MB/s", key="fetch"),
    }
    digests = partial(_measure_put_large, sizes, True)
    contenders = [
        *(contender(server, "", partial(_measure_large, sizes)) for server in _ours(1)),
        *(contender(server, "Repr-Digest checked", digests, label=False) for server in _ours(1)),
        *(contender(server, "", partial(_measure_large, sizes)) for server in PEERS),
        *large_file("put", sizes.large),
        contender(BARE, "", partial(_measure_bare, sizes)),
    ]
    interleave(sections, contenders, folder, rounds, say)
    return [measured(sections["put"]), *reading([measured(sections["fetch"])])]


def _measure_large(sizes: Sizes, running: Running, folder: Path) -> Figures:
    return {**_measure_put_large(sizes, False, running, folder), "fetch": rate(_fetch(sizes, running), _MB)}


def _measure_put_large(sizes: Sizes, digest: bool, running: Running, folder: Path) -> Figures:
    put = rate(run_job("put_large", port=running.port, target="/large.bin", size=sizes.large, digest=digest), _MB)
    if (folder / "large.bin").stat().st_size != sizes.large:
        raise Wrong("the file is not there in full")
    return {"put": put}


def _fetch(sizes: Sizes, running: Running) -> Tally:
    return run_job("get_large", port=running.port, target="/large.bin", size=sizes.large)


def _measure_bare(sizes: Sizes, running: Running, folder: Path) -> Figures:
    block = noise(_MIB)
    with open(folder / "large.bin", "xb", buffering=0) as file:
        for _ in range(sizes.large // _MIB):
            file.write(block)
    return {"fetch": rate(_fetch(sizes, running), _MB)}


WORKLOADS: dict[str, Callable[[Sizes, Path, int, Say], list[Section]]] = {
    "batch": batch,
    "small": small,
    "propfind": propfind,
    "large": large,
}
