"""``python -m benchmarks``: measure, print, clean up, stop."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import compiled, workloads
from benchmarks.fair import fair
from benchmarks.listing import SMALL_TREE, Listed, TreeSizes, listings, listings_text
from benchmarks.million import MILLION, SMALL_MILLION, Cost, million, million_text
from benchmarks.peers import PARTWISE, PEERS
from benchmarks.push import push, push_text
from benchmarks.report import Section, as_json, failed, section_text
from benchmarks.scale import LIMIT, SMALL_SCALE, Peak, ScaleSizes, scale, scale_text
from benchmarks.servers import cpus
from benchmarks.targets import targets_text
from benchmarks.workloads import SMALL, Sizes

WORKLOADS = {**workloads.WORKLOADS, "fair": fair}
#: File systems on which a sync costs nothing.
_MEMORY = ("tmpfs", "ramfs")
_DURABLE = (
    "durable: a success from partwise durable means that bytes and names are on stable storage (fsync); partwise os and\n"
    "the peers answer when they are in the page cache. ratio: how many times the figure of that line the first line's (or\n"
    "that of the line it names) is, median over rounds. peak MiB: of the server's largest process; all: of all of them."
)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure partwise side by side with other servers."
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(WORKLOADS)}; all if none is named"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of each workload (3; with --small and of --push 1)"
    )
    parser.add_argument("--small", action="store_true", help="smaller sizes, for a quick look")
    parser.add_argument(
        "--scale", action="store_true", help="measure memory and a million files; exit code 1 above a limit"
    )
    parser.add_argument("--push", action="store_true", help="measure `partwise push` against `rclone copy` instead")
    parser.add_argument("--files", type=int, default=20_000, metavar="N", help="how many files --push sends (20000)")
    parser.add_argument("--folder", type=Path, help="where to put the data (a temporary folder); 7 GiB for --scale")
    parser.add_argument("--also", type=Path, metavar="DIR", help="the same there afterwards, as /dev/shm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload {unknown.pop()!r}")
    if options.rounds is None:
        options.rounds = 1 if options.push or options.small else 3
    if options.rounds < 1 or options.files < 1:
        parser.error("--rounds and --files must be 1 or more")
    if options.push and (options.scale or options.workloads):
        parser.error("--push runs by itself")
    if options.also and (options.push or options.scale):
        parser.error("--also is for workloads")
    if PARTWISE.version() is None:
        parser.error("partwise is not installed in this environment (pip install -e .)")
    return options


def _file_system(folder: Path) -> str:
    """The type of the file system that holds ``folder``."""
    best, kind = "", "unknown"
    mounts = Path("/proc/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, point, found, *_ = line.split()
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _header(folder: Path) -> dict[str, str]:
    versions = {server.name: server.version() or "not installed" for server in (PARTWISE, *PEERS)}
    made = "drive.c" if compiled.tool("drive") else "Python (no C compiler)"
    return {
        "CPUs": str(cpus()),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "load generator": made,
    } | versions


def _say(text: str) -> None:
    """Progress goes to standard error, so that standard output is the report alone."""
    print(f"  ... {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class _Found:
    """What a run found; ``within``: nothing exceeded a limit of --scale."""

    sections: list[Section] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)

    @property
    def within(self) -> bool:
        lines: list[Peak | Listed | Cost] = [*self.peaks, *self.listed, *self.costs]
        return all(line.within for line in lines)


def _measure(options: argparse.Namespace, folder: Path) -> _Found:
    found = _Found()
    if options.scale:
        found.peaks = scale(SMALL_SCALE if options.small else ScaleSizes(), folder, _say)
        print(f"\n{scale_text(found.peaks)}", flush=True)
        found.listed = listings(SMALL_TREE if options.small else TreeSizes(), folder, _say)
        print(f"\n{listings_text(found.listed)}", flush=True)
        found.costs = million(SMALL_MILLION if options.small else MILLION, folder, _say)
        print(f"\n{million_text(found.costs)}", flush=True)
        return found
    print(f"\n{_DURABLE}", flush=True)
    if options.push:
        section, files = push(options.files, folder, options.rounds, _say)
        print(f"\n{push_text(section, files)}", flush=True)
        found.sections = [section]
        return found
    for name in options.workloads or WORKLOADS:
        _say(name)
        done = WORKLOADS[name](SMALL if options.small else Sizes(), folder, options.rounds, _say)
        print("".join(f"\n{section_text(section)}\n" for section in done), end="", flush=True)
        found.sections += done
    if said := targets_text(found.sections, _file_system(folder) in _MEMORY):
        print(f"\n{said}", flush=True)
    return found


def _run(options: argparse.Namespace, base: Path) -> tuple[dict[str, str], _Found]:
    """Everything in one place, which is as it was afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="partwise-benchmarks-", dir=base)).resolve()
    try:
        header = _header(folder)
        print("\n".join(f"{name}: {value}" for name, value in header.items()), flush=True)
        return header, _measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 if any response was wrong, an installed server did not run, or something exceeded its limit."""
    options = _arguments(arguments)
    # So that being told to stop runs every finally: servers are stopped and data is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    records, good = [], True
    with tempfile.TemporaryDirectory(prefix="partwise-benchmarks-tools-") as tools:
        # Some servers give root away, and one of them is built here.
        Path(tools).chmod(0o755)
        compiled.build(Path(tools))
        for base in filter(None, (options.folder or Path(tempfile.gettempdir()), options.also)):
            header, found = _run(options, base)
            good = good and found.within and not failed(found.sections)
            records.append(_record(header, found))
    if options.json is not None:
        document = records[0] | ({"also": records[1]} if len(records) > 1 else {})
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if good else 1


def _record(header: dict[str, str], found: _Found) -> dict[str, Any]:
    return as_json(header, found.sections) | {
        "scale": [asdict(peak) for peak in found.peaks],
        "limit": LIMIT,
        "listing": [asdict(line) for line in found.listed],
        "million": [asdict(cost) for cost in found.costs],
    }


if __name__ == "__main__":
    raise SystemExit(main())
