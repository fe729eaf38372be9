"""A store that fails in the middle of something read: what was taken is given back, once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path as Folder

import pytest

from partwise.actions.properties import View
from partwise.actions.propfind import witness_of
from partwise.actions.read import represent
from partwise.errors import TryAgain
from partwise.protocol.conditions import Conditions
from partwise.protocol.limits import Limits
from partwise.protocol.paths import Mount, Path
from partwise.protocol.preferences import Depth
from partwise.protocol.propfind import AllProp
from partwise.storage.base import Properties
from partwise.storage.local.store import LocalStore


class Failing(LocalStore):
    """Its database cannot be asked."""

    opened = -1

    def properties(self, paths: Sequence[Path]) -> dict[Path, Properties]:
        # Takes the lowest number that is free, as another thread might just now.
        self.opened = os.open(os.devnull, os.O_RDONLY)
        raise TryAgain("not now")

    def has_locks(self) -> bool:
        raise TryAgain("not now")


@pytest.fixture
def store(tmp_path: Folder) -> Iterator[Failing]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "small").write_bytes(b"12345")
    (tmp_path / "served" / "large").write_bytes(bytes(70_000))
    with closing(Failing(os.fspath(tmp_path / "served"), durable=False)) as store:
        yield store


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_file_is_closed_once(store: Failing, name: str) -> None:
    resource = store.stat((name,))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TryAgain):
        represent(store, resource, Conditions(), None, 1)
    try:
        os.fstat(store.opened)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    finally:
        os.close(store.opened)


def test_a_witness_is_let_go(store: Failing) -> None:
    view = View(store, Mount(), None, lambda: 0.0, Limits(1, 1, None, None, (), (), (), ()))
    with pytest.raises(TryAgain):
        witness_of(view, (), Depth.ONE, AllProp())
    assert not store.notices._live
