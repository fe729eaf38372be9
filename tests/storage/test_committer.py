"""The committer: it outlives every failure of a store, and tells everybody."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.storage.contract import publication

from partwise.errors import Failure, OutOfSpace, TryAgain
from partwise.storage.base import Publication, Published
from partwise.storage.committer import Committer
from partwise.storage.local import durable
from partwise.storage.local.store import LocalStore


class Failing(LocalStore):
    """A store whose publishing fails on demand, in the way of a bug."""

    broken = False
    flushing: Exception | None = None

    def flush(self, publications: Sequence[Publication]) -> None:
        if self.flushing is not None:
            raise self.flushing
        super().flush(publications)

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        if self.broken:
            raise RuntimeError("a bug")
        return super().publish(publications)


@pytest.fixture
def store(folder: Path) -> Iterator[Failing]:
    store = Failing(os.fspath(folder))
    yield store
    store.close()


def publish(committer: Committer, publications: Sequence[Publication]) -> list[Published | Failure]:
    answered = threading.Event()
    results: list[Published | Failure] = []

    def done(found: Sequence[Published | Failure]) -> None:
        results.extend(found)
        answered.set()

    committer.submit(publications, done)
    assert answered.wait(20)
    return results


def test_groups(store: Failing) -> None:
    committer = Committer(store)
    found = publish(committer, [publication(store, (str(number),), b"1") for number in range(1000)])
    assert len(found) == 1000 and all(isinstance(result, Published) for result in found)
    committer.close()


def test_nothing_is_flushed_that_nobody_waits_for(folder: Path) -> None:
    store = Failing(os.fspath(folder), durable=False)
    committer = Committer(store)
    store.flushing = RuntimeError("there is nothing to flush")
    found = publish(committer, [publication(store, (str(number),), b"1") for number in range(1000)])
    assert len(found) == 1000 and all(isinstance(result, Published) for result in found)
    store.broken = True
    assert [type(result) for result in publish(committer, [publication(store, ("a",), b"1")])] == [TryAgain]
    committer.close()
    store.close()


def test_a_failing_store_acknowledges_nothing_and_stops_nobody(store: Failing) -> None:
    committer = Committer(store)
    store.broken = True
    assert [type(result) for result in publish(committer, [publication(store, ("a",), b"1")])] == [TryAgain]
    store.broken = False
    assert [type(result) for result in publish(committer, [publication(store, ("a",), b"1")])] == [Published]
    committer.close()


@pytest.mark.parametrize(
    "failure", [RuntimeError("a bug"), TryAgain("The disk failed."), OutOfSpace("The disk is full.")]
)
def test_what_could_not_be_flushed_is_not_published(store: Failing, failure: Exception) -> None:
    """A second sync could find clean what the first one lost."""
    committer = Committer(store)
    store.flushing, store.broken = failure, True
    refused = [publication(store, (name,), b"1") for name in "ab"]
    expected = type(failure) if isinstance(failure, Failure) else TryAgain
    assert [type(result) for result in publish(committer, refused)] == [expected] * 2
    store.flushing, store.broken = None, False
    assert [type(result) for result in publish(committer, [publication(store, ("c",), b"1")])] == [Published]
    assert [resource.path for resource in store.members(())] == [("c",)]
    assert not os.listdir(store._medium.staging.folder)
    committer.close()


def test_bytes_are_synced_once(store: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(durable, "sync", lambda descriptors, file_system: synced.append(len(descriptors)))
    group = [publication(store, (str(number),), b"1") for number in range(3)]
    store.flush(group)
    assert synced == [3]
    assert all(isinstance(result, Published) for result in store.publish(group))
    assert synced == [3, 1]  # the folder


def test_a_report_that_fails_stops_nobody(store: Failing) -> None:
    committer = Committer(store)

    def fails(_: object) -> None:
        raise RuntimeError("a bug")

    committer.submit([publication(store, ("a",), b"1")], fails)
    assert [type(result) for result in publish(committer, [publication(store, ("b",), b"1")])] == [Published]
    committer.close()


def test_closing_publishes_what_was_submitted(store: Failing) -> None:
    committer = Committer(store)
    results: list[object] = []
    for number in range(600):
        committer.submit([publication(store, (str(number),), b"1")], results.extend)
    committer.close()
    assert len(results) == 600


def test_staging_that_was_removed_by_hand(store: Failing, folder: Path) -> None:
    """Replacing needs the staging folder; without it that item fails, and the committer goes on."""
    committer = Committer(store)
    publish(committer, [publication(store, ("a",), b"1")])
    group = [publication(store, ("a",), b"2"), publication(store, ("b",), b"3"), publication(store, ("a",), b"4")]
    os.rename(store._staging.folder, folder / "moved")
    os.rmdir(folder / "moved")
    assert [isinstance(result, Published) for result in publish(committer, group)] == [False, True, False]
    assert (folder / "a").read_bytes() == b"1"
    committer.close()
