"""Batches of thousands of small files: where they are served, how they are made, and what a client was told of them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where durability is not the topic, files are kept in memory.
MEMORY = Path("/dev/shm")
ROOM = 1_000_000_000

BOUNDARY = "many-files"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
_HEAD = '--%s\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
END = f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder to serve, in memory where there is room for it; removed at the end."""
    place = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None
    with tempfile.TemporaryDirectory(dir=place) as found:
        served = Path(found) / "served"
        served.mkdir()
        yield served


def names(count: int) -> list[str]:
    return [f"{number:05}.bin" for number in range(count)]


def contents_of(name: str, size: int = 100) -> bytes:
    """Bytes that are no other file's."""
    return name.encode().ljust(size, b".")


def form_item(name: str, size: int) -> bytes:
    """One part of the form with its delimiter."""
    return (_HEAD % (BOUNDARY, name)).encode() + contents_of(name, size) + b"\r\n"


def form_length(count: int, size: int) -> int:
    """Of the whole body of :func:`form_body`: all its names are equally long."""
    return count * len(form_item(names(1)[0], size)) + len(END)


async def form_body(count: int, size: int) -> AsyncIterator[bytes]:
    """The items in pieces of a few; never all of them in memory."""
    pieces: list[bytes] = []
    for name in names(count):
        pieces.append(form_item(name, size))
        if len(pieces) == 16:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces) + END


def check_told(rows: list[tuple[int, str, int]], count: int) -> None:
    """Rows as (index, name, status): every item has exactly one, in order, under its own name, and is stored."""
    assert Counter(status for _, _, status in rows) == {201: count}
    assert [index for index, _, _ in rows] == list(range(1, count + 1))
    assert sorted(name for _, name, _ in rows) == names(count)


def check_stored(folder: Path, count: int, size: int = 100) -> None:
    """Every item is there with its bytes, and nothing else."""
    found = [path for path in folder.iterdir() if path.name != ".partwise"]
    assert sorted(path.name for path in found) == names(count)
    assert [path.name for path in found if path.read_bytes() != contents_of(path.name, size)] == []


def rows_of(document: bytes) -> list[tuple[int, str, int]]:
    """The rows of a report in XML, read as a script would; its summary must be there."""
    text = document.decode()
    assert text.rstrip().endswith("</D:multistatus>"), f"truncated: …{text[-200:]}"
    assert 'state="complete"' in text.rpartition("<P:summary")[2]
    found = re.findall(r'<D:status>HTTP/1\.1 (\d{3}) .*?<P:item index="(\d+)" name="([^"]*)"', text)
    return [(int(index), name, int(status)) for status, index, name in found]
