"""Nextcloud's bulk upload: ``multipart/related`` whose parts say in ``X-File-Path`` where they belong, answered by JSON.

Source: Nextcloud developer manual, Client APIs, WebDAV, "File bulk upload".
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from partwise.batch.containers import Headers, ItemPart
from partwise.batch.outcome import Outcome, Summary
from partwise.errors import Failure, Malformed, MalformedName
from partwise.protocol.paths import Mount, Path, split_name

#: The end of the path that uploads are sent to, and the script that stands before it on a Nextcloud server.
DOOR = ("dav", "bulk")
_SCRIPT = "remote.php"

_COUNTED = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "content-transfer-encoding",
        "content-digest",
        "repr-digest",
        "content-md5",
        "oc-checksum",
        "x-oc-mtime",
        "if-match",
        "if-none-match",
    }
)
_MD5 = re.compile(r"[0-9A-Fa-f]{32}")
#: From here on the name in a row may have been cut.
_MAY_BE_CUT = 500


def home(path: Path) -> Path | None:
    """The collection that the files sent to this path belong to, ``None`` if it is no door."""
    if path[-len(DOOR) :] != DOOR:
        return None
    above = path[: -len(DOOR)]
    return above[:-1] if above[-1:] == (_SCRIPT,) else above


@dataclass(frozen=True, slots=True)
class BulkContainer:
    """The parts of a bulk upload; ``X-File-Path`` is relative to ``collection``, with a slash before it or without."""

    mount: Mount
    collection: Path

    def part(self, headers: Headers) -> ItemPart:
        values = {name: raw.decode("utf-8", "surrogateescape") for name, raw in reversed(headers)}
        name = values.get("x-file-path", "")
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        counted = {key: value for key, value in values.items() if key in _COUNTED}
        try:
            if not name:
                raise MalformedName("The part has no X-File-Path; say there where the file belongs.")
            path = self.collection + split_name(name.removeprefix("/"))
            self.mount.check_new(path)
            counted |= _said_otherwise(values)
        except Failure as failure:
            return ItemPart(shown, counted, failure=failure)
        return ItemPart(shown, counted, path=path, promised=True)


def _said_otherwise(values: dict[str, str]) -> dict[str, str]:
    """What fields of this door's own say, as those that mean the same everywhere. Raises Malformed."""
    found = {}
    # The manual: X-File-Mtime takes precedence over X-OC-Mtime, and OC-Checksum over X-File-MD5.
    if "x-file-mtime" in values:
        found["x-oc-mtime"] = values["x-file-mtime"]
    if "x-file-md5" in values and "oc-checksum" not in values:
        digits = values["x-file-md5"]
        if not _MD5.fullmatch(digits):
            raise Malformed("X-File-MD5 must be 32 hexadecimal digits; correct it or leave it out.")
        found["oc-checksum"] = f"MD5:{digits}"
    return found


class BulkForm:
    """The answer: one JSON object, a member for each item under the path as it was sent; of one response only.

    An item without a usable path is told under its index, counted from 1. A second item of one path, which is not stored,
    is told under the path again: readers take the last, and send it anew. There is no summary: what is not told was not
    stored.
    """

    media_type = "application/json"
    content_type = "application/json; charset=utf-8"
    keep_alive = b"\n"

    def __init__(self) -> None:
        self._collection = "/"
        self._begun = False

    def head(self, collection: str) -> bytes:
        self._collection = collection
        return b"{"

    def rows(self, outcomes: Sequence[Outcome]) -> bytes:
        written = ",\n".join(map(self._row, outcomes))
        if not written:
            return b""
        before, self._begun = (",\n" if self._begun else "\n"), True
        return (before + written).encode()

    def end(self, summary: Summary) -> bytes:
        return b"\n}\n"

    def single(self, collection: str, outcome: Outcome) -> bytes:
        """One row as a document of its own."""
        form = BulkForm()
        return form.head(collection) + form.rows([outcome]) + form.end(Summary(""))

    def _row(self, outcome: Outcome) -> str:
        told: dict[str, object] = {"error": not outcome.good}
        if outcome.failure is not None:
            told["message"] = outcome.failure.text
        elif outcome.etag is not None:
            # As in the manual, without the quotes that it has in a header.
            told["etag"] = outcome.etag.strip('"')
        return f"{json.dumps(self._key(outcome))}:{json.dumps(told)}"

    def _key(self, outcome: Outcome) -> str:
        if not outcome.name:
            return str(outcome.index)
        place = outcome.location or outcome.href
        if len(outcome.name) < _MAY_BE_CUT or "?" in place or not place.startswith(self._collection):
            return outcome.name
        return outcome.name[: outcome.name.startswith("/")] + unquote(place[len(self._collection) :])
