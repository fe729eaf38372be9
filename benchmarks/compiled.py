"""The small programs of the benchmarks that are compiled, outside every clock, where a compiler is present.

``drive.c`` (the load generator's hot loop) and ``floor.c`` need a C compiler; ``xnet.go``, a peer, needs Go and the source
of golang.org/x/net. Where they are missing, Python takes the place of the first two, and the peer is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).resolve().parent
#: Seconds that a compiler may take.
_PATIENCE = 120
#: Where distributions keep the source of Go packages.
_GO_SOURCE = Path("/usr/share/gocode")

_built: dict[str, Path] = {}


def build(folder: Path) -> None:
    """Compile into ``folder`` what can be compiled here. What fails counts as missing."""
    for name in ("drive", "floor"):
        if (compiler := shutil.which("cc") or shutil.which("gcc")) is not None:
            _compile(name, folder, [compiler, "-O2", "-o", str(folder / name), str(_HERE / f"{name}.c")], {})
    go = shutil.which("go")
    if go is not None and (_GO_SOURCE / "src/golang.org/x/net/webdav").is_dir():
        cache = folder / "go-cache"
        settings = {"GO111MODULE": "off", "GOPATH": str(_GO_SOURCE), "GOCACHE": str(cache), "GOFLAGS": ""}
        _compile("xnet", folder, [go, "build", "-o", str(folder / "xnet"), str(_HERE / "xnet.go")], settings)
        shutil.rmtree(cache, ignore_errors=True)


def _compile(name: str, folder: Path, command: list[str], settings: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | settings, capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0:
        _built[name] = folder / name


def tool(name: str) -> Path | None:
    """A program that :func:`build` compiled; None if it could not."""
    path = _built.get(name)
    return path if path is not None and path.exists() else None


def go_version() -> str | None:
    """Of the Go that compiled ``xnet``; None if it was not compiled."""
    if tool("xnet") is None:
        return None
    told = subprocess.run(["go", "version"], capture_output=True, text=True, timeout=_PATIENCE, check=False).stdout
    return next((word for word in told.split() if word.startswith("go1")), "go")
