"""What partwise is to reach beside its peers, and whether it did in this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report import Row, Section, figure, ratio


@dataclass(frozen=True, slots=True)
class Target:
    """In the section ``key`` the row of ours that has ``ours`` in its name is to be ``factor`` times ``against``.

    An ellipsis in ``ours`` stands for anything.
    ``against``: the beginning of another row's name or ``fastest`` for the fastest peer.
    ``memory``: only on file systems in memory, or only on others; None: on all.
    """

    key: str
    ours: str
    against: str
    factor: float
    memory: bool | None = None


TARGETS = (
    Target("batch", "partwise durable, 1 worker", "fastest", 0.8, memory=False),
    Target("batch", "partwise durable, 1 worker", "fastest", 1.5, memory=True),
    Target("batch", "partwise os, 1 worker", "fastest", 1.3),
    Target("batch", "partwise durable, 1 worker", "ASGIWebDAV", 4),
    # The peers have a process for each processor, and 16 connections.
    Target("batch", "partwise durable…POSTs at once", "fastest", 0.8, memory=False),
    Target("batch", "partwise durable…POSTs at once", "fastest", 1.5, memory=True),
    Target("batch", "partwise os…POSTs at once", "fastest", 1.3),
    Target("put16", "partwise durable", "ASGIWebDAV", 1.2),
    Target("put64", "partwise durable", "ASGIWebDAV", 2),
    Target("put16", "partwise os", "Apache", 0.8),
    Target("get", "partwise durable", "copyparty", 4),
    Target("get", "partwise durable", "rclone", 1),
    Target("disk", "partwise durable", "Apache", 2),
    Target("again", "partwise durable", "nginx", 3),
    Target("infinity", "partwise durable", "copyparty", 2),
    Target("put", "partwise os", "nginx", 0.8),
    Target("put", "partwise durable", "floor: dd", 0.9, memory=False),
    Target("put", "Repr-Digest", "partwise durable", 0.6),
    Target("fetch", "partwise durable", "nginx", 1),
)


@dataclass(frozen=True, slots=True)
class Bound:
    """In the section ``key`` the figure of the row of ours that has ``ours`` in its name stays below ``most`` of its unit,
    or is ``most`` times that of the row ``beside`` at most."""

    key: str
    ours: str
    most: float
    beside: str = ""


BOUNDS = (
    Bound("first", "partwise", 50),
    Bound("fair get median", "idle", 1.5, "alone"),
    Bound("fair put median", "idle", 1.5, "alone"),
    Bound("fair get p99", "idle", 100),
    Bound("fair put p99", "idle", 100),
    Bound("fair get median", "during a batch", 20),
)


def targets_text(sections: Sequence[Section], memory: bool) -> str:
    """One line for each target whose rows were both measured; empty if there is none."""
    by_key = {section.key: section for section in sections}
    lines = [
        _line(by_key[target.key], target)
        for target in TARGETS
        if target.key in by_key and target.memory in (None, memory)
    ]
    lines += [_bound_line(by_key[bound.key], bound) for bound in BOUNDS if bound.key in by_key]
    lines = [line for line in lines if line]
    return "\n".join(["targets", *lines]) if lines else ""


def _row(section: Section, part: str) -> Row | None:
    parts = part.split("…")
    return next((row for row in section.rows if row.good and all(each in row.name for each in parts)), None)


def _verdict(met: bool) -> str:
    return "  met   " if met else "  MISSED"


def _line(section: Section, target: Target) -> str:
    ours = _row(section, target.ours)
    if target.against == "fastest":
        others = [row for row in section.rows if row.kind == "peer" and row.good]
    else:
        others = [row for row in section.rows if row.name.startswith(target.against) and row.good and row is not ours]
    reached = [(times, row.name) for row in others if ours is not None and (times := section.times(ours, row))]
    if ours is None or not reached:
        return ""
    times, name = min(reached)
    said = f"{target.key}: {ours.name}, at least {target.factor:g}x {name}"
    return f"{_verdict(times >= target.factor)}  {figure(times)}x  {said}"


def _bound_line(section: Section, bound: Bound) -> str:
    ours, beside = _row(section, bound.ours), _row(section, bound.beside) if bound.beside else None
    if ours is None or (bound.beside and beside is None):
        return ""
    if beside is None:
        found = median(ours.good)
        said = f"{section.key}: {ours.name}, below {bound.most:g} {section.unit}"
        return f"{_verdict(found < bound.most)}  {figure(found)} {section.unit}  {said}"
    times = ratio(ours, beside) or 0.0
    return f"{_verdict(times <= bound.most)}  {figure(times)}x  {section.key}: {ours.name}, at most {bound.most:g}x {beside.name}"
