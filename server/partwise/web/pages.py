"""The pages a person sees in a browser: a collection, the report of an upload, an error.

Pure functions that give pieces of text; head, rows and end joined are a whole document, so that a page of any length is
streamed in constant memory. A page stands by itself: style and script are inside, and ``CSP`` allows these two by their
hashes and nothing else. Frames come from the templates beside this file; rows are formatted text, since there may be a
million of them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from partwise.errors import Issue, reason
from partwise.protocol.multistatus import MAX_ISSUES, shortened

__all__ = [
    "CSP",
    "error_page",
    "escaped",
    "legible",
    "listing_end",
    "listing_head",
    "listing_row",
    "report_end",
    "report_head",
    "report_row",
]

#: Bytes of one row of a report.
MAX_ROW = 8192
#: Characters of a name, a sentence and an issue that a row shows.
_NAME, _SENTENCE, _ISSUE, _PLACE = 500, 500, 200, 100
#: Bytes kept for the tags that close a row and for the number of issues left out.
_CLOSING = 128

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "style.css").read_text("utf-8")
_SCRIPT = (_FOLDER / "upload.js").read_text("utf-8")


def _hash(block: str) -> str:
    return f"'sha256-{b64encode(sha256(block.encode()).digest()).decode()}'"


#: The Content-Security-Policy of every page (CSP Level 3). ``data:`` is for the icons, which are inside the page too.
CSP = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Controls and surrogates cannot be shown; embeddings, overrides and isolates (UAX #9) would show a name in another order
# than it has, "cod.exe" as "exe.doc". Marks without such power (U+200E, U+200F) are part of ordinary names.
_CONFUSING = "\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_ILLEGIBLE = re.compile(f"[{_CONFUSING}]")
_SPECIAL = re.compile(f"[&<>\"'{_CONFUSING}]")
_LINE_BREAKS = str.maketrans("\t\n\r", "   ")


def legible(value: str) -> str:
    """What cannot be shown, or deceives about what is shown, becomes U+FFFD."""
    return _ILLEGIBLE.sub("\ufffd", value)


def escaped(value: str) -> str:
    """Legible, and escaped for element content and for attributes in quotes."""
    return value if _SPECIAL.search(value) is None else escape(legible(value))


def _prose(value: str, limit: int) -> str:
    return escaped(shortened(value, limit).translate(_LINE_BREAKS))


def _counted(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        keep_trailing_newline=True,
    )
    environment.globals.update(style=_STYLE, script=_SCRIPT, counted=_counted)
    return environment


def _around_rows(environment: Environment, name: str) -> tuple[Template, Template]:
    """A document is one template, so that it can be read and checked whole; it is written in two halves."""
    source = (_FOLDER / name).read_text("utf-8")
    head, tail = source.split("<!-- rows -->\n")
    return environment.from_string(head), environment.from_string(tail)


_ENVIRONMENT = _environment()
_LISTING_HEAD, _LISTING_END = _around_rows(_ENVIRONMENT, "listing.html")
_REPORT_HEAD, _REPORT_END = _around_rows(_ENVIRONMENT, "report.html")
_ERROR = _ENVIRONMENT.get_template("error.html")


def listing_head(
    title_path: tuple[str, ...],
    crumbs: Sequence[tuple[str, str]],
    action: str,
    parent: str | None,
    may_write: bool,
    batches: str = "",
) -> str:
    """A collection, up to its first member.

    ``title_path``: its segments. ``crumbs``: text and href from the root down to the collection itself, at least one.
    ``action``: where uploads are posted. ``parent``: href of the collection above. ``may_write``: offer an upload.
    ``batches``: href below which an upload can be followed by its name.
    """
    return _LISTING_HEAD.render(
        title=legible("".join(f"/{segment}" for segment in title_path) + "/"),
        crumbs=[(legible(text), href) for text, href in crumbs],
        action=action,
        parent=parent,
        may_write=may_write,
        batches=batches,
    )


def listing_row(name: str, href: str, collection: bool, size: int, modified_ns: int) -> str:
    """One member. ``size`` in bytes, ``modified_ns`` nanoseconds since 1970, as in a storage's ``Resource``."""
    iso = _iso(modified_ns)
    if collection:
        opening, slash, sizing = '<tr class="folder">', "/", '<td class="size">folder</td>'
    else:
        opening, slash, sizing = "<tr>", "", _size_cell(size)
    return (
        f'{opening}<th scope="row"><a href="{escaped(href)}"><bdi>{escaped(name)}</bdi>{slash}</a></th>{sizing}'
        f'<td class="time"><time datetime="{iso}Z">{iso[:10]} {iso[11:16]}</time></td></tr>\n'
    )


def listing_end(count: int) -> str:
    """The end of a collection of ``count`` members."""
    return _LISTING_END.render(count=count)


def report_head(collection_href: str) -> str:
    """The report of an upload to the collection, up to its first row."""
    return _REPORT_HEAD.render(title="Upload report", href=collection_href, place=legible(unquote(collection_href)))


def report_row(
    index: int,
    name: str,
    href: str | None,
    status: int,
    sentence: str,
    issues: Sequence[Issue] = (),
    size: int | None = None,
) -> str:
    """What became of one item, in at most ``MAX_ROW`` bytes.

    ``href``: where it was stored, ``None`` if it was not. ``sentence``: what happened. Issues that do not fit, and those
    after the first ``MAX_ISSUES``, are counted. Raises ValueError for a status that RFC 9110 and its kin do not know.
    """
    label = f"<bdi>{escaped(shortened(name, _NAME))}</bdi>" if name else "<i>without a name</i>"
    if href is not None:
        label = f'<a href="{escaped(href)}">{label}</a>'
    begin = (
        f'<tr class="{"stored" if status < 400 else "failed"}"><td class="index">{index}</td>'
        f'<td class="status"><span class="badge">{int(status)} {reason(status)}</span></td>'
        f'<td><div class="name">{label}</div>{_prose(sentence, _SENTENCE)}'
    )
    sizing = _size_cell(size) if size is not None else '<td class="size"></td>'
    room = MAX_ROW - _CLOSING - len(begin.encode()) - len(sizing)
    return f"{begin}{_issues(issues, room)}</td>{sizing}</tr>\n"


def _issues(issues: Sequence[Issue], room: int) -> str:
    lines: list[str] = []
    for issue in issues[:MAX_ISSUES]:
        line = f"<li>{_issue(issue)}</li>"
        room -= len(line.encode())
        if room < 0:
            break
        lines.append(line)
    if len(issues) > len(lines):
        lines.append(f"<li>and {_counted(len(issues) - len(lines), 'more', 'more')}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _issue(issue: Issue) -> str:
    places = [
        f"{word}{_prose(str(value), _PLACE)}"
        for word, value in (("line ", issue.line), ("column ", issue.column), ("", issue.path))
        if value is not None
    ]
    place = f"{', '.join(places)}: " if places else ""
    code = f' <span class="quiet">[{_prose(issue.code, _PLACE)}]</span>' if issue.code is not None else ""
    return f"{place}{_prose(issue.message, _ISSUE)}{code}"


def report_end(items: int, stored: int, failed: int, state: str, *, dry_run: bool = False, atomic: bool = False) -> str:
    """The summary and the end of a report; ``state`` is ``complete``, ``aborted`` or ``running``.

    ``dry_run``: nothing was stored, ``stored`` counts what would have been. ``atomic``: all of it is stored, or nothing.
    """
    tones = {"aborted": "bad", "running": "quiet", "complete": "good" if items else "quiet"}
    tone = "bad" if failed else tones[state]
    if dry_run and items:
        result = _trial(items, stored, failed)
    elif atomic and failed:
        result = "Nothing was stored: this upload is stored as a whole or not at all, and not every file is good."
    else:
        result = _result(items, stored, failed, state)
    return _REPORT_END.render(tone=tone, sentences=(result, *_STATES[state]))


_STATES = {
    "complete": (),
    "aborted": ("The upload broke off: files that do not appear below were not received.",),
    "running": ("The upload is still running; load this page again to see more.",),
}


def _trial(items: int, stored: int, failed: int) -> str:
    if not failed:
        told = f"{_counted(items, 'file', 'files')} would be stored"
    elif not stored:
        told = f"{_counted(items, 'file', 'files')} would be refused"
    else:
        told = f"{stored:,} of {items:,} files would be stored, {failed:,} would not"
    return f"Nothing was stored, this was a trial: {told}."


def _result(items: int, stored: int, failed: int, state: str) -> str:
    if not items:
        return "No file was received." if state != "running" else "No file was received yet."
    if not failed:
        return f"{_counted(items, 'file was', 'files were')} stored."
    if not stored:
        return f"{_counted(items, 'file was', 'files were')} received, none was stored."
    return f"{stored:,} of {items:,} files were stored, {failed:,} {'was' if failed == 1 else 'were'} not."


def error_page(status: int, reason: str, sentence: str, home: str) -> str:
    """A whole request failed. ``home``: href of a place to go on from."""
    return _ERROR.render(
        title=f"{int(status)} {reason}", status=int(status), reason=reason, sentence=legible(sentence), home=home
    )


_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def _human(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    scaled, power = size / 1024, 0
    # What would be rounded to 1024.0 belongs to the next unit.
    while scaled >= 1023.95 and power < len(_UNITS) - 1:
        scaled, power = scaled / 1024, power + 1
    return f"{scaled:.1f} {_UNITS[power]}"


def _size_cell(size: int) -> str:
    return f'<td class="size" title="{_counted(size, "byte", "bytes")}">{_human(size)}</td>'


# The years 1 to 9999, which is what datetime and the <time> element can write; some file systems keep others.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def _iso(modified_ns: int) -> str:
    """``2026-03-01T12:00:00`` in UTC, rounded down."""
    seconds = min(max(modified_ns // 1_000_000_000, _FIRST), _LAST)
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
