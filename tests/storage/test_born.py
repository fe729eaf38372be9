"""Many files looked at together are told as each by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from partwise.storage.local.born import born
from partwise.storage.local.status import born_files, resource

NAMES = ["a", "ü", os.fsdecode(b"\xff"), *(f"n{number}" for number in range(253))]


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    for name in NAMES:
        (tmp_path / name).write_text(name, errors="surrogateescape")
    os.utime(tmp_path / "a", ns=(5, -7))
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("a")
    return os.open(tmp_path, os.O_RDONLY)


def test_born(descriptor: int, tmp_path: Path) -> None:
    try:
        found = born(descriptor, NAMES)
        if found is None:
            pytest.skip("this system does not tell it")
        expected = [
            resource(("c", name), os.stat(name, dir_fd=descriptor, follow_symlinks=False), descriptor, name)
            for name in NAMES
        ]
        assert list(born_files(("c",), NAMES, found)) == expected
        assert not found.linked
        (tmp_path / "other").hardlink_to(tmp_path / "n7")
        again = born(descriptor, NAMES)
        assert again is not None and again.linked
        for name in ("inner", "link", "gone"):
            assert born(descriptor, ["a", name]) is None
    finally:
        os.close(descriptor)
