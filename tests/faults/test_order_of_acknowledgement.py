"""Nothing is acknowledged before it is on the disk: seen in a trace of the server, and in what a power cut would leave."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.acknowledgements import Acknowledged, Told, acknowledged, allowed, at, violations
from tests.faults.batched import standing
from tests.faults.disk_model import Disk
from tests.faults.disk_nodes import Node, Standing
from tests.faults.traced import Client, traced
from tests.faults.traced_clients import BEFORE, Clients, batches, crowd, everything, operations
from tests.faults.tracing import Call, read_file

from partwise.storage.local.store import LocalStore

pytestmark = pytest.mark.needs("strace")


@dataclass
class Run:
    """What the trace shows, and what clients were told."""

    folder: Path
    calls: Sequence[Call]
    told: Sequence[Told]

    def disk(self) -> Disk:
        """As it was before."""
        return Disk(str(self.folder), BEFORE)


def run(tmp_path: Path, clients: Sequence[Clients], *arguments: str, named_files: bool = False) -> Run:
    """All clients at once."""
    folder = tmp_path.resolve() / "served"
    folder.mkdir()
    for name, held in BEFORE.items():
        if isinstance(held, bytes):
            (folder / name).write_bytes(held)
        else:
            (folder / name).mkdir()
    told: list[Told] = []
    with (
        traced(tmp_path / "trace", str(folder), *arguments, named_files=named_files) as port,
        ThreadPoolExecutor(len(clients)) as pool,
    ):
        for client in pool.map(lambda client: _served(client, port), clients):
            told += client.told
    return Run(folder, read_file(tmp_path / "trace"), told)


def _served(client: Clients, port: int) -> Client:
    found = Client(port)
    client(found)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One process that does one thing after the other, so that nothing is made durable by what others need."""
    return run(tmp_path_factory.mktemp("alone"), [everything])


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two processes on a file system that has no nameless files."""
    clients = [batches, operations, *map(crowd, range(4))]
    return run(tmp_path_factory.mktemp("together"), clients, "--workers", "2", named_files=True)


@pytest.fixture(params=["alone", "together"])
def served(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


def test_who_was_traced(alone: Run, together: Run) -> None:
    def tells(run: Run) -> dict[int, int]:
        return Counter(call.process for call in run.calls if call.name == "sendto" and "TCP" in str(call.descriptors))

    def nameless(run: Run) -> bool:
        return any("O_TMPFILE" in field for call in run.calls if call.done for field in call.fields)

    assert (len(tells(alone)), len(tells(together))) == (1, 2)
    assert not nameless(together)


def test_nothing_is_acknowledged_too_early(served: Run) -> None:
    assert violations(served.disk(), served.calls, served.told) == []


def lost(run: Run, lines: Iterable[int], tmp_path: Path) -> list[str]:
    """What is missing or wrong after power cuts in these lines.

    What need not be on the disk is dropped, and once more: is there by chance.
    """
    answers = acknowledged(run.calls, run.told)
    disk, chance, found = run.disk(), random.Random(5), list[str]()
    for line in at(disk, run.calls, sorted({*lines})):
        for some in (None, chance):
            folder = tmp_path / f"{line}-{some is not None}"
            disk.leave(folder, some)
            found += [f"{sentence} after a power cut in line {line}" for sentence in _wrong(folder, answers, line)]
    return found


def _wrong(folder: Path, answers: Sequence[Acknowledged], line: int) -> Iterator[str]:
    store = LocalStore(str(folder))
    try:
        now, wanted = standing(folder), allowed(BEFORE, answers, line)
        yield from (name for name in {*now, *wanted} if now.get(name) not in wanted.get(name, [None]))
        texts = {text for answer in answers for text in answer.told.recorded.values() if text is not None}
        for name, may in allowed({}, answers, line, state=True).items():
            path = tuple(name.split("/"))
            held = str((store.properties([path]), store.locks_on(path)))
            if next((text for text in texts if text in held), None) not in may:
                yield f"the state of {name}"
    finally:
        store.close()


def test_what_was_acknowledged_survives(served: Run, tmp_path: Path) -> None:
    chance = random.Random(7)
    answers = acknowledged(served.calls, served.told)
    last = answers[-1].line + 1
    some = [answer for answer in answers if answer.told.recorded] + chance.sample(answers, 4)
    lines = [answer.line + 1 for answer in some] + chance.choices(range(1, last), k=4)
    assert lost(served, [*lines, last], tmp_path) == []


def test_a_whole_batch_is_there_or_not(alone: Run, tmp_path: Path) -> None:
    """Power cuts at any moment of it, on a file system with one journal."""
    answers, chance = acknowledged(alone.calls, alone.told), random.Random(3)
    moments: dict[int, Whole] = {}
    for name in ("whole/a", "all-made/"):
        whole = Whole.of(answers, name)
        moments |= dict.fromkeys(chance.sample(range(whole.begins, whole.ends), 15), whole)
    disk, outcomes = alone.disk(), set[bool]()
    for line in at(disk, alone.calls, sorted(moments)):
        folder = tmp_path / str(line)
        renumber(folder, disk.leave(folder, chance, ordered=True))
        store = LocalStore(str(folder))
        outcomes.add(moments[line].is_there(store, standing(folder)))
        store.close()
    assert outcomes == {False, True}


@dataclass(frozen=True)
class Whole:
    """A batch that is one: what it changes, from the last acknowledgement before it in the trace to its own."""

    begins: int
    ends: int
    before: dict[str, Standing]
    after: dict[str, Standing]
    mark: tuple[str, str] | None

    @classmethod
    def of(cls, answers: Sequence[Acknowledged], name: str) -> Whole:
        """The one in which this name is a row."""
        [port] = [each.told.port for each in answers if each.told.what == f"the row of /{name}"]
        rows = [each for each in answers if each.told.port == port]
        earlier = [each for each in answers if each.line < rows[0].line]
        after = {name: held for row in rows for name, held in row.told.holds.items()}
        before = allowed(BEFORE, earlier, rows[0].line)
        marks = [(name, text) for row in rows for name, text in row.told.recorded.items() if text is not None]
        return cls(
            earlier[-1].line,
            rows[0].line + 1,
            {name: before.get(name, [None])[0] for name in after},
            after,
            marks[0] if marks else None,
        )

    def is_there(self, store: LocalStore, now: Mapping[str, Standing]) -> bool:
        """Fails if a part of it is."""
        found = {name: now.get(name) for name in self.after}
        assert found in (self.before, self.after)
        if self.mark is not None:
            path = tuple(self.mark[0].split("/"))
            assert (self.mark[1] in str(store.properties([path]))) == (found == self.after)
        return found == self.after


def renumber(folder: Path, made: Mapping[Node, Path]) -> None:
    """Files have other inodes here: so the journal of a transaction must name those."""
    journal = folder / ".partwise/transaction/journal"
    if not journal.exists():
        return
    numbers = {node.number: path.stat() for node, path in made.items() if node.number is not None}

    def renamed(found: re.Match[bytes]) -> bytes:
        status = numbers.get(int(found[1]))
        return b"[0,0]]\n" if status is None else b"[%d,%d]]\n" % (status.st_dev, status.st_ino)

    journal.write_bytes(re.sub(rb"\[\d+,(\d+)\]\]\n", renamed, journal.read_bytes()))


def test_what_is_left_to_the_system_is_found(tmp_path: Path) -> None:
    """The same server, told not to wait for the disk: who checks sees it."""
    found = run(tmp_path, [everything], "--durability", "os")
    said = violations(found.disk(), found.calls, found.told)
    honest = [each.what for each in found.told if not any(f" {each.what} is" in sentence for sentence in said)]
    # What was never on the disk cannot come back.
    assert honest == ["UNLOCK /reserved", "DELETE /t3"]
    assert lost(found, [len(found.calls)], tmp_path)
