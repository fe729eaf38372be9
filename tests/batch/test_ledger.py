"""The ledger: every item gets its row, also where judges and the disk do what they should not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from partwise.batch.ledger import Heading, Ledger
from partwise.batch.publisher import Committing, Done, Whole
from partwise.batch.report import Report
from partwise.errors import Failure, RuleFailed
from partwise.intake.pipeline import Staged
from partwise.intake.validators.base import Waiting
from partwise.storage.base import Publication
from partwise.storage.local.store import LocalStore
from partwise.storage.local.upload import LocalUpload


@pytest.fixture
def store(folder: Path) -> Iterator[LocalStore]:
    store = LocalStore(os.fspath(folder))
    yield store
    assert os.listdir(store._staging.folder) == []
    store.close()


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Report]:
    report = Report(os.fspath(tmp_path / "r"), "b")
    yield report
    report.close()


@pytest.fixture
def ledger(store: LocalStore, report: Report) -> Ledger:
    """Of a batch that is stored as a whole."""
    return Ledger(report, lambda: Whole(store), lambda index: f"/?item={index}")


Stage = Callable[[int], "Future[Failure | None]"]


@pytest.fixture
def stage(store: LocalStore, ledger: Ledger) -> Stage:
    """Have the item with this index received; gives the ticket of its judge."""

    def stage(index: int) -> Future[Failure | None]:
        ticket: Future[Failure | None] = Future()
        upload = store.stage()
        upload.write(b"1")
        upload.seal(None)
        publication = Publication(upload, (str(index),), 0, lambda standing: None)
        heading = Heading(index, str(index), publication.path, f"/{index}")
        ledger.stage(heading, Staged(publication, 1, (Waiting(ticket),)))
        ledger.flush()
        return ticket

    return stage


def statuses(report: Report) -> list[int]:
    return [row.status for row in report.rows(1)]


def test_an_item_waits_until_its_publisher_has_it(
    ledger: Ledger, stage: Stage, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the batch could be concluded in between, and the item never get a fate."""
    seen = []
    park = LocalUpload.park

    def looking(upload: LocalUpload) -> None:
        seen.append(ledger.waiting)
        park(upload)

    monkeypatch.setattr(LocalUpload, "park", looking)
    stage(1).set_result(None)
    assert (seen, ledger.waiting) == ([1], 0)
    ledger.conclude()
    assert statuses(report) == [201]


@pytest.mark.parametrize("expired", [False, True])
def test_a_refusal_is_known_before_nobody_waits(
    ledger: Ledger, stage: Stage, report: Report, monkeypatch: pytest.MonkeyPatch, *, expired: bool
) -> None:
    """Else the rest could be stored although it belongs to a whole."""
    seen = []
    abort = LocalUpload.abort

    def looking(upload: LocalUpload) -> None:
        seen.append((ledger.waiting, ledger.failures))
        abort(upload)

    stage(1).set_result(None)
    ticket = stage(2)
    monkeypatch.setattr(LocalUpload, "abort", looking)
    if expired:
        ledger.expire()
    else:
        ticket.set_result(RuleFailed("bad"))
    assert (seen[0], ledger.waiting, ledger.failures) == ((1, 0), 0, 1)
    ledger.conclude()
    assert statuses(report) == [424, 503 if expired else 422]


@pytest.mark.parametrize(("error", "status"), [(errno.EIO, 503), (errno.ENOSPC, 507)])
def test_an_item_that_cannot_be_put_aside(
    ledger: Ledger, stage: Stage, report: Report, monkeypatch: pytest.MonkeyPatch, error: int, status: int
) -> None:
    def broken(upload: LocalUpload) -> str:
        raise OSError(error, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(LocalUpload, "_give_name", broken)
        stage(1).set_result(None)
    stage(2).set_result(None)
    ledger.conclude()
    assert statuses(report) == [status, status]


def test_a_refused_item_that_cannot_be_dropped(
    ledger: Ledger, stage: Stage, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    abort = LocalUpload.abort

    def broken(upload: LocalUpload) -> None:
        abort(upload)
        raise OSError(errno.EIO, "broken")

    ticket = stage(1)
    with monkeypatch.context() as patch:
        patch.setattr(LocalUpload, "abort", broken)
        ticket.set_result(RuleFailed("bad"))
    ledger.conclude()
    assert statuses(report) == [422]


def test_what_is_held_goes_with_the_first_failure(
    store: LocalStore, ledger: Ledger, stage: Stage, report: Report
) -> None:
    """Not only at the end, until when it would fill the disk and the memory."""
    stage(1).set_result(None)
    assert (report.count, len(os.listdir(store._staging.folder))) == (0, 1)
    stage(2).set_result(RuleFailed("bad"))
    assert (statuses(report), os.listdir(store._staging.folder)) == ([424, 422], [])
    stage(3).set_result(None)
    ledger.flush()
    assert (statuses(report), os.listdir(store._staging.folder)) == ([424, 422, 424], [])
    ledger.conclude()
    assert report.count == 3


class Handed(Committing):
    """Keeps what it is handed until the test says what became of it."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.groups: list[tuple[Sequence[Publication], Done]] = []

    def submit(self, publications: Sequence[Publication], done: Done) -> None:
        self.groups.append((publications, done))

    def store_next(self) -> None:
        publications, done = self.groups.pop(0)
        done(self._store.publish(publications))

    def refuse_next(self) -> None:
        publications, done = self.groups.pop(0)
        for publication in publications:
            publication.upload.abort()
        done([RuleFailed("no")] * len(publications))


@pytest.fixture
def handed(store: LocalStore) -> Handed:
    return Handed(store)


@pytest.fixture
def good(store: LocalStore, report: Report, handed: Handed) -> tuple[Ledger, Callable[[int, str], None]]:
    """The ledger of a batch whose items are stored as they come, and how an item with that index and name is received."""
    ledger = Ledger(report, lambda: handed, lambda index: f"/?item={index}")

    def stage(index: int, name: str) -> None:
        upload = store.stage()
        upload.write(b"1")
        upload.seal(None)
        publication = Publication(upload, (name,), 0, lambda standing: None)
        ledger.stage(Heading(index, name, publication.path, f"/{name}"), Staged(publication, 1))

    return ledger, stage


def test_the_end_of_one_group_does_not_cut_the_next_one_short(
    good: tuple[Ledger, Callable[[int, str], None]], handed: Handed, report: Report
) -> None:
    """The lane is still gathering it; a group costs the same however few items it has."""
    ledger, stage = good
    stage(1, "a")
    ledger.flush()
    stage(2, "b")
    handed.store_next()
    assert handed.groups == []
    stage(3, "c")
    ledger.flush()
    assert [len(publications) for publications, _ in handed.groups] == [2]
    handed.store_next()
    assert statuses(report) == [201, 201, 201]


def test_who_was_behind_a_refused_one_is_handed_on_at_once(
    good: tuple[Ledger, Callable[[int, str], None]], handed: Handed, report: Report
) -> None:
    """There may be no next step of the lane."""
    ledger, stage = good
    stage(1, "a")
    ledger.flush()
    stage(2, "a")
    ledger.flush()
    handed.refuse_next()
    handed.store_next()
    assert statuses(report) == [422, 201]
