"""Memory at scale: the peak of partwise's process in each of four situations that tempt a server to hold everything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driving import Tally
from benchmarks.peers import PARTWISE, NotStarted, Running, serving
from benchmarks.report import aligned
from benchmarks.rounds import Say, Wrong, run_job

_MIB = 1024**2
#: No situation may need more resident memory than this, in bytes.
LIMIT = 120 * _MIB
#: Room on the disk that must be left beside the large item.
_SPARE = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class ScaleSizes:
    """``large`` in bytes, a multiple of 1 MiB; ``items`` of ``item_size`` bytes."""

    large: int = 5 * 1024 * _MIB
    items: int = 100_000
    item_size: int = 16


SMALL_SCALE = ScaleSizes(large=256 * _MIB, items=10_000)


@dataclass(frozen=True, slots=True)
class Peak:
    """``bytes`` resident at most, ``seconds`` the job took; ``problem`` is empty if all was well."""

    name: str
    bytes: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def within(self) -> bool:
        return not self.problem and self.bytes <= LIMIT


def scale(sizes: ScaleSizes, folder: Path, say: Say) -> list[Peak]:
    """Every situation with a server of its own. The listing is of the folder that the batch before it filled."""
    large = f"one item of {sizes.large // _MIB:,} MiB in a batch"
    first = f"{sizes.items:,} items, all sent before the first row is read"
    items = f"{sizes.items:,} items, rows read while sending"
    listing = f"PROPFIND infinity over {sizes.items:,} members"
    place = folder / "scale"

    def fresh(name: str, job: Callable[[Running], Tally], keep: bool = False) -> Peak:
        say(name)
        place.mkdir(exist_ok=True)
        try:
            return _peak(name, place, job)
        finally:
            if not keep:
                shutil.rmtree(place)

    needed = sizes.large + _SPARE
    if shutil.disk_usage(folder).free < needed:
        peaks = [
            Peak(large, problem=f"the disk has less than {needed // _MIB:,} MiB free; choose another with --folder")
        ]
    else:
        peaks = [fresh(large, lambda running: run_job("batch_large", port=running.port, size=sizes.large))]
    many = {"items": sizes.items, "size": sizes.item_size}
    peaks.append(fresh(first, lambda running: run_job("batch", port=running.port, send_first=True, **many)))
    peaks.append(fresh(items, lambda running: run_job("batch", port=running.port, **many), keep=True))
    peaks.append(fresh(listing, lambda running: _list(running, sizes.items)))
    return peaks


def _list(running: Running, members: int) -> Tally:
    return run_job(
        "propfind",
        port=running.port,
        targets=["/"],
        depth="infinity",
        members=members,
        connections=1,
        # Once: there is no time for a second.
        seconds=0,
    )


def _peak(name: str, place: Path, job: Callable[[Running], Tally]) -> Peak:
    try:
        with serving(PARTWISE, place) as running:
            tally = job(running)
            peak = running.peak_memory()
    except (Wrong, NotStarted, OSError) as error:
        return Peak(name, problem=str(error))
    wrong = "; ".join(f"{count} x {what}" for what, count in tally.wrong.items())
    return Peak(name, peak, tally.seconds, wrong)


def scale_text(peaks: Sequence[Peak]) -> str:
    """The table, with problems below it."""
    lines = [["", "peak MiB", "seconds", f"limit {LIMIT // _MIB} MiB"]]
    for peak in peaks:
        verdict = "within" if peak.within else "failed" if peak.problem else "EXCEEDED"
        lines.append([peak.name, f"{peak.bytes / _MIB:.1f}", f"{peak.seconds:.1f}", verdict])
    problems = [f"  ! {peak.name}: {peak.problem}" for peak in peaks if peak.problem]
    title = "scale: peak resident memory (VmHWM) of partwise's process, a fresh one for each line"
    return "\n".join([title, aligned(lines), *problems])
