"""What the documents say is what the code does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined
from tests.batch.test_outcome import kinds

from partwise import errors
from partwise.cli import serve
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


def test_the_tree_of_failures_is_drawn_as_it_is() -> None:
    drawn: dict[str, tuple[str, int]] = {}
    above = ["Failure"]
    for branch, name, status in re.findall(r"^    ([│├└─ ]*?[├└]── )(\w+) +(\d{3})", errors.__doc__ or "", re.M):
        depth = len(branch) // 4
        above[depth:] = [name]
        drawn[name] = above[depth - 1], int(status)
    own = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Failure)]
    assert drawn == {kind.__name__: (kind.__base__.__name__, kind("x").status) for kind in own if kind is not Failure}


UNITS = {"": 1, "s": 1, "h": 3600, "d": 24 * 3600, "KiB": 1024, "MiB": 1024**2}


def test_every_limit_and_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:none|([\d,]+) ?(\w*)) \|", (ROOT / "docs" / "limits.md").read_text(), re.M)
    found = {name: int(number.replace(",", "")) * UNITS[unit] if number else None for name, number, unit in rows}
    kinds = r"max_\w+|\w+_timeout|keep_\w+|grace|\w+_rate|rate_\w+"
    limits = {name: field.default for name, field in Config.model_fields.items() if re.fullmatch(kinds, name)}
    assert found == limits


def options() -> dict[str, str]:
    """What ``partwise serve`` takes on its command line: the setting, and how it is written there."""
    commands = argparse.ArgumentParser().add_subparsers()
    serve.add_command(commands)
    actions = commands.choices["serve"]._actions
    return {each.dest: each.option_strings[-1] if each.option_strings else str(each.metavar) for each in actions}


def shown(default: object) -> object:
    """As a default stands on the page: sizes, times and counts as numbers."""
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | dict):
        return ", ".join(default) or "empty"
    return "none" if default is None else default


def test_every_setting() -> None:
    """docs/settings.md: each with its option, its variable and its default."""
    row = r"^\| `(\w+)` \| (?:`(\S+)` )?\| `(\w+)` \| `?(.+?)`? \| .+ \|$"
    found = re.findall(row, (ROOT / "docs" / "settings.md").read_text(), re.M)
    number = re.compile(r"([\d,]+) ?(\w*)")
    defaults = {
        name: int(match[1].replace(",", "")) * UNITS[match[2]] if (match := number.fullmatch(default)) else default
        for name, _, _, default in found
    }
    assert len(found) == len(defaults)
    assert defaults == {name: shown(field.default) for name, field in Config.model_fields.items()}
    assert {name: variable for name, _, variable, _ in found} == {
        name: f"PARTWISE_{name.upper()}" for name in Config.model_fields
    }
    given = {name: option for name, option in options().items() if name not in ("help", "config", "verbose")}
    assert {name: option for name, option, _, _ in found if option} == given


@pytest.mark.parametrize("document", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target
