"""ZIP archives: zipfile as the oracle, and what zipfile would not write."""

from __future__ import annotations

import errno
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.archives import Member, decode, pieces

from partwise.batch.codings import PIECE
from partwise.batch.zip_reader import ZipDecoder, ZipLimits
from partwise.errors import Damaged, Malformed, OutOfSpace, RuleFailed, TooLarge, UnsupportedType
from partwise.protocol.members import Kind
from partwise.protocol.multipart import NEED_DATA, PartData

Edit = Callable[[zipfile.ZipInfo], None]


def info(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6))
    member.compress_type = method
    return member


def pack(*members: tuple[zipfile.ZipInfo, bytes], comment: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, data in members:
            archive.writestr(member, data)
        archive.comment = comment
    return packed.getvalue()


def patched(body: bytes, at: int, data: bytes, directory: bool = True) -> bytes:
    """The first entry of the directory, or the first local header, with other bytes."""
    start = body.index(b"PK\x01\x02" if directory else b"PK\x03\x04") + at
    return body[:start] + data + body[start + len(data) :]


STAMP = f"{1577934246}.000000000"  # 2020-01-02T03:04:06Z, the time above taken as UTC
TEXT = b"some text " * 300
ONE = pack((info("a"), TEXT))
MEMBER = Member(b"a", Kind.FILE, len(TEXT), STAMP, TEXT)


UNLIMITED = ZipLimits()


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., tuple[list[Member], object]]:
    def run(body: bytes, size: int = 65536, limits: ZipLimits = UNLIMITED) -> tuple[list[Member], object]:
        return decode(ZipDecoder(str(tmp_path), limits), pieces(body, size))

    return run


Unpack = Callable[..., tuple[list[Member], object]]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_methods(unpack: Unpack, method: int) -> None:
    data = bytes(range(256)) * 1000
    body = pack((info("a/b", method), data), (info("c", method), b""))
    for size in (100, 65536):
        members, end = unpack(body, size)
        assert end is None
        assert [(m.name, m.data, m.failure) for m in members] == [(b"a/b", data, None), (b"c", b"", None)]


def test_other_methods_are_refused_one_by_one(unpack: Unpack) -> None:
    body = pack((info("a", zipfile.ZIP_LZMA), TEXT), (info("b"), TEXT))
    members, end = unpack(body)
    assert end is None
    assert [m.failure for m in members] == [UnsupportedType, None]


def test_nothing_before_the_end(tmp_path: Path) -> None:
    decoder = ZipDecoder(str(tmp_path))
    decoder.receive(ONE)
    assert decoder.next_event() is NEED_DATA
    assert list(tmp_path.iterdir()) == []  # the spooled archive has no name
    decoder.close()


def test_pieces_are_bounded(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        decoder = ZipDecoder(str(tmp_path))
        decoder.receive(pack((info("a", method), bytes(1_000_000))))
        decoder.receive(b"")
        sizes = []
        while (event := decoder.next_event()) is not NEED_DATA:
            if isinstance(event, PartData):
                sizes.append(len(event.data))
        assert (sum(sizes), max(sizes) <= PIECE) == (1_000_000, True)


def test_directories(unpack: Unpack) -> None:
    body = pack((info("./"), b""), (info("d/"), b""), (info("./d/a"), b"x"))
    members, end = unpack(body)
    assert end is None
    assert [(m.name, m.kind) for m in members] == [(b"d/", Kind.DIRECTORY), (b"d/a", Kind.FILE)]


def test_empty_archive_and_empty_body(unpack: Unpack) -> None:
    assert unpack(pack()) == ([], None)
    assert unpack(b"") == ([], Malformed)


def test_comment_and_program_around_it(unpack: Unpack) -> None:
    assert unpack(b"#!/bin/sh\n" * 100 + ONE) == ([MEMBER], None)
    assert unpack(pack((info("a"), TEXT), comment=b"PK\x05\x06 is no end " * 3000)) == ([MEMBER], None)


def test_zip64(unpack: Unpack) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, archive.open(info("a"), "w", force_zip64=True) as member:
        member.write(TEXT)
    body = packed.getvalue()
    # zipfile writes the wide fields only where they are needed; so they are put there by hand.
    at = body.index(b"PK\x01\x02")
    fixed, rest = bytearray(body[at : at + 46]), body[at + 46 :]
    size, compressed = struct.unpack_from("<L", fixed, 24)[0], struct.unpack_from("<L", fixed, 20)[0]
    fixed[20:28] = b"\xff" * 8
    fixed[42:46] = b"\xff" * 4
    extra = struct.pack("<2H3Q", 1, 24, size, compressed, 0)
    fixed[30:32] = struct.pack("<H", len(extra))
    name = rest[:1]
    directory = bytes(fixed) + name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(directory), at)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert unpack(body[:at] + directory + end64 + locator + end) == ([MEMBER], None)


# -- the whole archive is refused

ENTRY = ONE.index(b"PK\x01\x02")
END = ONE.index(b"PK\x05\x06")


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        ONE[:-1],
        ONE[:END],
        ONE[: len(ONE) // 2],
        ONE[END:],
        patched(ONE, 0, b"PK\x01\x03"),
        ONE[: END + 8] + b"\2\0\2\0" + ONE[END + 12 :],  # two entries
        ONE[: END + 4] + b"\1\0" + ONE[END + 6 :],  # several disks
        patched(ONE, 28, b"\xff\xff"),  # a name longer than the directory
        patched(ONE, 20, b"\xff\xff\xff\xff"),  # a wide size that is not there
    ],
)
def test_broken(unpack: Unpack, body: bytes) -> None:
    members, end = unpack(body)
    assert (members, end) == ([], Malformed)


def test_limits(unpack: Unpack) -> None:
    assert unpack(ONE, 100, ZipLimits(size=len(ONE) - 1)) == ([], TooLarge)
    assert unpack(ONE, 100, ZipLimits(size=len(ONE))) == ([MEMBER], None)
    two = pack((info("a"), TEXT), (info("b"), TEXT))
    assert unpack(two, 100, ZipLimits(members=1)) == ([], TooLarge)


class Full(io.BytesIO):
    """A file on a disk without room."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    decoder = ZipDecoder("")
    with pytest.raises(OutOfSpace):
        decoder.receive(ONE)


# -- members are refused one by one; the last one is always good

LAST = (info("z"), b"good")


@pytest.mark.parametrize(
    "edit, failure",
    [
        (lambda body: patched(body, 16, b"\0\0\0\0"), Damaged),  # CRC
        (lambda body: patched(body, 24, struct.pack("<L", len(TEXT) - 1)), Damaged),  # longer than it says
        (lambda body: patched(body, 24, struct.pack("<L", len(TEXT) + 1)), Damaged),  # shorter than it says
        (lambda body: patched(body, 20, struct.pack("<L", 5)), Damaged),  # compressed data cut off
        (lambda body: patched(body, 20, struct.pack("<L", 1000)), Damaged),  # lies over the next
        (lambda body: patched(body, 10, b"\x63\0"), UnsupportedType),
        (lambda body: patched(body, 42, struct.pack("<L", 5)), Damaged),  # no local header there
        (lambda body: patched(body, 42, struct.pack("<L", len(body) - 30)), Damaged),
        (lambda body: patched(body, 30, b"b", directory=False), Damaged),  # another name there
        (lambda body: patched(body, 31, b"\xff\xff\xff", directory=False), Damaged),  # no deflate stream
        (lambda body: patched(body, 24, struct.pack("<L", 0x7FFFFFFF)), RuleFailed),  # a bomb, by its own words
    ],
)
def test_members_are_refused_one_by_one(unpack: Unpack, edit: Callable[[bytes], bytes], failure: type) -> None:
    members, end = unpack(edit(pack((info("a"), TEXT), LAST)))
    assert end is None
    assert [(m.name, m.failure) for m in members] == [(b"a", failure), (b"z", None)]
    assert len(members[0].data) <= len(TEXT)
    assert members[1].data == b"good"


@pytest.mark.parametrize(
    "edit, kind",
    [
        (lambda body: patched(body, 8, b"\1\0"), Kind.ENCRYPTED),
        (lambda body: patched(body, 8, b"\x41\0"), Kind.ENCRYPTED),
        (lambda body: patched(body, 8, b"\x20\0"), Kind.OTHER),
        (lambda body: patched(body, 38, struct.pack("<L", 0o120777 << 16)), Kind.SYMBOLIC_LINK),
        (lambda body: patched(body, 38, struct.pack("<L", 0o010644 << 16)), Kind.FIFO),
        (lambda body: patched(body, 38, struct.pack("<L", 0o020644 << 16)), Kind.CHARACTER_DEVICE),
    ],
)
def test_kinds(unpack: Unpack, edit: Callable[[bytes], bytes], kind: Kind) -> None:
    members, end = unpack(edit(pack((info("a"), TEXT), LAST)))
    assert end is None
    assert [(m.kind, m.data) for m in members] == [(kind, b""), (Kind.FILE, b"good")]


def test_a_bomb_is_not_expanded(unpack: Unpack) -> None:
    body = pack((info("a"), bytes(30_000_000)), (info("b"), bytes(5_000_000)), LAST)
    members, end = unpack(body)
    assert end is None
    assert [(m.failure, len(m.data)) for m in members] == [(RuleFailed, 0), (None, 5_000_000), (None, 4)]


def test_members_that_share_their_bytes(unpack: Unpack) -> None:
    """As in the archives that hold petabytes by quoting one kernel many times."""
    entry = ONE[ENTRY:END]
    end = bytearray(ONE[END:])
    struct.pack_into("<2H2L", end, 8, 2, 2, 2 * len(entry), ENTRY)
    members, ending = unpack(ONE[:ENTRY] + entry * 2 + bytes(end))
    assert ending is None
    assert [m.failure for m in members] == [Damaged, Damaged]


# -- names and times


def named(raw: bytes, *, flags: int = 0, maker: int = 0, extra: bytes = b"") -> bytes:
    """One stored member with a name as it is."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, flags, 0, 0, 0x21, 0, 0, 0, len(raw), 0) + raw
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", maker << 8, 20, flags, 0, 0, 0x21, 0, 0, 0, len(raw), len(extra), 0, 0, 0, 0, 0
    )
    entry += raw + extra
    return local + entry + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)


def unicode_path(raw: bytes, name: str) -> bytes:
    data = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + name.encode()
    return struct.pack("<2H", 0x7075, len(data)) + data


@pytest.mark.parametrize(
    "body, name",
    [
        (named("ü".encode(), flags=1 << 11), "ü".encode()),
        (named(b"\xff", flags=1 << 11), b"\xff"),  # judged as a name that is not UTF-8
        (named(b"\x81"), "ü".encode()),
        (named("ü".encode()), "├╝".encode()),
        (named("ü".encode(), maker=3), "ü".encode()),
        (named("ü".encode(), maker=19), "ü".encode()),
        (named(b"\x81", maker=3), "ü".encode()),
        (named(b"\x81", extra=unicode_path(b"\x81", "ä")), "ä".encode()),
        (named(b"\x81", extra=unicode_path(b"other", "ä")), "ü".encode()),
        (named(b"a\0b"), b"a\0b"),
        (named(b"/etc/passwd"), b"/etc/passwd"),
        (named(b"../a"), b"../a"),
    ],
)
def test_names(unpack: Unpack, body: bytes, name: bytes) -> None:
    members, end = unpack(body)
    assert end is None
    assert [m.name for m in members] == [name]
    assert members[0].failure is None


NTFS = struct.pack("<2HL2H3Q", 0x0A, 32, 0, 1, 24, 116_444_736_000_000_000 + 15_000_000, 0, 0)


@pytest.mark.parametrize(
    "extra, modified",
    [
        (b"", "315532800.000000000"),  # 1980-01-01
        (struct.pack("<2HBl", 0x5455, 5, 1, 99), "99.000000000"),
        (struct.pack("<2HBl", 0x5455, 5, 2, 99), "315532800.000000000"),  # not the time of modification
        (struct.pack("<2HBl", 0x5455, 5, 1, -99), None),
        (NTFS, "1.500000000"),
        (NTFS + struct.pack("<2HBl", 0x5455, 5, 1, 99), "1.500000000"),
        (b"\x55\x54\xff", "315532800.000000000"),  # cut off
    ],
)
def test_times(unpack: Unpack, extra: bytes, modified: str | None) -> None:
    members, _ = unpack(named(b"a", extra=extra))
    assert [m.modified for m in members] == [modified]


def test_a_date_that_is_none(unpack: Unpack) -> None:
    members, _ = unpack(patched(named(b"a"), 14, b"\0\0"))
    assert [m.modified for m in members] == [None]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(
    lambda name: not name.startswith("./") and name.strip("/") not in ("", ".")
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(NAMES, st.binary(max_size=3000), max_size=5),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
    # The standard library takes the last of these for the end of the archive, also within the comment.
    comment=st.binary(max_size=50).filter(lambda comment: b"PK\x05\x06" not in comment),
    chunk=st.integers(1, 5000),
)
def test_as_zipfile(unpack: Unpack, members: dict[str, bytes], method: int, comment: bytes, chunk: int) -> None:
    body = pack(*((info(name, method), data) for name, data in members.items()), comment=comment)
    found, end = unpack(body, chunk)
    assert end is None
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        expected = [
            (i.orig_filename.encode(), i.is_dir(), b"" if i.is_dir() else archive.read(i)) for i in archive.infolist()
        ]
    assert [(m.name, m.kind is Kind.DIRECTORY, m.data) for m in found] == expected
    assert {m.failure for m in found} <= {None}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0), value=st.integers(0, 255))
def test_damage_never_surprises(unpack: Unpack, at: int, value: int) -> None:
    """One byte changed: what comes out as whole is what was packed, under some name."""
    body = bytearray(pack((info("a"), TEXT), LAST))
    body[at % len(body)] = value
    members, end = unpack(bytes(body))
    assert end in (None, Malformed)
    for member in members:
        assert member.failure in (None, Damaged, UnsupportedType, RuleFailed)
        if member.failure is None and member.kind is Kind.FILE:
            assert member.data in (TEXT, b"good")
