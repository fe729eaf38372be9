"""What was measured, as a plain table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(slots=True)
class Row:
    """One contender in one section. ``values``: one figure a round, ``None`` for a round that failed.

    ``durable``: yes, no, or empty where the question makes no sense. ``note`` stands in place of figures.
    """

    name: str
    durable: str = ""
    values: list[float | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def good(self) -> list[float]:
        return [value for value in self.values if value is not None]


@dataclass(slots=True)
class Section:
    """One table; ratios are those of its first row, which is partwise, to each other one."""

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str, durable: str = "") -> Row:
        """The row of that name, made if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        self.rows.append(Row(name, durable))
        return self.rows[-1]


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
    head = ["", f"median {section.unit}", "lowest", "highest", "durable", "ratio"]
    lines = [head] + [_cells(section.rows[0], row) for row in section.rows]
    problems = [f"  ! {row.name}: {problem}" for row in section.rows for problem in dict.fromkeys(row.problems)]
    return "\n".join([section.title, aligned(lines), *problems])


def _cells(first: Row, row: Row) -> list[str]:
    good = row.good
    if not good:
        return [row.name, row.note or "failed", "", "", row.durable, ""]
    times = None if row is first else ratio(first, row)
    ratio_cell = "" if times is None else f"{figure(times)}x"
    return [row.name, figure(median(good)), figure(min(good)), figure(max(good)), row.durable, ratio_cell]


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
    """Was any response wrong, or did any server that is installed not run?"""
    return any(row.problems for section in sections for row in section.rows)


def as_json(header: Mapping[str, Any], sections: Sequence[Section]) -> dict[str, Any]:
    """Everything, with medians and ratios worked out."""
    return {"header": dict(header), "sections": [_section_json(section) for section in sections]}


def _section_json(section: Section) -> dict[str, Any]:
    record = asdict(section)
    for row, entry in zip(section.rows, record["rows"], strict=True):
        entry["median"] = median(row.good) if row.good else None
        entry["ratio"] = None if row is section.rows[0] else ratio(section.rows[0], row)
    return record
