"""webdav, the WebDAV client that JavaScript programs use. Its lock tokens come without their angle brackets."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.interop.served import contents, said

#: Where ``npm install --prefix`` of .ci/run puts it: in the virtual environment.
MODULES = Path(sys.prefix) / "node" / "node_modules"
SCRIPT = Path(__file__).with_name("npm_webdav.mjs")


@pytest.mark.needs("node")
@pytest.mark.skipif(
    not (MODULES / "webdav").exists() and not os.environ.get("CI"), reason="needs webdav of npm, see .ci/run"
)
def test_a_session(folder: Path, tmp_path: Path, url: str) -> None:
    assert (MODULES / "webdav").exists(), ".ci/run must install it"
    # A module looks for others beside itself.
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    said("node", SCRIPT.name, url, cwd=tmp_path)
    assert contents(folder) == {
        "tree": None,
        "tree/a b & 100% #1.bin": bytes(range(256)),
        "tree/moved.bin": b"01abc56789",
        "moved": None,
        "moved/日本 語": None,
        "moved/日本 語/text.txt": "text 😀\n".encode(),
    }
