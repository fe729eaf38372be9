"""``partwise --version``."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from partwise.cli import main


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"partwise {version('partwise')}\n"


def test_a_push_does_not_load_the_server() -> None:
    code = (
        "import sys; from partwise.cli import main\n"
        "try: main(['push', '--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stderr.split())
    assert "partwise.client" in loaded
    assert not loaded & {"partwise.app", "partwise.run", "partwise.storage", "aiohttp.web", "importlib.metadata"}
