"""Fair load: is one client's request answered soon, whatever the others do?"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import partwise
from benchmarks.report import Section
from benchmarks.rounds import Figures, Say, Wrong, contender, interleave, run_job
from benchmarks.servers import Running
from benchmarks.workloads import Sizes

#: The checkout, from which ``-m benchmarks.fair_load`` is found.
_HOME = Path(__file__).resolve().parent.parent
#: Connections that say nothing, and connections that are slow.
IDLE, SLOW = 1_000, 200
#: Bytes that a stalled reader asks for: more than all buffers on the way together.
_LARGE = 64 * 1024**2
#: Seconds after which a load generator ends by itself.
_MOST = 120.0


def fair(sizes: Sizes, folder: Path, rounds: int, say: Say) -> list[Section]:
    """Latency of one client alone, in a crowd of slow ones, and during a batch. Ratios: how many times the first line."""
    what = f"of {sizes.item_size:,} bytes, 1 connection"
    sections = {
        f"{method.lower()} {figure}": Section(
            f"fair: {figure} latency of {method} {what}", "ms", key=f"fair {method.lower()} {figure}", lower=True
        )
        for method in ("GET", "PUT")
        for figure in ("median", "p99")
    }
    server = partwise()
    contenders = [
        contender(server, "alone", partial(_alone, sizes), label=False),
        contender(server, f"beside {IDLE:,} idle, {SLOW:,} slow", partial(_in_a_crowd, sizes), label=False),
        contender(server, f"during a batch of {sizes.items:,}", partial(_beside_a_batch, sizes), label=False),
    ]
    return interleave(sections, contenders, folder, rounds, say)


def _alone(sizes: Sizes, running: Running, folder: Path) -> Figures:
    _plant(sizes, folder)
    get = _judged("GET", _finished(_latency(sizes, running, "GET", sizes.seconds)))
    return dict(get) | dict(_judged("PUT", _finished(_latency(sizes, running, "PUT", sizes.seconds))))


def _in_a_crowd(sizes: Sizes, running: Running, folder: Path) -> Figures:
    with open(folder / "large.bin", "wb") as file:
        file.truncate(_LARGE)
    with _job("crowd", port=running.port, idle=IDLE, slow=SLOW, large="/large.bin", seconds=_MOST) as crowd:
        assert crowd.stdout is not None
        if crowd.stdout.readline().strip() != "ready":
            raise Wrong("the slow connections could not be opened")
        return _alone(sizes, running, folder)


def _beside_a_batch(sizes: Sizes, running: Running, folder: Path) -> Figures:
    """Each method beside a batch of its own: for as long as it runs."""
    _plant(sizes, folder)
    figures: dict[str, float | str] = {}
    for method in ("GET", "PUT"):
        with _latency(sizes, running, method, _MOST) as process:
            tally = run_job("batch", port=running.port, items=sizes.items, size=sizes.item_size)
            if tally.wrong:
                raise Wrong("; ".join(tally.wrong))
            figures |= _judged(method, _result(process))
        for item in folder.glob("item-*"):
            item.unlink()
    return figures


def _plant(sizes: Sizes, folder: Path) -> None:
    (folder / "read.bin").write_bytes(bytes(sizes.item_size))


def _latency(
    sizes: Sizes, running: Running, method: str, seconds: float
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    target = "/read.bin" if method == "GET" else "/written-"
    return _job("latency", port=running.port, method=method, target=target, size=sizes.item_size, seconds=seconds)


def _judged(method: str, found: dict[str, Any]) -> Figures:
    """Raises Wrong."""
    if found["wrong"] or not found["count"]:
        raise Wrong(f"{found['wrong']} of {found['count']} answers to {method} were wrong")
    return {f"{method.lower()} {figure}": float(found[figure]) for figure in ("median", "p99")}


@contextlib.contextmanager
def _job(job: str, **parameters: Any) -> Iterator[subprocess.Popen[str]]:
    """A load generator that works until the end of the ``with`` statement, at most."""
    command = [sys.executable, "-m", "benchmarks.fair_load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_HOME) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"job": job, **parameters}) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _finished(job: contextlib.AbstractContextManager[subprocess.Popen[str]]) -> dict[str, Any]:
    """What a job finds that ends by itself."""
    with job as process:
        assert process.stdout is not None
        return _found(process.stdout.readline())


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """End a job, and what it has found."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    return _found(process.stdout.readline())


def _found(line: str) -> dict[str, Any]:
    if not line:
        raise Wrong("a load generator failed")
    found: dict[str, Any] = json.loads(line)
    return found
