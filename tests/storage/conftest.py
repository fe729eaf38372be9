"""The local store in both its ways, and what must be true whenever a test leaves it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from partwise.storage.local.store import LocalStore


def held(folder: Path) -> list[str]:
    """What this process has open in a folder."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith(os.fspath(folder)):
            found.append(target)
    return sorted(found)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """On a disk, if there is one: file systems in memory have ways of their own."""
    with TemporaryDirectory(prefix="partwise-", ignore_cleanup_errors=True) as found:
        yield Path(found)


@pytest.fixture(params=["nameless", "named"])
def store(folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    """Both ways of staging: with O_TMPFILE, and as on a file system without it.

    After every test nothing is left in staging, and no descriptor but what the store keeps for its life.
    """
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    store = LocalStore(os.fspath(folder))
    assert store._staging.nameless is (request.param == "nameless")
    before = [target for target in held(folder) if "state.db" not in target]
    yield store
    assert os.listdir(store._staging.folder) == []
    # Connections to the database are kept for the next one who needs one.
    assert [target for target in held(folder) if "state.db" not in target] == before
    store.close()
    assert held(folder) == []
