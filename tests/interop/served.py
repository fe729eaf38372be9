"""The server as its users start it, a client program as its users run it, and what lies in a folder afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt

SERVER = Path(__file__).parents[2] / "server"
USER = "alice"
PASSWORD = "open-sesame"


@contextmanager
def served(folder: Path, *flags: str | Path) -> Iterator[str]:
    """``partwise serve`` on a free port of the loopback; the URL that it prints, with its slash. Stopped at the end."""
    log = folder.parent / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "partwise.cli", "serve", folder, "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVER)},
        )
        assert process.stdout is not None
        with process.stdout as printed:
            try:
                found = re.findall(r"https?://\S+", printed.readline())
                assert found, f"the server did not start: {log.read_text()}"
                yield found[0]
            finally:
                process.terminate()
                process.wait(timeout=30)
    assert "Traceback" not in log.read_text()
    assert process.returncode == 0


def htpasswd(file: Path) -> Path:
    """A file as ``htpasswd -cbB`` writes it, with USER and PASSWORD."""
    digest = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$")
    file.write_bytes(USER.encode() + b":" + digest + b"\n")
    return file


def said(*command: str | Path, cwd: Path, told: str = "", **environment: str) -> str:
    """What a program says, with ``told`` on its standard input; it must succeed. Its home is ``cwd``."""
    found = subprocess.run(
        command,
        cwd=cwd,
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=90,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"} | environment,
        check=False,
    )
    assert found.returncode == 0, f"{command} ended with {found.returncode}:\n{found.stdout}"
    return found.stdout


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, every folder with ``None``; not the state of a server."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] != ".partwise"
    }


def make_tree(folder: Path) -> dict[str, bytes | None]:
    """A few folders and files with awkward names and sizes; as :func:`contents` tells them."""
    deep = folder / "folder with space" / "größe" / "日本 語"
    deep.mkdir(parents=True)
    (folder / "empty folder").mkdir()
    (folder / "zero bytes").write_bytes(b"")
    (folder / "100% & more; a+b=c #1?.txt").write_bytes(b"reserved characters\n")
    (deep.parent / "naïve 😀.bin").write_bytes(bytes(range(256)))
    (deep / "large.bin").write_bytes(os.urandom(300_000))
    return contents(folder)
