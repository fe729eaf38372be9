"""What ``partwise push`` shows while it works: bars on a terminal, lines elsewhere, NDJSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

from partwise.client import Progress, Row

__all__ = ["Bars", "Json", "Lines", "Show", "shown", "size"]

#: Failures in the table at the end; the rest are counted.
MOST_FAILURES = 200
#: Seconds between two lines that tell how far it is.
_EVERY = 10.0


class Show(Protocol):
    """``said`` are notes for people; ``failures`` come at the end, as pairs of name and reason."""

    def begin(self, items: int, size: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def row(self, row: Row, verb: str) -> None: ...

    def say(self, text: str) -> None: ...

    def end(self, failures: Iterable[Row], sentence: str, numbers: dict[str, Any]) -> None: ...


def shown(name: str) -> str:
    """A name that any terminal can print: bytes that are not UTF-8 and control characters become U+FFFD."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def size(count: float) -> str:
    """``1.5 MiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def reason(row: Row) -> str:
    """Why it failed, with the first place in the file that is wrong."""
    text = row.text or "The server did not say why."
    if row.issues:
        issue = row.issues[0]
        where = f"line {issue.line}: " if issue.line is not None else ""
        more = f" (and {len(row.issues) - 1} more)" if len(row.issues) > 1 else ""
        # The sentence may be that of the only issue already.
        text = text if issue.message in text else f"{text} {where}{issue.message}{more}"
    return shown(text)


class _Waits:
    """All batches wait for the same reason: it is said once, and again after a while."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def tell(self, show: Show, why: str) -> None:
        now = time.monotonic()
        if now - self._said.get(why, -_EVERY) >= _EVERY:
            self._said[why] = now
            show.say(f"{why} Trying again …")


class Lines:
    """One line every few seconds, and one for each failure at the end."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose
        self._items = self._done = self._sent = 0
        self._next = 0.0
        self._waits = _Waits()

    def begin(self, items: int, size: int) -> None:
        self._items = items
        self._next = time.monotonic() + _EVERY

    def progress(self, progress: Progress) -> None:
        if progress.event == "waiting":
            self._waits.tell(self, progress.reason)
        elif progress.event == "sent":
            self._sent += progress.bytes

    def row(self, row: Row, verb: str) -> None:
        self._done += 1
        if self._verbose:
            self.say(f"{verb} {shown(row.item.name)}" if row.good else f"failed {shown(row.item.name)}: {reason(row)}")
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self.say(f"{self._done} of {self._items} files, {size(self._sent)} sent")

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def end(self, failures: Iterable[Row], sentence: str, numbers: dict[str, Any]) -> None:
        for count, row in enumerate(failures):
            if count == MOST_FAILURES:
                self.say("…")
                break
            self.say(f"{row.status or '-'}  {shown(row.item.name)}: {reason(row)}")
        self.say(sentence)


class Json:
    """One JSON object a line on standard output, each with an ``event``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def _write(self, event: str, **members: Any) -> None:
        told = {"event": event} | {key: value for key, value in members.items() if value not in (None, (), "")}
        print(json.dumps(told, separators=(",", ":")), file=self._stream, flush=True)

    def begin(self, items: int, size: int) -> None:
        self._write("begin", items=items, bytes=size)

    def progress(self, progress: Progress) -> None:
        if progress.event != "sent":
            said = progress._asdict()
            del said["event"]
            self._write(f"batch-{progress.event}", **said)

    def row(self, row: Row, verb: str) -> None:
        issues = [
            {key: getattr(issue, key) for key in ("message", "line", "column", "path", "code")} for issue in row.issues
        ]
        self._write(
            "row",
            name=shown(row.item.name),
            done=verb if row.good else "failed",
            status=row.status,
            would=row.would,
            etag=row.etag,
            text=row.text,
            condition=row.condition,
            issues=issues or None,
        )

    def say(self, text: str) -> None:
        self._write("note", text=text)

    def end(self, failures: Iterable[Row], sentence: str, numbers: dict[str, Any]) -> None:
        self._write("end", text=sentence, **numbers)


class Bars:
    """A bar for each batch on its way and one for all, and a table of failures at the end."""

    def __init__(self) -> None:
        # Only who draws pays for the library.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as Drawing

        self._console = Console(stderr=True)
        self._drawing = Drawing(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[items]}"),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=self._console,
            refresh_per_second=4,
            transient=True,
        )
        self._all: Any = None
        self._tasks: dict[int, Any] = {}
        self._begun: dict[int, list[int]] = {}
        self._items = self._done = 0
        self._drawn = 0.0
        self._undrawn = 0
        self._waits = _Waits()

    def begin(self, items: int, size: int) -> None:
        self._items = items
        self._drawing.start()
        self._all = self._drawing.add_task("all", total=size, items=f"0/{items}")

    def progress(self, progress: Progress) -> None:
        number = progress.batch
        if progress.event == "begun":
            title = f"batch {number}"
            self._begun[number] = [0, progress.items]
            self._tasks[number] = self._drawing.add_task(title, total=progress.bytes, items=f"0/{progress.items}")
        elif progress.event == "sent":
            begun = self._begun[number]
            begun[0] += progress.items
            self._drawing.update(self._tasks[number], advance=progress.bytes, items=f"{begun[0]}/{begun[1]}")
        elif progress.event == "waiting":
            self._waits.tell(self, progress.reason)
            # What is sent again counts again from nothing.
            self._begun[number][0] = 0
            self._drawing.update(self._tasks[number], completed=0)
        else:
            self._drawing.remove_task(self._tasks.pop(number))

    def row(self, row: Row, verb: str) -> None:
        self._done += 1
        now = time.monotonic()
        # Drawn four times a second; a thousand rows between do not each need their lock.
        self._undrawn += row.item.size
        if now - self._drawn >= 0.1 or self._done == self._items:
            self._drawn = now
            self._drawing.update(self._all, advance=self._undrawn, items=f"{self._done}/{self._items}")
            self._undrawn = 0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def end(self, failures: Iterable[Row], sentence: str, numbers: dict[str, Any]) -> None:
        from rich.table import Table
        from rich.text import Text

        self._drawing.stop()
        table = Table("status", "name", "reason", title="Not done", title_justify="left")
        for count, row in enumerate(failures):
            if count == MOST_FAILURES:
                table.add_row("", "…", "")
                break
            table.add_row(str(row.status or "-"), Text(shown(row.item.name)), Text(reason(row)))
        if table.row_count:
            self._console.print(table)
        self.say(sentence)


def choose_show(*, as_json: bool, verbose: bool) -> Show:
    """How this run is to be shown."""
    if as_json:
        return Json(sys.stdout)
    if sys.stderr.isatty() and not verbose:
        return Bars()
    return Lines(sys.stderr, verbose=verbose)
