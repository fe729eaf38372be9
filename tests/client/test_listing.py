"""What is on the server, as PROPFIND tells it; and what is surplus there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from partwise.client import Findings, Item, Listing, Skipped, Stored
from partwise.client.deleting import surplus
from partwise.client.listing import Limits, ListingReader, read_limits

ANSWER = b"""<?xml version="1.0"?>
<d:multistatus xmlns:d="DAV:" xmlns:o="http://owncloud.org/ns">
<d:response><d:href>/x%20y/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop>
  <d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
<d:response><d:href>http://host/x%20y/a%2fb/%C3%BC</d:href><d:propstat><d:prop><d:resourcetype/><d:getetag>"e"</d:getetag>
  <d:getcontentlength>5</d:getcontentlength><d:getlastmodified>Tue, 14 Nov 2023 22:13:20 GMT</d:getlastmodified>
  <o:checksums><o:checksum>SHA1:aa MD5:bb</o:checksum></o:checksums></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
  <d:propstat><d:prop><d:getcontentlength>7</d:getcontentlength></d:prop><d:status>HTTP/1.1 404 Not Found</d:status>
  </d:propstat></d:response>
<d:response><d:href>/elsewhere</d:href><d:status>HTTP/1.1 200 OK</d:status></d:response>
</d:multistatus>"""


@pytest.mark.parametrize("step", [1, 50, 100_000])
def test_names_and_properties(step: int) -> None:
    reader = ListingReader("/x%20y/")
    for begin in range(0, len(ANSWER), step):
        reader.feed(ANSWER[begin : begin + step])
    assert reader.listing.collections == {""}
    assert reader.listing.files == {"a/b/ü": Stored(5, 1_700_000_000, '"e"', "SHA1:aa")}


@pytest.mark.parametrize(
    ("base", "asked", "found"),
    [
        ("/", "", "a/b/ü"),  # Another prefix than the server's public URL has.
        ("/share/", "", "a/b/ü"),
        ("/x%20y/", "", "a/b/ü"),
        ("/", "x y", "x y/a/b/ü"),
        ("/x%20y/x%20y/", "", "a/b/ü"),
    ],
)
def test_a_server_that_calls_itself_otherwise(base: str, asked: str, found: str) -> None:
    reader = ListingReader(base, asked)
    reader.feed(ANSWER)
    assert reader.listing.collections == {asked}
    assert set(reader.listing.files) == {found}


def test_what_counts_as_unchanged() -> None:
    listing = Listing({"a": Stored(5, 1_700_000_000, None, None)})
    same = Item("a", "a", 5, 1_700_000_000_999_999_999)
    assert listing.holds(same)
    for other in (same._replace(name="b"), same._replace(size=6), same._replace(mtime_ns=1_700_000_001_000_000_000)):
        assert not listing.holds(other)


def test_contents_are_compared_by_checksums(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    item, digest = Item("a", str(file), 5, 0), hashlib.sha1(b"12345", usedforsecurity=False).hexdigest()
    for checksum, same in (
        (f"SHA1:{digest}", True),
        (f"sha1:{digest.upper()}", True),
        ("SHA1:" + "0" * 40, False),
        ("CRC:1", False),
        (None, False),
    ):
        assert Listing({"a": Stored(5, None, None, checksum)}).holds_bytes(item) is same
    assert not Listing({"a": Stored(6, None, None, f"SHA1:{digest}")}).holds_bytes(item)


def test_limits() -> None:
    document = (
        '<D:multistatus xmlns:D="DAV:" xmlns:P="urn:partwise:batch"><D:response><D:propstat><D:prop>%s</D:prop>'
        "</D:propstat></D:response></D:multistatus>"
    )
    assert read_limits((document % '<P:limits max-items="7" max-bytes="9"/>').encode()) == Limits(7, 9, None)
    assert read_limits((document % "").encode()) == Limits()
    with pytest.raises(ValueError, match=r".+"):
        read_limits(b"no XML")


def found(
    *names: str, scopes: tuple[str, ...], folders: tuple[str, ...] = (), skipped: tuple[str, ...] = ()
) -> Findings:
    items = [Item(name, name, 1, 0) for name in names]
    return Findings(items, set(folders), [Skipped(name, "a link") for name in skipped], list(scopes))


FILE = Stored(1, 0, '"e"', None)


@pytest.mark.parametrize(
    ("sources", "files", "collections", "gone", "count", "there"),
    [
        (found("a", scopes=("",)), ["a", "b"], [""], {"b"}, 1, 2),
        (found("d/a", scopes=("d",), folders=("d",)), ["b", "d/a", "d/b", "dd/c"], ["d", "dd"], {"d/b"}, 1, 2),
        (found("a", scopes=()), ["a", "b"], [], set(), 0, 0),
        (found("a", scopes=("",)), ["a", "x/1", "x/y/2"], ["", "x", "x/y"], {"x"}, 2, 3),
        (found("a", scopes=("",), folders=("", "e")), ["a"], ["", "e", "f"], {"f"}, 0, 1),
        (found("a", scopes=("",), skipped=("s", "t/u")), ["a", "s", "s/1", "t/u"], ["", "t"], set(), 0, 4),
    ],
)
def test_surplus(
    sources: Findings, files: list[str], collections: list[str], gone: set[str], count: int, there: int
) -> None:
    left = surplus(sources, Listing(dict.fromkeys(files, FILE), set(collections)))
    assert (set(left.names), left.files, left.there) == (gone, count, there)
    assert all(stored == (FILE if name in files else None) for name, stored in left.names.items())
