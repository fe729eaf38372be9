"""Items that must not be stored, each made from a real file, with the row of ``docs/status-codes.md`` that speaks of it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.demonstration.real_files import RealFile, gather, of_kind, package
from tests.harness import form_part, mixed_part

FORM, MIXED, PUT = "form-data", "mixed", "PUT"
EVERY_WAY = (FORM, MIXED, PUT)

#: What stands in the served folder before anything is sent.
STANDING, COLLECTION = "standing/report.txt", "standing/folder"
STANDING_BYTES = b"This was here before.\n"
#: A link to a folder outside, and one to a file outside.
ESCAPE, LEAK = "escape", "leak.txt"
OUTSIDE_BYTES = b"Nobody may read or write this.\n"


@dataclass(frozen=True, slots=True)
class Damaged:
    """One of them. ``case`` names it.

    ``filename`` is the name as a form sends it, ``reference`` the same one percent-encoded, for a Content-Location and for
    the target of a PUT; ``None`` for a part without any. ``ways``: how it can be sent so that it means the same.
    """

    case: str
    status: int
    error: str | None
    body: bytes
    media_type: str
    filename: str | bytes | None = None
    reference: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    ways: tuple[str, ...] = EVERY_WAY

    def fields(self) -> dict[str, str]:
        """The header fields of the body, as keywords for :mod:`tests.harness`."""
        return {"Content_Type": self.media_type} | {name.replace("-", "_"): v for name, v in self.headers.items()}

    def part(self, way: str) -> bytes:
        """The item as a part of a container."""
        if way == FORM and self.filename is not None:
            return form_part(self.filename, self.body, **self.fields())
        return mixed_part(self.reference, self.body, **self.fields())

    @property
    def target(self) -> str:
        """The target of a PUT."""
        assert self.reference is not None
        return f"/{self.reference}"


def prepare(folder: Path, outside: Path) -> None:
    """Make what some items collide with: a file, a collection, and two links that lead out of the served folder."""
    (folder / COLLECTION).mkdir(parents=True)
    (folder / STANDING).write_bytes(STANDING_BYTES)
    outside.mkdir()
    (outside / "secret.txt").write_bytes(OUTSIDE_BYTES)
    os.symlink(outside, folder / ESCAPE)
    os.symlink(outside / "secret.txt", folder / LEAK)


def damaged(way: str | None = None) -> list[Damaged]:
    """All of them, or those that can be sent this way."""
    every = [*_contents(), *_types(), *_headers(), *_names(), *_places(), *_containers()]
    return [item for item in every if way is None or way in item.ways]


def duplicate(of: RealFile) -> Damaged:
    """A second item under the name of one that is sent, and stored, before."""
    return Damaged(
        "a duplicate", 409, "duplicate", of.read(), of.media_type, of.name, quote(of.name), ways=(FORM, MIXED)
    )


def _item(case: str, status: int, error: str | None, body: bytes, media_type: str, **headers: str) -> Damaged:
    name = f"damaged/{case}"
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return Damaged(case, status, error, body, media_type, name, quote(name), fields)


def _spoil(file: RealFile, case: str, status: int, error: str, change: Callable[[bytes], bytes]) -> Damaged:
    """Its bytes changed, its type kept."""
    changed = change(file.read())
    assert changed != file.read(), case
    return _item(case, status, error, changed, file.media_type)


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _flip(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def _replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new, 1)


def _before_last(mark: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body[: body.rindex(mark)]


def _contents() -> Iterator[Damaged]:
    """What cannot be read (400), and what can be read and is wrong (422)."""
    png, jpg, gif, pdf = (of_kind(kind)[0] for kind in ("png", "jpg", "gif", "pdf"))
    svg, xml, json = (of_kind(kind)[0] for kind in ("svg", "xml", "json"))
    yield _spoil(png, "a PNG that was cut off", 400, "damaged", _half)
    yield _spoil(png, "a PNG with one bit turned over", 400, "damaged", _flip)
    yield _spoil(jpg, "a JPEG that was cut off", 400, "damaged", _half)
    yield _spoil(gif, "a GIF that was cut off", 400, "damaged", _half)
    yield _spoil(pdf, "a PDF that was cut off", 400, "damaged", _before_last(b"%%EOF"))
    yield _item("a source declared as PNG", 400, "damaged", of_kind("py")[0].read(), "image/png")
    yield _spoil(svg, "an SVG that lacks its end tag", 400, "not-well-formed", _before_last(b"</svg>"))
    yield _spoil(xml, "XML that was cut off", 400, "not-well-formed", _half)
    yield _spoil(xml, "XML with crossed tags", 400, "not-well-formed", _replace(b"</messages>", b"</mavlink>"))
    yield _spoil(json, "JSON that was cut off", 400, "not-well-formed", _half)
    yield _spoil(json, "JSON without a colon", 400, "not-well-formed", _replace(b":", b" "))
    # Against the schema that the package ships: a number that is none, an element that nobody knows, another root.
    yield _spoil(xml, "XML with a bad number", 422, "schema-invalid", _replace(b"<version>", b"<version>x"))
    unknown = _replace(b"<messages>", b"<messages><novelty/>")
    yield _spoil(xml, "XML with an unknown element", 422, "schema-invalid", unknown)
    yield _item("XML with another root", 422, "schema-invalid", b"<novelty/>", xml.media_type)
    entity = b'<!DOCTYPE svg [<!ENTITY e "e">]>\n<svg'
    start = svg.read().index(b"<svg")
    yield _item("an SVG that declares an entity", 422, "rule-failed", entity + svg.read()[start + 4 :], svg.media_type)


def _types() -> Iterator[Damaged]:
    """The wrong kind (415), and too much of it (413)."""
    png, pdf, json = (of_kind(kind)[0].read() for kind in ("png", "pdf", "json"))
    samples = package("mimesis") / "datasets" / "bin"
    yield _item("a PNG declared as JSON", 415, "unsupported-type", png, "application/json")
    yield _item("a PNG declared as JPEG", 415, "unsupported-type", png, "image/jpeg")
    yield _item("a PDF declared as XML", 415, "unsupported-type", pdf, "application/xml")
    yield _item("a PDF declared as text", 415, "unsupported-type", pdf, "text/csv")
    yield _item("a film", 415, "unsupported-type", (samples / "sample.mp4").read_bytes(), "video/mp4")
    yield _item("an archive", 415, "unsupported-type", (samples / "sample.zip").read_bytes(), "application/zip")
    packed = (samples / "sample.gz").read_bytes()
    yield _item("JSON that is packed", 415, "unsupported-type", packed, "application/json", Content_Encoding="gzip")
    yield _item("a type without a slash", 400, "malformed", json, "json")
    large = package("pymavlink") / "dialects" / "v20" / "all.py"
    yield _item("a source that is too large", 413, "too-large", large.read_bytes(), "text/x-python")


def _headers() -> Iterator[Damaged]:
    """Digests and conditions."""
    csv, other = (file.read() for file in of_kind("csv")[:2])
    sha256 = base64.b64encode(hashlib.sha256(other).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(other, usedforsecurity=False).digest()).decode()
    kind = "text/csv"
    yield _item("another Content-Digest", 400, "digest-mismatch", csv, kind, Content_Digest=f"sha-256=:{sha256}:")
    yield _item("another Repr-Digest", 400, "digest-mismatch", csv, kind, Repr_Digest=f"sha-256=:{sha256}:")
    yield _item("another Content-MD5", 400, "digest-mismatch", csv, kind, Content_MD5=md5)
    yield _item("a Content-Digest without colons", 400, "malformed", csv, kind, Content_Digest=f"sha-256={sha256}")
    yield _item("a Content-Digest of 5 bytes", 400, "malformed", csv, kind, Content_Digest="sha-256=:aGVsbG8=:")
    yield _item("a Content-MD5 that is no base64", 400, "malformed", csv, kind, Content_MD5="?")
    yield _item("an If-Match that is no tag", 400, "malformed", csv, kind, If_Match="unquoted")
    yield _item("an If-Match where nothing stands", 412, None, csv, kind, If_Match="*")
    for case, name, value in (
        ("If-None-Match where something stands", "If-None-Match", "*"),
        ("If-Match with another tag", "If-Match", '"another"'),
    ):
        yield Damaged(case, 412, None, csv, kind, STANDING, STANDING, {name: value})


def _names() -> Iterator[Damaged]:
    """Names that cannot be read (400) or must not be used (403)."""
    real = of_kind("csv")[-1]
    body, kind = real.read(), real.media_type
    cases: tuple[tuple[str, int, str, str | bytes, str, tuple[str, ...]], ...] = (
        ("dots in front", 403, "forbidden-name", "../outside/up.csv", "../outside/up.csv", EVERY_WAY),
        ("dots within", 403, "forbidden-name", "a/../../up.csv", "a/../../up.csv", EVERY_WAY),
        ("encoded dots", 403, "forbidden-name", "", "%2e%2e/outside/up.csv", (MIXED, PUT)),
        ("an encoded slash", 403, "forbidden-name", "", "..%2Fup.csv", (MIXED, PUT)),
        ("an absolute name", 403, "forbidden-name", "/etc/up.csv", "", (FORM,)),
        ("another server", 403, "forbidden-name", "", "http://elsewhere.example/up.csv", (MIXED,)),
        ("a drive letter", 403, "forbidden-name", "C:/up.csv", "C%3A/up.csv", EVERY_WAY),
        ("a backslash", 403, "forbidden-name", "a\\up.csv", "a%5Cup.csv", EVERY_WAY),
        ("the name of a collection", 403, "forbidden-name", "new/", "new/", EVERY_WAY),
        ("a segment of 256 bytes", 403, "forbidden-name", "x" * 256, "x" * 256, EVERY_WAY),
        ("the server's resources", 403, "forbidden-name", "-/up.csv", "-/up.csv", EVERY_WAY),
        ("the server's state", 403, "forbidden-name", ".partwise/up.csv", ".partwise/up.csv", EVERY_WAY),
        ("a line break", 400, "malformed-name", "a%0Aup.csv", "a%0Aup.csv", EVERY_WAY),
        ("an escape character", 400, "malformed-name", "a\x1bup.csv", "a%1Bup.csv", EVERY_WAY),
        ("no UTF-8", 400, "malformed-name", b"\xe9t\xe9.csv", "%E9t%E9.csv", EVERY_WAY),
        ("an empty segment", 400, "malformed-name", "a//up.csv", "a//up.csv", EVERY_WAY),
        ("a percent sign alone", 400, "malformed-name", "", "100%.csv", (MIXED, PUT)),
        ("a query", 400, "malformed-name", "", "up.csv?x", (MIXED,)),
    )
    for case, status, error, filename, reference, ways in cases:
        yield Damaged(case, status, error, body, kind, filename, reference, ways=ways)


def _places() -> Iterator[Damaged]:
    """Names that are good, and have no room for a file where they lead."""
    real = of_kind("csv")[-1]
    cases: tuple[tuple[str, int, str | None, str], ...] = (
        ("through a link that leads out", 409, "parent-missing", f"{ESCAPE}/x.txt"),
        ("deep through a link that leads out", 409, "parent-missing", f"{ESCAPE}/new/x.txt"),
        ("onto a link that leads out", 403, "forbidden-name", LEAK),
        ("below a file", 409, "parent-missing", f"{STANDING}/x.txt"),
        ("onto a collection", 405, None, COLLECTION),
    )
    for case, status, error, name in cases:
        yield Damaged(case, status, error, real.read(), real.media_type, name, name)


def _containers() -> Iterator[Damaged]:
    """What only a container can say."""
    real = of_kind("json")[-1]
    body, kind = real.read(), real.media_type
    nameless: tuple[tuple[str, str, str], ...] = (
        ("a part of a form without a disposition", "malformed", FORM),
        ("a part without a name", "malformed-name", MIXED),
    )
    for case, error, way in nameless:
        yield Damaged(case, 400, error, body, kind, ways=(way,))
    for case, length in (("shorter than promised", len(body) + 1), ("longer than promised", len(body) - 1)):
        name = quote(f"damaged/{case}")
        fields = {"Content-Length": str(length)}
        yield Damaged(case, 400, "length-mismatch", body, kind, name, name, fields, ways=(MIXED,))


def spread(good: tuple[RealFile, ...], bad: list[Damaged]) -> list[RealFile | Damaged]:
    """The bad ones evenly among the good ones, the first after the first good one."""
    step = len(good) // len(bad)
    mixed: list[RealFile | Damaged] = []
    for at, file in enumerate(good):
        mixed.append(file)
        if at % step == 0 and at // step < len(bad):
            mixed.append(bad[at // step])
    return mixed


def everything(way: str) -> list[RealFile | Damaged]:
    """What the demonstration sends: all real files, and among them all that can be damaged this way."""
    good = gather()
    return spread(good, [*damaged(way), duplicate(good[0])])
