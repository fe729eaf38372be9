"""Every form of a report, read by a strict reader of its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from tests.batch.test_outcome import kinds
from tests.xml_documents import check_xml

from partwise.batch.forms import FORMS, choose_form, xml
from partwise.batch.forms.rows import row_object, summary_object
from partwise.batch.forms.words import sentence
from partwise.batch.outcome import Outcome, Summary, is_plain
from partwise.errors import Issue, Locked, NotAcceptable, PreconditionFailed, RolledBack, SchemaInvalid, reason

P = "{urn:partwise:batch}"
Told = tuple[list[Any], Any]


# -- readers


def strict_json(text: bytes) -> Any:
    """RFC 8259, and what RFC 7493 adds: no member twice, no lone surrogates."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        assert len(found) == len(pairs), f"a member twice: {pairs}"
        return found

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(text.decode("ascii"), object_pairs_hook=once, parse_constant=never)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def read_lines(body: bytes) -> Told:
    assert body.endswith(b"\n")
    # Readers differ in what ends a line: none of it may stand inside one.
    lines = body.decode().splitlines()
    assert len(lines) == body.count(b"\n")
    *rows, last = [strict_json(line.encode()) for line in lines]
    assert list(last) == ["summary"]
    return rows, last["summary"]


def read_document(body: bytes) -> Told:
    found = strict_json(body)
    assert list(found) == ["collection", "items", "summary"]
    assert found["collection"] == "/photos/"
    return found["items"], found["summary"]


def read_events(body: bytes) -> Told:
    """HTML Standard §9.2.6, to the letter."""
    text, rows, summary = body.decode(), [], None
    data, kind, last_id = "", "", ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line == "":
            if data:
                value = strict_json(data.removesuffix("\n").encode())
                if kind == "item":
                    assert last_id == str(value["index"])
                    rows.append(value)
                else:
                    assert kind == "summary" and summary is None
                    summary = value
            data, kind = "", ""
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            assert name in ("id", "event", "data"), line
            data, kind, last_id = (
                data + value + "\n" if name == "data" else data,
                value if name == "event" else kind,
                value if name == "id" else last_id,
            )
    assert text.endswith("\n\n") or not text
    return rows, summary


#: JSON:API 1.1, "Error Objects".
_OF_ERRORS = {"id", "links", "status", "code", "title", "detail", "source", "meta"}


def check_json_api(document: Any) -> None:
    """The rules of JSON:API 1.1 for a top level, as far as they concern a document of errors."""
    assert isinstance(document, dict)
    assert set(document) <= {"data", "errors", "meta", "jsonapi", "links", "included"}
    assert {"data", "errors", "meta"} & set(document), "MUST contain at least one of them"
    assert not ({"data", "errors"} <= set(document)), "MUST NOT coexist"
    assert "data" in document or "included" not in document
    assert document["jsonapi"] == {"version": "1.1"}
    assert isinstance(document.get("meta", {}), dict)
    if "errors" in document:
        assert isinstance(document["errors"], list) and document["errors"]
        for error in document["errors"]:
            assert error and set(error) <= _OF_ERRORS
            assert all(isinstance(error[name], str) for name in ("status", "code", "title", "detail") if name in error)
            assert error["title"] == reason(int(error["status"]))
            assert isinstance(error["meta"], dict)


def read_json_api(body: bytes) -> Told:
    document = strict_json(body)
    check_json_api(document)
    return document.get("errors", []), document["meta"]


def read_xml(body: bytes) -> Told:
    root = check_xml(body)
    return list(root.iter(f"{P}item")), root.find(f"{P}summary")


def read_html(body: bytes) -> Told:
    page = lxml_html.document_fromstring(body.decode())
    return page.xpath("//tbody/tr"), page.xpath("//*[@role='status']/p/text()")


READERS: dict[str, Callable[[bytes], Told]] = {
    "application/xml": read_xml,
    "text/xml": read_xml,
    "text/html": read_html,
    "application/json": read_document,
    "application/x-ndjson": read_lines,
    "application/jsonl": read_lines,
    "application/vnd.api+json": read_json_api,
    "text/event-stream": read_events,
}


def written(media_type: str, outcomes: Sequence[Outcome], summary: Summary, piece: int = 1) -> bytes:
    """A report in pieces of so many rows, with something between any two of them."""
    form = FORMS[media_type]()
    body = form.head("/photos/") + form.keep_alive
    for start in range(0, len(outcomes), piece):
        body += form.rows(outcomes[start : start + piece]) + form.keep_alive
    return body + form.end(summary)


def summed(outcomes: Sequence[Outcome], **more: Any) -> Summary:
    good = sum(outcome.good for outcome in outcomes)
    return Summary("b1", len(outcomes), good, len(outcomes) - good, state="complete", **more)


# -- reports


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


@st.composite
def reports(draw: st.DrawFn) -> list[Outcome]:
    found = []
    for index in range(1, draw(st.integers(0, 4)) + 1):
        kind = draw(st.sampled_from([None, *kinds()]))
        more: dict[str, Any] = {"name": draw(ANY_TEXT), "content_id": draw(st.none() | ANY_TEXT.filter(len))}
        if kind is None:
            more |= {"status": draw(st.sampled_from([200, 201, 204])), "size": draw(st.integers(0, 2**70))}
            more |= {"replayed": draw(st.booleans()), "earlier": draw(st.booleans()), "etag": '"1-2"'}
        else:
            issue = Issue(draw(ANY_TEXT), draw(st.none() | st.integers(1, 9)), None, draw(st.none() | ANY_TEXT))
            issues = (issue,) * draw(st.sampled_from([0, 1, 21]))
            accepted = tuple(draw(st.lists(st.sampled_from(["image/*", "text/csv"]), max_size=2)))
            # The conditions that RFCs name hold nothing of ours; that of a lock names its root.
            own = (kind.element or "P:").startswith("P:")
            href = "/h" if own or kind is Locked else None
            failure = kind(draw(ANY_TEXT) or "x", issues=issues if own else (), limit=5, accepted=accepted, href=href)
            more |= {"status": failure.status, "failure": failure}
        found.append(Outcome(index=index, href=f"/photos/{index}", **more))
    return found


@settings(max_examples=50)
@given(outcomes=reports(), piece=st.integers(1, 3))
@example(outcomes=[], piece=1)
def test_whatever_the_names_hold_a_strict_reader_reads_it(outcomes: list[Outcome], piece: int) -> None:
    for media_type, read in READERS.items():
        rows, told = read(written(media_type, outcomes, summed(outcomes), piece))
        shown = [outcome for outcome in outcomes if not outcome.good or media_type != "application/vnd.api+json"]
        assert len(rows) == len(shown), media_type
        assert told is not None, media_type


def test_every_form_has_a_reader_here() -> None:
    assert list(READERS) == list(FORMS)


@pytest.mark.parametrize("letter", ["a", '"', "\x00", "🎉", "\udcff", "\u2028"])
def test_a_row_of_json_is_bounded(letter: str) -> None:
    long = letter * 10_000
    failure = SchemaInvalid(long, issues=(Issue(long, 10**9, 10**9, long, long),) * 1000)
    outcome = Outcome(10**9, "/" + "%41" * 1000, failure.status, long, content_id=long, digest=long, failure=failure)
    body = written("application/x-ndjson", [outcome], summed([outcome]))
    [row], _ = read_lines(body)
    assert len(body.split(b"\n")[0]) <= 8193
    assert row["href"] == outcome.href and row["error"]["more"] + len(row["error"].get("issues", [])) == 1000
    [error], _ = read_json_api(written("application/vnd.api+json", [outcome], summed([outcome])))
    assert error["meta"]["href"] == outcome.href


GOOD = Outcome(1, "/photos/a", 201, "a", 3, '"e"', "sha-256=:x:", "<1@x>")
FAILED = Outcome(
    2,
    "/photos/b.xml",
    422,
    "b.xml",
    failure=SchemaInvalid("It breaks a rule.", issues=(Issue("no date", 12, 9, "/order/date", "E1"),)),
)
LOCKED = Outcome(3, "/photos/c", 423, "c", failure=Locked("It is locked.", href="/photos/"))
EXISTS = Outcome(4, "/photos/d", 412, "caf\udce9", failure=PreconditionFailed("There is one already."))


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson", "text/event-stream"])
def test_a_row_is_the_same_object_in_every_form_of_json(media_type: str) -> None:
    outcomes = [GOOD, FAILED, LOCKED, EXISTS]
    rows, summary = READERS[media_type](written(media_type, outcomes, summed(outcomes)))
    assert rows == [
        {
            "index": 1,
            "href": "/photos/a",
            "status": 201,
            "name": "a",
            "size": 3,
            "etag": '"e"',
            "digest": "sha-256=:x:",
            "contentId": "<1@x>",
        },
        {
            "index": 2,
            "href": "/photos/b.xml",
            "status": 422,
            "name": "b.xml",
            "error": {
                "type": "urn:partwise:batch:schema-invalid",
                "text": "It breaks a rule.",
                "issues": [{"message": "no date", "line": 12, "column": 9, "path": "/order/date", "code": "E1"}],
            },
        },
        {
            "index": 3,
            "href": "/photos/c",
            "status": 423,
            "name": "c",
            "error": {"type": "DAV:lock-token-submitted", "text": "It is locked.", "href": "/photos/"},
        },
        {
            "index": 4,
            "href": "/photos/d",
            "status": 412,
            "name": "caf\ufffd",
            "error": {"text": "There is one already."},
        },
    ]
    assert summary == {
        "batch": "b1",
        "state": "complete",
        "items": 4,
        "stored": 1,
        "failed": 3,
        "bytes": 0,
        "ignored": 0,
        "dryRun": False,
        "atomic": False,
        "text": "4 items: 1 stored, 3 failed",
    }


SPECIAL = [
    (Outcome(1, "/a", 200, "a", would=201), {"would": 201}, {"would": "201"}, "Would be stored as a new file."),
    (Outcome(1, "/a", 200, "a", would=204), {"would": 204}, {"would": "204"}, "Would be stored in place of"),
    (Outcome(1, "/a", 201, "a", replayed=True), {"replayed": True}, {"replayed": "1"}, "Stored already by an earlier"),
    (Outcome(1, "/a", 201, "a", earlier=True), {"earlier": True}, {"earlier": "1"}, "Reported by an earlier try"),
    (Outcome(1, "/a", 204, "a", method="DELETE"), {"method": "DELETE"}, {"method": "DELETE"}, "Deleted."),
    (Outcome(1, "/a/", 201, "a", method="MKCOL"), {"method": "MKCOL"}, {"method": "MKCOL"}, "Made as a new folder."),
    (Outcome(1, "/a", 200, "a", would=204, method="MOVE"), {"would": 204, "method": "MOVE"}, {}, "The MOVE would be"),
    (Outcome(1, "/a/", 204, "a/"), {}, {}, "The folder was there already."),
    (Outcome(1, "/?x", 201, "a", location="/b"), {"location": "/b"}, {}, "Stored as a new file."),
]


@pytest.mark.parametrize(("outcome", "json_members", "xml_attributes", "shown"), SPECIAL)
def test_what_is_special_about_a_row(
    outcome: Outcome, json_members: dict[str, Any], xml_attributes: dict[str, str], shown: str
) -> None:
    [row], _ = read_document(written("application/json", [outcome], summed([outcome])))
    plain = {"index": 1, "href": outcome.href, "status": outcome.status, "name": outcome.name}
    assert row == plain | json_members
    [item], _ = read_xml(written("application/xml", [outcome], summed([outcome])))
    assert dict(item.attrib).items() >= xml_attributes.items()
    [line], _ = read_html(written("text/html", [outcome], summed([outcome])))
    assert shown in line.text_content()
    links = line.xpath(".//a/@href")
    nothing_there = outcome.would is not None or outcome.method == "DELETE"
    assert links == ([] if nothing_there else [outcome.location or outcome.href])


def test_error_objects_of_json_api() -> None:
    outcomes = [GOOD, FAILED, LOCKED, EXISTS]
    errors, meta = read_json_api(written("application/vnd.api+json", outcomes, summed(outcomes), piece=2))
    assert errors[0] == {
        "status": "422",
        "code": "schema-invalid",
        "title": "Unprocessable Content",
        "detail": "It breaks a rule.",
        "meta": {
            "index": 2,
            "href": "/photos/b.xml",
            "name": "b.xml",
            "issues": [{"message": "no date", "line": 12, "column": 9, "path": "/order/date", "code": "E1"}],
        },
    }
    assert errors[1]["meta"] == {"index": 3, "href": "/photos/c", "name": "c", "relatedHref": "/photos/"}
    assert "code" not in errors[2] and (meta["items"], meta["failed"]) == (4, 3)


@pytest.mark.parametrize("outcomes", [[], [GOOD]])
def test_without_failures_a_document_of_json_api_is_meta_alone(outcomes: list[Outcome]) -> None:
    document = strict_json(written("application/vnd.api+json", outcomes, summed(outcomes)))
    assert list(document) == ["jsonapi", "meta"]


def test_each_response_has_a_form_of_its_own() -> None:
    one, other = choose_form("application/json"), choose_form("application/json")
    bodies = [form.head("/photos/") for form in (one, other)]
    bodies = [body + form.rows([GOOD]) for body, form in zip(bodies, (one, other), strict=True)]
    for body, form in zip(bodies, (one, other), strict=True):
        assert len(read_document(body + form.end(summed([GOOD])))[0]) == 1


@pytest.mark.parametrize("outcome", [GOOD, FAILED], ids=["good", "failed"])
@pytest.mark.parametrize("media_type", FORMS)
def test_a_single_row_is_a_document_of_its_own(media_type: str, outcome: Outcome) -> None:
    body = choose_form(media_type).single("/photos/", outcome)
    match media_type:
        case "application/json" | "application/x-ndjson" | "application/jsonl":
            row = strict_json(body)
            assert (row["index"], row["status"]) == (outcome.index, outcome.status)
        case "application/vnd.api+json":
            document = strict_json(body)
            check_json_api(document)
            assert ("errors" in document) is (not outcome.good)
        case "text/event-stream":
            assert read_events(body)[0][0]["index"] == outcome.index
        case "text/html":
            assert len(read_html(body)[0]) == 1
        case _:
            assert len(read_xml(body)[0]) == 1


SUMMARIES = [
    (Summary("b", 2, 1, 1, state="complete"), "2 items: 1 stored, 1 failed", "1 of 2 files were stored, 1 was not."),
    (
        Summary("b", 1, 1, 0, state="complete", dry_run=True),
        "1 item: 1 would be stored, 0 would fail; nothing was stored (dry run)",
        "Nothing was stored, this was a trial: 1 file would be stored.",
    ),
    (
        Summary("b", 3, 1, 2, state="complete", dry_run=True),
        "3 items: 1 would be stored, 2 would fail; nothing was stored (dry run)",
        "Nothing was stored, this was a trial: 1 of 3 files would be stored, 2 would not.",
    ),
    (
        Summary("b", 2, 0, 2, state="complete", dry_run=True),
        "2 items: 0 would be stored, 2 would fail; nothing was stored (dry run)",
        "Nothing was stored, this was a trial: 2 files would be refused.",
    ),
    (
        Summary("b", 2, 0, 2, state="complete", atomic=True),
        "2 items: none stored, because all or nothing was to be stored and not every item is good",
        "Nothing was stored: this upload is stored as a whole or not at all, and not every file is good.",
    ),
    (Summary("b", 2, 2, 0, state="complete", atomic=True), "2 items: 2 stored, 0 failed", "2 files were stored."),
    (
        Summary("b", 1, 1, 0, state="aborted"),
        "1 item: 1 stored, 0 failed; the upload broke off",
        "1 file was stored.",
    ),
]


@pytest.mark.parametrize(("summary", "words", "page"), SUMMARIES)
def test_summaries(summary: Summary, words: str, page: str) -> None:
    assert sentence(summary) == words
    failures = [Outcome(n, f"/{n}", 424, f"{n}", failure=RolledBack("x")) for n in range(1, summary.failed + 1)]
    stored = [Outcome(n, f"/{n}", 201, f"{n}") for n in range(summary.failed + 1, summary.items + 1)]
    outcomes = failures + stored
    found = read_xml(written("application/xml", outcomes, summary))[1].attrib
    assert (found.get("dry-run"), found.get("atomic")) == (
        "true" if summary.dry_run else None,
        "true" if summary.atomic else None,
    )
    told = read_document(written("application/json", outcomes, summary))[1]
    assert (told["dryRun"], told["atomic"], told["text"]) == (summary.dry_run, summary.atomic, words)
    assert read_html(written("text/html", outcomes, summary))[1][0] == page


# -- negotiation

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"

ACCEPT = [
    (None, "application/xml"),
    ("", "application/xml"),
    ("*/*", "application/xml"),
    ("text/*", "text/xml"),
    (BROWSER, "text/html"),
    ("text/html, application/xhtml+xml, image/jxr, */*", "text/html"),
    ("application/json, text/plain, */*", "application/json"),
    ("application/json, text/javascript, */*; q=0.01", "application/json"),
    ("application/json; charset=utf-8", "application/json"),
    ("application/json;q=0.5, application/xml;q=0.4", "application/json"),
    ("application/json;q=0.4, application/xml;q=0.5", "application/xml"),
    ("application/json, application/xml", "application/xml"),
    ("application/*;q=0.9, application/xml;q=0", "application/json"),
    ("*/*, application/xml;q=0, text/xml;q=0, text/html;q=0.1", "application/json"),
    ("application/x-ndjson", "application/x-ndjson"),
    ("application/jsonl, */*;q=0.1", "application/jsonl"),
    ("APPLICATION/X-NDJSON", "application/x-ndjson"),
    ("text/event-stream", "text/event-stream"),
    ("application/vnd.api+json", "application/vnd.api+json"),
    ('application/vnd.api+json; profile="https://example.org/p"', "application/vnd.api+json"),
    ("application/vnd.api+json; charset=utf-8, application/vnd.api+json", "application/vnd.api+json"),
    ("* ; q=.2", "application/xml"),
    ("image/png", None),
    ("application/json;q=0", None),
    ("application/xml; version=2", None),
    # JSON:API 1.1: "servers MUST ignore instances of that media type which are modified by a media type parameter other
    # than ext or profile", and an extension that is not supported is 406.
    ("application/vnd.api+json; charset=utf-8", None),
    ('application/vnd.api+json; ext="https://example.org/e"', None),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPT)
def test_negotiation(accept: str | None, media_type: str | None) -> None:
    if media_type is None:
        with pytest.raises(NotAcceptable) as refused:
            choose_form(accept)
        assert refused.value.accepted == tuple(FORMS)
        assert all(name in refused.value.text for name in FORMS)
        return
    form = choose_form(accept)
    # text/xml is another name of the same document.
    assert form.media_type == ("application/xml" if media_type == "text/xml" else media_type)
    assert form.content_type.partition(";")[0] == form.media_type


# -- the guide

GUIDE = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")
READ_BY_BEGINNING: dict[str, Callable[[bytes], Any]] = {
    '{"collection"': read_document,
    '{"index"': read_lines,
    '{"jsonapi"': read_json_api,
    '{"maxItems"': strict_json,
    '{"type"': strict_json,
    "id: ": lambda body: read_events(body + b"\n"),
    "<": check_xml,
}


def test_the_examples_of_the_guide_are_what_they_say() -> None:
    examples = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    answers = [text for kind, text in examples if kind in ("", "json", "xml") and not text.startswith("curl")]
    assert len(answers) == 9
    for answer in answers:
        [read] = [reader for begin, reader in READ_BY_BEGINNING.items() if answer.startswith(begin)]
        read(answer.encode())


def test_the_guide_names_every_form_and_every_member() -> None:
    assert all(f"`{media_type}`" in GUIDE for media_type in FORMS)
    everything = Outcome(1, "/a", 201, "a", 1, "e", "d", "c", "/l", Locked("x"), 201, True, "PUT", True)
    assert all(f"| `{name}` |" in GUIDE for name in row_object(everything))
    assert all(f"`{name}`" in GUIDE for name in summary_object(Summary("b")))


@given(st.text(max_size=300), st.integers(0, 2**60), st.sampled_from([201, 204]))
def test_a_plain_row_is_written_as_any_other(name: str, size: int, status: int) -> None:
    outcome = Outcome(7, "/a%20b/c", status, name, size=size, etag='"1-2-3"')
    assert is_plain(outcome)
    assert xml.rows([outcome]).decode("utf-8", "surrogatepass") == xml._written(outcome, 20)
