"""Rounds, targets, floors and limits: with fakes in place of servers."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.driving import Tally
from benchmarks.million import Cost, million_text
from benchmarks.peers import PEERS, partwise
from benchmarks.programs import apache, lighttpd, nginx
from benchmarks.report import LIMIT, Row, Section, failed, section_text
from benchmarks.rounds import Contender, Figures, Wrong, contender, interleave, measured, refusal
from benchmarks.servers import Place, Running, Server, family, serving, told_version
from benchmarks.targets import targets_text
from benchmarks.workloads import plant

from benchmarks import compiled, floors


def _section(key: str, *rows: Row) -> Section:
    return Section(key, "items/s", list(rows), key=key)


def test_every_round_measures_everyone_in_another_order_on_a_fresh_folder(tmp_path: Path) -> None:
    order: list[str] = []

    def measure(name: str) -> Contender:
        def one(folder: Path) -> Figures:
            order.append(name)
            assert not list(folder.iterdir())
            (folder / "left").write_bytes(b"much")
            return {"a": float(len(order)), "peak": 10.0, "peaks": 20.0}

        return Contender(name, one)

    absent = Contender("c", measure("c").measure, note="not installed")
    (section,) = interleave({"a": _section("a")}, [measure("a"), measure("b"), absent], tmp_path, 3, lambda _: None)
    assert "".join(order) == "abbaab"
    assert [row.values for row in section.rows] == [[1.0, 4.0, 5.0], [2.0, 3.0, 6.0], []]
    assert (section.rows[0].peaks, section.rows[0].all_peaks) == ([10.0] * 3, [20.0] * 3)
    # Put away empty: a removal would cost the next contender time, on some file systems.
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("left"))
    assert kept == [f"done-{number}/left" for number in range(6)]
    assert not any(path.stat().st_size for path in tmp_path.rglob("left"))


def test_a_refusal_is_told_and_is_no_failure_but_what_is_wrong_is_one(tmp_path: Path) -> None:
    def refuses(_: Path) -> Figures:
        return {"a": "refuses (status 403)", "b": 1.0}

    def fails(_: Path) -> Figures:
        raise Wrong("2 x status 500")

    sections = {"a": _section("a"), "b": _section("b")}
    first, second = interleave(sections, [Contender("refuses", refuses)], tmp_path, 1, lambda _: None)
    assert first.rows[0].note == "refuses (status 403)"
    assert second.rows[0].good == [1.0]
    assert not failed([first, second])
    assert failed(interleave(sections, [Contender("fails", fails)], tmp_path, 1, lambda _: None))


def test_rows_without_anything_are_left_out() -> None:
    rows = [Row("a", values=[1.0]), Row("b", values=[None]), Row("c", note="no"), Row("d", problems=["no"])]
    assert [row.name for row in measured(_section("x", *rows)).rows] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("units", "wrong", "said"),
    [
        (0, {"status 403": 4}, "refuses (status 403)"),
        (1, {"status 403": 4}, None),
        (0, {"status 500": 4}, None),
        (0, {"status 403": 4, "no answer": 1}, None),
        (0, {}, None),
    ],
)
def test_only_answers_that_say_so_are_refusals(units: int, wrong: dict[str, int], said: str | None) -> None:
    assert refusal(Tally(units, wrong=Counter(wrong))) == said


def test_each_label_has_a_column_of_ratios() -> None:
    rows = [Row("ours", values=[10.0], label="durable"), Row("ours too", values=[20.0], label="os")]
    lines = section_text(_section("x", *rows, Row("peer", values=[5.0]))).splitlines()
    assert lines[1].split()[-4:] == ["ratio", "durable", "ratio", "os"]
    assert [line.split()[-1] for line in lines[2:]] == ["2.00x", "0.50x", "4.00x"]


def test_where_less_is_better_the_ratio_is_turned_round() -> None:
    section = Section("first", "ms", [Row("ours", values=[10.0]), Row("peer", values=[40.0])], lower=True)
    assert section_text(section).splitlines()[-1].endswith("4.00x")


@pytest.mark.parametrize(("kind", "peak", "exceeded"), [("ours", 0, False), ("ours", 1, True), ("peer", 1, False)])
def test_a_process_of_ours_above_the_limit_fails(kind: str, peak: float, exceeded: bool) -> None:
    section = _section("x", Row("row", values=[1.0], kind=kind, peaks=[10.0, LIMIT + peak], all_peaks=[500.0, 500.0]))
    assert failed([section]) == exceeded
    assert ("more than 120" in section_text(section)) == exceeded


def _batch(durable: float, slow: float, fast: float) -> Section:
    return _section(
        "batch",
        Row("partwise durable, 1 worker, one POST", values=[durable], kind="ours"),
        Row("partwise durable, 2 workers, 4 POSTs at once", values=[2 * durable], kind="ours"),
        Row("ASGIWebDAV 2", values=[slow]),
        Row("quick", values=[fast]),
        Row("floor: loop", values=[1e9], kind="floor"),
    )


@pytest.mark.parametrize(
    ("memory", "durable", "verdicts"),
    [
        (False, 80.0, ["met", "met", "met"]),
        (False, 79.0, ["MISSED", "met", "met"]),
        (False, 39.0, ["MISSED", "MISSED", "MISSED"]),
        (True, 149.0, ["MISSED", "met", "met"]),
    ],
)
def test_targets_are_met_or_missed(memory: bool, durable: float, verdicts: list[str]) -> None:
    lines = targets_text([_batch(durable, 10.0, 100.0)], memory).splitlines()[1:]
    assert [line.split()[0] for line in lines] == verdicts
    assert "quick" in lines[0]
    assert "ASGIWebDAV" in lines[1]


@pytest.mark.parametrize(("found", "verdict"), [(49.0, "met"), (50.0, "MISSED")])
def test_the_first_byte_has_a_target_in_time(found: float, verdict: str) -> None:
    lines = targets_text([_section("first", Row("partwise", values=[found]))], False).splitlines()
    assert lines[1].split()[0] == verdict


@pytest.mark.parametrize(("crowd", "verdicts"), [(15.0, ["met"]), (15.2, ["MISSED"])])
def test_a_crowd_may_slow_others_so_much(crowd: float, verdicts: list[str]) -> None:
    rows = [Row("partwise, alone", values=[10.0]), Row("partwise, beside 9 idle", values=[crowd])]
    section = Section("fair: GET", "ms", rows, key="fair get median", lower=True)
    assert [line.split()[0] for line in targets_text([section], False).splitlines()[1:]] == verdicts


def test_no_target_without_figures() -> None:
    assert not targets_text([_section("batch", Row("partwise durable, 1 worker"), Row("peer"))], False)


@pytest.mark.parametrize(
    ("cost", "verdict"),
    [
        (Cost("x", 2.0, 2.0, "ms", 1.0), "within"),
        (Cost("x", 2.1, 2.0, "ms", 1.0), "EXCEEDED"),
        (Cost("x", problem="status 500"), "failed"),
    ],
)
def test_the_verdict_on_a_cost(cost: Cost, verdict: str) -> None:
    text = million_text([cost])
    assert verdict in text
    assert cost.problem in text
    assert cost.within == (verdict == "within")


def test_the_floors_leave_what_they_say(tools: Path, tmp_path: Path) -> None:
    for contender_ in floors.small_files("x", 10, 100, 4):
        (folder := tmp_path / contender_.name[-9:].replace("/", "-")).mkdir()
        assert contender_.measure(folder)["x"] > 0  # type: ignore[operator]
        assert {path.stat().st_size for path in folder.iterdir()} == {100}
        assert len(list(folder.iterdir())) == 10
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@pytest.mark.parametrize("python", [False, True])
def test_a_tree_is_planted_and_listed(
    tools: Path, tmp_path: Path, python: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if python:
        monkeypatch.setattr(compiled, "_built", {})
    plant(tmp_path / "tree", 3, 4)
    files = sorted(path.relative_to(tmp_path / "tree") for path in (tmp_path / "tree").glob("*/*"))
    assert len(files) == 12
    assert str(files[-1]) == "collection-00002/member-0003.txt"
    assert (tmp_path / "tree" / files[-1]).stat().st_size == 8
    if compiled.tool("floor") is not None:
        assert floors.loop("list", tmp_path / "tree/collection-00001", 0.01) > 0


def test_without_a_compiler_there_are_no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_built", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    compiled.build(tmp_path)
    assert compiled.tool("drive") is compiled.tool("floor") is compiled.go_version() is None
    assert told_version.__wrapped__("nothing-of-that-name", "--version") is None


@pytest.mark.parametrize("command", [apache, nginx, lighttpd])
def test_servers_are_told_where_to_serve(command: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    place = Place(tmp_path / "served", tmp_path, 4242)
    line = command(place)  # type: ignore[operator]
    (config,) = tmp_path.glob("*.conf")
    assert str(config) in line
    assert "4242" in (text := config.read_text())
    assert str(place.folder) in text
    assert text.count("{") == text.count("}")


def test_partwise_says_how_it_runs() -> None:
    place = Place(Path("/x"), Path("/y"), 1)
    assert partwise(3, "os").name == "partwise os, 3 workers"
    assert partwise(3, "os").command(place)[-4:] == ["--durability", "os", "--workers", "3"]
    assert "--workers" not in partwise().command(place)
    assert partwise().durable
    assert not partwise(1, "os").durable
    assert not any(peer.durable or peer.label for peer in PEERS)


CHILDREN = """
import subprocess, sys, http.server, os
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, file=open("child", "w"), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def test_a_server_is_watched_with_its_children_and_stopped(tmp_path: Path) -> None:
    server = Server("fake", lambda: "1", lambda place: [sys.executable, "-c", CHILDREN, str(place.port)])
    (tmp_path / "served").mkdir()
    with serving(server, tmp_path / "served") as running:
        child = int((tmp_path / "served-state" / "child").read_text())
        assert family(running.pid) == [running.pid, child]
        assert len(running.peaks()) == 2
        assert running.started > 0
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_what_a_server_needs_is_there_before_it_starts(tmp_path: Path) -> None:
    server = Server("fake", lambda: "1", lambda place: [sys.executable, "-c", CHILDREN, str(place.port)])

    def measure(running: Running, folder: Path) -> Figures:
        return {"seen": float((folder / "before").exists())}

    (tmp_path / "served").mkdir()
    made = contender(server, "", measure, prepare=lambda folder: (folder / "before").touch())
    figures = made.measure(tmp_path / "served")
    assert figures["seen"] == 1.0
    assert 0 < figures["peak"] < figures["peaks"]  # type: ignore[operator]
    assert made.name == "fake 1"


@pytest.mark.parametrize("arguments", [["--also", "/x", "--scale"], ["nothing"]])
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "workload" in capsys.readouterr().err
