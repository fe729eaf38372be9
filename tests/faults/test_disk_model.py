"""Who checks the order of acknowledgement is checked himself, on traces that were written by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.faults.acknowledgements import Acknowledged, Told, acknowledged, allowed, at, violations
from tests.faults.disk_model import Disk
from tests.faults.disk_nodes import COLLECTION, Standing
from tests.faults.tracing import read_trace

_NEW = "</r/.partwise/staging/1/#12>(deleted)"
#: As other versions of strace write it.
_OTHER = "</r/.partwise/staging/1/#13 (deleted)>"
_LOG = "/r/.partwise/state.db-wal"
_CLIENT = "9<TCP:[127.0.0.1:80->127.0.0.1:40000]>"

#: Calls, by what they do. A sign at the end makes a half of one: ``<`` begins it, ``>`` ends it.
CALLS = {
    "open": f'1 openat(AT_FDCWD</>, "/r/.partwise/staging/1", O_RDWR|O_TMPFILE, 0666) = 7{_NEW}',
    "write": f'1 write(7{_NEW}, "abc", 3) = 3',
    "write<": f'3 write(7{_NEW}, "abc", 3 <unfinished ...>',
    "write>": "3 <... write resumed>) = 3",
    "fdatasync": f"1 fdatasync(7{_NEW}) = 0",
    "fsync": f"1 fsync(7{_NEW})                 = 0",
    "fsync<": f"1 fsync(7{_NEW} <unfinished ...>",
    "fsync>": "1 <... fsync resumed>) = 0",
    "fsync fails": f"1 fsync(7{_NEW}) = -1 EIO (Input/output error)",
    "open other": f'1 openat(AT_FDCWD</>, "/r/.partwise/staging/1", O_RDWR|O_TMPFILE, 0666) = 8{_OTHER}',
    "write other": f'1 write(8{_OTHER}, "abc", 3) = 3',
    "link other": '1 linkat(AT_FDCWD</>, "/proc/self/fd/8", 5</r>, "new", AT_SYMLINK_FOLLOW) = 0',
    "fsync other": f"1 fsync(8{_OTHER}) = 0",
    "link": '1 linkat(AT_FDCWD</>, "/proc/self/fd/7", 5</r>, "new", AT_SYMLINK_FOLLOW) = 0',
    "link<": '2 linkat(AT_FDCWD</>, "/proc/self/fd/7", 5</r>, "new", AT_SYMLINK_FOLLOW <unfinished ...>',
    "link>": "2 <... linkat resumed>) = 0",
    "thread": "1 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, exit_signal=0} => {parent_tid=[2]}, 88) = 2",
    "stage": '1 linkat(AT_FDCWD</>, "/proc/self/fd/7", 6</r/.partwise>, "0", AT_SYMLINK_FOLLOW) = 0',
    "exchange": '1 renameat2(6</r/.partwise>, "0", 5</r>, "old", RENAME_EXCHANGE) = 0',
    "discard": '1 unlinkat(6</r/.partwise>, "0", 0) = 0',
    "replace": '1 renameat(6</r/.partwise>, "0", 5</r>, "old") = 0',
    "fsync r": "1 fsync(5</r>) = 0",
    "fsync r<": "1 fsync(5</r> <unfinished ...>",
    "fsync r>": "1 <... fsync resumed>) = 0",
    "fsync d": "1 fsync(6</r/d>) = 0",
    "fsync state": "1 fsync(6</r/.partwise>) = 0",
    "syncfs": "1 syncfs(5</r>) = 0",
    "syncfs<": "1 syncfs(5</r> <unfinished ...>",
    "syncfs>": "1 <... syncfs resumed>) = 0",
    "syncfs elsewhere": "1 syncfs(5</proc>) = 0",
    "sync": "1 sync()                                  = 0",
    "mkdir": '1 mkdirat(5</r>, "d", 0777) = 0',
    "link in d": '1 linkat(AT_FDCWD</>, "/proc/self/fd/7", 6</r/d>, "new", AT_SYMLINK_FOLLOW) = 0',
    "unlink": '1 unlinkat(5</r>, "old", 0) = 0',
    "move": '1 renameat(5</r>, "old", 6</r/d>, "old") = 0',
    "truncate": '1 openat(5</r>, "old", O_WRONLY|O_TRUNC) = 8</r/old>',
    "log": f'1 pwrite64(10<{_LOG}>, "the mark", 8, 0) = 8',
    "fsync log": f"1 fdatasync(10<{_LOG}>) = 0",
    "stamp": f"1 utimensat(7{_NEW}, NULL, [{{tv_sec=9, tv_nsec=9}} /* x */, {{tv_sec=5, tv_nsec=1}}], 0) = 0",
    "signal": "1 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---",
    "tell": f'1 sendto({_CLIENT}, "HTTP/1.1 201 Created", 20, 0, NULL, 0) = 20',
    "tell<": f'2 sendto({_CLIENT}, "HTTP/1.1 201 Created", 20, 0, NULL, 0 <unfinished ...>',
    "tell>": "2 <... sendto resumed>) = 20",
    "tell later": f'1 sendto({_CLIENT}, "HTTP/1.1 201 Created", 20, 0, NULL, 0) = -1 EAGAIN (Try again)',
    "tell some": f'1 sendto({_CLIENT}, "HTTP/1.1 201 Created", 20, 0, NULL, 0) = 5',
    "tell the rest": f'1 sendto({_CLIENT}, "1.1 201 Created", 15, 0, NULL, 0) = 15',
}

PUT = "open, write, fsync, link, fsync r, tell"
REPLACE = "open, write, fsync, stage, exchange, discard, fsync r, tell"


def trace(calls: str) -> list[str]:
    return [CALLS[call] + "\n" for call in calls.split(", ")]


def disk() -> Disk:
    """``/r`` with a file, and the state folder with its log."""
    return Disk("/r", {"old": b"old", ".partwise": COLLECTION, ".partwise/state.db-wal": b""})


def told(holds: dict[str, Standing], **values: object) -> Told:
    return Told("it", 40000, b"HTTP/1.1 201", holds, **values)  # type: ignore[arg-type]


def judged(calls: str, answer: Told) -> list[str]:
    return violations(disk(), read_trace(trace(calls)), [answer])


_IS_NEW = told({"new": b"abc", "old": b"old"})
_IS_REPLACED = told({"old": b"abc"})
_IS_DEEP = told({"d": COLLECTION, "d/new": b"abc"})
_IS_GONE = told({"old": None})
_IS_MOVED = told({"old": None, "d/old": b"old"})
_IS_RECORDED = told({}, recorded={"old": "the mark"})
_DEEP = "open, write, fsync, mkdir, link in d"

GOOD = [
    (PUT, _IS_NEW),
    ("open, write, link, fsync, fsync r, tell", _IS_NEW),
    ("open other, write other, fsync other, link other, fsync r, tell", _IS_NEW),
    ("open, write, link, syncfs, tell", _IS_NEW),
    ("open, write, link, syncfs<, syncfs>, tell", _IS_NEW),
    ("open, write, link, sync, tell", _IS_NEW),
    ("open, write, syncfs, link, fsync r, tell", _IS_NEW),
    ("open, write<, write>, fsync, link, fsync r, tell", _IS_NEW),
    ("open, write, fsync<, fsync>, link, fsync r<, fsync r>, signal, tell", _IS_NEW),
    ("open, write, fsync, link<, thread, link>, fsync r, tell", _IS_NEW),
    ("open, write, fsync, link, fsync r, tell<, tell>", _IS_NEW),
    ("open, write, fsync, link, fsync r, tell<", _IS_NEW),
    ("open, write, fsync, link, tell later, fsync r, tell", _IS_NEW),
    ("open, write, fsync, link, fsync r, tell some, tell the rest", _IS_NEW),
    (REPLACE, _IS_REPLACED),
    ("open, write, fsync, stage, replace, fsync r, tell", _IS_REPLACED),
    (f"{_DEEP}, fsync d, fsync r, tell", _IS_DEEP),
    ("unlink, fsync r, tell", _IS_GONE),
    ("mkdir, move, fsync d, fsync r, tell", _IS_MOVED),
    ("mkdir, move, syncfs, tell", _IS_MOVED),
    ("log, fsync log, tell", _IS_RECORDED),
    ("log, syncfs, tell", _IS_RECORDED),
    ("open, write, stamp, fsync, link, fsync r, tell", _IS_NEW),
    ("open, write, stamp, fdatasync, link, syncfs, tell", _IS_NEW),
    ("open, write, fdatasync, link, fsync r, tell", _IS_NEW),
]

_CONTENT = "its content was not synced"
_NAME = "that holds the name"

BAD = [
    ("open, write, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, fsync, write, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, write<, fsync, write>, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, write<, syncfs<, write>, syncfs>, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, open other, write, fsync other, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, write, fsync fails, link, fsync r, tell", _IS_NEW, _CONTENT),
    ("open, write, fsync<, link<, thread, link>, tell<, fsync>, fsync r, tell>", _IS_NEW, _NAME),
    ("open, write, link<, thread, link>, syncfs<, tell<, syncfs>, tell>", _IS_NEW, _NAME),
    ("open, write, link, fsync r, fsync<, tell<", _IS_NEW, _CONTENT),
    ("open, write, fsync, link, tell", _IS_NEW, _NAME),
    ("open, write, fsync, link, tell, fsync r", _IS_NEW, _NAME),
    ("open, write, fsync, link, tell<, fsync r, tell>", _IS_NEW, _NAME),
    ("open, write, fsync, link, fsync r<, tell<, fsync r>, tell>", _IS_NEW, _NAME),
    ("open, write, fsync, link, tell some, fsync r, tell the rest", _IS_NEW, _NAME),
    ("open, write, fsync, fsync r, tell, link", _IS_NEW, "new: something else stands there"),
    ("open, write, fsync, fsync r, link, tell", _IS_NEW, _NAME),
    ("open, write, fsync, link<, thread, fsync r, link>, tell", _IS_NEW, _NAME),
    ("open, write, fsync, link<, thread, syncfs<, link>, syncfs>, tell", _IS_NEW, _NAME),
    ("open, write, fsync, link, fsync state, tell", _IS_NEW, _NAME),
    ("open, write, link, syncfs elsewhere, tell", _IS_NEW, _NAME),
    ("open, write, link, fsync, fsync r, truncate, syncfs, tell", _IS_NEW, "old: something else"),
    ("open, write, stage, exchange, fsync r, tell", _IS_REPLACED, _CONTENT),
    ("open, write, fsync, stage, exchange, fsync state, tell", _IS_REPLACED, _NAME),
    (f"{_DEEP}, fsync d, tell", _IS_DEEP, "the name d was"),
    (f"{_DEEP}, fsync r, tell", _IS_DEEP, "the name new was"),
    ("unlink, tell", _IS_GONE, _NAME),
    ("mkdir, fsync r, move, fsync r, tell", _IS_MOVED, _NAME),
    ("mkdir, fsync r, move, fsync d, tell", _IS_MOVED, _NAME),
    ("log, tell", _IS_RECORDED, "the database"),
    ("fsync log, log, tell, fsync log", _IS_RECORDED, "the database"),
    ("open, write, fsync, stamp, link, fsync r, tell", _IS_NEW, "modified"),
    ("open, write, stamp, fdatasync, link, fsync r, tell", _IS_NEW, "modified"),
]


@pytest.mark.parametrize(("calls", "answer"), GOOD)
def test_good(calls: str, answer: Told) -> None:
    assert judged(calls, answer) == []


@pytest.mark.parametrize(("calls", "answer", "said"), BAD)
def test_too_early(calls: str, answer: Told, said: str) -> None:
    found = judged(calls, answer)
    assert found and said in found[0]


@pytest.mark.parametrize("left_out", ["write", "fsync", "link", "fsync r"])
def test_no_step_of_it_is_superfluous(left_out: str) -> None:
    assert judged(", ".join(call for call in PUT.split(", ") if call != left_out), _IS_NEW)


def test_what_was_never_sent() -> None:
    with pytest.raises(LookupError):
        judged("open, write, fsync, link, fsync r, tell later", _IS_NEW)


def test_a_string_that_was_cut_short() -> None:
    with pytest.raises(ValueError, match="cut"):
        read_trace([f'1 write(7{_NEW}, "abc"..., 3) = 3\n'])


def test_hexadecimal() -> None:
    [call] = read_trace([r'7 renameat(5<\x2f\x72>, "\x22\x2c\x20\x29", 6<\x2f\x64>, "\xc3\xa4") = 0' + "\n"])
    assert call.strings == (b'", )', "ä".encode())
    assert [descriptor.path for descriptor in call.descriptors] == ["/r", "/d"]


def test_positions() -> None:
    """What follows what, where a call says it and where it does not."""
    lines = [
        '1 openat(5</r>, "a", O_RDWR|O_CREAT, 0666) = 7</r/a>',
        '1 write(7</r/a>, "0123456789", 10) = 10',
        '1 write(7</r/a>, "abcdef", 6) = 4',
        "1 lseek(7</r/a>, 2, SEEK_SET) = 2",
        '1 writev(7</r/a>, [{iov_base="A", iov_len=1}, {iov_base="BC", iov_len=2}], 2) = 3',
        '1 pwrite64(7</r/a>, "z", 1, 15) = 1',
        '2 openat(5</r>, "b", O_RDWR|O_CREAT, 0666) = 7</r/b>',
        "2 copy_file_range(8</r/a>, NULL, 7</r/b>, NULL, 100, 0) = 4",
        "2 copy_file_range(8</r/a>, NULL, 7</r/b>, NULL, 100, 0) = 2",
        "2 sendfile(7</r/b>, 8</r/a>, [14] => [16], 2) = 2",
        "2 fallocate(7</r/b>, 0, 0, 10) = 0",
        "2 fallocate(7</r/b>, FALLOC_FL_KEEP_SIZE, 0, 100) = 0",
        '3 openat(5</r>, "old", O_WRONLY|O_APPEND) = 7</r/old>',
        '3 write(7</r/old>, "er", 2) = 2',
        "3 ftruncate(7</r/old>, 4) = 0",
        "3 sync() = 0",
    ]
    found = disk()
    for call in read_trace(lines):
        found.apply(call)
    assert found.kept("a") == b"01ABC56789abcd\0z"
    assert found.kept("b") == b"01ABC5\0z\0\0"
    assert found.kept("old") == b"olde"


# -- what a power cut leaves


def left(path: Path, calls: str, chance: random.Random | None = None) -> dict[str, bytes]:
    found = disk()
    for call in read_trace(trace(calls)):
        found.apply(call)
    found.leave(path, chance)
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}


@pytest.mark.parametrize(
    ("calls", "names"),
    [
        (PUT, {"old": b"old", "new": b"abc"}),
        ("open, write, fsync, link", {"old": b"old"}),
        ("open, write, link, fsync r", {"old": b"old", "new": b""}),
        (REPLACE, {"old": b"abc"}),
        ("open, write, fsync, stage, exchange", {"old": b"old"}),
        ("unlink", {"old": b"old"}),
        ("unlink, syncfs", {}),
    ],
)
def test_left(tmp_path: Path, calls: str, names: dict[str, bytes]) -> None:
    assert left(tmp_path, calls) == names


def test_left_by_chance(tmp_path: Path) -> None:
    """What is not durable may be there all the same, or not."""
    found = set()
    for seed in range(30):
        (tmp_path / str(seed)).mkdir()
        found.add(left(tmp_path / str(seed), "open, write, link", random.Random(seed)).get("new"))
    assert found == {None, b"", b"abc"}


def test_allowed() -> None:
    answers = [
        Acknowledged(3, told({"a": b"1"})),
        Acknowledged(5, told({"a": b"2", "b": None}, recorded={"a": "the mark"})),
        Acknowledged(7, told({"a": b"3"})),
    ]
    before: dict[str, Standing] = {"b": b"0", "c": b"c"}
    assert allowed(before, answers, 3) == {"a": [None, b"1"], "b": [b"0", None], "c": [b"c"]}
    assert allowed(before, answers, 6) == {"a": [b"2", b"3"], "b": [None], "c": [b"c"]}
    assert allowed({}, answers, 5, state=True) == {"a": [None, "the mark"]}
    assert allowed({}, answers, 6, state=True) == {"a": ["the mark"]}


def test_moments() -> None:
    calls = read_trace(trace("open, write, fsync, link<, thread, tell, link>"))
    assert [answer.line for answer in acknowledged(calls, [_IS_NEW])] == [6]
    found = disk()
    seen = [(line, found.find("/r/new") is not None) for line in at(found, calls, [4, 6, 7, 8])]
    assert seen == [(4, False), (6, False), (7, False), (8, True)]
