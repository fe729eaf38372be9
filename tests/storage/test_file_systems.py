"""Which file systems are known to be of this machine alone."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from partwise.storage.local import file_systems

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="statfs(2) of Linux")


def asked(folder: str) -> file_systems.FileSystem | None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return file_systems.local(descriptor)
    finally:
        os.close(descriptor)


def mounted(kind: str) -> list[str]:
    """Where the first of this type is mounted."""
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line[1]) for line in lines if line[2] == kind][:1]


@linux
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "ramfs"])
def test_what_is_mounted_here(kind: str) -> None:
    for place in mounted(kind):
        if os.access(place, os.R_OK) and os.path.ismount(place):
            found = asked(place)
            assert found is not None and kind in found.name
            assert found.in_memory == (kind in ("tmpfs", "ramfs"))


@linux
def test_what_is_no_file_system_of_files() -> None:
    assert asked("/proc") is None


def test_another_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert asked(os.fspath(tmp_path)) is None
