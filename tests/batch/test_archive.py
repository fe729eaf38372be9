"""The archive: reports found from anywhere, tries of one batch told as one, truthful after a kill at any place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise.batch import record
from partwise.batch import report as module
from partwise.batch.archive import Archive
from partwise.batch.outcome import Outcome
from partwise.batch.reader import Reader
from partwise.batch.report import Report
from partwise.errors import AlreadyRunning, Issue, Malformed, OutOfSpace, SchemaInvalid

NAME = "the-name-of-the-batch"


def row(index: int, href: str | None = None, good: bool = True, **more: object) -> Outcome:
    failure = None if good else Malformed("bad")
    values = {"size": index, "etag": f'"{index}"', **more} if good else more
    return Outcome(index, href or f"/{index}", 201 if good else 400, f"n{index}", failure=failure, **values)  # type: ignore[arg-type]


def kill(report: Report) -> None:
    """What the end of its process does to it."""
    os.close(report._descriptor)
    report._descriptor = -1


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(os.fspath(tmp_path), keep=100)


@pytest.fixture
def other(archive: Archive, tmp_path: Path) -> Archive:
    """The archive of another process."""
    return Archive(os.fspath(tmp_path), keep=100)


def find(archive: Archive, batch: str, principal: str | None = None) -> Reader:
    reader = archive.find(batch, principal)
    assert reader is not None
    return reader


def read(archive: Archive, batch: str, principal: str | None = None) -> list[Outcome]:
    """All rows, as a follower reads them."""
    reader = find(archive, batch, principal)
    found: list[Outcome] = []
    while len(found) < reader.summary.items:
        rows = reader.rows(len(found) + 1, 7)
        assert rows
        found += rows
    assert [each.index for each in found] == list(range(1, len(found) + 1))
    reader.close()
    return found


def test_another_process_reads_while_it_runs_and_afterwards(archive: Archive, other: Archive) -> None:
    report = archive.create(None, "/c/")
    reader = find(other, report.batch)
    assert (reader.summary.state, reader.summary.items, reader.refresh()) == ("running", 0, False)
    report.settle(row(index, good=index % 3 > 0) for index in range(1, 601))
    assert reader.refresh()
    assert reader.summary == report.summary
    assert [each.index for each in reader.rows(400, 5)] == [400, 401, 402, 403, 404]
    report.settle([row(601)])
    assert reader.refresh()
    report.describe(atomic=True, dry_run=True)
    report.end("complete", ignored=3)
    assert reader.refresh()
    assert reader.summary == report.summary
    assert (reader.summary.ignored, reader.summary.atomic, reader.ended) == (3, True, True)
    assert reader.metadata.collection == "/c/"
    report.close()
    assert [each.index for each in read(other, report.batch)] == list(range(1, 602))
    assert find(Archive(archive._folder, 100), report.batch).summary == report.summary


def test_only_its_maker_sees_it(archive: Archive, other: Archive) -> None:
    report = archive.create("alice", "/", NAME)
    report.settle([row(1)])
    for name in (report.batch, NAME):
        assert find(other, name, "alice").batch == report.batch
        for principal in ("bob", None):
            assert other.find(name, principal) is None
            assert other.item(name, 1, principal) is None
    found = other.item(NAME, 1, "alice")
    assert found is not None and found.name == "n1"
    for name in ("b" * 28, "../../../../etc/passwd", "", ".lock", report.batch + ".before"):
        assert archive.find(name, "alice") is None
    anonymous = archive.create()
    assert archive.find(anonymous.batch, "alice") is None
    assert archive.find(anonymous.batch, None) is not None
    report.close()
    anonymous.close()


def test_a_name_leads_to_the_newest_batch(archive: Archive) -> None:
    batches = []
    for collection in ("/a/", "/b/", "/a/"):
        report = archive.create("alice", collection, NAME)
        report.settle([row(1)])
        report.end("complete")
        report.close()
        batches.append(report.batch)
        assert find(archive, NAME, "alice").metadata.collection == collection
    assert batches[0] == batches[2] != batches[1]
    mallory = archive.create("mallory", "/a/", NAME)
    assert mallory.batch not in batches
    mallory.close()


def test_one_upload_of_a_name_at_a_time(archive: Archive, other: Archive) -> None:
    report = archive.create("alice", "/", NAME)
    for each in (archive, other):
        with pytest.raises(AlreadyRunning) as caught:
            each.create("alice", "/", NAME)
        assert caught.value.href == f"/-/batches/{report.batch}"
    report.settle([row(1)])
    report.end("complete")
    second = other.create("alice", "/", NAME)  # who has read the end may begin again
    report.close()  # the late end of the first try does no harm to the second
    second.settle([row(1)])
    assert second.earlier("/1") is not None
    second.close()
    assert find(archive, report.batch, "alice").summary.state == "aborted"


def test_of_many_at_once_one_wins(archive: Archive, other: Archive) -> None:
    won: list[Report] = []
    lost: list[AlreadyRunning] = []

    def begin(archive: Archive) -> None:
        try:
            won.append(archive.create("alice", "/", NAME))
        except AlreadyRunning as failure:
            lost.append(failure)

    threads = [threading.Thread(target=begin, args=(each,)) for each in (archive, other) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 15)
    won[0].close()


def test_what_a_killed_writer_left_is_told_as_aborted(archive: Archive, other: Archive) -> None:
    report = archive.create()
    report.settle(map(row, range(1, 301)))
    reader = find(other, report.batch)
    os.write(report._descriptor, b'{"index":301,"href":"/30')
    kill(report)
    assert reader.refresh()
    assert (reader.summary.state, reader.summary.items) == ("aborted", 300)
    assert [each.index for each in read(archive, report.batch)] == list(range(1, 301))
    data = Path(archive._path(report.batch)).read_bytes()
    assert data.splitlines()[-1].startswith(b'{"end":"aborted"')
    assert b"/30\n" not in data


# -- tries of one batch


def tries(archive: Archive, *tries: list[Outcome]) -> Report:
    """Every try but the last has ended; the last one runs."""
    for number, rows in enumerate(tries, 1):
        report = archive.create("alice", "/", NAME)
        report.settle(rows)
        if number < len(tries):
            report.end("complete")
            report.close()
    return report


def told(archive: Archive) -> list[tuple[int, str, int, bool]]:
    rows = read(archive, NAME, "alice")
    return [(each.index, each.href, int(each.status), each.earlier) for each in rows]


def test_the_latest_row_of_each_target(archive: Archive) -> None:
    report = tries(
        archive, [row(1, "/a"), row(2, "/b", good=False), row(3, "/c")], [row(1, "/c", size=9), row(2, "/b")]
    )
    assert told(archive) == [(1, "/c", 201, False), (2, "/b", 201, False)]
    report.end("complete")
    assert (report.count, report.summary.items) == (2, 2)  # the answer to the upload tells of this try only
    assert told(archive) == [(1, "/c", 201, False), (2, "/b", 201, False), (3, "/a", 201, True)]
    summary = find(archive, NAME, "alice").summary
    assert (summary.items, summary.stored, summary.bytes) == (3, 3, 9 + 2 + 1)
    report.close()
    assert sorted(path.suffix for path in Path(archive._folder).iterdir()) == ["", ".name", ".ndjson"]


def test_an_item_without_a_target_of_its_own_is_not_carried_over(archive: Archive) -> None:
    elsewhere = row(2, "/?batch=x&item=2", location="/b")
    report = tries(archive, [row(1, "/?batch=x&item=1", good=False), elsewhere, row(3, "/b", good=False)], [])
    found = report.earlier("/b")
    assert found is not None and found.location == "/b"
    report.end("complete")
    report.close()
    assert told(archive) == [(1, "/b", 400, True)]
    report = tries(archive, [])
    assert report.earlier("/b") is not None  # what is stored there is still known
    assert report.earlier("/?batch=x&item=1") is None
    report.close()


def test_what_was_only_rehearsed_is_not_stored(archive: Archive) -> None:
    report = tries(archive, [row(1, "/a", would=201)], [])
    assert report.earlier("/a") is None
    report.close()


TARGETS = [f"/t{number}" for number in range(5)]
TRY = st.lists(st.tuples(st.sampled_from(TARGETS), st.booleans()), unique_by=lambda each: each[0], max_size=5)
#: How a try ends: completely; killed before its end; killed while it wrote its end, at some place of what it wrote.
ENDS = st.one_of(st.none(), st.just(-1.0), st.floats(0, 1))


@settings(max_examples=30)
@given(st.lists(st.tuples(TRY, ENDS), min_size=1, max_size=5), st.booleans())
def test_a_kill_at_any_place_loses_no_row(
    history: list[tuple[list[tuple[str, bool]], float | None]], look: bool
) -> None:
    latest: dict[str, bool] = {}
    stored: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (rows, end) in enumerate(history, 1):
            archive = Archive(folder, keep=100)
            report = archive.create("alice", "/", NAME)
            for target in TARGETS:
                found = report.earlier(target)
                assert (None if found is None else found.size) == stored.get(target)
            report.settle(row(index, target, good) for index, (target, good) in enumerate(rows, 1))
            for index, (target, good) in enumerate(rows, 1):
                latest[target] = good
                if good:
                    stored[target] = index
            finish(archive, report, end)
            if look or number == len(history):
                assert {each.href: each.good for each in read(archive, NAME, "alice")} == latest
                assert len(read(archive, NAME, "alice")) == len(latest)


def finish(archive: Archive, report: Report, end: float | None) -> None:
    if end is None:
        report.end("complete")
        report.close()
        return
    path, before = archive._path(report.batch), archive._path(report.batch, ".before")
    if end < 0:
        kill(report)
        return
    size = os.stat(path).st_size
    copy = shutil.copy(before, before + "-kept") if os.path.exists(before) else None
    report.end("complete")
    kill(report)
    os.truncate(path, size + round(end * (os.stat(path).st_size - size)))
    if copy is not None:
        os.rename(copy, before)


def test_a_kill_between_the_renames_of_a_new_try(archive: Archive) -> None:
    tries(archive, [row(1, "/a")], []).close()
    path = Path(archive._path(find(archive, NAME, "alice").batch))
    path.with_suffix(".new").write_bytes(b'{"batch"')
    for look in (True, False):
        path.rename(path.with_suffix(".before"))
        if look:
            assert told(archive) == [(1, "/a", 201, True)]
        else:
            report = archive.create("alice", "/", NAME)
            assert report.earlier("/a") is not None
            report.close()


# -- stopping and removing


def test_cancelled_from_another_process(archive: Archive, other: Archive) -> None:
    report = archive.create("alice", "/", NAME)
    heard: list[bool] = []
    report.listen(lambda: heard.append(report.cancelled))
    archive.watch()
    assert not heard
    other.cancel(report.batch)
    other.cancel(report.batch)
    archive.watch()
    archive.watch()
    assert heard == [True]
    report.settle([row(1)])
    report.end("aborted")
    report.close()
    assert not archive.busy
    again = archive.create("alice", "/", NAME)
    archive.watch()
    assert not again.cancelled
    archive.cancel(again.batch)
    assert again.cancelled
    again.close()


def test_forgotten_when_it_has_ended(archive: Archive, other: Archive) -> None:
    report = tries(archive, [row(1)], [row(1)])
    with pytest.raises(AlreadyRunning):
        other.forget(report.batch)
    report.end("complete")
    report.close()
    reader = find(archive, NAME, "alice")
    other.forget(report.batch)
    assert archive.find(NAME, "alice") is None
    assert archive.find(report.batch, "alice") is None
    assert [each.index for each in reader.rows(1)] == [1]  # who reads it may go on
    reader.close()


def test_the_sweep_leaves_what_runs(archive: Archive) -> None:
    report = tries(archive, [row(1, "/a")], [])
    far = os.stat(archive._path(report.batch)).st_mtime + 1000
    ended = archive.create()
    ended.settle([row(1)])
    ended.end("complete")
    ended.close()
    for each in (archive, Archive(archive._folder, keep=100_000, limit=1)):
        each.sweep(far)
        assert archive.find(ended.batch, None) is None
        report.settle([row(report.count + 1)])
    report.end("complete")
    report.close()
    assert told(archive) == [(1, "/1", 201, False), (2, "/2", 201, False), (3, "/a", 201, True)]
    archive.sweep(far)
    archive.sweep(far)
    assert [path.name for path in Path(archive._folder).iterdir()] == [".lock"]


def test_a_request_that_came_to_nothing_leaves_nothing(archive: Archive) -> None:
    for name in (None, NAME):
        archive.create("alice", "/", name).close()
    assert not list(Path(archive._folder).glob("*.ndjson"))


# -- cost


def test_a_place_is_found_without_reading_all(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    report = archive.create()
    report.settle(row(index, f"/{'x' * 100}{index}", good=index % 2 > 0) for index in range(1, 8_001))
    pread, bytes_read = os.pread, 0

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal bytes_read
        data = pread(descriptor, size, offset)
        bytes_read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    assert os.stat(archive._path(report.batch)).st_size > 1_500_000
    for _ in range(2):
        for index in (1, 2, 4_999, 7_999, 8_000):
            bytes_read = 0
            reader = find(archive, report.batch)
            assert (reader.summary.items, reader.summary.failed) == (8_000, 4_000)
            assert [each.index for each in reader.rows(index, 1)] == [index]
            reader.close()
            assert bytes_read < 400_000
        if not report.ended:
            report.end("complete")
            report.close()


@given(st.lists(st.sampled_from([0, 0, 0, 1, 20]), min_size=1, max_size=300), st.data())
@settings(max_examples=25)
def test_any_row_is_found_however_long_they_are(lengths: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(folder, keep=100)
        report = archive.create()
        issue = Issue("ä" * 500, path="/" * 500)
        report.settle(
            row(index)._replace(failure=SchemaInvalid("bad", issues=(issue,) * length) if length else None)
            for index, length in enumerate(lengths, 1)
        )
        index = data.draw(st.integers(1, len(lengths)))
        for end in (report.close, lambda: None):
            found = find(archive, report.batch).rows(index, 3)
            assert [each.index for each in found] == list(range(index, index + len(found)))
            assert 0 < len(found) <= 3
            end()


def test_readers_of_one_report_share_a_descriptor(archive: Archive) -> None:
    report = archive.create()
    before = len(os.listdir("/proc/self/fd"))
    readers = []
    for number in range(1, 21):
        report.settle([row(number)])
        readers.append(find(archive, report.batch))
        assert readers[-1].summary.items == number
    assert len(os.listdir("/proc/self/fd")) == before + 1
    for reader in readers:
        reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
    report.close()


# -- a full disk


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """While the list is not empty the disk is full."""
    state: list[bool] = []

    def write(descriptor: int, data: bytes) -> None:
        if state and data:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        record.write_all(descriptor, data)

    monkeypatch.setattr(module, "_write_all", write)
    yield state


def test_rows_that_found_no_room_are_written_at_the_end(archive: Archive, full: list[bool]) -> None:
    report = archive.create()
    report.settle(map(row, range(1, 400)))
    full.append(True)
    report.settle(map(row, range(400, 701)))
    full.clear()
    report.end("complete")
    assert len(read(archive, report.batch)) == 700
    assert find(archive, report.batch).summary == report.summary
    report.close()


def test_no_room_for_the_end(archive: Archive, full: list[bool]) -> None:
    report = archive.create()
    report.settle([row(1)])
    full.append(True)
    report.end("complete")
    assert report.summary.state == "complete"
    report.close()
    summary = find(archive, report.batch).summary
    assert (summary.state, summary.items) == ("aborted", 1)


def test_no_room_for_a_report(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_all", write)
    for name in (None, NAME):
        with pytest.raises(OutOfSpace):
            archive.create("alice", "/", name)
    assert not [path for path in Path(archive._folder).iterdir() if path.suffix in (".ndjson", ".new")]
