"""The table of docs/rfc4918.md names tests that exist, and all tests of this folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
_NAMED = re.compile(r"`((?:[a-z0-9_]+/)*test_[a-z0-9_]+\.py)::(test_\w+)`")


def named(document: str) -> set[tuple[str, str]]:
    """File, from the folder ``tests``, and name of every test that a document refers to."""
    found = _NAMED.findall((ROOT / "docs" / document).read_text())
    return {(file if "/" in file else f"rfc4918/{file}", test) for file, test in found}


def defined(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M))


@pytest.mark.parametrize("document", ["rfc4918.md", "extensions.md"])
def test_every_test_that_is_named_exists(document: str) -> None:
    missing = [(file, test) for file, test in named(document) if test not in defined(ROOT / "tests" / file)]
    assert named(document) and not missing


def test_every_test_of_the_folder_stands_in_the_table() -> None:
    told = named("rfc4918.md") | named("extensions.md")
    here = {
        (f"rfc4918/{path.name}", test)
        for path in HERE.glob("test_*.py")
        if path != Path(__file__)
        for test in defined(path)
    }
    assert here and here <= told, sorted(here - told)


def test_every_row_has_a_known_state() -> None:
    table = (ROOT / "docs" / "rfc4918.md").read_text()
    rows = re.findall(r"^\| §[^|]*\|[^|]*\| *([^|]*?) *\|", table, re.M)
    assert len(rows) > 80
    assert set(rows) <= {"done", "partly", "differs", "not here", "client's"}
