"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.batch.test_outcome import kinds

from partwise.config import Config
from partwise.errors import Failure, Success

ROOT = Path(__file__).parent.parent


def told() -> set[tuple[int, str | None]]:
    """Status and element of every row of the table in docs/status-codes.md."""
    rows = re.findall(r"^\|.*\| (\d{3}) \| *(?:`(\S+)`)?.*\|$", (ROOT / "docs" / "status-codes.md").read_text(), re.M)
    return {(int(status), element or None) for status, element in rows}


@pytest.mark.parametrize("kind", kinds())
def test_every_failure_stands_in_the_table(kind: type[Failure]) -> None:
    assert (kind("x").status, kind.element) in told()


def test_every_row_of_the_table_has_its_failure() -> None:
    known = {(int(kind("x").status), kind.element) for kind in kinds()}
    known |= {(int(success.status), None) for success in Success} | {(207, None)}
    assert told() == known


UNITS = {"": 1, "s": 1, "h": 3600, "d": 24 * 3600, "KiB": 1024, "MiB": 1024**2}


def test_every_limit_and_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:none|([\d,]+) ?(\w*)) \|", (ROOT / "docs" / "limits.md").read_text(), re.M)
    found = {name: int(number.replace(",", "")) * UNITS[unit] if number else None for name, number, unit in rows}
    kinds = r"max_\w+|\w+_timeout|keep_\w+|grace|\w+_rate|rate_\w+"
    limits = {name: field.default for name, field in Config.model_fields.items() if re.fullmatch(kinds, name)}
    assert found == limits


@pytest.mark.parametrize("document", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target
