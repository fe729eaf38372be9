import io
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import UnsupportedType
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.signatures import PREFIX, SignatureValidator, signature


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("a.txt", "text")
    return out.getvalue()


def pe() -> bytes:
    return b"MZ" + bytes(0x3A) + (0x80).to_bytes(4, "little") + bytes(0x40) + b"PE\0\0" + bytes(20)


SAMPLES = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "image/gif": b"GIF89a\1\0\1\0\0\0\0",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": archive(),
    "application/gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "application/x-bzip2": b"BZh91AY&SY",
    "application/x-xz": b"\xfd7zXZ\0\0\4",
    "application/zstd": b"\x28\xb5\x2f\xfd\x24\0",
    "application/x-7z-compressed": b"7z\xbc\xaf\x27\x1c\0\4",
    "application/vnd.rar": b"Rar!\x1a\x07\x01\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "video/x-msvideo": b"RIFF\x24\0\0\0AVI LIST",
    "image/tiff": b"II*\0\x08\0\0\0",
    "video/mp4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "video/x-matroska": b"\x1a\x45\xdf\xa3\xa3",
    "audio/ogg": b"OggS\0\2",
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/mpeg": b"ID3\x03\0\0\0\0\0\x21",
    "application/x-elf": b"\x7fELF\2\1\1\0",
    "application/vnd.microsoft.portable-executable": pe(),
    "application/wasm": b"\0asm\1\0\0\0",
    "application/vnd.sqlite3": b"SQLite format 3\0",
    "font/woff": b"wOFF\0\1\0\0",
    "font/woff2": b"wOF2\0\1\0\0",
    "application/x-ole-storage": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "application/java-vm": b"\xca\xfe\xba\xbe\0\0\0\x34",
    "image/bmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "application/x-tar": tar(),
}
TEXTUAL = ["text/plain", "text/html", "application/json", "application/ld+json", "application/xml", "image/svg+xml"]
LOOK_ALIKES = [
    b"BM is how this text begins, and it goes on for a while",
    b"MZ was a man, " * 10,
    b"ID3 tags are explained here",
    b"RIFF raff AVI not WAVE",
    b"PK is not a zip",
    b"GIF is a format",
    b"%PDF is another",
    b"\xff\xfet\0e\0x\0t\0",
    b"ustar" * 100,
]


def judge(media_type: str | None, *pieces: bytes) -> None:
    validator = SignatureValidator()(Candidate("a", media_type))
    if validator is None:
        return
    for piece in pieces:
        validator.feed(piece)
    assert validator.finish() is None


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_signature_is_known_by_its_canonical_type(kind: str) -> None:
    assert signature(SAMPLES[kind] + bytes(100)) == kind


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("declared", TEXTUAL)
def test_binary_contents_are_no_text(kind: str, declared: str) -> None:
    with pytest.raises(UnsupportedType) as refused:
        judge(declared, SAMPLES[kind])
    assert refused.value.accepted == (declared,)
    assert kind in refused.value.text
    assert declared in refused.value.text


@pytest.mark.parametrize("kind", SAMPLES)
def test_another_type_is_refused_in_every_split(kind: str) -> None:
    declared = "image/png" if kind != "image/png" else "image/jpeg"
    sample = SAMPLES[kind]
    step = max(1, len(sample) // 50)
    for at in range(0, len(sample), step):
        with pytest.raises(UnsupportedType):
            judge(declared, sample[:at], sample[at:])
    with pytest.raises(UnsupportedType):
        judge(declared, *(sample[i : i + 1] for i in range(len(sample))))


def test_refused_before_the_body_ends() -> None:
    validator = SignatureValidator()(Candidate("a", "image/png"))
    assert validator is not None
    validator.feed(b"\xff\xd8\xff")
    with pytest.raises(UnsupportedType):
        validator.feed(b"\xe0")


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("declared", [None, "application/octet-stream", "application/vnd.acme", "model/step", "x/y"])
def test_unknown_types_are_never_judged(kind: str, declared: str | None) -> None:
    assert SignatureValidator()(Candidate("a", declared)) is None
    judge(declared, SAMPLES[kind])


@pytest.mark.parametrize(
    ("declared", "kind"),
    [(kind, kind) for kind in SAMPLES]
    + [
        ("image/jpg", "image/jpeg"),
        ("image/pjpeg", "image/jpeg"),
        ("image/x-png", "image/png"),
        ("application/x-zip-compressed", "application/zip"),
        ("application/x-gzip", "application/gzip"),
        ("application/x-tar", "application/gzip"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/flac", "audio/mpeg"),
        ("video/quicktime", "video/mp4"),
        ("image/heic", "video/mp4"),
        ("image/x-canon-cr2", "image/tiff"),
        ("video/webm", "video/x-matroska"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/x-ole-storage"),
        ("application/vnd.ms-excel.sheet.macroenabled.12", "application/zip"),
        ("application/vnd.oasis.opendocument.text", "application/zip"),
        ("application/epub+zip", "application/zip"),
        ("application/java-archive", "application/zip"),
        ("application/vnd.android.package-archive", "application/zip"),
        ("application/msword", "application/x-ole-storage"),
        ("application/vnd.ms-excel", "application/zip"),
    ],
)
def test_what_fits_passes(declared: str, kind: str) -> None:
    judge(declared, SAMPLES[kind])
    assert SignatureValidator()(Candidate("a", declared)) is not None


@pytest.mark.parametrize("text", LOOK_ALIKES)
@pytest.mark.parametrize("declared", ["text/plain", "image/png"])
def test_a_text_that_looks_like_something_passes(text: bytes, declared: str) -> None:
    judge(declared, text)


@pytest.mark.parametrize("declared", ["image/png", "text/plain"])
def test_an_empty_body_passes(declared: str) -> None:
    judge(declared)
    judge(declared, b"")


def test_a_signature_deep_inside_does_not_count() -> None:
    judge("text/plain", b"x" * PREFIX + SAMPLES["image/png"])
    judge("text/plain", b"x", SAMPLES["image/png"])


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    assert signature(data) is None or signature(data) in SAMPLES
