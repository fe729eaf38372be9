"""The decoder of tar archives: tarfile as the oracle, the tar program's own archives, and case by case."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archives import Member, decode, pieces

from partwise.errors import Failure, Malformed
from partwise.protocol.members import Kind
from partwise.protocol.multipart import NEED_DATA
from partwise.protocol.tar import TarDecoder, TarLimits

KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMBOLIC_LINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.CHRTYPE: Kind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: Kind.BLOCK_DEVICE,
    tarfile.FIFOTYPE: Kind.FIFO,
}


def info(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mtime: float = 7
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mtime = len(data), kind, mtime
    return member, data


def pack(*members: tuple[tarfile.TarInfo, bytes], tar_format: int = tarfile.PAX_FORMAT, **options: object) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tar_format, **options) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def header(name: bytes, flag: bytes = b"0", size: int | bytes = 0, mtime: bytes = b"7", magic: bytes = b"") -> bytes:
    """A block written by hand, for what tarfile does not write."""
    field = b"%011o\0" % size if isinstance(size, int) else size
    block = bytearray(name.ljust(124, b"\0") + field.ljust(12, b"\0") + mtime.ljust(12, b"\0") + b" " * 8 + flag)
    block = bytearray(block.ljust(257, b"\0") + magic).ljust(512, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def blocks(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


END = bytes(1024)
FILE = header(b"f", size=3) + blocks(b"abc")
ONE = Member(b"f", Kind.FILE, 3, "7", b"abc")


def pax(**records: str) -> bytes:
    lines = b""
    for key, value in records.items():
        record = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(record) + 1
        while len(str(length)) + len(record) != length:
            length += 1
        lines += str(length).encode() + record
    return lines


def extension(data: bytes, flag: bytes = b"x") -> bytes:
    return header(b"extension", flag, len(data)) + blocks(data)


def plain(name: bytes = b"f", modified: str | None = "7", kind: Kind = Kind.FILE) -> list[Member]:
    return [Member(name, kind, 3, modified, b"abc")]


# name: (archive, its members, how it ends)
CASES: dict[str, tuple[bytes, list[Member], type[Failure] | None]] = {
    "empty archive": (END, [], None),
    "nothing": (b"", [], Malformed),
    "one file": (FILE + END, [ONE], None),
    "filled up to a record": (FILE + END + bytes(10240), [ONE], None),
    "no zeros at the end": (FILE, [ONE], None),
    "one block of zeros": (FILE + bytes(512), [ONE], None),
    "half a block of zeros": (FILE + bytes(512 + 100), [ONE], None),
    "a file of whole blocks": (
        header(b"f", size=512) + b"x" * 512,
        [Member(b"f", Kind.FILE, 512, "7", b"x" * 512)],
        None,
    ),
    # damage
    "something after a block of zeros": (FILE + bytes(512) + FILE, [ONE], Malformed),
    "another archive after the end": (FILE + END + FILE + END, [ONE], Malformed),
    "cut off in a header": (FILE + FILE[:100], [ONE], Malformed),
    "cut off in the data": (FILE[:514], [], Malformed),
    "cut off in the padding": (FILE[:1000], [ONE], Malformed),
    "cut off in an extended header": (extension(pax(path="a"))[:515], [], Malformed),
    "an extended header of nothing": (extension(pax(path="a")), [], Malformed),
    "an extended header before the end": (extension(pax(path="a")) + END, [], Malformed),
    "wrong checksum": (FILE[:3] + b"x" + FILE[4:] + END, [], Malformed),
    "text": (b"hello " * 200, [], Malformed),
    "negative size": (header(b"f", size=b"\xff" * 12) + END, [], Malformed),
    "size of letters": (header(b"f", size=b"hello") + END, [], Malformed),
    "size beyond everything": (header(b"f", size=b"\x80" + b"\xff" * 11) + END, [], Malformed),
    "pax: size of letters": (extension(pax(size="3x")) + FILE + END, [], Malformed),
    "pax: negative size": (extension(pax(size="-3")) + FILE + END, [], Malformed),
    "pax: record without length": (extension(b"path=a\n") + FILE + END, [], Malformed),
    "pax: record too long": (extension(b"99 path=a\n") + FILE + END, [], Malformed),
    "pax: record of no length": (extension(b"0 path=a\n") + FILE + END, [], Malformed),
    "pax: record without equals sign": (extension(b"9 path a\n") + FILE + END, [], Malformed),
    "pax: record without line end": (extension(b"10 path=ab") + FILE + END, [], Malformed),
    "extended header over its limit": (extension(pax(comment="x" * 2000)) + FILE + END, [], Malformed),
    "long name over its limit": (extension(b"x" * 2001, b"L") + FILE + END, [], Malformed),
    # numbers
    "size in base 256": (header(b"f", size=b"\x80" + bytes(10) + b"\3") + blocks(b"abc") + END, [ONE], None),
    "size with spaces": (header(b"f", size=b"         3 \0") + blocks(b"abc") + END, [ONE], None),
    "signed checksum": (
        (block := header("ü".encode(), size=3))[:148]
        + b"%06o\0 " % (int(block[148:154], 8) - 512)
        + block[156:]
        + blocks(b"abc")
        + END,
        plain("ü".encode()),
        None,
    ),
    "mtime before 1970": (header(b"f", size=3, mtime=b"\xff" * 12) + blocks(b"abc") + END, plain(modified=None), None),
    "mtime of letters": (header(b"f", size=3, mtime=b"hello") + blocks(b"abc") + END, plain(modified=None), None),
    "mtime far away": (
        header(b"f", size=3, mtime=b"\x80" + b"\1" * 11) + blocks(b"abc") + END,
        plain(modified=None),
        None,
    ),
    "pax: fraction": (extension(pax(mtime="5.25")) + FILE + END, plain(modified="5.25"), None),
    "pax: long fraction": (extension(pax(mtime="5.1234567891234")) + FILE + END, plain(modified="5.123456789"), None),
    "pax: negative mtime": (extension(pax(mtime="-5.25")) + FILE + END, plain(modified=None), None),
    "pax: size over the header's": (
        extension(pax(size="3")) + header(b"f", size=0) + blocks(b"abc") + END,
        [ONE],
        None,
    ),
    # names
    "the folder itself": (header(b"./", b"5") + header(b".", b"5") + FILE + END, [ONE], None),
    "leading dot": (header(b"./f", size=3) + blocks(b"abc") + END, plain(), None),
    "leading slash": (header(b"/f", size=3) + blocks(b"abc") + END, plain(b"/f"), None),
    "undecodable": (header(b"\xff", size=3) + blocks(b"abc") + END, plain(b"\xff"), None),
    "prefix": (
        pack(info("d" * 90 + "/" + "f" * 90, b"abc"), tar_format=tarfile.USTAR_FORMAT),
        plain(b"d" * 90 + b"/" + b"f" * 90),
        None,
    ),
    "GNU tar has times where the prefix was": (
        header(b"f", size=3, magic=b"ustar  \0".ljust(88, b"\0") + b"1234567") + blocks(b"abc") + END,
        plain(),
        None,
    ),
    "GNU long name": (extension(b"long\0", b"L") + FILE + END, plain(b"long"), None),
    "GNU long link": (extension(b"x" * 300 + b"\0", b"K") + FILE + END, plain(), None),
    "long name beside pax": (extension(b"long\0", b"L") + extension(pax(path="pax")) + FILE + END, plain(b"pax"), None),
    "pax: path": (extension(pax(path="ü/a b=c\nd")) + FILE + END, plain("ü/a b=c\nd".encode()), None),
    "pax: for one member only": (extension(pax(path="a")) + FILE + FILE + END, [*plain(b"a"), ONE], None),
    "pax: taken back": (extension(pax(path="a")) + extension(pax(path="")) + FILE + END, plain(), None),
    "pax: nothing": (extension(b"") + FILE + END, plain(), None),
    "pax: global": (extension(pax(mtime="9"), b"g") + FILE + FILE + END, plain(modified="9") * 2, None),
    "pax: member over global": (
        extension(pax(mtime="9", comment="x"), b"g") + extension(pax(mtime="8")) + FILE + FILE + END,
        [*plain(modified="8"), *plain(modified="9")],
        None,
    ),
    "Solaris": (extension(pax(path="a"), b"X") + FILE + END, plain(b"a"), None),
    # kinds
    "seventh edition": (header(b"f", b"\0", 3) + blocks(b"abc") + END, plain(), None),
    "directory of the seventh edition": (
        header(b"d/", b"\0") + END,
        [Member(b"d/", Kind.DIRECTORY, 0, "7", b"")],
        None,
    ),
    "file with a slash": (header(b"f/", b"0", 3) + blocks(b"abc") + END, plain(b"f/"), None),
    "directory with a size": (
        header(b"d/", b"5", 999) + FILE + END,
        [Member(b"d/", Kind.DIRECTORY, 0, "7", b""), ONE],
        None,
    ),
    "hard link with a size": (
        header(b"h", b"1", 999) + FILE + END,
        [Member(b"h", Kind.HARD_LINK, 0, "7", b""), ONE],
        None,
    ),
    "name of a tape": (header(b"tape", b"V") + FILE + END, [ONE], None),
    "part of a file on another tape": (header(b"f", b"M", 3) + blocks(b"abc") + END, plain(kind=Kind.OTHER), None),
    "GNU sparse": (header(b"f", b"S", 3) + blocks(b"abc") + FILE + END, [*plain(kind=Kind.SPARSE), ONE], None),
    "pax sparse": (
        extension(pax(path="GNUSparseFile.1/f", GNU__sparse__name="f", GNU__sparse__realsize="999")) + FILE + END,
        plain(kind=Kind.SPARSE),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    body, members, end = CASES[name]
    for size in (len(body) or 1, 1, 7, 512, 513):
        assert decode(TarDecoder(TarLimits(extension=2000)), pieces(body, size)) == (members, end)


def test_gnu_sparse_with_a_map_of_several_blocks() -> None:
    first = bytearray(header(b"f", b"S", 3))
    first[482] = 1
    first[148:156] = b"%06o\0 " % (int(first[148:154], 8) + 1)
    more, last = bytearray(512), bytes(512)
    more[504] = 1
    body = bytes(first) + bytes(more) + last + blocks(b"abc") + FILE + END
    for size in (len(body), 1):
        assert decode(TarDecoder(), pieces(body, size)) == ([*plain(kind=Kind.SPARSE), ONE], None)


def test_a_failure_is_raised_again() -> None:
    decoder = TarDecoder()
    decoder.receive(b"x" * 512)
    with pytest.raises(Malformed) as first:
        decoder.next_event()
    decoder.receive(FILE)
    with pytest.raises(Malformed) as again:
        decoder.next_event()
    assert again.value is first.value


@pytest.mark.parametrize("start, word", [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "use gzip")])
@pytest.mark.parametrize("size", [100, 600])
def test_a_compressed_archive_is_told_so(start: bytes, word: str, size: int) -> None:
    decoder = TarDecoder()
    decoder.receive(start.ljust(size, b"x"))
    decoder.receive(b"")
    with pytest.raises(Malformed, match=word):
        decoder.next_event()


def test_too_much_after_the_end() -> None:
    body = FILE + END + bytes(2000)
    assert decode(TarDecoder(TarLimits(trailing=1000)), [body]) == ([ONE], Malformed)
    assert decode(TarDecoder(TarLimits(trailing=2000)), [body]) == ([ONE], None)


def test_headers_without_a_member_need_no_stack() -> None:
    body = extension(pax(comment="x")) * 3000 + FILE + END
    assert decode(TarDecoder(), [body]) == ([ONE], None)


def test_what_waits_is_bounded() -> None:
    """Data leave as they come, and of the rest less than a block stays."""
    decoder = TarDecoder()
    decoder.receive(header(b"f", size=1 << 32))
    assert decoder.next_event() is not NEED_DATA
    for _ in range(3):
        decoder.receive(bytes(100_000))
        event = decoder.next_event()
        assert len(event.data) == 100_000
        assert decoder.next_event() is NEED_DATA


def oracle(body: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(body), encoding="utf-8") as archive:
        return [
            Member(
                # tarfile strips the slash of directories, and reads what begins with a dot as it stands.
                member.name.encode("utf-8", "surrogateescape"),
                KINDS[member.type],
                member.size if member.isreg() else 0,
                str(int(member.mtime)),
                archive.extractfile(member).read() if member.isreg() else b"",
            )
            for member in archive
        ]


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=40).filter(lambda s: s != "."),
    min_size=1,
    max_size=8,
).map("/".join)
MEMBERS = st.builds(
    info,
    name=NAMES,
    data=st.binary(max_size=1500),
    kind=st.sampled_from(list(KINDS)),
    mtime=st.integers(0, 2**33) | st.floats(0, 2**37).map(lambda seconds: round(seconds, 3)),
)


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(MEMBERS, min_size=1, max_size=4),
    tar_format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    chunk=st.integers(1, 4000),
    records=st.dictionaries(st.sampled_from(["comment", "gname"]), st.text(max_size=20)),
)
def test_as_tarfile(
    members: list[tuple[tarfile.TarInfo, bytes]], tar_format: int, chunk: int, records: dict[str, str]
) -> None:
    for member, data in members:
        member.linkname = "target" * 30 if tar_format != tarfile.USTAR_FORMAT else "target"
        member.size = len(data) if member.isreg() else 0
    try:
        body = pack(*members, tar_format=tar_format, encoding="utf-8", pax_headers=records)
    except ValueError:
        return  # the name does not fit this format
    found, end = decode(TarDecoder(), pieces(body, chunk))
    assert end is None
    shown = [
        member._replace(
            name=member.name.rstrip(b"/") if member.kind is Kind.DIRECTORY else member.name,
            modified=member.modified.partition(".")[0] if member.modified else None,
        )
        for member in found
    ]
    assert shown == oracle(body)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_never_surprises(data: st.DataObject) -> None:
    """One byte changed: it is read like any archive, or it is Malformed; nothing else is raised."""
    body = bytearray(extension(pax(path="a", mtime="1.5")) + FILE + extension(b"long\0", b"L") + FILE + END)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    _, end = decode(TarDecoder(), pieces(bytes(body), data.draw(st.integers(1, 2000))))
    assert end in (None, Malformed)


def fill(folder: Path) -> None:
    (folder / "sub" / ("d" * 90)).mkdir(parents=True)
    (folder / "sub" / ("d" * 90) / ("f" * 90)).write_bytes(b"deep")
    (folder / "a ü.txt").write_bytes(b"x" * 700)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("a ü.txt")
    (folder / "other").hardlink_to(folder / "empty")
    os.mkfifo(folder / "pipe")
    with (folder / "sparse").open("wb") as sparse:
        for at in range(50):
            sparse.seek(at * 100_000)
            sparse.write(b"island")
        sparse.truncate(6_000_000)
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (5, 5), follow_symlinks=False)


def whole(members: list[Member]) -> dict[bytes, tuple[Kind, bytes]]:
    return {m.name.rstrip(b"/"): (m.kind, m.data if m.kind is Kind.FILE else b"") for m in members}


@pytest.mark.needs("tar")
@pytest.mark.parametrize("tar_format", ["oldgnu", "gnu", "posix", "ustar"])
def test_the_tar_program(tmp_path: Path, tar_format: str) -> None:
    fill(tmp_path)
    options: list[str] = ["--sparse"] if tar_format != "ustar" else []
    command = ["tar", "c", "-C", str(tmp_path), "--format", tar_format, "--sort=name", *options, "."]
    body = subprocess.run(command, check=True, capture_output=True).stdout
    members, end = decode(TarDecoder(), pieces(body, 65536))
    assert end is None
    sparse = (Kind.SPARSE, b"") if options else (Kind.FILE, (tmp_path / "sparse").read_bytes())
    assert whole(members) == {
        "a ü.txt".encode(): (Kind.FILE, b"x" * 700),
        b"empty": (Kind.FILE, b""),
        b"link": (Kind.SYMBOLIC_LINK, b""),
        b"other": (Kind.HARD_LINK, b""),
        b"pipe": (Kind.FIFO, b""),
        b"sparse": sparse,
        b"sub": (Kind.DIRECTORY, b""),
        b"sub/" + b"d" * 90: (Kind.DIRECTORY, b""),
        b"sub/" + b"d" * 90 + b"/" + b"f" * 90: (Kind.FILE, b"deep"),
    }
    assert {float(m.modified or 0) for m in members} == {5}
