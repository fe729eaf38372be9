"""The local store where changes meet the file system: links, permissions, mounts and full disks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.storage.contract_tools import (
    Told,
    anything,
    contents,
    copy,
    give,
    has,
    lock_of,
    move,
    moving,
    put,
    tree,
)

from partwise.errors import ForbiddenName, NotAllowed, NotFound, OutOfSpace, Overlapping
from partwise.storage.local.store import LocalStore

BOTH = pytest.mark.parametrize("verb", [move, copy])


# -- links


def test_links_are_moved_as_links(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "real"), b"1", existing=0)
    (folder / "file").symlink_to(folder / "c" / "real")
    (folder / "link").symlink_to(folder / "c")
    move(store, ("file",), ("moved",))
    move(store, ("link",), ("there",))
    assert (folder / "moved").is_symlink() and (folder / "there").is_symlink()
    assert contents(store, ("moved",)) == contents(store, ("there", "real")) == b"1"
    assert not (folder / "file").is_symlink() and not (folder / "link").is_symlink()


def test_links_are_copied_as_what_they_lead_to(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "real"), b"1", existing=0)
    (folder / "s").mkdir()
    (folder / "s" / "file").symlink_to("../c/real")
    (folder / "s" / "link").symlink_to("../c")
    copy(store, ("s",), ("d",))
    copy(store, ("s", "file"), ("e",))
    copy(store, ("s", "link"), ("f",))
    assert not [path for path in folder.rglob("*") if path.is_symlink() and folder / "s" not in path.parents]
    assert tree(store, ("d",)) == {"file": b"1", "link": None, "link/real": b"1"}
    assert (contents(store, ("e",)), tree(store, ("f",))) == (b"1", {"real": b"1"})


def test_a_second_link_to_a_collection_is_no_empty_copy(store: LocalStore, folder: Path) -> None:
    """What is not copied is told: nobody may take the copy for complete."""
    put(store, ("c", "real"), b"1", existing=0)
    (folder / "s").mkdir()
    for name in ("one", "two"):
        (folder / "s" / name).symlink_to("../c")
    told = Told()
    assert store.copy(moving(("s",), ("d",)), True, told)
    [(failed, failure)] = told.failures.items()
    assert isinstance(failure, NotAllowed) and failed[:1] == ("s",)
    (copied,) = {"one", "two"} - {failed[1]}
    assert tree(store, ("d",)) == {copied: None, f"{copied}/real": b"1"}


def test_a_copy_of_a_circle_ends(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "d", "a"), b"1", existing=0)
    (folder / "c" / "d" / "up").symlink_to(folder / "c")
    told = Told()
    store.copy(moving(("c",), ("e",)), True, told)
    assert contents(store, ("e", "d", "a")) == b"1"
    assert list(told.failures) == [("c", "d", "up", "d", "up")]


@BOTH
def test_one_lies_in_the_other_by_another_name(store: LocalStore, folder: Path, verb: Callable[..., bool]) -> None:
    put(store, ("c", "d", "a"), b"1", existing=0)
    (folder / "way").symlink_to("c")
    before = tree(store)
    for source, destination in [
        (("c",), ("way", "new")),
        (("c", "d"), ("way", "d")),
        (("way", "d"), ("c",)),
        (("c", "d", "a"), ("way", "d", "a")),
        (("way", "d", "a"), ("c", "d", "a")),
        (("c", "d"), ("way", "d", "new")),
    ]:
        with pytest.raises(Overlapping):
            verb(store, source, destination)
    assert tree(store) == before


@BOTH
def test_a_link_that_is_replaced(store: LocalStore, folder: Path, verb: Callable[..., bool]) -> None:
    """The link goes, never what it leads to."""
    put(store, ("c", "a"), b"1", existing=0)
    put(store, ("f",), b"2")
    put(store, ("s", "b"), b"3", existing=0)
    (folder / "to_c").symlink_to("c")
    (folder / "to_f").symlink_to("f")
    verb(store, ("s",), ("to_c",))
    verb(store, ("to_c", "b"), ("to_f",))
    assert contents(store, ("c", "a")) == b"1"
    assert contents(store, ("f",)) == b"2"
    assert contents(store, ("to_f",)) == b"3"
    assert not (folder / "to_c").is_symlink() and not (folder / "to_f").is_symlink()


def test_one_file_with_two_names(store: LocalStore, folder: Path) -> None:
    """rename(2) would do nothing, and the source stay."""
    put(store, ("a",), b"1")
    os.link(folder / "a", folder / "b")
    assert move(store, ("a",), ("b",)) is False
    assert tree(store) == {"b": b"1"}


@BOTH
def test_names_that_are_not_served(store: LocalStore, folder: Path, tmp_path: Path, verb: Callable[..., bool]) -> None:
    (tmp_path / "outside").mkdir()
    (folder / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    put(store, ("a",), b"1")
    for name in ("out", "pipe", ".partwise", ".PARTWISE"):
        with pytest.raises(ForbiddenName):
            verb(store, ("a",), (name,))
        with pytest.raises(NotFound):
            verb(store, (name,), ("b",))
    for name in (".partwise", ".PARTWISE"):
        assert isinstance(put(store, (name,)), ForbiddenName)
    assert tree(store) == {"a": b"1"}
    assert (folder / "out").is_symlink() and (folder / "pipe").exists()


# -- permissions


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_modes(store: LocalStore, folder: Path) -> None:
    """New ones are as the umask has it; whatever is replaced by PUT, copied or moved keeps its own."""
    put(store, ("c", "a"), b"1", existing=0)
    store.lock(lock_of(("locked",)), anything)
    assert (mode(folder / "c"), mode(folder / "c" / "a"), mode(folder / "locked")) == (0o750, 0o640, 0o640)
    (folder / "c" / "a").chmod(0o666)
    put(store, ("c", "a"), b"2")
    put(store, ("c", "program"), b"3")
    (folder / "c" / "program").chmod(0o755)
    (folder / "c").chmod(0o700)
    copy(store, ("c",), ("d",))
    copy(store, ("c", "program"), ("e",))
    move(store, ("c",), ("m",))
    for name in ("d", "m"):
        modes = [mode(folder / name / below) for below in ("", "a", "program")]
        assert modes == [0o700, 0o666, 0o755]
    assert mode(folder / "e") == 0o755


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """This thread obeys the permissions of files, also when it is root's."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, less = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    less[:] = before[:]
    less[0] = before[0] & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of the effective set
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


def test_members_that_cannot_be_read_are_told(store: LocalStore, folder: Path) -> None:
    for name in ("a", "secret", "z"):
        put(store, ("c", name), b"1", existing=0)
    put(store, ("c", "closed", "a"), b"1", existing=0)
    (folder / "c" / "secret").chmod(0)
    (folder / "c" / "closed").chmod(0)
    told = Told()
    with without_override():
        assert store.copy(moving(("c",), ("d",)), True, told)
        with pytest.raises(NotAllowed):
            store.copy(moving(("c", "secret"), ("e",)), True, told)
        with pytest.raises(NotAllowed):
            store.copy(moving(("c", "closed"), ("e",)), True, told)
    assert {path: type(failure) for path, failure in told.failures.items()} == {
        ("c", "secret"): NotAllowed,
        ("c", "closed"): NotAllowed,
    }
    assert tree(store, ("d",)) == {"a": b"1", "z": b"1"}


def test_collections_that_cannot_be_written(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "a"), b"1", existing=0)
    put(store, ("b",), b"2")
    give(store, ("c", "a"), p="1")
    (folder / "c").chmod(0o500)
    with without_override():
        for refused in (
            lambda: store.delete(("c", "a"), anything),
            lambda: move(store, ("c", "a"), ("d",)),
            lambda: move(store, ("b",), ("c", "a")),
            lambda: copy(store, ("b",), ("c", "new")),
            lambda: store.make_collection(("c", "d"), anything, {"p": "1"}),
            lambda: store.lock(lock_of(("c", "d")), anything),
        ):
            with pytest.raises(NotAllowed):
                refused()
        assert isinstance(put(store, ("c", "new")), NotAllowed)
    (folder / "c").chmod(0o700)
    assert tree(store) == {"c": None, "c/a": b"1", "b": b"2"}
    assert (has(store, ("c", "a")), has(store, ("c", "d"))) == ({"p": "1"}, {})
    assert store.locks_below(()) == ()


# -- mounts and full disks


@contextlib.contextmanager
def mounted(where: Path, size: str) -> Iterator[None]:
    where.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", os.fspath(where)]
    if subprocess.run(["mount", *options], capture_output=True).returncode != 0:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(where)], check=True)


def test_another_file_system_inside(store: LocalStore, folder: Path) -> None:
    """It can be read, copied from, and emptied; its place and what is in it stay where they are."""
    put(store, ("a",), b"1")
    put(store, ("c", "b"), b"2", existing=0)
    with mounted(folder / "m", "1m"):
        (folder / "m" / "f").write_bytes(b"3")
        before = tree(store)
        for refused in (
            lambda: store.delete(("m",), anything),
            lambda: move(store, ("m",), ("n",)),
            lambda: move(store, ("c",), ("m",)),
            lambda: move(store, ("m", "f"), ("f",)),
            lambda: move(store, ("a",), ("m", "a")),
            lambda: move(store, ("a",), ("m", "f")),
            lambda: copy(store, ("a",), ("m", "f")),
            lambda: copy(store, ("c",), ("m", "f")),
            lambda: store.lock(lock_of(("m", "new")), anything),
        ):
            with pytest.raises(NotAllowed):
                refused()
        assert isinstance(put(store, ("m", "f"), b"new"), NotAllowed)
        assert isinstance(put(store, ("m", "g"), b"new"), NotAllowed)
        assert tree(store) == before
        copy(store, ("m",), ("copied",))
        assert contents(store, ("copied", "f")) == b"3"
        give(store, ("m", "f"), p="1")
        store.delete(("m", "f"), anything)
        assert has(store, ("m", "f")) == {}
        assert not (folder / "m" / "f").exists()


def test_a_disk_too_small_for_a_copy(tmp_path: Path) -> None:
    """Nothing has changed, nothing is left, and what is deleted makes room."""
    folder = tmp_path / "small"
    with mounted(folder, "12m"):
        store = LocalStore(os.fspath(folder))
        for name in ("a", "b"):
            put(store, ("c", name), b"x" * 3_500_000, existing=0)
        put(store, ("d", "old"), b"1", existing=0)
        give(store, ("d",), p="1")
        before = tree(store)
        for attempt in (
            lambda: copy(store, ("c",), ("d",)),
            lambda: copy(store, ("c",), ("new",)),
        ):
            with pytest.raises(OutOfSpace):
                attempt()
            assert tree(store) == before
            assert has(store, ("d",)) == {"p": "1"}
            assert os.listdir(store._staging.folder) == []
        copy(store, ("c", "a"), ("new",))
        with pytest.raises(OutOfSpace):
            copy(store, ("c", "a"), ("new",))
        assert contents(store, ("new",)) == b"x" * 3_500_000
        store.delete(("c",), anything)
        assert copy(store, ("new",), ("d", "old")) is False
        store.close()
