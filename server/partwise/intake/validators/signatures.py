"""Magic numbers: contents that carry the signature of another known type than declared are refused (415).

Only signatures that are long or strict enough not to occur by chance are in the table, so that a text that happens to
begin with ``BM``, ``MZ`` or ``ID3`` is still a text. Declared types that stand nowhere here are never judged.
Sources: the specification of each format, and the WHATWG MIME Sniffing standard for images, audio and fonts.
"""

from __future__ import annotations

import re
from functools import lru_cache

from partwise.errors import UnsupportedType
from partwise.intake.validators.base import Candidate, Validator

#: How much of the beginning is looked at: tar has its mark at 257, a PE header usually stands below 512.
PREFIX = 1024

_ISO_MEDIA = "video/mp4"
_ZIP = "application/zip"
_OLE2 = "application/x-ole-storage"
_TAR = "application/x-tar"
_GZIP, _BZIP2, _XZ, _ZSTD = "application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd"
_ID3 = "audio/mpeg"
_PE = "application/vnd.microsoft.portable-executable"
_ELF = "application/x-elf"

# (canonical media type, pattern from byte 0)
_MAGIC: tuple[tuple[str, bytes], ...] = (
    ("image/png", rb"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", rb"\xff\xd8\xff[\xc0-\xfe]"),
    ("image/gif", rb"GIF8[79]a"),
    ("application/pdf", rb"%PDF-[12]\.\d"),
    (_ZIP, rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"),
    (_GZIP, rb"\x1f\x8b\x08"),
    (_BZIP2, rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"),
    (_XZ, rb"\xfd7zXZ\x00"),
    (_ZSTD, rb"\x28\xb5\x2f\xfd"),
    ("application/x-7z-compressed", rb"7z\xbc\xaf\x27\x1c"),
    ("application/vnd.rar", rb"Rar!\x1a\x07[\x00\x01]"),
    ("image/webp", rb"RIFF....WEBPVP8[ LX]"),
    ("audio/wav", rb"RIFF....WAVE"),
    ("video/x-msvideo", rb"RIFF....AVI "),
    ("image/tiff", rb"II\*\x00|MM\x00\*|II\+\x00\x08|MM\x00\+\x00\x08"),
    (_ISO_MEDIA, rb"\x00\x00[\x00-\x0f].ftyp[ -~]{4}"),
    ("video/x-matroska", rb"\x1a\x45\xdf\xa3"),
    ("audio/ogg", rb"OggS\x00"),
    ("audio/flac", rb"fLaC[\x00\x80]\x00\x00\x22"),
    (_ID3, rb"ID3[\x02-\x04]\x00[\x00-\xff][\x00-\x7f]{4}"),
    (_ELF, rb"\x7fELF[\x01\x02][\x01\x02]\x01"),
    ("application/wasm", rb"\x00asm[\x01-\x0f]\x00"),
    ("application/vnd.sqlite3", rb"SQLite format 3\x00"),
    ("font/woff", rb"wOFF(?:\x00\x01\x00\x00|OTTO|true)"),
    ("font/woff2", rb"wOF2(?:\x00\x01\x00\x00|OTTO|true|ttcf)"),
    (_OLE2, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    # Major versions 45 (Java 1.1) to 99; a Mach-O fat binary shares the first four bytes and has a small count there.
    ("application/java-vm", rb"\xca\xfe\xba\xbe..\x00[\x2d-\x63]"),
    # Reserved zeros and one of the known header sizes: "BM" alone begins many a text.
    ("image/bmp", rb"BM.{4}\x00{4}..\x00\x00[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"),
    (_TAR, rb".{257}ustar(?:\x00|  \x00)"),
)
# One group per row; the row of a match is its lastindex.
_ANY = re.compile(b"|".join(b"(" + pattern + b")" for _, pattern in _MAGIC), re.DOTALL)


def signature(prefix: bytes) -> str | None:
    """The canonical media type whose signature begins these bytes, or ``None``. 1,024 bytes are enough to look at."""
    found = _ANY.match(prefix)
    if found is not None and found.lastindex is not None:
        return _MAGIC[found.lastindex - 1][0]
    return _PE if _is_pe(prefix) else None


def _is_pe(prefix: bytes) -> bool:
    # Microsoft PE format: the offset of the "PE\0\0" mark stands at 0x3c of the MS-DOS stub.
    if prefix[:2] != b"MZ" or len(prefix) < 0x40:
        return False
    mark = int.from_bytes(prefix[0x3C:0x40], "little")
    return prefix[mark : mark + 4] == b"PE\0\0"


def _rows(*rows: tuple[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(kinds) for names, kinds in rows for name in names.split()}


# Declared type -> the signatures that its contents may carry. Generous where practice is: aliases, containers, ID3 tags
# in front of other audio, tar archives sent compressed, encrypted office documents (OLE2 around OOXML), raw photographs.
_FITS = _rows(
    ("image/png image/x-png image/apng image/vnd.mozilla.apng", ("image/png",)),
    ("image/jpeg image/jpg image/pjpeg", ("image/jpeg",)),
    ("image/gif", ("image/gif",)),
    ("image/webp", ("image/webp",)),
    ("image/bmp image/x-bmp image/x-ms-bmp", ("image/bmp",)),
    (
        "image/tiff image/tif image/x-tiff image/x-adobe-dng image/x-canon-cr2 image/x-nikon-nef image/x-sony-arw "
        "image/x-pentax-pef image/x-epson-erf image/x-samsung-srw image/x-raw image/dng",
        ("image/tiff",),
    ),
    ("application/pdf application/x-pdf", ("application/pdf",)),
    ("application/zip application/x-zip application/x-zip-compressed application/epub+zip", (_ZIP,)),
    ("application/java-archive application/x-java-archive application/vnd.android.package-archive", (_ZIP,)),
    ("application/msword application/vnd.ms-excel application/vnd.ms-powerpoint", (_OLE2, _ZIP)),
    ("application/vnd.visio application/vnd.ms-outlook application/x-ole-storage", (_OLE2, _ZIP)),
    ("application/gzip application/x-gzip", (_GZIP,)),
    ("application/x-bzip2 application/x-bzip application/bzip2", (_BZIP2,)),
    ("application/x-xz application/xz", (_XZ,)),
    ("application/zstd application/x-zstd", (_ZSTD,)),
    ("application/x-7z-compressed", ("application/x-7z-compressed",)),
    ("application/vnd.rar application/x-rar-compressed application/x-rar", ("application/vnd.rar", _ZIP)),
    ("application/x-tar application/tar", (_TAR, _GZIP, _BZIP2, _XZ, _ZSTD)),
    ("audio/wav audio/x-wav audio/wave audio/vnd.wave", ("audio/wav", _ID3)),
    ("audio/mpeg audio/mp3 audio/x-mp3 audio/mpeg3 audio/x-mpeg", (_ID3, "audio/wav")),
    ("audio/flac audio/x-flac", ("audio/flac", "audio/ogg", _ID3)),
    ("audio/ogg video/ogg application/ogg audio/opus audio/vorbis", ("audio/ogg",)),
    ("video/avi video/x-msvideo video/msvideo video/vnd.avi", ("video/x-msvideo",)),
    ("video/mp4 audio/mp4 application/mp4 video/x-m4v audio/m4a audio/x-m4a video/quicktime", (_ISO_MEDIA,)),
    ("video/3gpp audio/3gpp video/3gpp2 image/heic image/heif image/avif", (_ISO_MEDIA,)),
    ("video/x-matroska audio/x-matroska video/matroska video/webm audio/webm", ("video/x-matroska",)),
    ("font/woff application/font-woff", ("font/woff", "font/woff2")),
    ("font/woff2", ("font/woff2",)),
    ("application/wasm", ("application/wasm",)),
    ("application/vnd.sqlite3 application/x-sqlite3", ("application/vnd.sqlite3",)),
    ("application/java-vm application/x-java-class", ("application/java-vm",)),
    ("application/x-elf application/x-executable application/x-sharedlib", (_ELF,)),
    ("application/vnd.microsoft.portable-executable application/x-dosexec", (_PE, _ZIP)),
)

_OFFICE = re.compile(r"application/vnd\.(?:openxmlformats-officedocument\.|ms-[a-z]+\.[a-z.]*macroenabled\.12\Z)")
_OPEN_DOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.")
_TEXT_APPLICATION = re.compile(
    r"application/(?:json|xml|(?:x-)?javascript|ecmascript|(?:x-)?yaml|toml|sql|graphql|x-sh|(?:x-)?ndjson|jsonl|json-seq"
    r"|xml-dtd|xml-external-parsed-entity|rtf|x-tex|x-httpd-php|x-www-form-urlencoded)\Z"
)
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml", "+json-seq")


@lru_cache(256)
def fits(media_type: str) -> frozenset[str] | None:
    """The signatures that contents declared as ``media_type`` may carry; ``None`` if that type is not judged.

    Empty for textual types: no signature at all belongs there.
    """
    known = _FITS.get(media_type)
    if known is not None:
        return known
    if _OFFICE.match(media_type):
        return frozenset((_ZIP, _OLE2))
    if media_type.endswith("+zip") or _OPEN_DOCUMENT.match(media_type):
        return frozenset((_ZIP,))
    if _TEXT_APPLICATION.match(media_type) or media_type.startswith("text/") or media_type.endswith(_TEXT_SUFFIXES):
        return frozenset()
    return None


class SignatureCheck:
    """Looks at the first :data:`PREFIX` bytes of one body."""

    def __init__(self, declared: str, fitting: frozenset[str]) -> None:
        self._declared = declared
        self._fitting = fitting
        self._prefix: bytes | None = b""

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.UnsupportedType` as soon as another type's signature is complete."""
        if self._prefix is None:
            return
        self._prefix += data[: PREFIX - len(self._prefix)]
        found = signature(self._prefix)
        if found is not None and found not in self._fitting:
            raise UnsupportedType(
                f"The contents are {found}, but {self._declared} was declared; send them with their own type.",
                accepted=(self._declared,),
            )
        if found is not None or len(self._prefix) >= PREFIX:
            self._prefix = None

    def finish(self) -> None:
        """A body too short for any signature passes."""


class SignatureValidator:
    """The factory: judges declared types that :func:`fits` knows."""

    def __call__(self, candidate: Candidate) -> Validator | None:
        if candidate.media_type is None:
            return None
        fitting = fits(candidate.media_type)
        return None if fitting is None else SignatureCheck(candidate.media_type, fitting)
