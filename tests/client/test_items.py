"""What is found in a source, under which names, and how it is divided into batches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from partwise.client import Findings, Item, find
from partwise.client.items import split


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "t/a/b").mkdir(parents=True)
    (tmp_path / "t/empty").mkdir()
    (tmp_path / "t/.partwise").mkdir()
    for name in ("z", "a/1", "a/b/2", ".hidden", ".partwise/state"):
        (tmp_path / "t" / name).write_text(name)
    (tmp_path / "t/link").symlink_to("z")
    (tmp_path / "t/a/up").symlink_to("..")
    (tmp_path / "t/lost").symlink_to("nothing")
    os.mkfifo(tmp_path / "t/pipe")
    return tmp_path / "t"


def names(found: Findings) -> list[str]:
    return [item.name for item in found.items]


@pytest.mark.parametrize("ending", ["/", "/.", "//"])
def test_a_slash_sends_what_the_folder_holds(tree: Path, ending: str) -> None:
    found = find([str(tree) + ending])
    assert names(found) == [".hidden", "z", "a/1", "a/b/2"]
    assert found.scopes == [""]
    assert found.folders == {"", "a", "a/b", "empty"}
    assert {skipped.name for skipped in found.skipped} == {"link", "a/up", "lost", "pipe", ".partwise"}
    assert not found.broken


def test_without_one_the_folder_itself_is_sent(tree: Path) -> None:
    found = find([str(tree), str(tree / "a/1")])
    assert names(found) == ["t/.hidden", "t/z", "t/a/1", "t/a/b/2", "1"]
    assert found.scopes == ["t"]
    status = (tree / "z").stat()
    assert found.items[1] == Item("t/z", str(tree / "z"), 1, status.st_mtime_ns)


def test_links_are_followed_when_asked_but_not_in_circles(tree: Path) -> None:
    found = find([str(tree) + "/"], follow=True)
    assert names(found) == [".hidden", "link", "z", "a/1", "a/b/2"]
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert reasons["a/up"] == "a link to a folder that holds it"
    assert reasons["lost"] == "a link to nothing"


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    assert names(find([f"{tmp_path}/"])) == ["\udcff"]


def test_a_file_that_is_named_twice_is_sent_once(tree: Path) -> None:
    assert names(find([str(tree / "z"), str(tree / "z")])) == ["z"]


def test_two_files_of_one_name(tree: Path) -> None:
    (tree / "a/z").write_text("another")
    with pytest.raises(ValueError, match="both be sent as 'z'"):
        find([str(tree / "z"), str(tree / "a/z")])


@pytest.mark.parametrize(("name", "said"), [("none", "cannot be read"), ("pipe", "neither a file nor a folder")])
def test_sources_that_cannot_be_sent(tree: Path, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find([str(tree / name)])


def item(name: str, size: int) -> Item:
    return Item(name, name, size, 0)


def test_batches_are_bounded_by_count_and_by_bytes() -> None:
    items = [item(str(number), 10_000) for number in range(10)]
    assert [len(batch) for batch in split(items, 4, 1 << 30)] == [4, 4, 2]
    by_bytes = list(split(items, 1000, 35_000))
    assert [one for batch in by_bytes for one in batch] == items
    assert {len(batch) for batch in by_bytes} == {3, 1}
    assert [len(batch) for batch in split([item("a", 9), item("b", 1 << 40), item("c", 9)], 100, 1 << 20)] == [1, 1, 1]
    assert list(split([], 1, 1)) == []
