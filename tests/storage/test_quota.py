"""Quotas of the local store: judged where it counts, kept across processes, and corrected when people change files."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.storage.contract import anything, publication, put

from partwise.errors import Failure, QuotaExceeded
from partwise.storage.base import Lock, Move, Published, Quota
from partwise.storage.local.measure import measure
from partwise.storage.local.quota import TRUSTED
from partwise.storage.local.store import LocalStore

Names = tuple[str, ...]
Open = Callable[..., LocalStore]
A = ("a",)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(folder: Path, clock: Clock) -> Iterator[Open]:
    """Start a store with quotas; several on one folder stand for several processes."""
    stores: list[LocalStore] = []

    def start(quotas: Mapping[Names, int]) -> LocalStore:
        stores.append(LocalStore(os.fspath(folder), quotas=quotas, clock=clock))
        return stores[-1]

    yield start
    for store in stores:
        store.close()


def on_disk(folder: Path) -> int:
    """What all files that clients can see take."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in found if ".partwise" not in path.parts)


def used(store: LocalStore, path: Names = A) -> int:
    quota = store.quota(path)
    assert quota is not None
    return quota.used


def refused(answer: Published | Failure) -> bool:
    assert isinstance(answer, Published | QuotaExceeded), answer
    return isinstance(answer, QuotaExceeded)


def relocated(
    store: LocalStore, source: str, destination: str, *, copy: bool = False, infinite: bool = True
) -> bool | None:
    """``None`` if the quota stood in the way; any other failure is raised."""
    failed: list[object] = []
    move = Move(tuple(source.split("/")), tuple(destination.split("/")), True, lambda _, __: None)
    try:
        if not copy:
            return store.move(move)
        made = store.copy(move, infinite, lambda *what: failed.append(what))
        assert not failed
        return made
    except QuotaExceeded:
        return None


def test_up_to_the_last_byte(start: Open, folder: Path) -> None:
    store = start({A: 10})
    assert store.quota(A) == Quota(10, 0)
    assert not refused(put(store, ("a", "x"), b"123456", existing=0))
    assert refused(put(store, ("a", "y"), b"12345"))
    assert not (folder / "a" / "y").exists()
    assert not refused(put(store, ("a", "y"), b"1234"))
    assert store.quota(A) == Quota(10, 10)
    assert refused(put(store, ("a", "z"), b"1"))
    assert not refused(put(store, ("a", "z"), b"")), "what takes nothing always fits"
    assert not refused(put(store, ("b",), b"x" * 1000)), "elsewhere there is no quota"
    assert store.quota(()) is None


def test_the_sentence_names_the_limit_and_no_path(start: Open, folder: Path) -> None:
    answer = put(start({(): 10}), ("x",), b"x" * 11)
    assert isinstance(answer, QuotaExceeded)
    assert answer.limit == 10
    assert "10 bytes" in answer.text
    assert str(folder) not in answer.text


@pytest.mark.parametrize(("size", "fits"), [(0, True), (6, True), (8, True), (9, False), (100, False)])
def test_what_is_replaced_makes_room(start: Open, folder: Path, size: int, fits: bool) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "x").write_bytes(b"123456")
    (folder / "a" / "y").write_bytes(b"12")
    store = start({A: 10})
    assert refused(put(store, ("a", "x"), b"x" * size)) is not fits
    assert used(store) == on_disk(folder) == (size + 2 if fits else 8)


def test_over_the_limit_already_what_shrinks_is_taken(start: Open, folder: Path) -> None:
    (folder / "x").write_bytes(b"x" * 100)
    store = start({(): 10})
    quota = store.quota(())
    assert quota == Quota(10, 100)
    assert quota.left == 0
    assert refused(put(store, ("x",), b"x" * 101))
    assert not refused(put(store, ("x",), b"x" * 100))
    assert not refused(put(store, ("x",), b"x" * 50))
    assert refused(put(store, ("y",), b"x"))


def test_nested_quotas_all_apply_and_the_tightest_is_told(start: Open) -> None:
    store = start({(): 100, A: 50, ("a", "b"): 80})
    assert not refused(put(store, ("a", "b", "x"), b"x" * 45, existing=0))
    assert refused(put(store, ("a", "b", "y"), b"x" * 6)), "the outer one is the tighter one"
    assert store.quota(("a", "b", "c")) == Quota(50, 45)
    assert not refused(put(store, ("z",), b"x" * 55))
    assert store.quota(A) == Quota(100, 100)
    assert refused(put(store, ("a", "y"), b"x"))


def test_each_item_of_a_group_is_judged_by_itself(start: Open, folder: Path) -> None:
    store = start({A: 10})
    sizes = [6, 5, 4, 1, 0]
    group = [publication(store, ("a", str(number)), b"x" * size, existing=0) for number, size in enumerate(sizes)]
    assert [refused(answer) for answer in store.publish(group)] == [False, True, False, True, False]
    assert used(store) == on_disk(folder) == 10


def test_the_same_name_twice_in_a_group(start: Open, folder: Path) -> None:
    store = start({A: 10})
    group = [publication(store, ("a", "x"), b"x" * size, existing=0) for size in (6, 10, 4)]
    assert not any(refused(answer) for answer in store.publish(group))
    assert used(store) == on_disk(folder) == 4


def test_a_refused_item_makes_no_collections(start: Open, folder: Path) -> None:
    assert refused(put(start({A: 10}), ("a", "b", "x"), b"x" * 11, existing=0))
    assert not (folder / "a").exists()


def test_what_is_deleted_makes_room(start: Open, folder: Path) -> None:
    store = start({A: 10, ("a", "b"): 10})
    for name in ("x", "y"):
        put(store, ("a", "b", name), b"12345", existing=0)
    store.delete(("a", "b", "x"), anything)
    assert used(store) == used(store, ("a", "b")) == 5
    store.delete(("a", "b"), anything)
    assert used(store) == used(store, ("a", "b")) == on_disk(folder) == 0


def test_a_locked_empty_name_takes_nothing(start: Open, folder: Path) -> None:
    store = start({A: 1})
    put(store, ("a", "x"), b"1", existing=0)
    lock = Lock("urn:x", ("a", "new"), True, False, "", None, 2e12)
    assert store.lock(lock, anything) is not None
    assert used(store) == 1


# -- copies and moves; /a may hold 20 bytes and has 6, "in" and "out" are trees of 10 bytes


@pytest.fixture
def trees(folder: Path) -> Path:
    for name in ("out", "a/in"):
        (folder / name / "b").mkdir(parents=True)
    for name, size in {"out/x": 4, "out/b/y": 6, "a/in/x": 2, "a/in/b/y": 4, "file": 10}.items():
        (folder / name).write_bytes(b"x" * size)
    return folder


# Source, destination, limit of /a, and whether it fits. What was there in all: /a 6, of which in 6.
RELOCATIONS = [
    ("file", "a/new", 16, True),
    ("file", "a/new", 15, False),
    ("file", "a/in/x", 14, True),
    ("file", "a/in/x", 13, False),
    ("file", "a/in", 10, True),
    ("file", "a/in", 9, False),
    ("out", "a/new", 16, True),
    ("out", "a/new", 15, False),
    ("out", "a/in", 10, True),
    ("out", "a/in", 9, False),
    ("out", "a/in/x", 14, True),
    ("out", "a/in/x", 13, False),
    ("out/b", "a/in/b", 8, True),
    ("out/b", "a/in/b", 7, False),
    ("a/in/x", "out/x", 1, True),
    ("a/in", "new", 1, True),
    ("a/in", "out", 1, True),
]


@pytest.mark.parametrize("copy", [True, False], ids=["copy", "move"])
@pytest.mark.parametrize(("source", "destination", "limit", "fits"), RELOCATIONS)
def test_what_comes_from_elsewhere(
    start: Open, trees: Path, source: str, destination: str, limit: int, fits: bool, copy: bool
) -> None:
    store = start({A: limit})
    before = sorted(path.relative_to(trees) for path in trees.rglob("*") if ".partwise" not in path.parts)
    made = relocated(store, source, destination, copy=copy)
    assert (made is not None) is fits
    assert used(store) == on_disk(trees / "a")
    if not fits:
        assert before == sorted(path.relative_to(trees) for path in trees.rglob("*") if ".partwise" not in path.parts)


@pytest.mark.parametrize("limit", [1, 6, 100])
@pytest.mark.parametrize(("source", "destination"), [("a/in/x", "a/new"), ("a/in", "a/new"), ("a/in/x", "a/in/b/y")])
def test_a_move_inside_always_fits(start: Open, trees: Path, source: str, destination: str, limit: int) -> None:
    store = start({A: limit})
    assert relocated(store, source, destination) is not None
    assert used(store) == on_disk(trees / "a")


@pytest.mark.parametrize(("limit", "fits"), [(12, True), (11, False)])
def test_a_copy_inside_takes_room(start: Open, trees: Path, limit: int, fits: bool) -> None:
    store = start({A: limit})
    assert (relocated(store, "a/in", "a/new", copy=True) is not None) is fits
    assert used(store) == on_disk(trees / "a")


@pytest.mark.parametrize("place", [A, ("a", "new", "b")], ids=["over", "inside"])
@pytest.mark.parametrize(("limit", "fits"), [(16, True), (5, False)])
def test_a_copy_that_does_not_fit_is_not_begun(start: Open, trees: Path, place: Names, limit: int, fits: bool) -> None:
    store = start({place: limit})
    # The second link is left out, which is told when the copy comes to it.
    (trees / "out" / "empty").mkdir()
    for name in ("one", "two"):
        (trees / "out" / name).symlink_to("empty")
    failed: list[Names] = []
    move = Move(("out",), ("a", "new"), True, lambda _, __: None)
    with contextlib.nullcontext() if fits else pytest.raises(QuotaExceeded):
        store.copy(move, True, lambda path, _: failed.append(path))
    assert len(failed) == fits


def test_a_copy_without_members_takes_nothing(start: Open, trees: Path) -> None:
    store = start({A: 6})
    assert relocated(store, "out", "a/new", copy=True, infinite=False)
    assert used(store) == on_disk(trees / "a") == 6


@pytest.mark.parametrize("copy", [True, False], ids=["copy", "move"])
@pytest.mark.parametrize(("limit", "fits"), [(6, True), (5, False)])
def test_a_tree_brings_what_a_quota_inside_the_destination_covers(
    start: Open, trees: Path, limit: int, fits: bool, copy: bool
) -> None:
    store = start({("new", "b"): limit, ("out", "b"): 100})
    assert (relocated(store, "out", "new", copy=copy) is not None) is fits
    assert used(store, ("new", "b")) == (6 if fits else 0)
    assert used(store, ("out", "b")) == (0 if fits and not copy else 6)


# -- links


def test_where_a_file_lies_decides(start: Open, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "big").mkdir()
    (folder / "to-a").symlink_to("a")
    (folder / "a" / "to-big").symlink_to("../big")
    (folder / "a" / "x").write_bytes(b"12345")
    (folder / "to-x").symlink_to("a/x")
    store = start({A: 10})
    assert refused(put(store, ("to-a", "y"), b"123456"))
    assert store.quota(("to-a",)) == Quota(10, 5)
    assert refused(put(store, ("to-x",), b"x" * 11)), "what a link leads to is replaced"
    assert not refused(put(store, ("a", "to-big", "y"), b"x" * 100))
    assert store.quota(("a", "to-big", "c")) is None
    assert used(store) == 5


def test_a_quota_of_a_link_is_that_of_its_target(start: Open, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "a").symlink_to("data")
    store = start({A: 10})
    assert refused(put(store, ("data", "x"), b"x" * 11))
    assert refused(put(store, ("a", "x"), b"x" * 11))


def test_deleting_a_link_frees_nothing(start: Open, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "x").write_bytes(b"12345")
    (folder / "a" / "link").symlink_to("x")
    store = start({A: 10})
    store.delete(("a", "link"), anything)
    assert used(store) == 5


# -- several at once, and what happens behind the server's back


def test_two_stores_at_the_edge_never_pass_the_limit(start: Open, folder: Path) -> None:
    limit, size, writers, rounds = 1000, 7, 4, 30
    stores = [start({A: limit, (): 5000}) for _ in range(writers)]
    (folder / "a").mkdir()
    stored: list[int] = []
    barrier = threading.Barrier(writers)

    def write(number: int) -> None:
        store = stores[number]
        barrier.wait()
        for turn in range(rounds):
            group = [publication(store, ("a", f"{number}-{turn}-{item}"), b"x" * size, existing=1) for item in range(3)]
            stored.extend(not refused(answer) for answer in store.publish(group))
            if turn % 5 == 0:
                store.recount()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored) == writers * rounds * 3
    assert on_disk(folder) == sum(stored) * size == limit // size * size
    assert {used(store) for store in stores} == {limit // size * size}


def test_a_random_walk_stays_true_while_others_count(start: Open, folder: Path, clock: Clock) -> None:
    """Counts run beside the writers; what the rows say is what lies on the disk, at every end."""
    quotas = {(): 4000, A: 900, ("a", "b"): 500}
    writer, counter = start(quotas), start(quotas)
    names = [(*top, leaf) for top in ((), A, ("a", "b"), ("c",)) for leaf in "xyz"]
    chance, ended = random.Random(7), threading.Event()

    def count() -> None:
        while not ended.is_set():
            clock.now += 2 * TRUSTED
            counter.recount()

    for top in ("a/b", "c"):
        (folder / top).mkdir(parents=True)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(300):
            one, other = chance.sample(names, 2)
            match chance.randrange(4):
                case 0 | 1:
                    refused(put(writer, one, b"x" * chance.randrange(300)))
                case 2 if folder.joinpath(*one).exists():
                    relocated(writer, "/".join(one), "/".join(other), copy=chance.random() < 0.5)
                case 3 if folder.joinpath(*one).exists():
                    writer.delete(one, anything)
    finally:
        ended.set()
        thread.join()
    for path, limit in quotas.items():
        size = on_disk(folder.joinpath(*path))
        quota = counter.quota(path)
        assert size <= limit
        assert quota is not None
        inner = [on_disk(folder.joinpath(*place)) for place in quotas if path[: len(place)] == place]
        assert (quota.limit, quota.used) in zip(
            [limit for place, limit in quotas.items() if path[: len(place)] == place], inner, strict=True
        )


MEANWHILE: dict[str, Callable[[LocalStore], object]] = {
    "a new file": lambda store: put(store, ("a", "d", "new"), b"x" * 30),
    "a new file where the walk has been": lambda store: put(store, ("a", "new"), b"x" * 30),
    "a replaced file": lambda store: put(store, ("a", "0", "x"), b"x" * 3),
    "a file is deleted": lambda store: store.delete(("a", "d", "x"), anything),
    "a tree is deleted": lambda store: store.delete(("a", "0"), anything),
    "a tree comes": lambda store: relocated(store, "out", "a/in", copy=True),
    "a tree goes": lambda store: relocated(store, "a/d", "gone"),
    "a tree moves to where the walk has been": lambda store: relocated(store, "a/d", "a/0/d"),
    "a tree moves to where the walk will be": lambda store: relocated(store, "a/0", "a/d/0"),
}


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("what", MEANWHILE)
def test_what_happens_during_a_count_is_not_lost(start: Open, folder: Path, clock: Clock, what: str, turn: int) -> None:
    for name in ("a/0", "a/1", "a/d", "a/e", "out"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x").write_bytes(b"x" * 7)
    counter, writer = start({A: 1000}), start({A: 1000})
    assert used(writer) == 28
    clock.now += TRUSTED
    turns = 0

    def meanwhile() -> bool:
        nonlocal turns
        if turns == turn:
            MEANWHILE[what](writer)
        turns += 1
        return False

    counter.recount(meanwhile)
    assert turns > turn
    assert used(writer) == used(counter) == on_disk(folder / "a")


def test_a_large_change_by_hand_is_found_in_spite_of_small_ones(start: Open, folder: Path, clock: Clock) -> None:
    (folder / "a" / "d").mkdir(parents=True)
    store = start({A: 1000})
    assert used(store) == 0
    (folder / "a" / "by-hand").write_bytes(b"x" * 500)
    clock.now += TRUSTED
    store.recount(lambda: refused(put(store, ("a", "new"), b"x" * 30)))
    assert used(store) in (500, 530)


def test_changes_by_hand_are_found(start: Open, folder: Path, clock: Clock) -> None:
    store, other = start({A: 100}), start({A: 100})
    put(store, ("a", "x"), b"x" * 10, existing=0)
    (folder / "a" / "by-hand").write_bytes(b"x" * 60)
    clock.now += TRUSTED - 1
    store.recount()
    assert used(store) == 10, "counted not long ago"
    clock.now += 1
    store.recount()
    assert used(store) == used(other) == 70
    assert refused(put(other, ("a", "y"), b"x" * 31))
    (folder / "a" / "by-hand").unlink()
    clock.now += TRUSTED
    other.recount()
    assert used(store) == 10


def test_a_clock_that_was_set_back_is_no_reason_to_trust_for_ever(start: Open, folder: Path, clock: Clock) -> None:
    store = start({A: 100})
    assert used(store) == 0
    (folder / "a").mkdir()
    (folder / "a" / "x").write_bytes(b"12345")
    clock.now -= 10_000
    store.recount()
    assert used(store) == 5


def test_a_count_can_be_stopped(start: Open, folder: Path, clock: Clock) -> None:
    store = start({A: 100})
    assert used(store) == 0
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "x").write_bytes(b"12345")
    clock.now += TRUSTED
    store.recount(lambda: True)
    assert used(store) == 0
    store.recount()
    assert used(store) == 5


def test_a_restart_keeps_the_count_and_looks_again_soon(start: Open, folder: Path) -> None:
    start({A: 100}).close()
    (folder / "a").mkdir()
    (folder / "a" / "x").write_bytes(b"12345")
    store = start({A: 100})
    store.recount()
    assert used(store) == 5


def test_a_quota_that_was_gone_is_counted_anew(start: Open, folder: Path) -> None:
    put(start({A: 100}), ("a", "x"), b"x" * 10, existing=0)
    put(start({}), ("a", "y"), b"x" * 20)
    assert used(start({A: 100})) == 30


def test_a_writer_that_died_halfway_is_noticed(start: Open, folder: Path) -> None:
    store = start({A: 20})
    put(store, ("a", "x"), b"x" * 10, existing=0)
    # What a kill between placing a file and writing down its size leaves behind.
    (folder / "a" / "y").write_bytes(b"x" * 10)
    store._medium.state.usage_number.unsettle()
    assert refused(put(store, ("a", "z"), b"x"))
    assert used(store) == 20


def test_a_refused_group_costs_no_count(start: Open, folder: Path) -> None:
    store = start({A: 20})
    put(store, ("a", "x"), b"x" * 10, existing=0)
    (folder / "a" / "y").write_bytes(b"x" * 5)
    assert refused(put(store, ("a", "z"), b"x" * 11))
    assert not refused(put(store, ("a", "z"), b"x" * 10)), "the change by hand is not known yet, so nobody counted"


def test_without_quotas_nothing_is_written(start: Open, folder: Path) -> None:
    store = start({})
    put(store, ("a", "x"), b"1", existing=0)
    store.recount()
    assert store.quota(A) is None
    assert store._medium.state.usage() == {}


# -- the measure


def test_links_and_the_state_take_nothing(start: Open, folder: Path) -> None:
    store = start({(): 100})
    (folder / "x").write_bytes(b"123")
    (folder / "link").symlink_to("x")
    (folder / "circle").symlink_to(".")
    (folder / "nothing").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    os.link(folder / "x", folder / "y")
    assert used(store, ()) == 6


def test_deep_trees_can_be_measured(start: Open, folder: Path) -> None:
    store = start({})
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    top = os.open(folder, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    try:
        assert measure(store._medium.root, top, "d") == {(): 0}
        assert measure(store._medium.root, top, "d", [("d", "d"), ("e",)]) == {(): 0, ("d", "d"): 0, ("e",): 0}
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(top)
