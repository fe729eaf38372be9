"""Which container an upload is, what its parts mean, and what a coding around an archive may do."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import zlib
from pathlib import Path

import pytest
from tests.archives import Member, decode, pieces

from partwise.actions.methods import CONTAINERS
from partwise.batch import codings
from partwise.batch.codings import PIECE, CodedDecoder
from partwise.batch.containers import (
    ArchiveContainer,
    CollectionPart,
    Container,
    Decoder,
    FormContainer,
    ItemPart,
    MixedContainer,
    OperationPart,
)
from partwise.batch.opening import open_container
from partwise.batch.zip_reader import ZipDecoder
from partwise.errors import Failure, ForbiddenName, Malformed, MalformedName, RuleFailed, TooLarge, UnsupportedType
from partwise.protocol.media_types import parse_media_type
from partwise.protocol.members import Kind, member_headers
from partwise.protocol.multipart import NEED_DATA, MultipartDecoder, PartData
from partwise.protocol.paths import Mount
from partwise.protocol.tar import TarDecoder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOUNT = Mount()
HERE = ("photos",)


def opened(kind: str | None, coding: str | None = None, folder: str = "", **options: int) -> tuple[Container, Decoder]:
    media_type = None if kind is None else parse_media_type(kind)
    return open_container(media_type, coding, MOUNT, HERE, "localhost", folder, **options)


def tar(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number, data in enumerate(contents):
            info = tarfile.TarInfo(str(number))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def members(*contents: bytes) -> list[Member]:
    return [Member(b"%d" % n, Kind.FILE, len(data), "0", data) for n, data in enumerate(contents)]


ONE, ONES = tar(b"abc" * 500, b"", b"x"), members(b"abc" * 500, b"", b"x")


@pytest.mark.parametrize(
    "kind, container, decoder",
    [
        ("multipart/form-data; boundary=b", FormContainer, MultipartDecoder),
        ("multipart/mixed; boundary=b", MixedContainer, MultipartDecoder),
        ("Multipart/Related; boundary=b", MixedContainer, MultipartDecoder),
        ("application/x-tar", ArchiveContainer, TarDecoder),
        ("application/tar", ArchiveContainer, TarDecoder),
        ("application/gzip", ArchiveContainer, CodedDecoder),
        ("application/zstd", ArchiveContainer, CodedDecoder),
        ("application/zip", ArchiveContainer, ZipDecoder),
        ("application/x-zip-compressed", ArchiveContainer, ZipDecoder),
    ],
)
def test_types(kind: str, container: type, decoder: type, tmp_path: Path) -> None:
    found = opened(kind, "identity", str(tmp_path))
    assert [type(one) for one in found] == [container, decoder]
    found[1].close()


@pytest.mark.parametrize(
    "kind, coding, failure",
    [
        (None, None, UnsupportedType),
        ("application/json", None, UnsupportedType),
        ("multipart/digest; boundary=b", None, UnsupportedType),
        ("multipart/mixed", None, Malformed),
        ("multipart/mixed; boundary=\u00fc", None, Malformed),
        ("multipart/mixed; boundary=b", "gzip", UnsupportedType),
        ("application/zip", "gzip", UnsupportedType),
        ("application/x-tar", "br", UnsupportedType),
        ("application/x-tar", "gzip, zstd", UnsupportedType),
        ("application/gzip", "zstd", UnsupportedType),
    ],
)
def test_refused(kind: str | None, coding: str | None, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        opened(kind, coding)


def test_every_container_that_is_announced_is_taken(tmp_path: Path) -> None:
    for kind in CONTAINERS:
        _, decoder = opened(f"{kind}; boundary=b", folder=str(tmp_path))
        decoder.close()
    with pytest.raises(UnsupportedType) as refused:
        opened("text/plain")
    assert refused.value.accepted == CONTAINERS


@pytest.mark.parametrize(
    "kind, coding, body",
    [
        ("application/x-tar", None, ONE),
        ("application/x-tar", "gzip", gzip.compress(ONE)),
        ("application/x-tar", "GZip", gzip.compress(ONE)),
        ("application/x-tar", "x-gzip", gzip.compress(ONE)),
        ("application/gzip", None, gzip.compress(ONE)),
        ("application/gzip", "gzip", gzip.compress(ONE)),
        ("application/x-tar", "gzip", gzip.compress(ONE[:700]) + gzip.compress(b"") + gzip.compress(ONE[700:])),
        ("application/x-tar", "gzip", gzip.compress(ONE) + bytes(512)),
        ("application/x-tar", "zstd", zstd.compress(ONE)),
        ("application/zstd", None, zstd.compress(ONE)),
        ("application/x-tar", "zstd", zstd.compress(ONE[:700]) + zstd.compress(b"") + zstd.compress(ONE[700:])),
        # RFC 8878 §3.1.2: a skippable frame.
        ("application/x-tar", "zstd", b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(ONE)),
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_tar_in_all_codings(kind: str, coding: str | None, body: bytes, size: int) -> None:
    assert decode(opened(kind, coding)[1], pieces(body, size)) == (ONES, None)


@pytest.mark.parametrize("coding, compress", [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_broken_streams(coding: str, compress: object) -> None:
    whole = compress(tar(bytes(range(256)) * 20))  # type: ignore[operator]
    for body in (b"", b"no such stream", whole[:-5], whole[:20], whole + b"rubbish", ONE):
        found, end = decode(opened("application/x-tar", coding)[1], pieces(body, 100))
        assert end is Malformed, body
        assert len(found) <= 1
    damaged = whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]
    if coding == "gzip":  # its checksum stands at the end; those of zstd are for the sender to choose
        assert decode(opened("application/x-tar", coding)[1], [damaged])[1] is Malformed


def test_a_large_window_is_refused() -> None:
    """RFC 9659 §3: 8 MiB and no more."""

    def packed(log: int) -> bytes:
        options = {zstd.CompressionParameter.window_log: log, zstd.CompressionParameter.content_size_flag: 0}
        stream = zstd.ZstdCompressor(options=options)
        return stream.compress(ONE) + stream.flush()

    assert decode(opened("application/zstd")[1], [packed(23)]) == (ONES, None)
    assert decode(opened("application/zstd")[1], [packed(24)]) == ([], Malformed)


@pytest.mark.parametrize("coding, compress", [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_what_is_made_of_a_chunk_comes_in_pieces(coding: str, compress: object) -> None:
    body = compress(tar(bytes(3_000_000)))  # type: ignore[operator]
    decoder = opened("application/x-tar", coding)[1]
    decoder.receive(body)
    sizes = []
    while (event := decoder.next_event()) is not NEED_DATA:
        if isinstance(event, PartData):
            sizes.append(len(event.data))
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= PIECE


def test_limit_of_what_it_becomes() -> None:
    body = gzip.compress(tar(bytes(100_000)))
    assert decode(opened("application/gzip", limit=100_000)[1], [body]) == ([], TooLarge)
    assert decode(opened("application/gzip", limit=200_000)[1], [body])[1] is None


def test_out_of_all_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codings, "_FREE", 1_000_000)
    for size, end in ((900_000, None), (9_000_000, TooLarge)):
        assert decode(opened("application/zstd")[1], [zstd.compress(tar(bytes(size)))])[1] is end


def test_many_tiny_streams_cost_no_more_than_their_bytes() -> None:
    """Every one of them once copied all that was received after it."""
    body = gzip.compress(b"") * 20_000 + gzip.compress(ONE)
    assert decode(opened("application/gzip")[1], [body]) == (ONES, None)


def test_deflate_leaves_nothing_inside() -> None:
    """A piece that is just full may leave a rest although all input is used up."""
    for length in range(PIECE - 3, PIECE + 4):
        stream = codings.Inflation(-zlib.MAX_WBITS)
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(bytes(length)) + packer.flush()
        made = stream.decompress(data, PIECE)
        while not stream.needs_input and not stream.eof:
            made += stream.decompress(b"", PIECE)
        assert (len(made), stream.eof) == (length, True)


# -- parts of archives

ARCHIVE = ArchiveContainer(MOUNT, HERE)


def part(name: bytes, kind: Kind = Kind.FILE, size: int = 3, modified: str | None = "7.5") -> object:
    return ARCHIVE.part(member_headers(name, kind, size, modified))


def test_a_file_is_an_item_with_a_promise() -> None:
    assert part(b"a/b") == ItemPart(
        "a/b", {"content-length": "3", "x-oc-mtime": "7.5"}, path=("photos", "a", "b"), promised=True
    )


def test_a_directory_is_a_collection() -> None:
    assert part(b"a/b/", Kind.DIRECTORY) == CollectionPart("a/b", ("photos", "a", "b"))


@pytest.mark.parametrize(
    "name, failure",
    [
        (b"/etc/passwd", ForbiddenName),
        (b"../a", ForbiddenName),
        (b"a/../../b", ForbiddenName),
        (b"a/./b", ForbiddenName),
        (b"C:/a", None),
        (b"a\\b", ForbiddenName),
        (b"a//b", MalformedName),
        (b"", MalformedName),
        (b"a\nb", MalformedName),
        (b"\xff", MalformedName),
        (b"%2e%2e/a", None),
        (b"/", ForbiddenName),
    ],
)
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIRECTORY])
def test_names(name: bytes, failure: type[Failure] | None, kind: Kind) -> None:
    found = part(name, kind)
    assert isinstance(found, CollectionPart if kind is Kind.DIRECTORY else ItemPart)
    assert (type(found.failure) if found.failure else None) is failure
    assert (found.path is None) is (failure is not None)


def test_a_name_is_told_even_if_it_cannot_be_read() -> None:
    found = part(b"a\xff")
    assert isinstance(found, ItemPart)
    assert found.name == "a\ufffd"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.FILE, Kind.DIRECTORY)])
def test_other_kinds_are_refused_by_name(kind: Kind) -> None:
    found = part(b"a", kind)
    assert isinstance(found, ItemPart)
    assert found.path == ("photos", "a")
    assert isinstance(found.failure, RuleFailed)
    assert kind.value.split()[0] in found.failure.text


def test_a_bad_name_comes_before_a_bad_kind() -> None:
    found = part(b"../a", Kind.SYMBOLIC_LINK)
    assert isinstance(found, ItemPart)
    assert isinstance(found.failure, ForbiddenName)


def test_names_that_macos_leaves() -> None:
    refusing = ArchiveContainer(Mount(apple=False), HERE)
    found = refusing.part(member_headers(b"a/._b", Kind.FILE, 3, None))
    assert isinstance(found, ItemPart)
    assert isinstance(found.failure, ForbiddenName)


# -- operations

MIXED = MixedContainer(MOUNT, HERE, "localhost")


def test_an_operation_is_told_from_an_item() -> None:
    operation = MIXED.part((("content-type", b"Application/HTTP; msgtype=request"), ("content-id", b"<1>")))
    assert isinstance(operation, OperationPart)
    assert (operation.content_id, operation.failure) == ("<1>", None)
    for other in (b"application/http2", b"application/httpx; a=b", b"text/plain", b"application/http; ="):
        assert isinstance(MIXED.part((("content-type", other), ("content-location", b"a"))), ItemPart)


def test_a_coded_operation_is_refused() -> None:
    headers = (("content-type", b"application/http"), ("content-transfer-encoding", b"base64"))
    operation = MIXED.part(headers)
    assert isinstance(operation, OperationPart)
    assert isinstance(operation.failure, UnsupportedType)
    assert MIXED.part((headers[0], ("content-transfer-encoding", b"binary"))) == OperationPart("", None)
