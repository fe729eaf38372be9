"""Small files read without waiting: never anything else than what the other way of reading gives, or nothing."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path as File

import pytest

from partwise.errors import Failure
from partwise.storage.base import Path
from partwise.storage.local import at_hand
from partwise.storage.local.at_hand import Reader
from partwise.storage.local.beneath import Root
from partwise.storage.local.store import LocalStore

MOST = 1000
KEPT = "{DAV:}getcontenttype"

able = pytest.mark.skipif(at_hand._look is None, reason="this system cannot be asked so")


@pytest.fixture
def store(tmp_path: File) -> Iterator[LocalStore]:
    made = LocalStore(os.fspath(tmp_path))
    yield made
    made.close()


@pytest.fixture
def tree(tmp_path: File) -> File:
    (tmp_path / "c" / "d").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    (tmp_path / "c" / "d" / "é").write_bytes(b"x" * MOST)
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes(MOST + 1))
    (tmp_path / "to-file").symlink_to("a.txt")
    (tmp_path / "to-folder").symlink_to("c")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(tmp_path / "socket"))
    return tmp_path


@able
@pytest.mark.parametrize("path", [("a.txt",), ("c", "d", "é")])
def test_as_the_other_way(store: LocalStore, tree: File, path: Path) -> None:
    store.properties([path])
    found, file = store.at_hand(path, MOST), store.open(path)
    file.close()
    assert found is not None
    assert found.content == tree.joinpath(*path).read_bytes()
    assert found.resource == file.resource._replace(created_ns=found.resource.created_ns)
    assert found.stored == {}


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("c",),
        ("none",),
        ("none", "a.txt"),
        ("a.txt", "b"),
        ("empty",),
        ("large",),
        ("to-file",),
        ("to-folder", "d", "é"),
        ("out", "passwd"),
        ("pipe",),
        ("socket",),
        (".partwise", "state.db"),
        (".PARTWISE", "state.db"),
        ("x" * 300,),
    ],
)
def test_nothing_is_said_of_anything_else(store: LocalStore, tree: File, path: Path) -> None:
    store.properties([("a.txt",)])  # so that nothing is missing but the file itself
    assert store.at_hand(path, MOST) is None


@able
def test_nobody_notices_that_a_pipe_was_looked_at(tree: File) -> None:
    root = Root(os.fspath(tree), ".partwise")
    try:
        assert Reader(root).read(("pipe",), MOST) is None
        with pytest.raises(OSError):  # as long as nobody reads
            os.close(os.open(tree / "pipe", os.O_WRONLY | os.O_NONBLOCK))
    finally:
        root.close()


@able
def test_a_file_system_that_cannot_be_asked_is_asked_once(
    store: LocalStore, tree: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def preadv(descriptor: int, buffers: object, offset: int, flags: int) -> int:
        asked.append(descriptor)
        raise OSError(errno.EOPNOTSUPP, "")

    store.properties([("a.txt",)])
    monkeypatch.setattr(os, "preadv", preadv)
    assert [store.at_hand(("a.txt",), MOST) for _ in range(3)] == [None] * 3
    assert len(asked) == 1


@able
def test_stored_properties_of_another_process_are_not_missed(store: LocalStore, tree: File) -> None:
    other = LocalStore(os.fspath(tree))
    path = ("a.txt",)
    try:
        store.properties([path])
        assert store.at_hand(path, MOST) is not None
        other.set_properties(path, {KEPT: "text/x-other"}, lambda standing: None)
        # Changed, so the database must be asked.
        assert store.at_hand(path, MOST) is None
        assert store.properties([path]) == {path: {KEPT: "text/x-other"}}
        found = store.at_hand(path, MOST)
        assert found is not None and found.stored == {KEPT: "text/x-other"}
        other.delete(path, lambda standing: None)
        tree.joinpath("a.txt").write_bytes(b"again")
        assert store.at_hand(path, MOST) is None
    finally:
        other.close()


@able
def test_a_refused_change_leaves_what_is_known_to_be_asked_again(store: LocalStore, tree: File) -> None:
    def refuse(standing: object) -> None:
        raise Failure("no")

    path = ("a.txt",)
    store.properties([path])
    with pytest.raises(Failure):
        store.set_properties(path, {KEPT: "text/x-other"}, refuse)
    store.properties([path])
    found = store.at_hand(path, MOST)
    assert found is not None and found.stored == {}


def test_in_a_transaction_nothing_is_at_hand(store: LocalStore, tree: File) -> None:
    store.properties([("a.txt",)])
    with store.transaction() as within:
        assert within.at_hand(("a.txt",), MOST) is None
