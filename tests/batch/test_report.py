"""The report: settled in any order from any thread, read in request order, bounded in memory."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.batch import report as module
from partwise.batch.archive import Archive
from partwise.batch.outcome import Outcome
from partwise.batch.report import Report
from partwise.errors import Malformed


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Report]:
    report = Report(os.fspath(tmp_path / "r"), "b")
    yield report
    report.close()


def row(index: int) -> Outcome:
    failure = Malformed("bad") if index % 3 == 0 else None
    return Outcome(index, f"/{index}", 400 if failure else 201, f"n{index}", size=index, failure=failure)


def indexes(report: Report, start: int, limit: int = 256) -> list[int]:
    return [outcome.index for outcome in report.rows(start, limit)]


def test_a_row_waits_for_its_predecessors(report: Report) -> None:
    report.settle([row(2)])
    assert (report.count, indexes(report, 1)) == (0, [])
    report.settle([row(1)])
    assert (report.count, indexes(report, 1)) == (2, [1, 2])


def test_summary(report: Report) -> None:
    report.settle(map(row, range(1, 8)))
    report.end("complete", ignored=2)
    found = report.summary
    assert (found.items, found.stored, found.failed, found.bytes, found.ignored) == (7, 5, 2, 1 + 2 + 4 + 5 + 7, 2)


@pytest.mark.parametrize("start", [1, 2, 255, 256, 257, 300, 511, 512, 513, 1999, 2000, 2001])
def test_reading_from_anywhere_however_late(report: Report, start: int) -> None:
    report.settle(map(row, range(1, 2001)))
    found = report.rows(start)
    assert [outcome.index for outcome in found] == list(range(start, min(start + 256, 2001)))
    assert [outcome.name for outcome in found] == [f"n{outcome.index}" for outcome in found]


@given(st.permutations(range(1, 40)), st.integers(1, 7))
def test_any_order_of_settling(order: list[int], group: int) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"report-{os.getpid()}-{threading.get_ident()}"
    report = Report(os.fspath(path), "b")
    path.unlink()
    try:
        for start in range(0, len(order), group):
            report.settle([row(index) for index in order[start : start + group]])
            assert indexes(report, 1) == list(range(1, report.count + 1))
        assert report.count == len(order)
    finally:
        report.close()


def test_a_full_disk_moves_rows_into_memory_up_to_a_bound(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    report.settle(map(row, range(1, 400)))

    def torn(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_all", torn)
    report.settle(map(row, range(400, 2001)))
    assert report.count == 2000
    for start in (1, 390, 399, 400, 401, 1000, 1990):
        assert indexes(report, start) == list(range(start, min(start + 256, 2001)))
    assert not report.full
    monkeypatch.setattr(module, "_OVERFLOW", 1000)
    report.settle([row(2001)])
    assert report.full


def test_listeners_hear_of_rows_and_of_the_end(report: Report) -> None:
    heard: list[int] = []
    report.listen(lambda: heard.append(report.count))
    report.settle([row(2)])
    report.settle([row(1)])
    report.end("complete")
    assert heard == [2, 2]
    assert report.ended


def test_the_archive_tells_single_items_and_forgets(tmp_path: Path) -> None:
    archive = Archive(os.fspath(tmp_path / "reports"), keep=100)
    report = archive.create()
    report.settle(map(row, range(1, 4)))
    found = archive.item(report.batch, 2)
    assert found is not None and found.name == "n2"
    for batch, index in [(report.batch, 0), (report.batch, 4), ("b" * 20, 1), ("../../etc/passwd", 1), ("", 1)]:
        assert archive.item(batch, index) is None
    report.end("complete")
    report.close()
    modified = os.stat(tmp_path / "reports" / f"{report.batch}.ndjson").st_mtime
    archive.sweep(modified + 99)
    assert archive.item(report.batch, 1) is not None
    archive.sweep(modified + 101)
    assert archive.item(report.batch, 1) is None


def test_the_archive_is_bounded(tmp_path: Path) -> None:
    archive = Archive(os.fspath(tmp_path), keep=100, limit=250)
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{number}", (1000 + number, 1000 + number))
    archive.sweep(1010)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "3", "4"]
