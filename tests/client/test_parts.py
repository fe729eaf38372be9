"""The body of a batch, read back by the server's own decoder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise.client import find
from partwise.client.items import Item
from partwise.client.parts import BLOCK, Parts
from partwise.protocol.multipart import NEED_DATA, MultipartDecoder, PartBegin, PartData, PartEnd
from partwise.protocol.paths import Mount

Read = list[tuple[dict[str, str], bytes]]


def decoded(parts: Parts) -> Read:
    decoder, found = MultipartDecoder(parts.boundary.encode()), []
    for block in [*parts.blocks(), b""]:
        decoder.receive(block)
        while (event := decoder.next_event()) is not NEED_DATA:
            if isinstance(event, PartBegin):
                headers, body = {name: value.decode() for name, value in event.headers}, bytearray()
            elif isinstance(event, PartData):
                body += event.data
            elif isinstance(event, PartEnd):
                found.append((headers, bytes(body)))
            elif not block:
                break
        if not block:
            break
    return found


def test_sizes_around_a_block(tmp_path: Path) -> None:
    sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 0]
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(os.urandom(size))
    parts = Parts(find([f"{tmp_path}/"]).items)
    read = decoded(parts)
    assert [body for _, body in read] == [(tmp_path / str(number)).read_bytes() for number in range(len(sizes))]
    assert [headers["content-length"] for headers, _ in read] == list(map(str, sizes))
    assert len(parts.sent) == len(sizes)
    assert not parts.torn


def test_nothing_large_waits_in_memory(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20 * BLOCK))
    assert max(map(len, Parts(find([f"{tmp_path}/"]).items).blocks())) < 3 * BLOCK


def test_what_a_part_says_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a:b ü%?#.json"
    file.write_bytes(b"{}")
    os.utime(file, ns=(0, 1_700_000_000_000_000_005))
    [(headers, _)] = decoded(Parts(find([str(file)]).items, checksums=True, types=True))
    assert headers == {
        "content-location": "a%3Ab%20%C3%BC%25%3F%23.json",
        "content-length": "2",
        "x-oc-mtime": "1700000000.000000005",
        "content-type": "application/json",
        "oc-checksum": "SHA256:" + hashlib.sha256(b"{}").hexdigest(),
    }


def test_a_time_before_1970_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_bytes(b"old")
    os.utime(file, (-5, -5))
    [(headers, body)] = decoded(Parts(find([str(file)]).items))
    assert "x-oc-mtime" not in headers
    assert body == b"old"


def test_a_file_that_is_gone_has_no_part(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"b")
    gone = Item("a", str(tmp_path / "a"), 1, 0)
    parts = Parts([gone, *find([f"{tmp_path}/"]).items, Item("c", str(tmp_path), 1, 0)])
    assert [body for _, body in decoded(parts)] == [b"b"]
    assert [item.name for item in parts.sent] == ["b"]
    assert [(item.name, why) for item, why in parts.unreadable] == [
        ("a", "The file cannot be read: No such file or directory."),
        ("c", "The file cannot be read: Is a directory."),
    ]


@pytest.mark.parametrize("change", [b"shorter", bytes(5 * BLOCK)])
def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path, change: bytes) -> None:
    file = tmp_path / "log"
    file.write_bytes(bytes(4 * BLOCK))
    parts = Parts(find([str(file)]).items)
    blocks = parts.blocks()
    next(blocks)
    file.write_bytes(change)
    for _ in blocks:
        pass
    assert parts.torn == {1}


NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: name not in (b".", b"..") and not {0, 47} & set(name))


@settings(max_examples=50)
@given(st.lists(NAMES, max_size=5, unique=True))
def test_any_name_arrives(names: list[bytes]) -> None:
    parts = Parts([Item(os.fsdecode(name), "/dev/null", 0, 0) for name in names])
    for (headers, _), item in zip(decoded(parts), parts.sent, strict=True):
        assert Mount().resolve(headers["content-location"], ("c",), None) == ("c", item.name)
