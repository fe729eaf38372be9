"""PNG, JPEG, GIF, PDF and ZIP: real samples whole, in every split, byte by byte, cut short and with a tail."""

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import Damaged, Failure
from partwise.intake.validators.base import Candidate, Validator
from partwise.intake.validators.builtin import in_order


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(b"\0\xff"))
PNG = PNG_SIGNATURE + HEADER + chunk(b"tEXt", b"Comment\0IEND") + PIXELS + chunk(b"IEND", b"")
GIF = (
    b"GIF89a" + struct.pack("<2H3B", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    b"\x21\xf9\x04\0\0\0\0\0"  # graphic control extension
    b"\x21\xfe\x03;;;\0"  # a comment full of trailers
    b"\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0;"
)


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


JPEG = (
    b"\xff\xd8" + segment(0xE1, b"Exif\0\0\xff\xd8\xff\xdb\xff\xd9")  # a thumbnail with its own end
    + segment(0xDB, bytes(65)) + segment(0xC0, b"\x08\0\x01\0\x01\x01\x01\x11\0")
    + segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\xff\0\x34\xff\xd0\x56\xff"
    + segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x78\xff\xff\xd9"
)  # fmt: skip
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n"


def make_zip(comment: bytes = b"", compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("a.txt", "text " * 30)
        archive.writestr("b/c.txt", "more")
        archive.comment = comment
    return out.getvalue()


def zip64() -> bytes:
    plain = make_zip()
    at = plain.rindex(b"PK\x05\x06")
    _, _, _, here, entries, size, offset, _ = struct.unpack("<4s4H2LH", plain[at:])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, here, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    most = 0xFFFFFFFF
    return plain[:at] + record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, most, most, 0)


ZIP = make_zip()
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
GOOD = [
    ("image/png", PNG),
    ("image/x-png", PNG),
    ("image/gif", GIF),
    ("image/jpeg", JPEG),
    ("image/pjpeg", JPEG),
    ("application/pdf", PDF),
    ("application/pdf", b"junk before\n" + PDF),
    ("application/zip", ZIP),
    ("application/zip", make_zip(b"a comment")),
    ("application/zip", zip64()),
    ("application/zip", b"#!/bin/sh\nself-extracting\n" + ZIP),
    ("application/zip", struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)),
    ("application/epub+zip", ZIP),
    (DOCX, ZIP),
    (DOCX, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 encrypted"),
]
WRONG_CRC = PNG[:-1] + bytes((PNG[-1] ^ 1,))
BAD = [
    ("image/png", b"no image at all"),
    ("image/png", PNG_SIGNATURE + PIXELS + HEADER + chunk(b"IEND", b"")),
    ("image/png", PNG_SIGNATURE + HEADER + chunk(b"IEND", b"")),
    ("image/png", PNG_SIGNATURE + chunk(b"IHDR", b"short") + PIXELS + chunk(b"IEND", b"")),
    ("image/png", PNG_SIGNATURE + HEADER + b"\xff\xff\xff\xffIDAT"),
    ("image/png", PNG_SIGNATURE + HEADER + b"\0\0\0\0\0\0\0\0"),
    ("image/png", WRONG_CRC),
    ("image/gif", b"GIF88a" + GIF[6:]),
    ("image/gif", GIF[:19] + b"\x99" + GIF[20:]),
    ("image/jpeg", b"no image at all"),
    ("image/jpeg", b"\xff\xd8\xff\xd9"),
    ("image/jpeg", b"\xff\xd8\xff\xe0\0\x01" + JPEG[2:]),
    ("application/pdf", b"%PDF-1.4\n" + b"x" * 5000),
    ("application/pdf", b"no document " * 200 + b"%%EOF"),
    ("application/pdf", b"%%EOF"),
    ("application/zip", b"no archive"),
    ("application/zip", ZIP[20:]),
    ("application/zip", ZIP[:-12] + b"\xff\0\0\0" + ZIP[-8:]),
]
KINDS = sorted({kind for kind, _ in GOOD})


def validators(media_type: str) -> list[Validator]:
    # Without the signatures: these tests are about the formats, and a sample must be judged by one of them.
    made = [factory(Candidate("a", media_type)) for factory in in_order(None)[1:]]
    found = [validator for validator in made if validator is not None]
    assert len(found) == 1
    return found


def judge(media_type: str, *pieces: bytes) -> None:
    for validator in validators(media_type):
        for piece in pieces:
            validator.feed(piece)
        assert validator.finish() is None


def pieces(data: bytes) -> list[tuple[bytes, ...]]:
    return [
        (data,),
        *((data[:at], data[at:]) for at in range(len(data) + 1)),
        tuple(data[i : i + 1] for i in range(len(data))),
    ]


@pytest.mark.parametrize(("media_type", "data"), GOOD)
def test_good_contents_pass_in_every_split(media_type: str, data: bytes) -> None:
    for split in pieces(data):
        judge(media_type, *split)


@pytest.mark.parametrize(("media_type", "data"), BAD)
def test_bad_contents_are_refused_in_every_split(media_type: str, data: bytes) -> None:
    for split in pieces(data)[: len(data) if len(data) < 400 else 2] + pieces(data)[-1:]:
        with pytest.raises(Damaged):
            judge(media_type, *split)


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", PNG),
        ("image/gif", GIF),
        ("image/jpeg", JPEG),
        ("application/zip", ZIP),
        ("application/zip", zip64()),
    ],
)
def test_cut_short_anywhere(media_type: str, data: bytes) -> None:
    for at in range(1, len(data)):
        with pytest.raises(Damaged):
            judge(media_type, data[:at])
        with pytest.raises(Damaged):
            judge(media_type, *(data[i : i + 1] for i in range(at)))


@pytest.mark.parametrize(
    ("media_type", "data"),
    [("image/png", PNG), ("image/gif", GIF), ("image/jpeg", JPEG), ("application/pdf", PDF), ("application/zip", ZIP)],
)
def test_a_tail_is_allowed(media_type: str, data: bytes) -> None:
    judge(media_type, data + b"tail")
    judge(media_type, data, b"\xff" * 100)


@pytest.mark.parametrize("media_type", KINDS)
def test_an_empty_body_passes(media_type: str) -> None:
    judge(media_type)
    judge(media_type, b"", b"")


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "text/plain", "image/webp"])
def test_other_types_are_no_concern(media_type: str | None) -> None:
    assert all(factory(Candidate("a", media_type)) is None for factory in in_order(None)[1:])


def test_a_broken_chunk_is_refused_before_the_rest_arrives() -> None:
    (validator,) = validators("image/png")
    validator.feed(PNG_SIGNATURE)
    with pytest.raises(Damaged):
        validator.feed(HEADER[:-1] + bytes((HEADER[-1] ^ 1,)))


def test_a_large_archive_keeps_only_its_tail() -> None:
    (validator,) = validators("application/zip")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("big", bytes(3_000_000))
        archive.comment = b"c" * 0xFFFF
    data = out.getvalue()
    for at in range(0, len(data), 65536):
        validator.feed(data[at : at + 65536])
    assert validator.finish() is None


@given(st.sampled_from(GOOD), st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 60))
def test_arbitrary_bytes_raise_only_failures(good: tuple[str, bytes], noise: list[bytes], at: int) -> None:
    media_type, data = good
    for body in (noise, [data[:at], *noise], [data[:at], *noise, data[at:]]):
        try:
            judge(media_type, *body)
        except Failure as failure:
            assert failure.text
