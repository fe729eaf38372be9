"""What was measured, as a plain table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

#: MiB that no process of partwise may exceed in any workload.
LIMIT = 120.0


@dataclass(slots=True)
class Row:
    """One contender in one section. ``values``: one figure a round, ``None`` for a round that failed.

    ``durable``: yes, no, or empty where the question makes no sense. ``note`` stands in place of figures. ``kind``: ours,
    peer or floor. ``label`` stands over the column of ratios to this row. ``peaks``: MiB that were resident at most in
    the largest process of the server, a round each; ``all_peaks``: those of all its processes together.
    """

    name: str
    durable: str = ""
    values: list[float | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""
    kind: str = "peer"
    label: str = ""
    peaks: list[float] = field(default_factory=list)
    all_peaks: list[float] = field(default_factory=list)

    @property
    def good(self) -> list[float]:
        return [value for value in self.values if value is not None]

    @property
    def excess(self) -> str:
        """What is to be said if one of our processes was too large."""
        if self.kind != "ours" or max(self.peaks, default=0.0) <= LIMIT:
            return ""
        return f"a process had {max(self.peaks):.0f} MiB resident, more than {LIMIT:.0f}"


@dataclass(slots=True)
class Section:
    """One table; ratios are those of its rows with a label (of its first row, if none has one) to each other row.

    ``lower``: less is better, so that the ratio is that of the other row's figure to ours. ``key``: what targets call it.
    """

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)
    key: str = ""
    lower: bool = False

    def row(self, name: str, durable: str = "") -> Row:
        """The row of that name, made if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        self.rows.append(Row(name, durable))
        return self.rows[-1]

    @property
    def references(self) -> list[Row]:
        return [row for row in self.rows if row.label] or self.rows[:1]

    def times(self, ours: Row, other: Row) -> float | None:
        """How many times better ``ours`` is."""
        return ratio(other, ours) if self.lower else ratio(ours, other)


def ratio(first: Row, other: Row) -> float | None:
    """How many times the figure of ``other`` the figure of ``first`` is: the median over rounds in which both have one."""
    pairs = zip(first.values, other.values, strict=False)
    ratios = [a / b for a, b in pairs if a is not None and b is not None and b > 0]
    return median(ratios) if ratios else None


def figure(value: float) -> str:
    """Three digits at least: ``12,345``, ``123``, ``1.23``."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def section_text(section: Section) -> str:
    """The table of a section, with its problems below it."""
    references = section.references
    titles = ["ratio"] if len(references) < 2 else [f"ratio {row.label}" for row in references]
    memory = ["peak MiB", "all"] if any(row.peaks for row in section.rows) else []
    lines = [["", f"median {section.unit}", "lowest", "highest", "durable", *titles, *memory]]
    for row in section.rows:
        peaks = [f"{max(each):.0f}" if each else "" for each in (row.peaks, row.all_peaks)]
        lines.append([*_cells(section, references, row), *(peaks if memory else [])])
    problems = [f"  ! {row.name}: {problem}" for row in section.rows for problem in _problems(row)]
    return "\n".join([section.title, aligned(lines), *problems])


def _problems(row: Row) -> list[str]:
    return [*dict.fromkeys(row.problems), *filter(None, [row.excess])]


def _cells(section: Section, references: Sequence[Row], row: Row) -> list[str]:
    good = row.good
    if not good:
        return [row.name, row.note or "failed", "", "", row.durable, *("" for _ in references)]
    cells = []
    for ours in references:
        times = None if row is ours else section.times(ours, row)
        cells.append("" if times is None else f"{figure(times)}x")
    return [row.name, figure(median(good)), figure(min(good)), figure(max(good)), row.durable, *cells]


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def failed(sections: Sequence[Section]) -> bool:
    """Was any response wrong, did any server that is installed not run, or was a process of ours too large?"""
    return any(_problems(row) for section in sections for row in section.rows)


def as_json(header: Mapping[str, Any], sections: Sequence[Section]) -> dict[str, Any]:
    """Everything, with medians and ratios worked out."""
    return {"header": dict(header), "sections": [_section_json(section) for section in sections]}


def _section_json(section: Section) -> dict[str, Any]:
    record = asdict(section)
    references = section.references
    for row, entry in zip(section.rows, record["rows"], strict=True):
        entry["median"] = median(row.good) if row.good else None
        entry["ratio"] = None if row is references[0] else section.times(references[0], row)
        entry["ratios"] = {
            ours.label: section.times(ours, row) for ours in references if ours.label and row is not ours
        }
    return record
