"""Interleaved rounds: every round measures every contender, in a rotated order, on a fresh folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compiled import tool
from benchmarks.driving import Tally
from benchmarks.report import Row, Section
from benchmarks.servers import NotStarted, Running, Server, serving

#: The checkout, from which ``-m benchmarks.load`` is found.
_HOME = Path(__file__).resolve().parent.parent
#: Seconds after which a load generator is ended.
_JOB = 600
_MIB = 1024**2
#: Jobs whose hot loop is in ``drive.c`` where that could be compiled.
_DRIVEN = frozenset({"puts", "gets", "propfind"})
#: With these a server says that it does not do what was asked.
_REFUSALS = frozenset({"status 400", "status 403", "status 405", "status 501"})


class Wrong(Exception):
    """Responses were wrong; the text says how."""


def run_job(job: str, **parameters: Any) -> Tally:
    """Run the load generator in a process of its own. Raises Wrong if it could not be run."""
    command = [sys.executable, "-m", "benchmarks.load"]
    if job in _DRIVEN and (driver := tool("drive")) is not None:
        parameters["driver"] = str(driver)
    text = json.dumps({"job": job, **parameters})
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=_HOME, timeout=_JOB)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{job} took longer than {_JOB} s") from None
    if done.returncode != 0:
        raise Wrong(f"{job}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    record = json.loads(done.stdout)
    return Tally(**record | {"wrong": Counter(record["wrong"])})


def good(tally: Tally) -> Tally:
    """The same. Raises Wrong if any response was wrong."""
    if tally.wrong or not tally.units:
        raise Wrong("; ".join(f"{count} x {what}" for what, count in tally.wrong.items()) or "nothing was answered")
    return tally


def rate(tally: Tally, scale: float = 1.0) -> float:
    """Units per second. Raises Wrong if any response was wrong."""
    return good(tally).units / tally.seconds / scale


def refusal(tally: Tally) -> str | None:
    """What a row says of a server that does not do this at all; None if it does, or fails in another way."""
    if tally.units or not tally.wrong or not tally.wrong.keys() <= _REFUSALS:
        return None
    return f"refuses ({next(iter(tally.wrong))})"


#: By the key of their section: figures, or what stands in place of one.
Figures = Mapping[str, float | str]
#: Measures one contender on a fresh folder.
Measure = Callable[[Path], Figures]


@dataclass(frozen=True, slots=True)
class Contender:
    """``note``, if there is one, says why it is not measured; ``kind`` and ``label`` are those of its row."""

    name: str
    measure: Measure
    durable: str = ""
    note: str = ""
    kind: str = "peer"
    label: str = ""


Say = Callable[[str], None]


def contender(
    server: Server,
    doing: str,
    measure: Callable[[Running, Path], Figures],
    *,
    label: bool = True,
    prepare: Callable[[Path], None] | None = None,
) -> Contender:
    """A server as a contender. The peaks of its processes are taken when it has done everything.

    ``prepare``: what must be in the folder before it starts, since some look at it only now and then.
    """
    version = server.version()
    kind = "ours" if server.label else "floor" if server.name.startswith("floor") else "peer"
    name = " ".join(filter(None, (server.name, version if kind == "peer" else "")))

    def on_folder(folder: Path) -> Figures:
        if prepare is not None:
            prepare(folder)
        with serving(server, folder) as running:
            figures = dict(measure(running, folder))
            peaks = running.peaks()
        return figures | {"peak": max(peaks) / _MIB, "peaks": sum(peaks) / _MIB}

    durable = "yes" if server.durable else "no"
    note = "not installed" if version is None else ""
    label_shown = server.label if label else ""
    return Contender(", ".join(filter(None, (name, doing))), on_folder, durable, note, kind, label_shown)


def interleave(
    sections: Mapping[str, Section], contenders: Sequence[Contender], folder: Path, rounds: int, say: Say
) -> list[Section]:
    """Fill the sections. What the last contender left in the page cache is written back before the next one starts."""
    for each in contenders:
        for section in sections.values():
            row = section.row(each.name, each.durable)
            row.note, row.kind, row.label = each.note, each.kind, each.label
    present = [each for each in contenders if not each.note]
    for number in range(rounds):
        turn = number % len(present)
        for each in present[turn:] + present[:turn]:
            say(f"round {number + 1} of {rounds}: {each.name}")
            _one(sections, each, folder)
    return list(sections.values())


def _one(sections: Mapping[str, Section], each: Contender, folder: Path) -> None:
    place = folder / "served"
    place.mkdir()
    os.sync()
    problem = ""
    figures: dict[str, float | str] = {}
    try:
        figures = dict(each.measure(place))
    except (Wrong, NotStarted, OSError) as error:
        problem = str(error) or type(error).__name__
    finally:
        _put_away(place)
    for key, section in sections.items():
        _enter(section.row(each.name), figures.get(key), figures, problem)


def _put_away(place: Path) -> None:
    """Out of the way of the next contender, and empty; removed with everything else at the end of the run.

    ext4 does not give out the number of an inode that was removed in the last minutes. It looks at one after the other until
    it finds another, so that who comes after a removal of 20,000 files would make new ones five times as slowly.
    """
    for folder, _, files in os.walk(place):
        for name in files:
            with contextlib.suppress(OSError):
                os.truncate(os.path.join(folder, name), 0)
    for number in itertools.count():
        try:
            place.rename(place.with_name(f"done-{number}"))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return


def _enter(row: Row, value: float | str | None, figures: Figures, problem: str) -> None:
    if problem:
        row.problems.append(problem)
    if isinstance(value, str):
        row.note, value = value, None
    # A contender without a figure for a section (a floor has none for GET) leaves its row empty.
    row.values.append(value)
    for name, peaks in (("peak", row.peaks), ("peaks", row.all_peaks)):
        if isinstance(peak := figures.get(name), float):
            peaks.append(peak)


def reading(sections: list[Section]) -> list[Section]:
    """Durability is no question where nothing is written."""
    for section in sections:
        for row in section.rows:
            row.durable = ""
    return sections


def measured(section: Section) -> Section:
    """Without the rows of contenders that have nothing to do with it."""
    section.rows = [row for row in section.rows if row.good or row.note or row.problems]
    return section
