"""``python -m benchmarks``: measure, print, clean up, stop."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.listing import SMALL_TREE, Listed, TreeSizes, listings, listings_text
from benchmarks.peers import APACHE, PARTWISE, PEERS
from benchmarks.push import push, push_text
from benchmarks.report import Section, as_json, failed, section_text
from benchmarks.scale import LIMIT, SMALL_SCALE, Peak, ScaleSizes, scale, scale_text
from benchmarks.workloads import SMALL, WORKLOADS, Sizes

_DURABLE = (
    "durable: a success from partwise means that bytes and names are on stable storage (fsync); the peers answer when\n"
    "they are in the page cache. ratio: how many times the figure of that line the first line's is, median over rounds."
)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(WORKLOADS)}; all if none is named"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each workload (3; of --push 1)")
    parser.add_argument("--small", action="store_true", help="smaller sizes, for a quick look")
    parser.add_argument("--scale", action="store_true", help="measure memory instead; exit code 1 above a limit")
    parser.add_argument("--push", action="store_true", help="measure `partwise push` against `rclone copy` instead")
    parser.add_argument("--files", type=int, default=20_000, metavar="N", help="how many files --push sends (20000)")
    parser.add_argument("--folder", type=Path, help="where to put the data (a temporary folder); 7 GiB for --scale")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload {unknown.pop()!r}")
    if options.rounds is None:
        options.rounds = 1 if options.push else 3
    if options.rounds < 1 or options.files < 1:
        parser.error("--rounds and --files must be 1 or more")
    if options.push and (options.scale or options.workloads):
        parser.error("--push runs by itself")
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
    versions = {server.name: server.version() or "not installed" for server in (PARTWISE, *PEERS, APACHE)}
    return {
        "CPUs": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
    } | versions


def _say(text: str) -> None:
    """Progress goes to standard error, so that standard output is the report alone."""
    print(f"  ... {text}", file=sys.stderr, flush=True)


def _measure(options: argparse.Namespace, folder: Path) -> tuple[list[Section], list[Peak], list[Listed]]:
    if options.scale:
        peaks = scale(SMALL_SCALE if options.small else ScaleSizes(), folder, _say)
        print(f"\n{scale_text(peaks)}", flush=True)
        listed = listings(SMALL_TREE if options.small else TreeSizes(), folder, _say)
        print(f"\n{listings_text(listed)}", flush=True)
        return [], peaks, listed
    print(f"\n{_DURABLE}", flush=True)
    if options.push:
        section, files = push(options.files, folder, options.rounds, _say)
        print(f"\n{push_text(section, files)}", flush=True)
        return [section], [], []
    sections: list[Section] = []
    for name in options.workloads or WORKLOADS:
        _say(name)
        done = WORKLOADS[name](SMALL if options.small else Sizes(), folder, options.rounds, _say)
        print("".join(f"\n{section_text(section)}\n" for section in done), end="", flush=True)
        sections += done
    return sections, [], []


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 if any response was wrong, an installed server did not run, or memory exceeded its limit."""
    options = _arguments(arguments)
    # So that being told to stop runs every finally: servers are stopped and data is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="partwise-benchmarks-", dir=options.folder)).resolve()
    try:
        header = _header(folder)
        print("\n".join(f"{name}: {value}" for name, value in header.items()), flush=True)
        sections, peaks, listed = _measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json is not None:
        scaled = {
            "scale": [asdict(peak) for peak in peaks],
            "limit": LIMIT,
            "listing": [asdict(line) for line in listed],
        }
        record = as_json(header, sections) | scaled
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if failed(sections) or not all(line.within for line in (*peaks, *listed)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
