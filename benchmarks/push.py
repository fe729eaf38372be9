"""``--push``: a folder of many real small files on its way to a server, by whole programs, from their start to their exit.

``partwise push`` against ``rclone copy`` to the same server and to Apache mod_dav.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.peers import APACHE, PARTWISE, Running, Server, script, serving
from benchmarks.report import Row, Section, aligned, figure, ratio
from benchmarks.rounds import Contender, Say, Wrong, interleave

#: Where real small files are looked for, in this order; what is not there is passed over.
ROOTS = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "/usr/share", "/usr/include", "/usr/lib")
#: Bytes that a small file has at most.
SMALL_FILE = 64 * 1024
#: Seconds after which a program is ended.
_PROGRAM = 1800
_PACE = "--webdav-pacer-min-sleep"
#: Folders that servers keep for themselves beside what they serve, and what Python writes at any time.
_NOT_OURS = frozenset({".partwise", ".DAV", "__pycache__"})


def find_small(roots: Iterable[str], most: int) -> Iterator[tuple[Path, Path]]:
    """The first ``most`` small regular files of some trees, in the order of their names; each file once.

    Pairs: the file, and its path from the folder that holds its root.
    """
    seen: set[tuple[int, int]] = set()
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(set(folders) - _NOT_OURS)
            for name in sorted(files):
                if len(seen) == most:
                    return
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                    # Some servers take no name that is not UTF-8.
                    path.encode()
                except (OSError, UnicodeEncodeError):
                    continue
                inode = status.st_dev, status.st_ino
                small = stat.S_ISREG(status.st_mode) and status.st_size <= SMALL_FILE
                if small and inode not in seen and os.access(path, os.R_OK):
                    seen.add(inode)
                    yield Path(path), Path(path).relative_to(Path(root).parent)


def plant(files: Iterable[tuple[Path, Path]], folder: Path) -> None:
    """Copies of the files below ``folder``, under the paths beside them."""
    for file, path in files:
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def tree(folder: Path) -> dict[str, int]:
    """The sizes of all files below ``folder`` but a server's own, by their relative names."""
    found: dict[str, int] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = set(folders) - _NOT_OURS
        for name in files:
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = os.lstat(path).st_size
    return found


def check_arrived(source: Path, served: Path) -> int:
    """How many files arrived. Raises Wrong if one is missing, differs in size, or is too many."""
    sent, there = tree(source), tree(served)
    if wrong := [name for name, size in sent.items() if there.get(name) != size]:
        raise Wrong(f"{len(wrong)} of {len(sent)} files did not arrive as they were, {wrong[0]!r} for one")
    if len(there) > len(sent):
        raise Wrong(f"{len(there) - len(sent)} files are there that nobody sent")
    return len(sent)


#: From a folder of files to the running server: a command line.
Program = Callable[[Path, Running], list[str]]


def _push(source: Path, running: Running) -> list[str]:
    return [sys.executable, "-m", "partwise.cli", "push", f"{source}/", f"http://127.0.0.1:{running.port}/"]


def _rclone(options: Sequence[str], source: Path, running: Running) -> list[str]:
    command = [script("rclone"), "copy", "--config", os.devnull, "--webdav-url", f"http://127.0.0.1:{running.port}/"]
    return [*command, *options, str(source), ":webdav:"]


def _ask_rclone(*arguments: str) -> str:
    try:
        return subprocess.run([script("rclone"), *arguments], capture_output=True, text=True, timeout=60).stdout
    except FileNotFoundError:
        return ""


def _rclones() -> list[tuple[str, Program]]:
    """rclone as fast as it can be told to go, and as it comes; its name has its version, if it is installed."""
    version = re.match(r"rclone v\S+", _ask_rclone("version"))
    name = version[0].replace(" v", " ") if version else "rclone"
    fast = ["--transfers", "16"]
    # It begins 100 requests a second at most; from version 1.63 on that can be changed.
    if _PACE in _ask_rclone("help", "flags"):
        fast += [_PACE, "0s"]
    return [(f"{name} copy {' '.join(fast)}", partial(_rclone, fast)), (f"{name} copy", partial(_rclone, ()))]


def run(command: Sequence[str]) -> float:
    """Seconds from the start of the program to its exit. Raises Wrong if it failed."""
    start = time.perf_counter()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROGRAM)
    except subprocess.TimeoutExpired:
        raise Wrong(f"took longer than {_PROGRAM} s") from None
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Wrong(f"exit code {done.returncode}" + (f": {said[-1]}" if said else ""))
    return seconds


def push(files: int, folder: Path, rounds: int, say: Say) -> tuple[Section, int]:
    """A section in files a second, and the number of files that were found."""
    source = folder / "source"
    say("collecting files")
    plant(find_small(ROOTS, files), source)
    sizes = tree(source)
    fewer = "" if len(sizes) == files else f" (of {files:,} wanted; there are no more here)"
    folders = sum(len(below) for _, below, _ in os.walk(source))
    title = (
        f"push: {len(sizes):,} real files of 64 KiB at most{fewer}, {sum(sizes.values()) / 1e6:.0f} MB in {folders:,} "
        "folders, to an empty server"
    )
    absent = "" if _ask_rclone("version") else "no rclone"
    contenders = [
        _contender(source, PARTWISE, "partwise push", _push, ""),
        Contender("floor: cp -r", partial(_copy, source, False), "no"),
        Contender("floor: cp -r, then one sync", partial(_copy, source, True), "yes"),
        # The slowest last: the others are measured within a few minutes.
        *(_contender(source, server, name, copy, absent) for name, copy in _rclones() for server in (PARTWISE, APACHE)),
    ]
    section = Section(title, "files/s")
    interleave({"files": section}, contenders, folder, rounds, say)
    return section, len(sizes)


def _contender(source: Path, server: Server, name: str, program: Program, absent: str) -> Contender:
    version = server.version()

    def measure(folder: Path) -> Mapping[str, float]:
        with serving(server, folder) as running:
            seconds = run(program(source, running))
            return {"files": check_arrived(source, folder) / seconds}

    note = absent or ("" if version else "not installed")
    return Contender(f"{name} to {server.name}", measure, "yes" if server.durable else "no", note)


def _copy(source: Path, sync: bool, folder: Path) -> Mapping[str, float]:
    copying = ["cp", "-r", f"{source}/.", str(folder)]
    seconds = run(["sh", "-c", '"$@" && sync', "sh", *copying] if sync else copying)
    return {"files": check_arrived(source, folder) / seconds}


def push_text(section: Section, files: int) -> str:
    """The table, with problems below it: medians of seconds, and of files a second."""
    lines = [["", "seconds", "files/s", "durable", "ratio"]]
    first = section.rows[0]
    for row in section.rows:
        lines.append([row.name, *_figures(row, files), row.durable, _times(first, row)])
    problems = [f"  ! {row.name}: {problem}" for row in section.rows for problem in dict.fromkeys(row.problems)]
    return "\n".join([section.title, aligned(lines), *problems])


def _figures(row: Row, files: int) -> list[str]:
    if not row.good:
        return [row.note or "failed", ""]
    return [f"{median(files / rate for rate in row.good):.1f}", figure(median(row.good))]


def _times(first: Row, row: Row) -> str:
    times = None if row is first else ratio(first, row)
    return "" if times is None else f"{figure(times)}x"
