"""`partwise check`: what it finds in a folder, and what is there after a repair."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from partwise.storage.base import Lock
from partwise.storage.local.check import CannotCheck, Examination, alone, examine, state_of
from partwise.storage.local.repair import repair
from partwise.storage.local.store import LocalStore
from partwise.storage.sql.database_file import REPAIRED
from partwise.storage.sql.state import State, StateBroken

MARK = "{urn:marks}mark"


def agree(_: object) -> None:
    """A check."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Served before, with a quota: two files and a collection, each with a property; one file is locked."""
    (tmp_path / "deep").mkdir()
    for name in ("a", "b", "deep/c"):
        (tmp_path / name).write_text(name)
    with contextlib.closing(LocalStore(str(tmp_path), quotas={(): 1 << 40})) as store:
        for path in (("a",), ("b",), ("deep",), ("deep", "c")):
            store.set_properties(path, {MARK: "/".join(path)}, agree)
        store.lock(Lock("urn:a", ("a",), True, True, "", None, 4e9), agree)
        for _ in store.compare((), infinite=True):
            pass
        store.recount()
    return tmp_path


def checked(folder: Path) -> Examination:
    state = state_of(str(folder))
    assert state is not None
    with alone(state):
        return examine(str(folder), state)


def mended(folder: Path) -> list[str]:
    told: list[str] = []
    repair(str(folder), str(folder / ".partwise"), told.append, damaged=checked(folder).damaged)
    return told


def marks(folder: Path) -> dict[str, str]:
    with contextlib.closing(LocalStore(str(folder))) as store:
        found = store.properties([("a",), ("b",), ("deep",), ("deep", "c")])
        return {"/".join(path): values[MARK] for path, values in found.items()}


WHOLE = {name: name for name in ("a", "b", "deep", "deep/c")}


def names(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*"))


def run(folder: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / ".partwise/state.db")) as database, database:
        for statement in statements:
            database.execute(statement)


# -- harms


def without_a_file(folder: Path) -> None:
    (folder / "a").unlink()


def unclear_lock(folder: Path) -> None:
    run(folder, "INSERT INTO locks VALUES ('t', x'', 9e9, '[')")


def contradictory_lock(folder: Path) -> None:
    run(folder, "UPDATE locks SET root = x'62'")


def unclear_intent(folder: Path) -> None:
    run(folder, "INSERT INTO intents (intent) VALUES ('[]')")


def interrupted_move(folder: Path) -> None:
    status = (folder / "b").stat()
    run(
        folder,
        f'INSERT INTO intents (intent) VALUES (\'["move",["b"],["moved"],[{status.st_dev},{status.st_ino}],null,true]\')',
    )
    os.rename(folder / "b", folder / "moved")


def contradictory_changes(folder: Path) -> None:
    run(folder, "UPDATE seen SET gone = 1 WHERE path = CAST('deep' AS BLOB)")


def without_database(folder: Path) -> None:
    (folder / ".partwise/state.db").unlink()


def emptied(folder: Path) -> None:
    os.truncate(folder / ".partwise/state.db", 0)


def cut_short(folder: Path) -> None:
    os.truncate(folder / ".partwise/state.db", 99)


def open_to_others(folder: Path) -> None:
    (folder / ".partwise/state.db").chmod(0o644)


def left_in_staging(folder: Path) -> None:
    (folder / ".partwise/staging/1-a/f").mkdir(parents=True)


def left_by_transaction(folder: Path) -> None:
    (folder / ".partwise/transaction/0").mkdir(parents=True)


def other_usage(folder: Path) -> None:
    (folder / "b").write_text("longer than before")


def unknown_usage(folder: Path) -> None:
    (folder / ".partwise/usage.number").write_bytes((3).to_bytes(8, "little"))


def no_database(folder: Path) -> None:
    (folder / ".partwise/state.db").write_bytes(b"\r\n" * 50_000)


def lost_first_page(folder: Path) -> None:
    with open(folder / ".partwise/state.db", "r+b") as file:
        file.write(os.urandom(2000))


def lost_table(folder: Path) -> None:
    run(folder, "DROP TABLE locks")


def begun_repair(folder: Path) -> None:
    (folder / ".partwise/repair").mkdir()


class Case(NamedTuple):
    """``told``: of a repair. ``kept``: the marks that are there afterwards."""

    harm: Callable[[Path], None]
    found: str
    told: str | None
    kept: dict[str, str] = WHOLE


def but(*lost: str) -> dict[str, str]:
    return {name: mark for name, mark in WHOLE.items() if name not in lost}


CASES = [
    Case(without_a_file, "/a has stored properties but does not exist", "of 1 path that do not exist", but("a")),
    Case(without_a_file, "/a is locked but does not exist", "1 lock has been removed from what", but("a")),
    Case(unclear_lock, "the lock t cannot be understood", "1 lock has been removed that could not"),
    Case(contradictory_lock, "the lock urn:a cannot be understood", "1 lock has been removed that could not"),
    Case(unclear_intent, "noted about it cannot be understood", "of an interrupted operation"),
    Case(interrupted_move, "the move of /b to /moved was interrupted", None, but("b")),
    Case(contradictory_changes, "contradicts itself", "they begin anew"),
    Case(without_database, "the state database is missing", None, {}),
    Case(emptied, "the state database was emptied", "0 stored properties and 0 locks were read", {}),
    Case(cut_short, "the state database was emptied", "what else it held is lost", {}),
    Case(open_to_others, "can be opened by other accounts", "by its owner only now"),
    Case(left_in_staging, "1 folder has been left in staging", None),
    Case(left_by_transaction, "a transaction that has ended", None),
    Case(other_usage, "/ counts 8 bytes towards its quota, its files take 25", None),
    Case(unknown_usage, "is not known since", None),
    Case(no_database, "is damaged: file is not a database", "0 stored properties and 0 locks were read", {}),
    Case(lost_first_page, "is damaged", "4 stored properties and 1 lock were read from it; it held no more"),
    Case(lost_table, "is damaged: tables are missing", "4 stored properties and 0 locks were read"),
    Case(begun_repair, "a repair that was interrupted had begun", None),
]


def test_nothing_is_found_and_nothing_changes(folder: Path) -> None:
    before = names(folder)
    assert checked(folder) == Examination(())
    assert names(folder) == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.harm.__name__}: {case.found}")
def test_what_is_found_is_mended(folder: Path, case: Case) -> None:
    case.harm(folder)
    before = names(folder)
    found = checked(folder)
    assert any(case.found in finding for finding in found.findings), found
    assert names(folder) == before, "who looks changes nothing"
    files = {path.name for path in folder.iterdir()}
    told = mended(folder)
    assert case.told is None or any(case.told in sentence for sentence in told), told
    assert checked(folder).findings == ()
    assert marks(folder) == case.kept
    assert {path.name for path in folder.iterdir()} == files


def test_what_was_set_aside_is_whole_and_no_fault(folder: Path) -> None:
    lost_first_page(folder)
    data = (folder / ".partwise/state.db").read_bytes()
    mended(folder)
    [aside] = folder.glob(".partwise/state.db.damaged-*")
    assert aside.read_bytes() == data
    [note] = checked(folder).notes
    assert aside.name in note


def test_a_log_that_was_not_copied_yet_is_read(folder: Path) -> None:
    """As a server leaves it that was killed."""
    store = LocalStore(str(folder))
    store.set_properties(("a",), {MARK: "late"}, agree)
    state = folder / ".partwise"
    kept = {name: (state / name).read_bytes() for name in ("state.db", "state.db-wal")}
    store.close()
    for name, data in kept.items():
        (state / name).write_bytes(data)
    before = names(folder)
    assert checked(folder).findings == ()
    assert names(folder) == before
    (state / "state.db").write_bytes(os.urandom(100) + kept["state.db"][100:])
    mended(folder)
    assert marks(folder)["a"] == "late"


@pytest.mark.parametrize("size", [0, 1, 99])
def test_an_emptied_database_whose_log_is_there(folder: Path, size: int) -> None:
    """As it is when a server was killed: the pages that were written since it last started are saved."""
    store = LocalStore(str(folder))
    store.set_properties(("a",), {MARK: "late"}, agree)
    state = folder / ".partwise"
    log = (state / "state.db-wal").read_bytes()
    store.close()
    (state / "state.db-wal").write_bytes(log)
    os.truncate(state / "state.db", size)
    with pytest.raises(StateBroken, match="was emptied; run `partwise check --repair`"):
        State(str(state))
    assert (state / "state.db-wal").read_bytes() == log
    told = mended(folder)
    assert any(sentence.startswith("4 stored properties and") for sentence in told), told
    assert checked(folder).findings == ()
    assert marks(folder) == {**WHOLE, "a": "late"}
    [aside] = folder.glob(".partwise/state.db.damaged-*-wal")
    assert aside.read_bytes() == log


def test_what_a_first_start_leaves_that_was_killed(tmp_path: Path) -> None:
    state = tmp_path / ".partwise"
    state.mkdir(mode=0o700)
    (state / "state.db").touch(0o600)
    assert checked(tmp_path).findings == ()
    LocalStore(str(tmp_path)).close()
    assert checked(tmp_path).findings == ()


def test_what_could_not_be_given_back_is_left_to_people(folder: Path) -> None:
    (folder / ".partwise/transaction-0a1b").mkdir()
    assert mended(folder) == []
    [finding] = checked(folder).findings
    assert "transaction-0a1b" in finding


def test_many_findings_of_one_kind(folder: Path) -> None:
    run(folder, *(f"INSERT INTO properties VALUES (CAST('gone{n}' AS BLOB), 'n', 'v')" for n in range(50)))
    findings = checked(folder).findings
    assert len(findings) == 21
    assert findings[-1] == "30 more paths with stored properties do not exist"


def test_a_lock_that_has_expired_is_no_fault(folder: Path) -> None:
    run(
        folder,
        'UPDATE locks SET expires = 5, lock = \'["urn:a",["a"],true,true,"",null,5]\'',
        'UPDATE locks SET root = x\'676f6e65\', lock = \'["urn:a",["gone"],true,true,"",null,5]\'',
    )
    found = checked(folder)
    assert found.findings == ()
    assert found.notes == ("1 lock has expired; the next change of a lock removes what has expired",)


def test_not_while_a_server_runs(folder: Path) -> None:
    with contextlib.closing(LocalStore(str(folder))):
        with pytest.raises(CannotCheck, match="stop it"):
            checked(folder)
        with pytest.raises(CannotCheck, match="stop it"):
            repair(str(folder), str(folder / ".partwise"), [].append, damaged=False)
    assert checked(folder).findings == ()


def test_a_newer_database_is_left_alone(folder: Path) -> None:
    run(folder, "UPDATE meta SET value = '2' WHERE key = 'version'")
    with pytest.raises(CannotCheck, match="newer version"):
        checked(folder)


def test_names_of_tables_that_are_no_text(folder: Path) -> None:
    place = folder / ".partwise" / "state.db"
    run(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    whole = place.read_bytes()
    assert b"CREATE TABLE properties" in whole
    place.write_bytes(whole.replace(b"CREATE TABLE properties", b"CREATE\xffTABLE\x87properties"))
    with pytest.raises(StateBroken, match="partwise check --repair"):
        State(str(place.parent))
    assert any("is damaged" in finding for finding in checked(folder).findings)
    mended(folder)
    assert checked(folder).findings == ()
    assert marks(folder) == WHOLE


def test_no_state(tmp_path: Path) -> None:
    assert state_of(str(tmp_path)) is None
    with pytest.raises(CannotCheck, match="does not exist"):
        state_of(str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(CannotCheck, match="is not a folder"):
        state_of(str(tmp_path / "file"))


def test_no_server_starts_on_half_a_repair(folder: Path) -> None:
    state = folder / ".partwise"
    (state / REPAIRED).write_bytes((state / "state.db").read_bytes())
    no_database(folder)
    with pytest.raises(StateBroken, match="partwise check --repair"):
        State(str(state))
    assert any("interrupted" in finding for finding in checked(folder).findings)
    mended(folder)
    assert marks(folder) == WHOLE


def test_a_database_that_was_deleted_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    without_database(folder)
    LocalStore(str(folder)).close()
    LocalStore(str(folder)).close()
    [record] = caplog.records
    assert "was missing and is made anew" in record.getMessage()
