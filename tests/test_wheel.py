"""The built wheel, installed into an empty environment, serves a folder with its schemas and pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution's files, in a copy: building leaves traces in its folder."""
    source = tmp_path_factory.mktemp("source")
    kept = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(kept.stdout).split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            copy_entry(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", str(target), str(source))
    [found] = target.glob("*.whl")
    return found


def copy_entry(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    else:
        target.write_bytes(source.read_bytes())


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert found.returncode == 0, found.stderr


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "server" / "partwise").rglob("*.py"):
        assert str(path.relative_to(ROOT / "server")) in names
    for path in (ROOT / "xml_schemas").glob("*.xsd"):
        assert f"partwise/xml_schemas/{path.name}" in names
    for ending in (".html", ".css", ".js"):
        assert any(name.startswith("partwise/web/") and name.endswith(ending) for name in names)
    assert "partwise/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_wheel_serves(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    # It needs no pip of its own, nor code of what it never imports compiled.
    pip("--python", str(environment / "bin" / "python"), "install", "--no-compile", str(wheel))
    folder = tmp_path / "served"
    folder.mkdir()
    process = subprocess.Popen(
        [environment / "bin" / "partwise", "serve", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        [url] = re.findall(r"http://\S+", process.stdout.readline())
        request = urllib.request.Request(url + "a.txt", data=b"alpha", method="PUT")
        assert urllib.request.urlopen(request, timeout=30).status == 201
        assert (folder / "a.txt").read_bytes() == b"alpha"
        assert b"a.txt" in urllib.request.urlopen(url, timeout=30).read()
        assert b"<xs:schema" in urllib.request.urlopen(url + "-/schemas/multistatus.xsd", timeout=30).read()
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()
