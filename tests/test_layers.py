"""Who may enter which room: the imports of every module are walked, and a breach fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import partwise

SERVER = Path(__file__).parent.parent / "server" / "partwise"

#: From the outside in: a room may import itself and the rooms to its right.
ROOMS = ["cli", "run", "workers", "app", "handlers", "batch", "actions", "intake", "storage", "protocol", "errors"]
#: Rooms beside the row, and what they may import of our own.
BESIDE = {
    "config": {"protocol", "errors"},
    "auth": {"processors", "protocol", "errors"},
    "web": {"protocol", "errors"},
    "client": {"protocol", "errors"},
    "processors": set(),
}
#: Which rooms may import a room beside the row.
GUESTS = {
    "config": {"cli", "run", "app", "handlers"},
    "auth": {"app", "handlers"},
    "web": {"handlers", "batch", "actions"},
    "client": {"cli"},
    "processors": {"run", "handlers", "intake", "storage", "auth"},
}
#: Libraries that only these rooms know.
ONLY = {
    "asyncio": {"run", "app", "handlers", "client", "cli"},
    "aiohttp": {"run", "app", "handlers", "client"},
    "lxml": {"protocol", "intake", "client"},
    "http_sf": {"protocol"},
    "jinja2": {"web"},
    "sqlalchemy": {"storage"},
    "bcrypt": {"auth"},
    "argon2": {"auth"},
    "rich": {"cli"},
    "pydantic": {"config"},
    "pydantic_settings": {"config"},
}
#: Protocol code does no IO and knows no clock.
FORBIDDEN_IN_PROTOCOL = {"os", "pathlib", "time", "socket", "threading", "io", "tempfile", "subprocess"}

MODULES = sorted(SERVER.rglob("*.py"))


def room(module: Path) -> str:
    parts = module.relative_to(SERVER).parts
    return parts[0].removesuffix(".py") if parts[0] != "__init__.py" else "run"


def imports(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "partwise")
    return found


def own_rooms(module: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(module) if name.startswith("partwise.")}


def may_enter(here: str, there: str) -> bool:
    if here == there:
        return True
    if here in BESIDE:
        return there in BESIDE[here]
    if there in GUESTS:
        return here in GUESTS[there]
    return ROOMS.index(here) < ROOMS.index(there)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SERVER)))
def test_imports_go_to_the_right_only(module: Path) -> None:
    here = room(module)
    breaches = sorted(there for there in own_rooms(module) if not may_enter(here, there))
    assert not breaches, f"{here} may not enter {breaches}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SERVER)))
def test_libraries_stay_in_their_rooms(module: Path) -> None:
    here, libraries = room(module), {name.split(".")[0] for name in imports(module)}
    assert not {library for library in libraries & set(ONLY) if here not in ONLY[library]}
    if here == "protocol":
        assert not libraries & FORBIDDEN_IN_PROTOCOL
    assert "TYPE_CHECKING" not in module.read_text()


def test_only_app_names_a_concrete_store() -> None:
    """And the command that looks into its folder."""
    users = {module for module in MODULES if any("storage.local" in name for name in imports(module))}
    assert {module for module in users if room(module) != "storage"} == {SERVER / "app.py", SERVER / "cli" / "check.py"}


def test_status_numbers_stand_in_errors_only() -> None:
    """A bare number between 200 and 599 that is compared or passed as a status."""
    for module in MODULES:
        if room(module) == "errors":
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "status":
                assert not isinstance(node.value, ast.Constant), f"{module}: a status number"


def test_no_verb_imports_another_verb() -> None:
    verbs = {
        "delete",
        "extended_mkcol",
        "listing",
        "lock",
        "make_collection",
        "propfind",
        "proppatch",
        "read",
        "relocate",
        "splice",
        "unlock",
    }
    for module in (SERVER / "actions").glob("*.py"):
        others = {name.rsplit(".", 1)[1] for name in imports(module) if name.startswith("partwise.actions.")}
        assert not (others & verbs if module.stem in verbs else set())


def test_the_public_names() -> None:
    """They are imported late; the stub tells type checkers what they are."""
    told = imports(SERVER / "__init__.pyi")
    for name in partwise.__all__:
        place = getattr(partwise, name).__module__ if name != "ValidatorFactory" else "partwise.intake.validators.base"
        assert place in told
    assert set(dir(partwise)) >= set(partwise.__all__)
    with pytest.raises(AttributeError):
        partwise.nothing  # noqa: B018


def test_who_pushes_loads_nothing_of_the_server() -> None:
    code = "import sys, partwise.cli.push; print(*sorted(name for name in sys.modules if name.startswith('partwise.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[1] for name in loaded} <= {"cli", "client", "protocol", "errors"}


def test_no_possessive_groups() -> None:
    """Python 3.11.2 (Debian 12) fails on possessive groups with something to give back; see python/cpython#106052."""
    for module in MODULES:
        text = re.sub(r"\[(?:\\.|[^\]\\])*\]", "x", module.read_text())  # what stands in a class is no group,
        text = text.replace("!$()*+,;=:@", "")  # nor are the sub-delims of RFC 3986
        assert not re.search(r"(?:\)|\})[*+?]\+[^=\s]", text), module.name
