from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from partwise.batch.forms import html
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import Issue, NotWellFormed, PreconditionFailed, SchemaInvalid
from partwise.web import pages

VOID = {"meta", "link", "input", "br"}
NOON = 1_772_366_400 * 10**9  # 2026-03-01T12:00:00Z


class Balance(HTMLParser):
    """Fails on a tag that is not closed in its turn, and gathers what a page could load or run."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.blocks: dict[str, list[str]] = {"style": [], "script": []}
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.blocks:
            self.blocks[self.open[-1]].append(data)


def parse(document: str) -> lxml_html.HtmlElement:
    assert document.startswith("<!doctype html>\n")
    assert document.endswith("</html>\n")
    assert document.count("<!doctype") == document.count("</html>") == 1
    document.encode()
    Balance(document)
    return lxml_html.document_fromstring(document)


def listing(*rows: str, may_write: bool = True, name: str = "photos", parent: str | None = "/") -> str:
    head = pages.listing_head((name,), [("Files", "/"), (name, "/photos/")], "/photos/?a=1&b=2", parent, may_write)
    return head + "".join(rows) + pages.listing_end(len(rows))


def report(*rows: str, state: str = "complete") -> str:
    return pages.report_head("/photos/") + "".join(rows) + pages.report_end(len(rows), len(rows), 0, state)


DOCUMENTS = {
    "listing": listing(pages.listing_row("a", "/a", False, 1, NOON)),
    "listing to read": listing(may_write=False),
    "report": report(pages.report_row(1, "a", "/a", 201, "Stored.")),
    "error": pages.error_page(404, "Not Found", "There is nothing under this address.", "/"),
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_are_whole_and_stand_by_themselves(document: str) -> None:
    page = parse(document)
    assert page.get("lang") == "en"
    assert page.findtext(".//title")
    assert len(page.findall(".//h1")) == 1
    found = Balance(document)
    assert found.attributes
    for tag, name, value in found.attributes:
        # The policy forbids style attributes and handlers; they would silently do nothing.
        assert name != "style" and not name.startswith("on"), (tag, name)
        if name in ("src", "href", "action", "srcset"):
            assert re.match(r"/(?!/)|data:image/svg\+xml,", value), (tag, name, value)
    outside = re.findall(r"@import|url\((?![\"']?data:)", "".join(found.blocks["style"]))
    assert outside == []


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_policy_allows_exactly_the_blocks_inside(document: str) -> None:
    policy = dict(part.strip().split(" ", 1) for part in pages.CSP.split(";"))
    blocks = Balance(document).blocks
    assert len(blocks["style"]) == 1
    assert len(blocks["script"]) == ("<form" in document)
    for kind, texts in blocks.items():
        for text in texts:
            assert policy[f"{kind}-src"] == f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert policy["img-src"] == "data:"


HOSTILE = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ('"><img src=x onerror=alert(1)>', '"><img src=x onerror=alert(1)>'),
    ("' onmouseover='alert(1)", "' onmouseover='alert(1)"),
    ("&lt;b&gt; &amp; &#60;", "&lt;b&gt; &amp; &#60;"),
    ("{{ 7 * 7 }}{% raw %}", "{{ 7 * 7 }}{% raw %}"),
    ("</title></style></bdi><!-- ", "</title></style></bdi><!-- "),
    ("a\x00b\x1b[31m\x7f\x85", "a\ufffdb\ufffd[31m\ufffd\ufffd"),
    ("caf\udce9", "caf\ufffd"),
    ("invoice\u202ecod.exe", "invoice\ufffdcod.exe"),
    ("\u2067a\u2069", "\ufffda\ufffd"),
    ("مرحبا\u200f.txt", "مرحبا\u200f.txt"),
    ("日本 🎉", "日本 🎉"),
]


@pytest.mark.parametrize(("name", "shown"), HOSTILE)
def test_hostile_names_are_text_wherever_they_stand(name: str, shown: str) -> None:
    plain = sorted(element.tag for element in parse(listing(pages.listing_row("a", "/a", False, 1, 0))).iter("*"))
    page = parse(listing(pages.listing_row(name, "/a?b='\"<&", False, 1, 0), name=name))
    assert sorted(element.tag for element in page.iter("*")) == plain
    assert [bdi.text for bdi in page.iter("bdi")] == ["Files", shown, shown]
    assert page.findtext(".//title") == f"/{shown}/"
    assert page.xpath("//tbody[last()]//a/@href") == ["/a?b='\"<&"]

    issue = Issue(name, 1, 2, name, name)
    page = parse(report(pages.report_row(1, name, None, 422, "Wrong: " + name, [issue])))
    (row,) = page.xpath("//tbody/tr")
    assert row.xpath(".//bdi/text()") == [shown]
    assert row.xpath("td[3]/text()") == ["Wrong: " + shown]
    assert row.xpath("string(.//li)") == f"line 1, column 2, {shown}: {shown} [{shown}]"

    page = parse(pages.error_page(400, "Bad Request", name, "/"))
    assert page.xpath("//main/p[2]/text()") == [shown]


@given(st.text(st.characters(exclude_categories=())))
def test_any_name_is_one_row_with_one_link(name: str) -> None:
    row = pages.listing_row(name, "/x", False, 1, 0)
    row.encode()
    table = lxml_html.fragment_fromstring(f"<table>{row}</table>")
    assert [element.tag for element in table.iter("*")] == ["table", "tr", "th", "a", "bdi", "td", "td", "time"]
    assert (table.findtext(".//bdi") or "") == pages.legible(name)


def test_line_breaks_in_a_name_are_shown_and_in_a_sentence_are_spaces() -> None:
    assert "<bdi>a\ufffdb</bdi>" in pages.listing_row("a\nb", "/a", False, 1, 0)
    row = pages.report_row(1, "a\nb", None, 422, "Wrong:\r\n\tno.", [Issue("one\ntwo")])
    assert "<bdi>a\ufffdb</bdi>" in row
    assert "Wrong:   no." in row
    assert "<li>one two</li>" in row


def test_a_listing_tells_its_members() -> None:
    rows = (
        pages.listing_row("raw", "/photos/raw/", True, 0, NOON),
        pages.listing_row("a.jpg", "/photos/a.jpg", False, 48213, NOON + 59_999_999_999),
    )
    page = parse(listing(*rows))
    assert page.xpath("//nav//a/@href") == ["/"]
    assert page.xpath("string(//h1)") == "photos"
    assert page.xpath("//thead//th/text()") == ["Name", "Size", "Modified (UTC)"]
    assert page.xpath("//tbody//a/@href") == ["/", "/photos/raw/", "/photos/a.jpg"]
    folder, file = page.xpath("//tbody[last()]/tr")
    assert [cell.text_content() for cell in folder] == ["raw/", "folder", "2026-03-01 12:00"]
    assert [cell.text_content() for cell in file] == ["a.jpg", "47.1 KiB", "2026-03-01 12:00"]
    assert file.xpath(".//time/@datetime") == ["2026-03-01T12:00:59Z"]
    assert file.xpath("td[@class='size']/@title") == ["48,213 bytes"]
    assert page.xpath("string(//main/p)") == "2 entries."


def test_the_root_has_nothing_above_it_and_may_be_empty() -> None:
    page = parse(pages.listing_head((), [("Files", "/")], "/", None, False) + pages.listing_end(0))
    assert page.xpath("//nav") == page.xpath("//tr[td]") == page.xpath("//form") == page.xpath("//script") == []
    assert page.xpath("string(//title)") == "/"
    assert page.xpath("string(//main/p)") == "This folder is empty."


def test_the_form_steers_before_its_first_file() -> None:
    (form,) = parse(listing()).forms
    assert (form.method, form.get("enctype"), form.action) == ("POST", "multipart/form-data", "/photos/?a=1&b=2")
    fields = [(field.get("name"), field.get("type"), field.get("value")) for field in form.iter("input")]
    assert fields == [
        ("overwrite", "radio", "F"),
        ("overwrite", "radio", "T"),
        ("atomic", "radio", "0"),
        ("atomic", "radio", "1"),
        ("dry-run", "checkbox", "1"),
        ("files", "file", None),
        ("files", "file", None),
    ]
    assert dict(form.form_values()) == {"overwrite": "F", "atomic": "0"}
    files, folder = form.xpath(".//input[@type='file']")
    assert "multiple" in files.attrib and "webkitdirectory" in folder.attrib
    for field in form.iter("input"):
        assert field.xpath("ancestor::label") or form.xpath(".//label[@for=$id]", id=field.get("id", ""))
    assert form.xpath(".//button[not(@type) or @type='submit']")


@pytest.mark.parametrize(
    ("size", "shown", "exact"),
    [
        (0, "0 B", "0 bytes"),
        (1, "1 B", "1 byte"),
        (1023, "1023 B", "1,023 bytes"),
        (1024, "1.0 KiB", "1,024 bytes"),
        (1536, "1.5 KiB", "1,536 bytes"),
        (2**20 - 1, "1.0 MiB", "1,048,575 bytes"),
        (2**20 - 2**10, "1023.0 KiB", "1,047,552 bytes"),
        (5 * 2**30, "5.0 GiB", "5,368,709,120 bytes"),
        (2**63, "8.0 EiB", "9,223,372,036,854,775,808 bytes"),
        (2**70, "1024.0 EiB", "1,180,591,620,717,411,303,424 bytes"),
    ],
)
def test_sizes(size: int, shown: str, exact: str) -> None:
    row = pages.listing_row("a", "/a", False, size, 0)
    assert f'<td class="size" title="{exact}">{shown}</td>' in row


@pytest.mark.parametrize(
    ("modified_ns", "stamp"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (NOON + 999_999_999, "2026-03-01T12:00:00Z"),
        (-(2**80), "0001-01-01T00:00:00Z"),
        (2**80, "9999-12-31T23:59:59Z"),
    ],
)
def test_times(modified_ns: int, stamp: str) -> None:
    row = pages.listing_row("a", "/a", False, 0, modified_ns)
    assert f'<time datetime="{stamp}">{stamp[:10]} {stamp[11:16]}</time>' in row


def test_the_form_of_a_report_is_a_page() -> None:
    assert html.content_type.split(";")[0] == html.media_type == "text/html"
    issues = (Issue("is not a date", 12, 9, "/order/date"), Issue("no such customer", code="E17"))
    outcomes = [
        Outcome(1, "/photos/a.jpg", 201, "a.jpg", size=48213),
        Outcome(2, "/photos/?batch=x&item=2", 204, "b.jpg", size=1, location="/photos/b.jpg"),
        Outcome(3, "/photos/c.xml", 422, "sub/c.xml", failure=SchemaInvalid("Correct the places.", issues=issues)),
        Outcome(4, "/photos/d", 412, "d", failure=PreconditionFailed("There is one already.")),
        Outcome(5, "/photos/?batch=x&item=5", 400, "", failure=NotWellFormed("Cannot be read.")),
    ]
    document = html.head("/photos/a%20b/") + html.rows(outcomes[:2]) + html.keep_alive + html.rows(outcomes[2:])
    document += html.end(Summary("x", items=5, stored=2, failed=3, state="complete"))
    page = parse(document.decode())
    assert [(link.get("href"), link.text_content()) for link in page.iter("a")] == [
        ("/photos/a%20b/", "/photos/a b/"),
        ("/photos/a.jpg", "a.jpg"),
        ("/photos/b.jpg", "b.jpg"),
    ]
    rows = page.xpath("//tbody/tr")
    assert [row.get("class") for row in rows] == ["stored", "stored", "failed", "failed", "failed"]
    assert [row.xpath("string(td[2])") for row in rows] == [
        "201 Created",
        "204 No Content",
        "422 Unprocessable Content",
        "412 Precondition Failed",
        "400 Bad Request",
    ]
    assert [row.xpath("string(.//div)") for row in rows] == ["a.jpg", "b.jpg", "sub/c.xml", "d", "without a name"]
    assert [row.xpath("string(td[3]/text())") for row in rows] == [
        "Stored as a new file.",
        "Stored in place of the earlier file.",
        "Correct the places.",
        "There is one already.",
        "Cannot be read.",
    ]
    assert [item.text_content() for item in page.iter("li")] == [
        "line 12, column 9, /order/date: is not a date",
        "no such customer [E17]",
    ]
    assert page.xpath("string(//*[@role='status']/p)") == "2 of 5 files were stored, 3 were not."


@pytest.mark.parametrize(("count", "shown", "more"), [(1, 1, None), (20, 20, None), (21, 20, 1), (3020, 20, 3000)])
def test_issues_after_the_twentieth_are_counted(count: int, shown: int, more: int | None) -> None:
    issues = [Issue(f"wrong {number}") for number in range(1, count + 1)]
    row = lxml_html.fragment_fromstring(f"<table>{pages.report_row(1, 'a', None, 422, 'Wrong.', issues)}</table>")
    texts = [item.text_content() for item in row.iter("li")]
    assert texts[:shown] == [f"wrong {number}" for number in range(1, shown + 1)]
    assert texts[shown:] == ([] if more is None else [f"and {more:,} more"])


@pytest.mark.parametrize("letter", ["a", '"', "\x00", "🎉", "\udcff", "ü"])
def test_a_row_is_bounded_and_counts_what_it_leaves_out(letter: str) -> None:
    long = letter * 10_000
    issues = [Issue(long, 10**9, 10**9, long, long)] * 1000
    row = pages.report_row(10**9, long, None, 422, long, issues, 10**18)
    assert len(row.encode()) <= 8192
    table = lxml_html.fragment_fromstring(f"<table>{row}</table>")
    *told, last = [item.text_content() for item in table.iter("li")]
    assert last == f"and {1000 - len(told):,} more"
    assert table.findtext(".//bdi") == pages.legible(letter) * 499 + "…"
    assert len(pages.report_row(1, long, "/" + "%41" * 1023, 201, "Stored.", (), 1).encode()) <= 8192


@pytest.mark.parametrize(
    ("items", "stored", "failed", "state", "sentences", "tone"),
    [
        (0, 0, 0, "complete", ["No file was received."], "quiet"),
        (1, 1, 0, "complete", ["1 file was stored."], "good"),
        (20_000, 20_000, 0, "complete", ["20,000 files were stored."], "good"),
        (1, 0, 1, "complete", ["1 file was received, none was stored."], "bad"),
        (3, 2, 1, "complete", ["2 of 3 files were stored, 1 was not."], "bad"),
        (0, 0, 0, "running", ["No file was received yet.", "still running"], "quiet"),
        (2, 2, 0, "running", ["2 files were stored.", "still running"], "quiet"),
        (2, 2, 0, "aborted", ["2 files were stored.", "broke off"], "bad"),
    ],
)
def test_summaries(items: int, stored: int, failed: int, state: str, sentences: list[str], tone: str) -> None:
    page = parse(pages.report_head("/") + pages.report_end(items, stored, failed, state))
    (summary,) = page.xpath("//*[@role='status']")
    told = [paragraph.text for paragraph in summary.iter("p")]
    assert len(told) == len(sentences)
    assert all(expected in text for expected, text in zip(sentences, told, strict=True))
    assert summary.get("class") == f"summary {tone}"
    assert summary.get("aria-live") == "polite"
