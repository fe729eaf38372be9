"""POST of a batch over a real socket: one row per item, judged one by one."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import BOUNDARY, Client, form_part, mixed_part, multipart


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def files(folder: Path) -> dict[str, bytes]:
    """What stands in the served folder, without the server's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".partwise" not in path.parts
    }


async def test_each_item_has_its_own_status(client: Client) -> None:
    answer = await client.post(
        "/",
        [
            form_part("a.txt", b"alpha", Content_Type="text/plain"),
            form_part("b.xml", b"<a><b></a>", Content_Type="application/xml"),
            form_part("../c.txt", b"c"),
            form_part("a.txt", b"again"),
            form_part("d/e.txt", b"deep"),
        ],
    )
    assert answer.status == 207
    assert [(row.status, row.error) for row in answer.rows] == [
        (201, None),
        (400, "not-well-formed"),
        (403, "forbidden-name"),
        (409, "duplicate"),
        (201, None),
    ]
    assert [row.item["index"] for row in answer.rows] == ["1", "2", "3", "4", "5"]
    assert answer.summary.items() >= {"items": "5", "stored": "2", "failed": "3", "state": "complete"}.items()
    assert files(client.folder) == {"a.txt": b"alpha", "d/e.txt": b"deep"}


#: name, part, status, error
ROWS = [
    ("plain", form_part("new.txt", b"x"), 201, None),
    ("replaced", form_part("old.txt", b"x"), 204, None),
    ("empty", form_part("empty", b"", Content_Type="image/png"), 201, None),
    ("folder", form_part("c", b"x"), 405, None),
    ("below a file", form_part("old.txt/x", b"x"), 409, "parent-missing"),
    ("dots", form_part("a/../../x", b"x"), 403, "forbidden-name"),
    ("absolute", form_part("/etc/passwd", b"x"), 403, "forbidden-name"),
    ("backslash", form_part("a\\b", b"x"), 403, "forbidden-name"),
    ("drive", form_part("C:/x", b"x"), 403, "forbidden-name"),
    ("service", form_part("-/x", b"x"), 403, "forbidden-name"),
    ("state", form_part(".partwise/x", b"x"), 403, "forbidden-name"),
    ("state, other case", form_part(".PartWise/x", b"x"), 403, "forbidden-name"),
    ("long segment", form_part("x" * 256, b"x"), 403, "forbidden-name"),
    ("10,000 characters", form_part("x" * 10_000, b"x"), 403, "forbidden-name"),
    ("trailing slash", form_part("x/", b"x"), 403, "forbidden-name"),
    ("empty segment", form_part("a//b", b"x"), 400, "malformed-name"),
    ("control", form_part("a\x01b", b"x"), 400, "malformed-name"),
    ("not UTF-8", form_part(b"\xff\xfe", b"x"), 400, "malformed-name"),
    ("percent is literal", form_part("100%25", b"x"), 201, None),
    ("JSON", form_part("j", b'{"a": ', Content_Type="application/json"), 400, "not-well-formed"),
    ("wrong type", form_part("p", b"\x89PNG\r\n\x1a\n", Content_Type="text/plain"), 415, "unsupported-type"),
    ("bad type", form_part("p", b"x", Content_Type="text"), 400, "malformed"),
    ("coded", form_part("p", b"x", Content_Encoding="gzip"), 415, "unsupported-type"),
    ("base64", form_part("p", b"eA==", Content_Transfer_Encoding="base64"), 415, "unsupported-type"),
    ("digest", form_part("p", b"x", Content_Digest=digest(b"x")), 201, None),
    ("wrong digest", form_part("p", b"x", Content_Digest=digest(b"y")), 400, "digest-mismatch"),
    ("bad digest", form_part("p", b"x", Content_Digest="sha-256=x"), 400, "malformed"),
    ("MD5", form_part("p", b"x", Content_MD5="AAAAAAAAAAAAAAAAAAAAAA=="), 400, "digest-mismatch"),
    ("must be new", form_part("old.txt", b"x", If_None_Match="*"), 412, None),
    ("must be that", form_part("old.txt", b"x", If_Match='"other"'), 412, None),
    ("must exist", form_part("new.txt", b"x", If_Match="*"), 412, None),
    ("412 before contents", form_part("old.txt", b"<", If_Match='"o"', Content_Type="text/xml"), 412, None),
    (
        "multipart without a name",
        form_part(None, b"x", Content_Type="multipart/mixed; boundary=a"),
        415,
        "unsupported-type",
    ),
    ("no disposition", b"X-A: b\r\n\r\nx", 400, "malformed"),
    ("no headers", b"\r\nx", 400, "malformed"),
    ("broken header", b"no colon\r\n\r\nx", 400, "malformed"),
    ("huge header", b"X-A: " + b"y" * 100_000 + b"\r\n\r\nx", 431, "too-large"),
    ("10,000 headers", b"X-A: b\r\n" * 10_000 + b"\r\nx", 431, "too-large"),
    ("hint", form_part("hint", b"x", Content_Length="99"), 201, None),
]


@pytest.mark.parametrize(("part", "status", "error"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_one_row(client: Client, part: bytes, status: int, error: str | None) -> None:
    """The item stands between two good ones, which are not concerned."""
    (client.folder / "old.txt").write_bytes(b"old")
    (client.folder / "c").mkdir()
    answer = await client.post("/", [form_part("before", b"1"), part, form_part("after", b"2")])
    assert answer.status == 207
    [before, row, after] = answer.rows
    assert (before.status, after.status) == (201, 201)
    assert (row.status, row.error) == (status, error)
    assert (row.text is not None) is (status >= 400)
    assert answer.summary["state"] == "complete"


MIXED = [
    ("plain", mixed_part("new.txt", b"x"), 201, None, "/c/new.txt"),
    ("encoded", mixed_part("a%20b%C3%A9", b"x"), 201, None, "/c/a%20b%C3%A9"),
    ("absolute path", mixed_part("/c/x", b"x"), 201, None, "/c/x"),
    ("outside", mixed_part("/x", b"x"), 403, "forbidden-name", None),
    ("dots", mixed_part("../x", b"x"), 403, "forbidden-name", None),
    ("encoded dots", mixed_part("%2e%2e/x", b"x"), 403, "forbidden-name", None),
    ("encoded slash", mixed_part("a%2Fb", b"x"), 403, "forbidden-name", None),
    ("other server", mixed_part("http://example.org/c/x", b"x"), 403, "forbidden-name", None),
    ("fragment", mixed_part("x#y", b"x"), 400, "malformed-name", None),
    ("bad percent", mixed_part("x%zz", b"x"), 400, "malformed-name", None),
    ("not UTF-8", mixed_part("%ff", b"x"), 400, "malformed-name", None),
    ("NUL", mixed_part("a%00", b"x"), 400, "malformed-name", None),
    ("nameless", mixed_part(None, b"x"), 400, "malformed-name", None),
    (
        "disposition",
        mixed_part(None, b"x", Content_Disposition="attachment; filename*=UTF-8''%C3%A4"),
        201,
        None,
        "/c/%C3%A4",
    ),
    ("length", mixed_part("x", b"abc", Content_Length="3"), 201, None, "/c/x"),
    ("too short", mixed_part("x", b"ab", Content_Length="3"), 400, "length-mismatch", "/c/x"),
    ("too long", mixed_part("x", b"abcd", Content_Length="3"), 400, "length-mismatch", "/c/x"),
    ("bad length", mixed_part("x", b"abcd", Content_Length="3a"), 400, "malformed", "/c/x"),
    ("checksum", mixed_part("x", b"x", OC_Checksum="MD5:9dd4e461268c8034f5c8564e155c67a6"), 201, None, "/c/x"),
    (
        "wrong checksum",
        mixed_part("x", b"y", OC_Checksum="MD5:9dd4e461268c8034f5c8564e155c67a6"),
        400,
        "digest-mismatch",
        "/c/x",
    ),
    ("lock token", mixed_part("x", b"y", If="(<urn:uuid:1>)"), 412, None, "/c/x"),
]


@pytest.mark.parametrize(("part", "status", "error", "href"), [row[1:] for row in MIXED], ids=[row[0] for row in MIXED])
async def test_one_row_of_mixed(client: Client, part: bytes, status: int, error: str | None, href: str | None) -> None:
    (client.folder / "c").mkdir()
    answer = await client.post("/c", [mixed_part("before", b"1"), part, mixed_part("after", b"2")], "mixed")
    assert answer.status == 207
    [before, row, after] = answer.rows
    assert (before.status, after.status) == (201, 201)
    assert (row.status, row.error) == (status, error)
    if href is None:
        assert "?batch=" in row.href
        again = await client.request("GET", row.href)
        assert [(found.status, found.href) for found in again.rows] == [(status, row.href)]
    else:
        assert row.href == href


async def test_modification_times_are_kept(client: Client) -> None:
    await client.post(
        "/",
        [
            mixed_part("a", b"x", X_OC_Mtime="1000000000.5"),
            mixed_part("b", b"x", Last_Modified="Sun, 09 Sep 2001 01:46:40 GMT"),
        ],
        "related",
    )
    assert (client.folder / "a").stat().st_mtime_ns == 1_000_000_000_500_000_000
    assert (client.folder / "b").stat().st_mtime == 1_000_000_000


async def test_content_id_and_digest_are_echoed(client: Client) -> None:
    part = mixed_part("a", b"x", Content_ID="<1@x>", Content_Digest=digest(b"x"))
    [row] = (await client.post("/", [part], "mixed")).rows
    assert (row.item["content-id"], row.item["digest"]) == ("<1@x>", digest(b"x"))


async def test_nested_multipart_is_opaque(client: Client) -> None:
    inner = multipart([b"A: b\r\n\r\n1"], "inner")
    answer = await client.post("/", [mixed_part("m", inner, Content_Type="multipart/mixed; boundary=inner")], "mixed")
    assert answer.statuses == [201]
    assert (client.folder / "m").read_bytes() == inner


# -- duplicates


@pytest.mark.parametrize("refused", [b"<a>", b"\x89PNG\r\n\x1a\n"])
async def test_after_a_refused_item_of_the_name_the_next_is_judged(client: Client, refused: bytes) -> None:
    answer = await client.post(
        "/",
        [
            form_part("a", refused, Content_Type="text/xml"),
            form_part("a", b"<a/>", Content_Type="text/xml"),
            form_part("a", b"<b/>", Content_Type="text/xml"),
            form_part("a", b"<", Content_Type="text/xml"),
        ],
    )
    assert answer.statuses[1:] == [201, 409, 409]
    assert answer.rows[0].href == "/a"
    second = answer.rows[1]
    assert second.element.findtext("{DAV:}location/{DAV:}href") == "/a"
    assert answer.rows[2].element.findtext(".//{urn:partwise:batch}duplicate/{DAV:}href") == "/a"
    assert (client.folder / "a").read_bytes() == b"<a/>"


async def test_many_duplicates_in_one_chunk(client: Client) -> None:
    answer = await client.post("/", [form_part("a", b"%d" % number) for number in range(300)])
    assert answer.statuses == [201] + [409] * 299
    assert (client.folder / "a").read_bytes() == b"0"


# -- empty things, fields, steering


async def test_an_empty_picker_is_no_item(client: Client) -> None:
    answer = await client.post("/", [form_part("", b""), form_part("", b"x"), form_part("a", b"")])
    assert [(row.status, row.error) for row in answer.rows] == [(400, "malformed-name"), (201, None)]


async def test_an_empty_container(client: Client) -> None:
    answer = await client.request("POST", "/", b"--b--\r\n", Content_Type="multipart/form-data; boundary=b")
    assert (answer.status, answer.rows, answer.summary["items"]) == (207, [], "0")


async def test_fields_steer_before_the_first_file(client: Client) -> None:
    (client.folder / "old").write_bytes(b"old")
    answer = await client.post(
        "/",
        [
            form_part(None, b"F", name="overwrite"),
            form_part(None, b"x", name="unknown"),
            form_part("old", b"new"),
            form_part("new", b"new"),
            form_part(None, b"x", name="another"),
        ],
    )
    assert answer.statuses == [412, 201]
    assert answer.summary["ignored"] == "2"
    assert (client.folder / "old").read_bytes() == b"old"


async def test_a_steering_field_after_the_first_file_ends_the_batch(client: Client) -> None:
    answer = await client.post(
        "/", [form_part("a", b"1"), form_part(None, b"F", name="overwrite"), form_part("b", b"2")]
    )
    assert [(row.status, row.error) for row in answer.rows] == [(201, None), (400, "malformed")]
    assert answer.summary["state"] == "aborted"
    assert files(client.folder) == {"a": b"1"}


@pytest.mark.parametrize("said", ["header", "query", "field"])
async def test_overwrite_false(client: Client, said: str) -> None:
    (client.folder / "a").write_bytes(b"old")
    parts = [form_part(None, b"F", name="overwrite")] * (said == "field") + [form_part("a", b"new")]
    headers = {"Overwrite": "F"} if said == "header" else {}
    answer = await client.post("/?overwrite=F" if said == "query" else "/", parts, **headers)
    assert answer.statuses == [412]


async def test_minimal_reports_failures_only(client: Client) -> None:
    parts = [form_part("a", b"1"), form_part("..", b"2"), form_part("b", b"3")]
    answer = await client.post("/", parts, Prefer="return=minimal")
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert [row.item["index"] for row in answer.rows] == ["2"]
    assert answer.summary.items() >= {"items": "3", "stored": "2"}.items()


async def test_charset_of_a_form(client: Client) -> None:
    parts = [form_part(None, b"iso-8859-1", name="_charset_"), form_part(b"\xe4", b"1")]
    answer = await client.post("/", parts)
    assert [row.href for row in answer.rows] == ["/%C3%A4"]
    for bad in (b"no-such", b"rot13", b"\0", b"hex"):
        answer = await client.post("/", [form_part(None, bad, name="_charset_"), form_part("a", b"1")])
        assert answer.status == 400


async def test_too_many_fields(client: Client) -> None:
    answer = await client.post("/", [form_part(None, b"x" * 70_000)])
    assert (answer.status, answer.error) == (413, "too-large")
    answer = await client.post("/", [form_part(None, b"")] * 5_000)
    assert answer.status == 413


# -- refusals of the whole request, before the head

FORM = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}

WHOLE = [
    ("missing collection", "/no", FORM, 404, None),
    ("file", "/file", FORM, 405, None),
    ("no type", "/", {"Content_Type": ""}, 400, "malformed"),
    ("JSON", "/", {"Content_Type": "application/json"}, 415, "unsupported-type"),
    ("no boundary", "/", {"Content_Type": "multipart/form-data"}, 400, "malformed"),
    ("bad boundary", "/", {"Content_Type": 'multipart/form-data; boundary="a<b"'}, 400, "malformed"),
    ("long boundary", "/", {"Content_Type": f"multipart/form-data; boundary={'a' * 71}"}, 400, "malformed"),
    ("coding", "/", FORM | {"Content_Encoding": "gzip"}, 415, "unsupported-type"),
    ("not acceptable", "/", FORM | {"Accept": "image/png"}, 406, None),
    ("condition", "/", FORM | {"If_None_Match": "*"}, 412, None),
    ("lock token", "/", FORM | {"If": "(<urn:x>)"}, 412, None),
    ("foreign origin", "/", FORM | {"Origin": "https://evil.example"}, 403, "cross-site"),
    ("null origin", "/", FORM | {"Origin": "null"}, 403, "cross-site"),
    ("cross-site", "/", FORM | {"Sec_Fetch_Site": "cross-site"}, 403, "cross-site"),
    ("whole or not", "/?atomic=yes", FORM, 400, "malformed"),
    ("steering", "/?overwrite=x", FORM, 400, "malformed"),
    ("service", "/-/x", FORM, 403, "forbidden-name"),
    ("state", "/.partwise/", FORM, 403, "forbidden-name"),
    ("name", "/", FORM | {"Idempotency_Key": "a" * 15}, 400, "malformed"),
    ("100 query fields", "/?" + "&".join("a" * 150), FORM, 400, "malformed"),
]


@pytest.mark.parametrize(
    ("target", "headers", "status", "error"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE]
)
async def test_whole_request_refused(
    client: Client, target: str, headers: dict[str, str], status: int, error: str | None
) -> None:
    (client.folder / "file").write_bytes(b"x")
    answer = await client.request("POST", target, multipart([form_part("a", b"1")]), **headers)
    assert (answer.status, answer.error) == (status, error)
    if status == 405:
        assert "PUT" in answer.headers["Allow"]
    if status == 415:
        assert "multipart/form-data" in answer.headers["Accept-Post"]
    assert files(client.folder) == {"file": b"x"}


async def test_same_origin_is_welcome(client: Client) -> None:
    headers = {"Origin": f"http://127.0.0.1:{client.port}", "Sec_Fetch_Site": "same-origin"}
    assert (await client.post("/", [form_part("a", b"1")], **headers)).statuses == [201]


# -- limits


async def test_limits(serve: Serve) -> None:
    client = await serve(max_item_size=10, max_items=4, accept=("text/*", "image/png"))
    answer = await client.post(
        "/",
        [
            form_part("a", b"x" * 10, Content_Type="text/plain"),
            form_part("b", b"x" * 11, Content_Type="text/plain"),
            form_part("c", b"x", Content_Type="application/pdf"),
            form_part("d", b"x", Content_Type="text/csv"),
            form_part("e", b"x", Content_Type="text/csv"),
            form_part("f", b"x", Content_Type="text/csv"),
        ],
    )
    assert [(row.status, row.error) for row in answer.rows] == [
        (201, None),
        (413, "too-large"),
        (415, "unsupported-type"),
        (201, None),
        (413, "too-large"),
    ]
    assert answer.rows[1].element.find(".//{urn:partwise:batch}too-large").get("limit") == "10"  # type: ignore[union-attr]
    assert answer.summary["state"] == "aborted"
    assert set(files(client.folder)) == {"a", "d"}


async def test_a_declared_batch_that_is_too_large(serve: Serve) -> None:
    client = await serve(max_batch_size=100)
    answer = await client.post("/", [form_part("a", b"x" * 200)])
    assert (answer.status, answer.error) == (413, "too-large")
    chunked = await client.request("POST", "/", _pieces([form_part("a", b"x"), form_part("b", b"x" * 200_000)]), **FORM)
    assert chunked.status in (207, 413)
    assert "b" not in files(client.folder)


async def _pieces(parts: list[bytes]):  # type: ignore[no-untyped-def]
    for part in multipart(parts).split(b"\r\n"):
        yield part + b"\r\n"


async def test_read_only(serve: Serve) -> None:
    client = await serve(anonymous="read")
    assert (await client.post("/", [form_part("a", b"x")])).status == 403
    assert (await client.request("PUT", "/a", b"x")).status == 403
    assert (await client.request("GET", "/")).status == 200
    assert files(client.folder) == {}


# -- where things are


async def test_prefix_and_public_url_stand_in_every_href(serve: Serve) -> None:
    client = await serve(prefix="/dav/x", public_url="https://files.example.org/share/")
    answer = await client.post("/dav/x", [form_part("a", b"1"), form_part("..", b"1")])
    assert answer.rows[0].href == "/share/a"
    assert answer.rows[1].href.startswith("/share/?batch=")
    listing = await client.request("PROPFIND", "/dav/x/", Depth="1")
    assert [row.href for row in listing.rows] == ["/share/", "/share/a"]
    page = await client.request("GET", "/dav/x/", Accept="text/html")
    assert b'href="/share/a"' in page.body
    assert (await client.request("GET", "/a")).status == 404


async def test_html_report(client: Client) -> None:
    answer = await client.post("/", [form_part("a<b>", b"1"), form_part("..", b"2")], Accept="text/html,*/*;q=0.8")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert "a&lt;b&gt;" in text and "Created" in text and "403" in text and "a<b>" not in text


# -- add-member


async def test_add_member(client: Client) -> None:
    first = await client.request("POST", "/?add-member", b"x", Slug="note.txt", Content_Type="text/plain")
    assert (first.status, first.headers["Content-Location"]) == (201, "/note.txt")
    again = await client.request("POST", "/?add-member", b"y", Slug="note.txt", Content_Type="text/plain")
    assert again.status == 201 and again.headers["Content-Location"] != "/note.txt"
    hostile = await client.request("POST", "/?add-member", b"z", Slug="../../%2e%2e/etc", Content_Type="image/x-y")
    assert hostile.status == 201
    bad = await client.request("POST", "/?add-member", b"{", Content_Type="application/json")
    assert (bad.status, bad.error) == (400, "not-well-formed")
    nameless = await client.request("POST", "/?add-member", b"{}", Content_Type="application/json")
    assert nameless.headers["Location"].endswith(".json")
    assert len(files(client.folder)) == 4
    assert (await client.request("POST", "/no?add-member", b"x")).status == 404
