"""The workloads, each in interleaved rounds: every round measures every contender, in a rotated order, on a fresh folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.load import BLOCK, Tally, noise
from benchmarks.peers import PARTWISE, PEERS, NotStarted, Running, Server, serving
from benchmarks.report import Section

#: The checkout, from which ``-m benchmarks.load`` is found.
_HOME = Path(__file__).resolve().parent.parent
#: Seconds after which a load generator is ended.
_JOB = 600
_MB = 1e6
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Sizes:
    """``items`` of ``item_size`` bytes; ``members`` of the listed collection; ``seconds`` a round; ``large`` in bytes."""

    items: int = 20_000
    item_size: int = 4096
    members: int = 1_000
    seconds: float = 5.0
    #: A slow peer is judged by what it did in this time.
    put_seconds: float = 30.0
    large: int = _GIB


SMALL = Sizes(items=2_000, members=1_000, seconds=1.5, put_seconds=10.0, large=_GIB // 8)


class Wrong(Exception):
    """Responses were wrong; the text says how."""


def run_job(job: str, **parameters: Any) -> Tally:
    """Run the load generator in a process of its own. Raises Wrong if it could not be run."""
    command = [sys.executable, "-m", "benchmarks.load"]
    text = json.dumps({"job": job, **parameters})
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=_HOME, timeout=_JOB)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{job} took longer than {_JOB} s") from None
    if done.returncode != 0:
        raise Wrong(f"{job}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    record = json.loads(done.stdout)
    return Tally(**record | {"wrong": Counter(record["wrong"])})


def rate(tally: Tally, scale: float = 1.0) -> float:
    """Units per second. Raises Wrong if any response was wrong."""
    if tally.wrong or not tally.units:
        raise Wrong("; ".join(f"{count} x {what}" for what, count in tally.wrong.items()) or "nothing was answered")
    return tally.units / tally.seconds / scale


#: Measures one contender on a fresh folder: figures by the key of their section.
Measure = Callable[[Path], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Contender:
    """``note``, if there is one, says why it is not measured."""

    name: str
    measure: Measure
    durable: str = ""
    note: str = ""


Say = Callable[[str], None]


def interleave(
    sections: Mapping[str, Section], contenders: Sequence[Contender], folder: Path, rounds: int, say: Say
) -> list[Section]:
    """Fill the sections. What the last contender left in the page cache is written back before the next one starts."""
    for contender in contenders:
        for section in sections.values():
            section.row(contender.name, contender.durable).note = contender.note
    present = [contender for contender in contenders if not contender.note]
    for number in range(rounds):
        turn = number % len(present)
        for contender in present[turn:] + present[:turn]:
            say(f"round {number + 1} of {rounds}: {contender.name}")
            _one(sections, contender, folder)
    return list(sections.values())


def _one(sections: Mapping[str, Section], contender: Contender, folder: Path) -> None:
    place = folder / "served"
    place.mkdir()
    os.sync()
    problem, figures = "", {}
    try:
        figures = dict(contender.measure(place))
    except (Wrong, NotStarted, OSError) as error:
        problem = str(error)
    finally:
        shutil.rmtree(place)
    for key, section in sections.items():
        row = section.row(contender.name)
        if problem:
            row.problems.append(problem)
        # A contender without a figure for a section (a floor has none for GET) leaves its row empty.
        row.values.append(figures.get(key))


def _contender(server: Server, doing: str, measure: Callable[[Running, Path], Mapping[str, float]]) -> Contender:
    version = server.version()
    name = " ".join(filter(None, (server.name, version, doing)))

    def on_folder(folder: Path) -> Mapping[str, float]:
        with serving(server, folder) as running:
            return measure(running, folder)

    return Contender(name, on_folder, "yes" if server.durable else "no", "" if version else "not installed")


# -- batch


def batch(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Many small files: one POST against one PUT each."""
    title = f"batch: {sizes.items:,} files of {sizes.item_size:,} bytes (PUTs over 16 kept-alive connections)"
    puts = partial(_measure_puts, sizes)
    contenders = [
        _contender(PARTWISE, "one POST", partial(_measure_batch, sizes)),
        _contender(PARTWISE, "PUTs", puts),
        *(_contender(peer, "PUTs", puts) for peer in PEERS),
        Contender("floor: a loop of open, write, close", partial(_floor_files, sizes, False), "no"),
        Contender("floor: the same, then one sync", partial(_floor_files, sizes, True), "yes"),
    ]
    return interleave({"items": Section(title, "items/s")}, contenders, folder, rounds, say)


def _measure_batch(sizes: Sizes, running: Running, folder: Path) -> Mapping[str, float]:
    tally = run_job("batch", port=running.port, items=sizes.items, size=sizes.item_size)
    _check_files(folder, tally.units)
    return {"items": rate(tally)}


def _measure_puts(sizes: Sizes, running: Running, folder: Path) -> Mapping[str, float]:
    tally = run_job(
        "puts",
        port=running.port,
        items=sizes.items,
        size=sizes.item_size,
        connections=16,
        seconds=sizes.put_seconds,
    )
    _check_files(folder, tally.units)
    return {"items": rate(tally)}


def _check_files(folder: Path, expected: int) -> None:
    with os.scandir(folder) as entries:
        found = sum(entry.name.startswith("item-") for entry in entries)
    if found != expected:
        raise Wrong(f"{expected} files were acknowledged, {found} are there")


def _floor_files(sizes: Sizes, sync: bool, folder: Path) -> Mapping[str, float]:
    contents = noise(sizes.item_size)
    start = time.perf_counter()
    for number in range(sizes.items):
        with open(folder / f"item-{number:06}.bin", "xb", buffering=0) as file:
            file.write(contents)
    if sync:
        os.sync()
    return {"items": sizes.items / (time.perf_counter() - start)}


# -- propfind


def propfind(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Listings of one collection."""
    title = f"propfind: Depth 1, {sizes.members:,} members, 4 properties, 4 connections, {sizes.seconds:g} s a round"
    measure = partial(_measure_propfind, sizes)
    contenders = [_contender(server, "", measure) for server in (PARTWISE, *PEERS)]
    return _reading(interleave({"responses": Section(title, "responses/s")}, contenders, folder, rounds, say))


def _reading(sections: list[Section]) -> list[Section]:
    """Durability is no question where nothing is written."""
    for section in sections:
        for row in section.rows:
            row.durable = ""
    return sections


def _measure_propfind(sizes: Sizes, running: Running, folder: Path) -> Mapping[str, float]:
    collection = folder / "many"
    collection.mkdir()
    for number in range(sizes.members):
        (collection / f"member-{number:04}.txt").write_bytes(b"partwise")
    tally = run_job(
        "propfind",
        port=running.port,
        target="/many/",
        depth="1",
        members=sizes.members,
        connections=4,
        requests=100_000,
        seconds=sizes.seconds,
    )
    return {"responses": rate(tally)}


# -- large


def large(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """One large file there and back."""
    size = f"{sizes.large // 1024**2:,} MiB"
    sections = {
        "put": Section(f"large: PUT of {size}", "MB/s"),
        "get": Section(f"large: GET of {size}, from the page cache", "MB/s"),
    }
    measure = partial(_measure_large, sizes)
    contenders = [
        *(_contender(server, "", measure) for server in (PARTWISE, *PEERS)),
        Contender("floor: write", partial(_floor_write, sizes, False), "no"),
        Contender("floor: write, fdatasync", partial(_floor_write, sizes, True), "yes"),
    ]
    interleave(sections, contenders, folder, rounds, say)
    get = sections["get"]
    get.rows = [row for row in get.rows if not row.name.startswith("floor")]
    return [sections["put"], *_reading([get])]


def _measure_large(sizes: Sizes, running: Running, folder: Path) -> Mapping[str, float]:
    parameters = {"port": running.port, "target": "/large.bin", "size": sizes.large}
    put = rate(run_job("put_large", **parameters), _MB)
    if (folder / "large.bin").stat().st_size != sizes.large:
        raise Wrong("the file is not there in full")
    return {"put": put, "get": rate(run_job("get_large", **parameters), _MB)}


def _floor_write(sizes: Sizes, sync: bool, folder: Path) -> Mapping[str, float]:
    block = noise(BLOCK)
    start = time.perf_counter()
    with open(folder / "large.bin", "xb", buffering=0) as file:
        for _ in range(sizes.large // BLOCK):
            file.write(block)
        if sync:
            os.fdatasync(file.fileno())
    return {"put": sizes.large / (time.perf_counter() - start) / _MB}


WORKLOADS: dict[str, Callable[[Sizes, Path, int, Say], list[Section]]] = {
    "batch": batch,
    "propfind": propfind,
    "large": large,
}
