"""The local store: the contract, and what is its own business: links, staging, the hidden folder."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from tests.storage.contract import StorageContract, anything, contents, publication, put

from partwise.errors import Failure, ForbiddenName, NotFound, OutOfSpace, ParentMissing, TryAgain
from partwise.storage.base import Publication, Published
from partwise.storage.local import durable, staging
from partwise.storage.local.store import LocalStore


class TestContract(StorageContract):
    pass


def staged(folder: Path) -> list[Path]:
    return [path for path in (folder / ".partwise" / "staging").rglob("*") if path.is_file()]


def test_nothing_is_left_in_staging(store: LocalStore, folder: Path) -> None:
    put(store, ("a",), b"x" * 1_000_000)
    put(store, ("a",), b"y" * 1_000_000)
    put(store, ("missing", "a"), b"y" * 1_000_000)
    upload = store.stage()
    upload.write(b"z" * 1_000_000)
    upload.abort()
    assert staged(folder) == []


def test_descriptors_are_given_back(store: LocalStore) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        put(store, ("c", str(number)), b"1", existing=0)
        put(store, ("missing", "a"), b"1")
        list(store.walk(()))
        next(iter(store.members(())))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_crash_leaves_nothing_after_the_next_start(folder: Path) -> None:
    left = folder / ".partwise" / "staging" / "4711-dead"
    left.mkdir(parents=True)
    (left / "0").write_bytes(b"half")
    (left / "trash").mkdir()
    (left / "trash" / "x").write_bytes(b"x")
    LocalStore(os.fspath(folder)).close()
    assert not left.exists()


def test_the_staging_of_a_running_process_is_not_swept(folder: Path) -> None:
    first = LocalStore(os.fspath(folder))
    one = publication(first, ("a",), b"1")
    second = LocalStore(os.fspath(folder))
    [answer] = first.publish([one])
    assert isinstance(answer, Published)
    assert contents(second, ("a",)) == b"1"
    first.close()
    second.close()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def test_links_that_lead_out_do_not_exist(store: LocalStore, folder: Path, outside: Path) -> None:
    (folder / "out").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "state").symlink_to(".partwise")
    assert list(store.members(())) == []
    for path in [
        ("out",),
        ("out", "secret"),
        ("file",),
        ("dangling",),
        ("up",),
        ("up", "outside", "secret"),
        ("loop",),
    ]:
        with pytest.raises(NotFound):
            store.stat(path)
        with pytest.raises(NotFound):
            store.open(path)
        with pytest.raises(NotFound):
            store.delete(path, anything)
    for path in [("state",), ("state", "writer.lock"), (".partwise",), (".partwise", "writer.lock")]:
        with pytest.raises(NotFound):
            store.stat(path)


def test_nothing_is_written_through_links_that_lead_out(store: LocalStore, folder: Path, outside: Path) -> None:
    (folder / "out").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    assert isinstance(put(store, ("out", "new"), b"x"), ParentMissing)
    assert isinstance(put(store, ("out", "new"), b"x", existing=0), ParentMissing)
    assert isinstance(put(store, ("file",), b"x"), ForbiddenName)
    with pytest.raises(ParentMissing):
        store.make_collection(("out", "c"), anything)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert (folder / "file").is_symlink()


def test_the_state_folder_has_no_other_name(store: LocalStore, folder: Path) -> None:
    """Links to the served folder itself lead to everything in it but that."""
    (folder / "c").mkdir()
    (folder / "self").symlink_to(".")
    (folder / "c" / "up").symlink_to("..")
    (folder / "c" / "state").symlink_to("../.partwise")
    before = sorted((folder / ".partwise").rglob("*"))
    for way in [("self",), ("c", "up"), ("self", "self"), ("c", "up", "c", "up")]:
        assert store.stat(way).collection
        assert ".partwise" not in {member.path[-1] for member in store.members(way)}
        for below in [(".partwise",), (".partwise", "writer.lock"), (".partwise", "staging")]:
            with pytest.raises(NotFound):
                store.stat((*way, *below))
            with pytest.raises(NotFound):
                store.delete((*way, *below), anything)
        assert isinstance(put(store, (*way, ".partwise", "x"), b"x"), ParentMissing)
        assert isinstance(put(store, (*way, ".partwise"), b"x"), ForbiddenName)
        with pytest.raises(ParentMissing):
            store.make_collection((*way, ".partwise", "x"), anything)
    assert not [member for member in store.walk(()) if ".partwise" in member.path]
    with pytest.raises(NotFound):
        store.members(("c", "state"))
    assert sorted((folder / ".partwise").rglob("*")) == before


def test_a_very_deep_tree(store: LocalStore, folder: Path) -> None:
    """Made by hand, deeper than Python recurses: it can be read, walked and deleted, also at the next start."""
    depth, here = 1500, os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert store.stat(("a",) * depth).collection
    assert isinstance(put(store, ("a",) * depth + ("f",), b"1"), Published)
    store.delete(("a",), anything)
    assert list(store.members(())) == []
    assert not os.listdir(store._staging.folder)


def test_a_deep_leftover_is_swept(folder: Path) -> None:
    here = folder / ".partwise" / "staging" / "1-dead"
    here.mkdir(parents=True)
    descriptor = os.open(here, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("a", dir_fd=descriptor)
        below = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    LocalStore(os.fspath(folder)).close()
    assert not os.listdir(folder / ".partwise" / "staging")


def test_iterators_that_are_not_read_to_their_end_hold_nothing(store: LocalStore) -> None:
    put(store, ("c", "a"), b"1", existing=0)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        store.members(("c",))
        store.walk(())
        next(iter(store.walk(())))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_links_inside_are_followed(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "real"), b"1", existing=0)
    (folder / "link").symlink_to(folder / "c")
    (folder / "file").symlink_to("c/real")
    assert contents(store, ("link", "real")) == b"1"
    assert contents(store, ("file",)) == b"1"
    answer = put(store, ("file",), b"22")
    assert isinstance(answer, Published) and not answer.created
    assert (folder / "c" / "real").read_bytes() == b"22"
    assert (folder / "file").is_symlink()
    store.delete(("link",), anything)
    assert contents(store, ("c", "real")) == b"22"


def test_a_walk_over_circular_links_ends(store: LocalStore, folder: Path) -> None:
    put(store, ("c", "d", "a"), b"1", existing=0)
    (folder / "c" / "d" / "up").symlink_to(folder / "c")
    (folder / "c" / "self").symlink_to(".")
    (folder / "root").symlink_to(folder)
    walked = [member.path for member in store.walk(())]
    assert ("c", "d", "a") in walked
    assert len(walked) < 60


def test_special_files_do_not_exist(store: LocalStore, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert list(store.members(())) == []
    with pytest.raises(NotFound):
        store.open(("pipe",))
    assert isinstance(put(store, ("pipe",), b"x"), ForbiddenName)


def test_names_that_are_not_utf8_are_reachable(store: LocalStore, folder: Path) -> None:
    with open(os.fsencode(folder) + b"/\xff\xfe", "wb") as file:
        file.write(b"raw")
    [member] = store.members(())
    assert member.path == ("\udcff\udcfe",)
    assert contents(store, member.path) == b"raw"
    store.delete(member.path, anything)
    assert list(store.members(())) == []


def test_changes_by_hand_are_seen_at_once(store: LocalStore, folder: Path) -> None:
    answer = put(store, ("a",), b"1")
    assert isinstance(answer, Published)
    (folder / "a").write_bytes(b"2")
    assert store.stat(("a",)).etag != answer.resource.etag
    (folder / "b").write_bytes(b"3")
    assert contents(store, ("b",)) == b"3"


def test_a_replaced_file_keeps_its_mode(store: LocalStore, folder: Path) -> None:
    put(store, ("a",), b"1")
    (folder / "a").chmod(0o640)
    put(store, ("a",), b"2")
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("count", [1, 20])
def test_a_failed_sync_acknowledges_nothing(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    group = [publication(store, (str(number),), b"1") for number in range(count)]
    monkeypatch.setattr(durable.os, "fsync", fail)
    monkeypatch.setattr(durable, "_syncfs", fail)
    answers = store.publish(group)
    assert [type(answer) for answer in answers] == [TryAgain] * count
    assert list(store.members(())) == []
    assert staged(folder) == []


def test_concurrent_writers_of_one_name(store: LocalStore) -> None:
    """Whole bodies of one writer each, whatever the order."""
    bodies = [bytes([65 + number]) * 100_000 for number in range(4)]

    def write(data: bytes) -> None:
        for _ in range(20):
            answer = put(store, ("a",), data)
            assert not isinstance(answer, Failure)

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        try:
            assert contents(store, ("a",)) in bodies
            seen += 1
        except NotFound:
            assert not seen
    for thread in threads:
        thread.join()
    assert contents(store, ("a",)) in bodies


def test_a_full_disk(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    upload = store.stage()
    monkeypatch.setattr(staging.os, "write", full)
    with pytest.raises(Failure, match="no room"):
        upload.write(b"x" * 1_000_000)
    upload.abort()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("sizes", [(10,), (10,) * 20, (5_000_000,), (5_000_000, 10)], ids=str)
def test_a_full_disk_that_tells_late(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch, error: int, sizes: tuple[int, ...]
) -> None:
    """With delayed allocation, or over a network, only the sync may find out. The next one may find room."""

    def full(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    def attempt() -> list[object]:
        answers: list[object] = []
        group = []
        for number, size in enumerate(sizes):
            upload = store.stage()
            try:
                upload.write(bytes(size))
                upload.seal(None)
            except OutOfSpace as failure:
                upload.abort()
                answers.append(failure)
                continue
            group.append(Publication(upload, (str(number),), 0, anything))
        return [*answers, *store.publish(group)]

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", full)
        patch.setattr(durable, "_syncfs", full)
        assert {type(answer) for answer in attempt()} == {OutOfSpace}
    assert list(store.members(())) == []
    assert staged(folder) == []
    assert {type(answer) for answer in attempt()} == {Published}
    assert {path.stat().st_size for path in folder.iterdir() if path.is_file()} == {*sizes}


def test_looking_while_collections_are_made(store: LocalStore) -> None:
    """Collections that another thread makes between two steps of a look are not taken for something in the way."""
    paths = [("c", f"{number % 40}", f"{number}", "f") for number in range(400)]
    answers: list[object] = []

    def look() -> None:
        try:
            answers.extend(store.look(path, 0) for path in paths for _ in range(5))
        except Failure as failure:
            answers.append(failure)

    thread = threading.Thread(target=look)
    thread.start()
    for path in paths:
        assert isinstance(put(store, path, b"1", existing=0), Published)
    thread.join()
    assert not [answer for answer in answers if isinstance(answer, Failure)]


def test_what_is_left_to_the_system_is_not_synced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(os.fspath(folder), durable=False)

    def fail(*_: object) -> int:
        raise AssertionError("synced")

    monkeypatch.setattr(durable.os, "fsync", fail)
    monkeypatch.setattr(durable, "_syncfs", fail)
    try:
        uploads = []
        for size in (10, durable_size := 5 * 1024 * 1024):
            upload = store.stage()
            upload.write(bytes(size))
            upload.seal(None)
            uploads.append(Publication(upload, (f"f{size}",), 0, lambda standing: None))
        assert all(isinstance(answer, Published) for answer in store.publish(uploads))
        assert (folder / f"f{durable_size}").stat().st_size == durable_size
        store.make_collection(("c",), lambda standing: None)
        with store.transaction() as joint:
            joint.set_properties(("c",), {"{x}a": "1"}, lambda standing: None)
    finally:
        monkeypatch.undo()
        store.close()
    again = LocalStore(os.fspath(folder))
    assert again.properties([("c",)]) == {("c",): {"{x}a": "1"}}
    again.close()
