"""The durable state against a plain model, and across connections, processes, kills and damage."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partwise.errors import OutOfSpace, TryAgain
from partwise.storage.base import Lock, Path
from partwise.storage.sql.state import Changes, State, StateBroken

SERVER = File(__file__).parent.parent.parent / "server"

#: Names whose bytes lie around the separator, a prefix of another, and not UTF-8.
NAMES = ["a", "a0", "a.b", "ab", "a\udcff", "é\U0001f600"]
UNIVERSE: list[Path] = [(), *((x,) for x in NAMES), *((x, y) for x in NAMES for y in NAMES)]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: File, clock: Clock) -> Iterator[Callable[..., State]]:
    """Opens the state of this test's folder, again and again if asked."""
    with contextlib.ExitStack() as stack:

        def open_state(**limits: int) -> State:
            state = State(os.fspath(tmp_path), clock, **limits)
            stack.callback(state.close)
            return state

        yield open_state


@pytest.fixture
def state(opened: Callable[..., State]) -> State:
    return opened()


def lock(token: str, root: Path, infinite: bool = True, expires: float = math.inf) -> Lock:
    return Lock(token, root, True, infinite, "<D:owner xmlns:D='DAV:'>ü\U0001f600 \"</D:owner>", "müller", expires)


def add(state: State, *locks: Lock) -> None:
    with state.writing() as changes:
        for one in locks:
            changes.add_lock(one)


def put(state: State, path: Path, **values: str | None) -> None:
    with state.writing() as changes:
        changes.set_properties(path, values)


class Undone(Exception):
    """A transaction is given up."""


# -- against a model


class Model:
    """What the state does, by dict and list."""

    def __init__(self) -> None:
        self.values: dict[Path, dict[str, str]] = {}
        self.locks: list[Lock] = []

    def copy(self) -> Model:
        twin = Model()
        twin.values = {path: dict(values) for path, values in self.values.items()}
        twin.locks = list(self.locks)
        return twin

    def set_properties(self, path: Path, changes: dict[str, str | None]) -> None:
        values = {**self.values.pop(path, {}), **changes}
        kept = {name: value for name, value in values.items() if value is not None}
        if kept:
            self.values[path] = kept

    def clear(self, paths: list[Path]) -> None:
        for path in paths:
            self.values.pop(path, None)

    def clear_tree(self, path: Path) -> None:
        self.clear([other for other in self.values if other[: len(path)] == path])

    def move_tree(self, source: Path, destination: Path) -> None:
        self.copy_tree(source, destination, True, [])
        self.clear_tree(source)

    def copy_tree(self, source: Path, destination: Path, infinite: bool, without: list[str]) -> None:
        self.clear_tree(destination)
        for path, values in list(self.values.items()):
            if path[: len(source)] == source and (infinite or path == source):
                self.set_properties(
                    destination + path[len(source) :], {n: v for n, v in values.items() if n not in without}
                )

    def add_lock(self, new: Lock) -> None:
        self.locks.append(new)

    def refresh_lock(self, token: str, expires: float) -> Lock | None:
        for index, old in enumerate(self.locks):
            if old.token == token:
                self.locks[index] = old._replace(expires=expires)
                return self.locks[index]
        return None

    def drop_lock(self, token: str) -> bool:
        before = len(self.locks)
        self.locks = [one for one in self.locks if one.token != token]
        return len(self.locks) < before

    def drop_locks_in(self, path: Path) -> None:
        self.locks = [one for one in self.locks if one.root[: len(path)] != path]

    def expire(self, now: float) -> None:
        self.locks = [one for one in self.locks if one.expires > now]

    def on(self, path: Path) -> list[Lock]:
        return [one for one in self.locks if one.root == path or (one.infinite and path[: len(one.root)] == one.root)]

    def below(self, path: Path) -> list[Lock]:
        return [one for one in self.locks if one.root != path and one.root[: len(path)] == path]


def overlapping(one: Path, other: Path) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


paths = st.sampled_from(UNIVERSE[:7]) | st.sampled_from(UNIVERSE)
names = st.sampled_from(["{DAV:}a", "b", "{}c"])
texts = st.none() | st.text('x<"\\é\U0001f600\n', max_size=9)
apart = st.tuples(paths, paths).filter(lambda pair: not overlapping(*pair))
operations = st.one_of(
    st.tuples(st.just("set_properties"), paths, st.dictionaries(names, texts)),
    st.tuples(st.just("clear"), st.lists(paths, max_size=4)),
    st.tuples(st.just("clear_tree"), paths),
    apart.map(lambda pair: ("move_tree", *pair)),
    st.tuples(apart, st.booleans(), st.lists(names)).map(lambda found: ("copy_tree", *found[0], *found[1:])),
    st.tuples(st.just("add_lock"), paths, st.booleans(), st.integers(1, 9)),
    st.tuples(st.just("refresh_lock"), st.integers(0, 6), st.integers(1, 9)),
    st.tuples(st.just("drop_lock"), st.integers(0, 6)),
    st.tuples(st.just("drop_locks_in"), paths),
)
#: Operations that belong together, whether they fail at the end, and the seconds that pass then.
transactions = st.lists(
    st.tuples(st.lists(operations, min_size=1, max_size=8), st.sampled_from([False, False, True]), st.integers(0, 2)),
    min_size=1,
    max_size=5,
)
#: What there is at first: something at every name, and locks of every kind.
POPULATION: list[Any] = [
    *(("set_properties", path, {"b": "1", "{DAV:}a": "2"}) for path in UNIVERSE[1:]),
    *(
        ("add_lock", path, number % 2 == 0, 5 + number)
        for number, path in enumerate([(), ("a",), ("ab",), ("a", "a0")])
    ),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, State, Clock]]:
    """Two states of one folder: as in two processes, but for the process."""
    folder, clock = os.fspath(tmp_path_factory.mktemp("pair")), Clock()
    with contextlib.closing(State(folder, clock)) as one, contextlib.closing(State(folder, clock)) as other:
        yield one, other, clock


@settings(max_examples=50)
@given(script=transactions)
@example(script=[([("clear_tree", ("a",))], False, 0)])
@example(script=[([("move_tree", ("a",), ("ab", "a"))], False, 0)])
@example(script=[([("copy_tree", ("a",), ("ab",), True, ["b"])], False, 0)])
@example(script=[([("set_properties", ("a",), {"c": "3"}), ("clear", [("a",)])], False, 0)])
def test_random_transactions(pair: tuple[State, State, Clock], script: Any) -> None:
    one, other, clock = pair
    with one.writing() as changes:
        changes.clear_tree(())
        changes.drop_locks_in(())
    model, tokens = Model(), 0
    for number, (steps, fails, seconds) in enumerate([(POPULATION, False, 0), *script]):
        draft = model.copy()
        with contextlib.suppress(Undone), (one, other)[number % 2].writing() as changes:
            for step in steps:
                name, *values = step
                if name == "add_lock":
                    values = [lock(f"t{tokens}", values[0], values[1], clock.now + values[2])]
                    tokens += 1
                elif name == "refresh_lock":
                    values = [f"t{values[0]}", clock.now + values[1]]
                elif name == "drop_lock":
                    values = [f"t{values[0]}"]
                assert getattr(changes, name)(*values) == getattr(draft, name)(*values)
            if fails:
                raise Undone
        model = model if fails else draft
        clock.now += seconds
        model.expire(clock.now)
        for state in (one, other):
            agree(state, model)


def agree(state: State, model: Model) -> None:
    assert state.properties([*UNIVERSE, *model.values]) == model.values
    for path in UNIVERSE:
        assert sorted(state.locks_on(path)) == sorted(model.on(path))
        below = state.locks_below(path)
        assert sorted(below) == sorted(model.below(path))
        assert [one.root for one in below] == sorted(one.root for one in below)


# -- properties


def test_a_long_value(state: State) -> None:
    value = "é" * (1 << 19)
    put(state, ("a",), long=value)
    assert state.properties([("a",)]) == {("a",): {"long": value}}


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 511, 512, 513, 1300])
def test_many_paths(state: State, count: int) -> None:
    many = [("folder", f"é{number}") for number in range(count)]
    assert state.properties(many) == {}
    with state.writing() as changes:
        for path in many:
            changes.set_properties(path, {"n": path[1], "m": "old"})
    assert state.properties(many) == {path: {"n": path[1], "m": "old"} for path in many}
    with state.writing() as changes:
        for path in many:
            changes.set_properties(path, {"n": None, "m": "new"})
        changes.clear(many[:-1])
    assert state.properties(many) == {many[-1]: {"m": "new"}}


def test_nothing_is_asked_about_nothing(state: State) -> None:
    put(state, ("a",), n="1")
    assert state.properties([]) == {}
    assert state.properties([("b",)]) == {}


@pytest.mark.parametrize("pair", [(("a",), ("a",)), (("a",), ("a", "b")), (("a", "b"), ("a",)), ((), ("a",))])
def test_a_tree_is_not_moved_into_itself(state: State, pair: tuple[Path, Path]) -> None:
    put(state, ("a",), n="1")
    with pytest.raises(AssertionError), state.writing() as changes:
        changes.move_tree(*pair)
    assert state.properties([("a",)]) == {("a",): {"n": "1"}}


# -- locks


@pytest.mark.parametrize("expires", [1_000.1, 1_763_787_000.123_456_7, 1e300, math.inf])
def test_a_lock_comes_back_as_it_was(opened: Callable[..., State], expires: float) -> None:
    found = lock("t", ("a\udcff", "é"), expires=expires)
    add(opened(), found)
    assert opened().locks_on(("a\udcff", "é", "x")) == (found,)


def test_expiry(opened: Callable[..., State], clock: Clock) -> None:
    state, other = opened(), opened()
    add(state, lock("t", ("a",), expires=1_010.0))
    clock.now = 1_009.9
    assert len(other.locks_on(("a",))) == len(other.locks_below(())) == 1
    clock.now = 1_010.0
    assert other.locks_on(("a",)) == other.locks_below(()) == ()
    with state.writing() as changes:
        assert changes.refresh_lock("t", 2_000.0) is None
        assert not changes.drop_lock("t")
    clock.now = 1_000.0  # it is gone, not only hidden
    assert state.locks_on(("a",)) == ()


def test_too_many_locks(opened: Callable[..., State], clock: Clock) -> None:
    state = opened(most_locks=2)
    add(state, lock("1", ("a",), expires=1_001.0), lock("2", ("b",)))
    with pytest.raises(OutOfSpace):
        add(state, lock("3", ("c",)))
    assert state.locks_on(("c",)) == ()
    clock.now = 1_001.0  # an expired one makes room
    add(state, lock("3", ("c",)))
    assert [one.token for one in state.locks_below(())] == ["2", "3"]


def test_what_is_not_committed_is_not_seen(opened: Callable[..., State]) -> None:
    state, other = opened(), opened()
    with pytest.raises(Undone), state.writing() as changes:
        changes.add_lock(lock("t", ("a",)))
        changes.set_properties(("a",), {"n": "1"})
        assert state.locks_on(("a",)) == other.locks_on(("a",)) == ()
        raise Undone
    assert state.locks_on(("a",)) == other.locks_on(("a",)) == ()
    assert state.properties([("a",)]) == {}


def test_the_same_token_twice(state: State) -> None:
    add(state, lock("t", ("a",)))
    with pytest.raises(TryAgain):
        add(state, lock("t", ("b",)))
    assert [one.root for one in state.locks_below(())] == [("a",)]


def test_fresh_sees_what_was_committed_before(opened: Callable[..., State]) -> None:
    state, other = opened(), opened()
    assert state.locks_on(("a",)) == ()
    add(other, lock("t", ("a",)))
    with state.fresh():
        assert len(state.locks_on(("a",))) == 1
        add(state, lock("u", ("b",)))
        assert len(state.locks_on(("b",))) == 1


# -- connections, threads, processes


def test_the_epoch_belongs_to_the_database(opened: Callable[..., State], tmp_path: File) -> None:
    first = opened()
    epoch = first.epoch
    assert opened().epoch == epoch
    first.close()
    first.close()
    assert opened().epoch == epoch


def test_the_log_stays_the_same_file(opened: Callable[..., State], tmp_path: File) -> None:
    state = opened()
    for number in range(40):  # 10 MiB: several checkpoints
        put(state, ("a",), n="x" * 260_000, number=str(number))
    opened().close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as foreign:
        foreign.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    put(state, ("b",), n="1")
    os.fsync(state.descriptor())
    held, named = os.fstat(state.descriptor()), os.stat(tmp_path / "state.db-wal")
    assert (held.st_ino, held.st_nlink) == (named.st_ino, 1) and held.st_size > 0


def test_only_the_server_reads_the_files(state: State, tmp_path: File) -> None:
    put(state, ("a",), n="1")
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def test_threads(state: State) -> None:
    """Readers beside a writer see whole transactions only."""
    failures: list[BaseException] = []
    done = threading.Event()
    put(state, ("a",), x="0", y="0")
    add(state, lock("t0", ("l",)))

    def look() -> None:
        try:
            while not done.is_set():
                values = state.properties([("a",), ("b",)])[("a",)]
                assert values["x"] == values["y"]
                assert state.properties([("a",)])[("a",)].keys() == {"x", "y"}
                assert len(state.locks_on(("l",))) == 1
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 60):
            with state.writing() as changes:
                changes.set_properties(("a",), {"x": str(number), "y": str(number)})
                assert changes.drop_lock(f"t{number - 1}")
                changes.add_lock(lock(f"t{number}", ("l",)))
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not failures


def start(folder: File, script: str) -> subprocess.Popen[str]:
    """A process that has the state open as ``state``, and the critical section as ``alone()``."""
    head = """
        import contextlib, fcntl, os, resource, signal, sys
        from partwise.errors import OutOfSpace
        from partwise.storage.base import Lock
        from partwise.storage.sql.state import State
        folder = sys.argv[1]
        state = State(folder)
        @contextlib.contextmanager
        def alone():
            with open(os.path.join(folder, "writer.lock"), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        def lock(token):
            return Lock(token, ("a",), True, True, "", None, float("inf"))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script), os.fspath(folder)],
        env={**os.environ, "PYTHONPATH": os.fspath(SERVER)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_lose_no_update(opened: Callable[..., State], tmp_path: File) -> None:
    """Both also make the database, at the same moment."""
    script = """
        for number in range(40):
            with alone(), state.fresh():
                count = int(state.properties([("n",)]).get(("n",), {}).get("n", "0"))
                held = state.locks_on(("a",))
                assert [lock.token for lock in held] == ([str(count)] if count else []), (held, count)
                with state.writing() as changes:
                    changes.set_properties(("n",), {"n": str(count + 1)})
                    assert changes.drop_lock(str(count)) == (count > 0)
                    changes.add_lock(lock(str(count + 1)))
    """
    processes = [start(tmp_path, script) for _ in range(2)]
    assert [(process.communicate(timeout=60), process.returncode) for process in processes] == [(("", None), 0)] * 2
    state = opened()
    assert state.properties([("n",)]) == {("n",): {"n": "80"}}
    assert [found.token for found in state.locks_on(("a",))] == ["80"]


def killed(folder: File, script: str) -> None:
    process = start(folder, script + "\nos.kill(os.getpid(), signal.SIGKILL)")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


COMMITTED = """
with state.writing() as changes:
    changes.set_properties(("a",), {"n": "1"})
    changes.add_lock(lock("t"))
"""
UNCOMMITTED = """
with state.writing() as changes:
    changes.set_properties(("a",), {"n": "1"})
    changes.add_lock(lock("t"))
    changes.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_survives_a_kill(opened: Callable[..., State], tmp_path: File) -> None:
    killed(tmp_path, COMMITTED)
    state = opened()
    assert state.properties([("a",)]) == {("a",): {"n": "1"}}
    assert [found.token for found in state.locks_on(("a",))] == ["t"]


@pytest.mark.parametrize("settle", [True, False])
def test_a_writer_killed_in_a_transaction_leaves_nothing(
    opened: Callable[..., State], tmp_path: File, settle: bool
) -> None:
    state, other = opened(), opened()
    add(state, lock("old", ("b",)))
    killed(tmp_path, UNCOMMITTED)
    assert state.properties([("a",)]) == {}
    with state.fresh() if settle else contextlib.nullcontext():
        assert [found.token for found in state.locks_below(())] == ["old"]
    add(other, lock("new", ("a",)))
    assert [found.token for found in state.locks_below(())] == ["new", "old"]


def test_a_writer_killed_before_it_told_of_its_commit(opened: Callable[..., State]) -> None:
    state, other = opened(), opened()
    other._settled = contextlib.nullcontext  # as if the process ended between the commit and the next line
    with other.writing() as changes:
        changes.add_lock(lock("t", ("a",)))
        assert state.locks_on(("a",)) == ()
    assert len(state.locks_on(("a",))) == 1


def test_a_full_disk(tmp_path: File) -> None:
    """A limit on the size of files, which SQLite meets as it meets a full disk. What was committed stays."""
    process = start(
        tmp_path,
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, resource.RLIM_INFINITY))
        value, stored = "x" * 200_000, 0
        try:
            while stored < 100:
                with state.writing() as changes:
                    changes.set_properties((str(stored),), {"n": value})
                    changes.add_lock(lock(str(stored)))
                stored += 1
        except OutOfSpace:
            print("full")
        assert stored > 3
        def check():
            everything = [(str(number),) for number in range(100)]
            assert state.properties(everything) == {path: {"n": value} for path in everything[:stored]}
            assert len(state.locks_on(("a",))) == stored
        check()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with state.writing() as changes:
            changes.set_properties((str(stored),), {"n": value})
            changes.add_lock(lock(str(stored)))
        stored += 1
        check()
        """,
    )
    assert (process.communicate(timeout=60)[0], process.returncode) == ("full\n", 0)


# -- damage


def test_a_deleted_database_is_made_anew(opened: Callable[..., State], tmp_path: File) -> None:
    killed(tmp_path, "print(state.epoch)\n" + COMMITTED)  # its log is left behind
    epoch = opened().epoch
    killed(tmp_path, COMMITTED.replace('"t"', '"u"'))
    (tmp_path / "state.db").unlink()
    state = opened()
    assert state.epoch != epoch
    assert state.properties([("a",)]) == {} and state.locks_on(("a",)) == ()


def overwritten(file: File) -> None:
    file.write_bytes(b"this is no database\n" * 1000)


def shortened(file: File) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: File) -> None:
    os.truncate(file, 0)


def of_another_program(file: File) -> None:
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE meta (key, other)")


def without_epoch(file: File) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM meta WHERE key = 'epoch'")


def unreadable_lock(file: File) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO locks VALUES ('t', x'', 9e9, '[')")


def not_a_lock(file: File) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO locks VALUES ('t', x'', 9e9, '[\"t\", []]')")


def newer(file: File) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE meta SET value = '2' WHERE key = 'version'")


def folder(file: File) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "harm, told",
    [
        (overwritten, "partwise check --repair"),
        (shortened, "partwise check --repair"),
        (emptied, "was emptied; run `partwise check --repair`"),
        (of_another_program, "partwise check --repair"),
        (without_epoch, "partwise check --repair"),
        (unreadable_lock, "partwise check --repair"),
        (not_a_lock, "partwise check --repair"),
        (newer, "newer version"),
        (folder, "cannot be opened"),
    ],
)
def test_a_broken_database(tmp_path: File, harm: Callable[[File], None], told: str) -> None:
    state_folder = tmp_path / ".partwise"
    state_folder.mkdir()
    with contextlib.closing(State(os.fspath(state_folder))) as state:
        put(state, ("a",), n="x" * 100_000)
    harm(state_folder / "state.db")
    with pytest.raises(StateBroken, match=told) as raised:
        State(os.fspath(state_folder))
    text = str(raised.value)
    assert ".partwise/state.db" in text and os.fspath(tmp_path) not in text and text.endswith(".")


def test_no_folder(tmp_path: File) -> None:
    with pytest.raises(StateBroken, match="cannot be opened"):
        State(os.fspath(tmp_path / "missing"))


def test_damage_while_it_is_open(state: State, tmp_path: File) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as foreign:
        foreign.execute("DROP TABLE properties")
    with pytest.raises(TryAgain):
        state.properties([("a",)])
    with pytest.raises(TryAgain), state.writing() as changes:
        refused(changes)


def refused(changes: Changes) -> None:
    """A failure is told inside the transaction already, as a failure of ours."""
    with pytest.raises(TryAgain):
        changes.clear_tree(("a",))
    changes.clear_tree(("a",))
