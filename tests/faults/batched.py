"""Batches of every kind, each made in a process of its own that ends before one of its steps, as by a kill.

A step is anything that outlives the process: a name made, changed or removed, bytes written, a sync, a commit. The steps of
a batch are the same each time, for its threads take turns: so the moment after a step is the one before the next.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import os
import sys
import tarfile
import threading
import traceback
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine.default import DefaultDialect
from tests.faults.killed import Disk
from tests.harness import BOUNDARY, form_part, mixed_part, multipart

from partwise.actions.gate import Gate
from partwise.batch import steering as steer
from partwise.batch.archive import Archive
from partwise.batch.ledger import Ledger
from partwise.batch.limits import BatchLimits
from partwise.batch.opening import open_container
from partwise.batch.outcome import Outcome, dump
from partwise.batch.publisher import Committing, Publisher, Whole
from partwise.batch.report import Report
from partwise.batch.session import BatchSession
from partwise.intake.admission import Admission
from partwise.intake.pipeline import Intake
from partwise.protocol.media_types import AcceptedTypes, parse_media_type
from partwise.protocol.paths import Mount
from partwise.storage.base import Path as Segments
from partwise.storage.committer import Committer
from partwise.storage.local import durable
from partwise.storage.local import exchange as exchanging
from partwise.storage.local.staging import Staging
from partwise.storage.local.store import LocalStore
from partwise.storage.sql.shared_number import SharedNumber

MARK = "{urn:marks}mark"
NAME = "a-batch-with-a-name"
#: What stands under a name: bytes, a collection, or nothing.
Standing = bytes | str | None
COLLECTION = "a collection"

BEFORE: dict[str, Standing] = {
    "d": COLLECTION,
    "d/kept": b"kept",
    "doomed": b"doomed",
    "moved": b"moved",
    "old": b"old",
    "twice": b"replaced once",
}
#: Larger than what is held in memory.
LARGE = bytes(range(256)) * 1200


@dataclass(frozen=True)
class Item:
    """One row that a batch ends with. ``holds``: what is true of the folder once it says that all is well."""

    status: int
    holds: dict[str, Standing] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """A request. ``cut``: where its body is divided, so that the rows of the first part are told before the second comes.

    ``first``: the same batch was sent before, with a body that ended there. ``named_files``: as on a file system without
    nameless ones.
    """

    kind: str
    body: bytes
    cut: int
    items: tuple[Item, ...]
    query: str = ""
    first: int = 0
    named_files: bool = False
    coding: str | None = None

    @property
    def atomic(self) -> bool:
        return "atomic=1" in self.query

    @property
    def after(self) -> dict[str, Standing]:
        """The whole folder when all was done."""
        if self.atomic and any(item.status >= 400 for item in self.items):
            return BEFORE
        found = dict(BEFORE)
        for item in self.items:
            found |= item.holds
        return {name: standing for name, standing in found.items() if standing is not None}


# -- the kinds

_NEW = Item(201, {"new": b"new"})
_OLD = Item(204, {"old": b"replaced"})
_TWICE = Item(204, {"twice": b"replaced again"})
_LARGE = Item(201, {"large": LARGE})
_DEEP = Item(201, {"deep": COLLECTION, "deep/er": COLLECTION, "deep/er/x": b"x"})


def _form(query: str = "", *, refused: bool = True, **values: Any) -> Batch:
    parts = [form_part("new", b"new"), form_part("old", b"replaced"), form_part("twice", b"replaced again")]
    items = [_NEW, _OLD, _TWICE]
    if refused:
        parts.append(form_part("d/kept", b"never", If_None_Match="*"))
        items.append(Item(412))
    parts += [form_part("large", LARGE), form_part("deep/er/x", b"x")]
    body = multipart(parts)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return Batch(kind, body, body.index(LARGE) + 200_000, (*items, _LARGE, _DEEP), query, **values)


def _request(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{line} HTTP/1.1", *fields, "", ""))
    return b"Content-Type: application/http\r\n\r\n" + head.encode() + body


_PROPERTY = (
    b'<D:propertyupdate xmlns:D="DAV:" xmlns:m="urn:marks"><D:set><D:prop><m:mark>M</m:mark></D:prop></D:set>'
    b"</D:propertyupdate>"
)


def _operations(query: str = "", *, refused: bool = True) -> Batch:
    parts = [
        mixed_part("new", b"new", Content_Digest=f"sha-256=:{b64encode(hashlib.sha256(b'new').digest()).decode()}:"),
        _request("DELETE /doomed"),
        _request("MKCOL /made/"),
        _request("MOVE /moved", "Destination: /made/moved"),
        _request("COPY /d", "Destination: /made/d"),
        _request("PROPPATCH /twice", "Content-Type: application/xml", body=_PROPERTY),
        mixed_part("old", b"replaced"),
        mixed_part("large", LARGE),
    ]
    items = [
        _NEW,
        Item(204, {"doomed": None}),
        Item(201, {"made": COLLECTION}),
        Item(201, {"moved": None, "made/moved": b"moved"}),
        Item(201, {"made/d": COLLECTION, "made/d/kept": b"kept"}),
        Item(200),
        _OLD,
        _LARGE,
    ]
    if refused:
        parts.append(_request("DELETE /nothing"))
        items.append(Item(404))
    body = multipart(parts)
    return Batch(f"multipart/mixed; boundary={BOUNDARY}", body, body.index(LARGE) + 200_000, tuple(items), query)


def _tar() -> Batch:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data, kind in (
            # First, for a collection is made beside what is being stored.
            ("made", b"", tarfile.DIRTYPE),
            ("new", b"new", tarfile.REGTYPE),
            ("old", b"replaced", tarfile.REGTYPE),
            ("link", b"", tarfile.SYMTYPE),
            ("large", LARGE, tarfile.REGTYPE),
            ("deep/er/x", b"x", tarfile.REGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname, member.mtime = kind, len(data), "new", 1_000_000
            archive.addfile(member, io.BytesIO(data))
    items = (Item(201, {"made": COLLECTION}), _NEW, _OLD, Item(422), _LARGE, _DEEP)
    body = file.getvalue()
    return Batch("application/x-tar", body, body.index(LARGE) + 200_000, items)


def _zip() -> Batch:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (
            ("new", b"new"),
            ("old", b"replaced"),
            ("../x", b"x"),
            ("large", LARGE),
            ("deep/er/x", b"x"),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 1, 1, 2)), data)
    body = file.getvalue()
    return Batch("application/zip", body, len(body) // 2, (_NEW, _OLD, Item(403), _LARGE, _DEEP))


_NAMED = f"batch={NAME}"

BATCHES = {
    "form": _form(),
    "form, files with names": _form(named_files=True),
    "operations": _operations(),
    "named": _form(_NAMED),
    "named again": _form(_NAMED, first=4000),
    "atomic": _form("atomic=1", refused=False),
    "atomic, one is refused": _form("atomic=1"),
    "atomic and named": _form(f"atomic=1&{_NAMED}", refused=False),
    "atomic operations": _operations("atomic=1", refused=False),
    "tar": _tar(),
    "zip": _zip(),
}


# -- one batch, as the server makes it

Tell = Callable[[Outcome], None]


class _Turns:
    """The rows of a report, told as soon as they are there; and who wants to can wait for them."""

    def __init__(self, report: Report, tell: Tell) -> None:
        self._report, self._tell = report, tell
        self._told = 0
        self._changed = threading.Condition()
        report.listen(self._grown)

    def _grown(self) -> None:
        with self._changed:
            for row in self._report.rows(self._told + 1):
                self._tell(row)
                self._told += 1
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._told >= count, 60)


def receive(
    folder: str,
    batch: Batch,
    tell: Tell = lambda row: None,
    ready: Callable[[], None] = lambda: None,
    stop: int | None = None,
) -> LocalStore:
    """Receive the batch with what the server has for it; ``ready`` is called before its first step.

    ``stop``: the upload breaks off there. Gives the store, which is open.
    """
    if batch.named_files:
        Staging._probe_nameless = lambda _: False
    store, mount = LocalStore(folder), Mount()
    committer, archive = Committer(store), open_archive(folder)
    query = steer.from_query(batch.query)
    gate = Gate(store, mount, (), lambda tag: ())
    ready()
    container, decoder = open_container(
        parse_media_type(batch.kind), batch.coding, mount, (), "localhost", store.state_folder()
    )
    report = archive.create(None, "/", query.batch)
    turns = _Turns(report, tell)

    def publisher() -> Publisher:
        report.describe(atomic=batch.atomic, dry_run=False)
        return Whole(store) if batch.atomic else Committing(store, committer)

    ledger = Ledger(report, publisher, lambda index: f"/?batch={report.batch}&item={index}")
    session = BatchSession(
        decoder=decoder,
        container=container,
        collection=(),
        mount=mount,
        gate=gate,
        intake=Intake(Admission(store, AcceptedTypes(("*/*",))), ()),
        ledger=ledger,
        steering=query,
        limits=BatchLimits(),
        earlier=None if query.batch is None else report,
    )

    def steps(step: Callable[[], bool]) -> None:
        more = True
        while more:
            more, step = step(), lambda: session.feed(b"")
            if not ledger.publisher.holds:
                # The last item may be in progress, or be an operation that waits.
                turns.wait(session.begun - 1)

    for data in _cut(batch.body[:stop], batch.cut):
        steps(lambda data=data: session.feed(data))  # type: ignore[misc]
    if stop is None:
        steps(session.finish)
    else:
        session.abort(None)
    ledger.conclude(broken=stop is not None)
    turns.wait(session.begun)
    report.end("complete" if stop is None else "aborted", session.ignored)
    decoder.close()
    report.close()
    committer.close()
    return store


def _cut(body: bytes, place: int) -> Iterable[bytes]:
    return filter(None, (body[:place], body[place:]))


def open_archive(folder: str) -> Archive:
    return Archive(os.path.join(folder, ".partwise", "reports"), 3600)


# -- counting

_CHANGING = ("write", "pwrite", "copy_file_range", "ftruncate", "truncate", "link", "symlink", "rename", "replace")
_CHANGING += ("unlink", "remove", "mkdir", "rmdir", "utime", "chmod", "fchmod", "setxattr")
#: Of a number in shared memory.
_UNSEEN = ("settle", "unsettle")


class Steps:
    """Counts what outlives the process, and ends it before the one with the number ``last``.

    With ``disk`` it also looks whether anything changes that was not counted, and which steps (``moments``) are worth a
    kill: between the others nothing has changed that a new process could see, such as a file that has no name yet.
    """

    def __init__(self, last: int, disk: Disk | None) -> None:
        self._last, self._disk = last, disk
        self._seen = None if disk is None else disk.now()
        self._depth = 0
        self._before: object = None
        self.counted: list[str] = []
        self.moments: list[int] = []

    def install(self) -> None:
        for name in _CHANGING:
            setattr(os, name, self._counting(name, getattr(os, name)))
        # Only a power cut loses what was not synced.
        for name in ("fsync", "fdatasync", "sync"):
            setattr(os, name, self._counting(name, lambda *_: None))
        os.open = self._counting("open", os.open, lambda path, flags, *_, **__: _makes(flags))  # type: ignore[assignment]
        builtins.open = self._opening(builtins.open)
        for name in _UNSEEN:
            setattr(SharedNumber, name, self._counting(name, getattr(SharedNumber, name)))
        DefaultDialect.do_commit = self._counting(
            "commit", DefaultDialect.do_commit, lambda _, connection: connection.in_transaction
        )
        if durable._syncfs is not None:
            durable._syncfs = self._counting("syncfs", lambda _: 0)
        exchange = exchanging.exchange
        for module in list(sys.modules.values()):
            if getattr(module, "exchange", None) is exchange:
                module.exchange = self._counting("exchange", exchange)  # type: ignore[attr-defined]

    def _counting(self, name: str, function: Any, counts: Any = lambda *_, **__: True) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            # What a step does inside is a part of it.
            if self._depth or not counts(*arguments, **named):
                return function(*arguments, **named)
            self.before(name)
            self._depth += 1
            try:
                return function(*arguments, **named)
            finally:
                self._depth -= 1
                if self._disk is not None:
                    self._seen = self._disk.now()

        return counting

    def _opening(self, function: Any) -> Any:
        opens = self._counting("open", function)

        def opening(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if mode[0] not in "wax":
                return function(file, mode, *arguments, **named)
            return _Unbuffered(opens(file, mode, *arguments, **named), self)

        return opening

    def written(self, file: IO[str], text: str) -> None:
        def write() -> None:
            file.write(text)
            file.flush()

        self._counting("write", write)()

    def before(self, name: str) -> None:
        if self._disk is not None and self._disk.now() != self._seen:
            # Not an exception: the store would make a failure of it.
            print(f"something that is no step has changed the disk before {name!r}", file=sys.stderr)
            traceback.print_stack()
            os._exit(8)
        self.counted.append(name)
        if self._seen != self._before or name in _UNSEEN:
            self.moments.append(len(self.counted))
        self._before = None if name in _UNSEEN else self._seen
        if len(self.counted) == self._last:
            os._exit(9)


def _makes(flags: int) -> bool:
    nameless = getattr(os, "O_TMPFILE", 0)
    return bool(flags & os.O_CREAT) or (nameless != 0 and flags & nameless == nameless)


class _Unbuffered:
    """A file of which every write is a step."""

    def __init__(self, file: IO[str], steps: Steps) -> None:
        self._file, self._steps = file, steps

    def __enter__(self) -> _Unbuffered:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, text: str) -> None:
        self._steps.written(self._file, text)


def run(folder: str, name: str, step: int, say: Callable[[bytes], object], *, first: bool = False) -> Steps:
    """Make the batch ``name``, up to its step number ``step`` (0: all, and see that all are counted; -1: all).

    ``first``: the try before it.
    """
    batch = BATCHES[name]
    steps = Steps(step, Disk(folder, only_names=False) if step == 0 else None)

    def tell(row: Outcome) -> None:
        say(dump(row))

    def ready() -> None:
        steps._seen = None if steps._disk is None else steps._disk.now()
        steps.install()

    receive(folder, batch, tell, ready, batch.first if first else None)
    return steps


def standing(folder: Path) -> dict[str, Standing]:
    """All that clients can see."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else COLLECTION
        for path in folder.rglob("*")
        if ".partwise" not in path.parts
    }


def segments(name: str) -> Segments:
    return tuple(name.split("/"))
