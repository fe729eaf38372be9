"""What the file system, or the bare library, gives in the same minutes: no server can be much faster for long."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmarks.compiled import tool
from benchmarks.driving import BLOCK, noise
from benchmarks.rounds import Contender, Figures, Wrong

#: Seconds that a floor may take.
_PATIENCE = 600
_MB = 1e6


def _run(command: list[str]) -> str:
    """What the program printed. Raises Wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Wrong(str(error)) from None
    if done.returncode != 0:
        raise Wrong(f"{Path(command[0]).name}: {done.stderr.strip()}")
    return done.stdout


def loop(how: str, folder: Path, *numbers: float) -> float:
    """Units a second of one loop of ``floor.c``. Raises Wrong."""
    arguments = [f"{number:g}" if number < 1e5 else str(int(number)) for number in numbers]
    units, seconds = _run([str(tool("floor")), how, str(folder), *arguments, *["0"] * (3 - len(numbers))]).split()
    return int(units) / float(seconds)


def small_files(key: str, items: int, size: int, group: int) -> list[Contender]:
    """Floors of storing small files: C loops where there is a compiler, Python's otherwise."""
    if tool("floor") is None:
        return [
            _floor("Python loop of open, write, close", partial(_python_files, key, items, size, False), "no"),
            _floor("the same, then one sync", partial(_python_files, key, items, size, True), "yes"),
        ]

    def measure(how: str, by: int, folder: Path) -> Figures:
        return {key: loop(how, folder, items, size, by)}

    durable = f"one syncfs and fsync per {group}"
    return [
        _floor("C loop of open, write, close", partial(measure, "plain", 0), "no"),
        _floor("C loop of create, write, rename", partial(measure, "rename", 0), "no"),
        _floor(f"C loop of O_TMPFILE, write, linkat, {durable}", partial(measure, "link", group), "yes"),
        _floor(f"C loop of create, write, rename, {durable}", partial(measure, "rename", group), "yes"),
    ]


def _floor(name: str, measure: partial[Figures], durable: str) -> Contender:
    return Contender(f"floor: {name}", measure, durable, kind="floor")


def _python_files(key: str, items: int, size: int, sync: bool, folder: Path) -> Figures:
    contents = noise(size)
    start = time.perf_counter()
    for number in range(items):
        with open(folder / f"item-{number:06}.bin", "xb", buffering=0) as file:
            file.write(contents)
    if sync:
        os.sync()
    return {key: items / (time.perf_counter() - start)}


def large_file(key: str, size: int) -> list[Contender]:
    """Floors of storing one large file: our own write loop, ``dd`` and ``cp``."""
    floors = [
        _floor("write", partial(_write, key, size, False), "no"),
        _floor("write, fdatasync", partial(_write, key, size, True), "yes"),
    ]
    if shutil.which("dd"):
        floors.append(_floor("dd conv=fdatasync", partial(_dd, key, size), "yes"))
    if shutil.which("cp"):
        floors.append(_floor("cp", partial(_cp, key, size), "no"))
    return floors


def _write(key: str, size: int, sync: bool, folder: Path) -> Figures:
    block = noise(BLOCK)
    start = time.perf_counter()
    with open(folder / "large.bin", "xb", buffering=0) as file:
        for _ in range(size // BLOCK):
            file.write(block)
        if sync:
            os.fdatasync(file.fileno())
    return {key: size / (time.perf_counter() - start) / _MB}


def _dd(key: str, size: int, folder: Path) -> Figures:
    start = time.perf_counter()
    _run(["dd", "if=/dev/zero", f"of={folder / 'large.bin'}", "bs=1M", f"count={size // BLOCK}", "conv=fdatasync"])
    return {key: size / (time.perf_counter() - start) / _MB}


def _cp(key: str, size: int, folder: Path) -> Figures:
    _write(key, size, True, folder)
    start = time.perf_counter()
    # Without a reflink, which copies nothing.
    _run(["cp", "--reflink=never", str(folder / "large.bin"), str(folder / "copy.bin")])
    return {key: size / (time.perf_counter() - start) / _MB}
