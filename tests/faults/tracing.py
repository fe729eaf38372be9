"""What strace saw of a process and its children, as values.

A line is written when a call begins or when it has ended, and one that is written later happened later: strace holds whoever
is about to begin a call, and whoever has ended one, until it has written that down. So lines are the moments of everything
here; a call that nobody else came between is one line, and began and ended there.

Names and bytes are expected in hexadecimal (``-xx``), whole (``-s``), and descriptors with their paths (``-yy``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

#: What changes files and names, makes them durable, tells somebody, or says which threads are one process.
CALLS = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendfile"),
    *("copy_file_range", "truncate", "ftruncate", "fallocate", "lseek", "utimensat"),
    *("fsync", "fdatasync", "syncfs", "sync"),
    *("clone", "clone3", "fork", "vfork"),
)

_WHOLE = 8 << 20

#: What a trace that can be read is made with.
STRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-yy", "-xx", "-s", str(_WHOLE), "-e", f"trace={','.join(CALLS)}")

_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.DOTALL)
_UNFINISHED = "<unfinished ...>"
_STRING = re.compile(r'"([^"]*)"(\.\.\.)?')
#: The ends of a connection have an arrow between them; a device follows its path in signs of its own.
_DESCRIPTOR = re.compile(r"(AT_FDCWD|\d+)<((?:->|[^<>])*)(?:<[^>]*>)?>(\(deleted\))?")
_RESULT = re.compile(r"(-?\d+|0x[0-9a-f]+)(?:<([^<>]*)(?:<[^>]*>)?>(\(deleted\))?)?")
#: What follows a path that is no file's any more; some versions of strace write it behind the sign that ends the path.
DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """``number`` is -1 for the working directory; ``path`` as Linux tells it: :data:`DELETED` follows if it has none now."""

    number: int
    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the system, from line ``begun`` to line ``ended``.

    ``result`` is ``None`` if it was never seen to return. ``fields``: its arguments as they were printed, each string as
    ``""``; ``opened`` is the path of the descriptor that it returned.
    """

    process: int
    name: str
    fields: tuple[str, ...]
    strings: tuple[bytes, ...]
    descriptors: tuple[Descriptor, ...]
    result: int | None
    opened: str | None
    begun: int
    ended: int

    @property
    def done(self) -> bool:
        return self.result is not None and self.result >= 0


def read_trace(lines: Iterable[str]) -> list[Call]:
    """The calls of a trace in the order in which they ended; first line 1. Raises ValueError for what was cut short."""
    begun: dict[int, tuple[int, str, str]] = {}
    calls: list[Call] = []
    number = 0
    for number, line in enumerate(lines, 1):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue  # a signal, or an end
        thread, resumed, name, text = int(found[1]), found[2], found[3], found[4]
        first = number
        if resumed:
            first, name, beginning = begun.pop(thread)
            text = beginning + text
        elif text.endswith(_UNFINISHED):
            begun[thread] = number, name, text.removesuffix(_UNFINISHED)
            continue
        arguments, _, result = text.rpartition(" = ")
        calls.append(_call(thread, name, arguments.rstrip().removesuffix(")"), result, first, number))
    for thread, (first, name, text) in begun.items():
        calls.append(_call(thread, name, text, "?", first, number + 1))
    return _by_process(calls)


def read_file(path: Path) -> list[Call]:
    """See :func:`read_trace`."""
    with path.open(encoding="latin-1") as file:
        return read_trace(file)


def _call(thread: int, name: str, text: str, result: str, begun: int, ended: int) -> Call:
    strings = []
    for found in _STRING.finditer(text):
        if found[2]:
            raise ValueError(f"line {ended}: strace has cut a string short")
        strings.append(_bytes(found[1]))
    bare = _STRING.sub('""', text)
    descriptors = tuple(
        Descriptor(-1 if found[1] == "AT_FDCWD" else int(found[1]), _path(found[2], found[3]))
        for found in _DESCRIPTOR.finditer(bare)
    )
    returned = _RESULT.match(result)
    value = None if returned is None else int(returned[1], 0)
    opened = None if returned is None or returned[2] is None else _path(returned[2], returned[3])
    return Call(thread, name, tuple(bare.split(", ")), tuple(strings), descriptors, value, opened, begun, ended)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode("latin-1")


def _path(text: str, deleted: str | None) -> str:
    return _bytes(text).decode("utf-8", "surrogateescape") + (DELETED if deleted else "")


def _by_process(calls: list[Call]) -> list[Call]:
    """Each call with its process where its thread stood. A thread may be seen before the call that made it has returned."""
    made = ("clone", "clone3", "fork", "vfork")
    above = {
        call.result: call.process
        for call in calls
        if call.name in made and call.result and any("CLONE_THREAD" in field for field in call.fields)
    }

    def process(thread: int) -> int:
        while thread in above:
            thread = above[thread]
        return thread

    return [replace(call, process=process(call.process)) for call in calls]


# -- what was sent


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes that were handed to a connection by a call that began in this line."""

    line: int
    data: bytes


_SENDS = {"sendto", "sendmsg", "write", "writev"}


def sent(calls: Iterable[Call]) -> dict[int, list[Sent]]:
    """What was sent over TCP, by the port at the other end. Of a call that was not seen to return: all of it."""
    found: dict[int, list[Sent]] = {}
    for call in calls:
        if call.name in _SENDS and call.descriptors and call.descriptors[0].path.startswith("TCP"):
            port = int(call.descriptors[0].path.rstrip("]").rpartition(":")[2])
            data = b"".join(call.strings)
            if call.result is not None:
                data = data[: max(call.result, 0)]
            found.setdefault(port, []).append(Sent(call.begun, data))
    return found
