"""A listing at scale: how much partwise's process grows for a PROPFIND of a large tree, and when its first byte comes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driving import Tally
from benchmarks.peers import PARTWISE, NotStarted, serving
from benchmarks.report import aligned
from benchmarks.rounds import Say, Wrong, run_job

_MIB = 1024**2
#: Bytes by which the process may grow while it lists.
GROWTH = 30 * _MIB
#: Seconds until the first byte of the answer may be read.
FIRST_BYTE = 0.1


@dataclass(frozen=True, slots=True)
class TreeSizes:
    """``collections`` with ``members`` files each; one dead property of ``value`` bytes on each of ``marked`` files."""

    collections: int = 200
    members: int = 999
    marked: int = 2_000
    value: int = 1_000

    @property
    def resources(self) -> int:
        """Below the root."""
        return self.collections * (1 + self.members)


SMALL_TREE = TreeSizes(collections=20, marked=200)


@dataclass(frozen=True, slots=True)
class Listed:
    """``growth`` in bytes: the peak less what was resident before; ``first_byte`` and ``seconds`` since the request.

    ``problem`` is empty if all was well.
    """

    name: str
    growth: int = 0
    first_byte: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    @property
    def within(self) -> bool:
        return not self.problem and self.growth <= GROWTH and self.first_byte <= FIRST_BYTE


def listings(sizes: TreeSizes, folder: Path, say: Say) -> list[Listed]:
    """One tree, and for each question a server of its own, so that no peak is that of an earlier one."""
    place = folder / "tree"
    say(f"a tree of {sizes.resources:,} resources")
    try:
        _plant(place, sizes)
        title = f"PROPFIND infinity over {sizes.resources:,} resources"
        questions = {"four properties": "prop", "all, with dead properties": "allprop"}
        try:
            _mark(place, sizes)
        except (Wrong, NotStarted, OSError) as error:
            return [Listed(title, problem=str(error))]
        return [_listed(f"{title}, {what}", place, asked, sizes, say) for what, asked in questions.items()]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _plant(place: Path, sizes: TreeSizes) -> None:
    for collection in range(sizes.collections):
        path = place / f"collection-{collection:03}"
        path.mkdir(parents=True)
        for member in range(sizes.members):
            (path / f"member-{member:04}.txt").touch()


def _mark(place: Path, sizes: TreeSizes) -> None:
    """Dead properties on files spread evenly over the tree."""
    step = sizes.collections * sizes.members // sizes.marked
    every = (divmod(number * step, sizes.members) for number in range(sizes.marked))
    targets = [f"/collection-{collection:03}/member-{member:04}.txt" for collection, member in every]
    with serving(PARTWISE, place) as running:
        _good(run_job("proppatch", port=running.port, targets=targets, size=sizes.value, connections=8))


def _listed(name: str, place: Path, asked: str, sizes: TreeSizes, say: Say) -> Listed:
    say(name)
    question = {"target": "/", "asked": asked, "value": sizes.value}
    try:
        with serving(PARTWISE, place) as running:
            # What a first request loads is no part of what a listing needs.
            _good(run_job("listing", port=running.port, depth="1", members=sizes.collections, marked=0, **question))
            before = running.memory()
            tally = _good(
                run_job(
                    "listing",
                    port=running.port,
                    depth="infinity",
                    members=sizes.resources,
                    marked=sizes.marked if asked == "allprop" else 0,
                    **question,
                )
            )
            growth = running.peak_memory() - before
    except (Wrong, NotStarted, OSError) as error:
        return Listed(name, problem=str(error))
    return Listed(name, growth, tally.first_byte, tally.seconds)


def _good(tally: Tally) -> Tally:
    """Raises Wrong."""
    if tally.wrong:
        raise Wrong("; ".join(f"{count} x {what}" for what, count in tally.wrong.items()))
    return tally


def listings_text(listed: Sequence[Listed]) -> str:
    """The table, with problems below it."""
    limits = f"limits {GROWTH // _MIB} MiB, {FIRST_BYTE * 1000:.0f} ms"
    lines = [["", "growth MiB", "first byte ms", "seconds", limits]]
    for line in listed:
        verdict = "within" if line.within else "failed" if line.problem else "EXCEEDED"
        figures = [f"{line.growth / _MIB:.1f}", f"{line.first_byte * 1000:.1f}", f"{line.seconds:.1f}"]
        lines.append([line.name, *figures, verdict])
    problems = [f"  ! {line.name}: {line.problem}" for line in listed if line.problem]
    title = (
        "listing: growth of partwise's resident memory over what it was before, and the first byte after the request"
    )
    return "\n".join([title, aligned(lines), *problems])
