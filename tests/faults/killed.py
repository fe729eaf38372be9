"""A process that starts others and lets them be killed in the middle of one operation on a store.

It reads lines ``FOLDER OPERATION STEP`` and answers each with a line. With step 0 the operation runs to its end, and the
answer is the steps at which something had just changed on the disk; with another one the process ends there at once, as by
a kill. Steps are counted in lines of the storage's code that have been reached.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from partwise.errors import Failure
from partwise.storage.base import Lock, Move, Publication, Store
from partwise.storage.local.check import examine
from partwise.storage.local.repair import repair
from partwise.storage.local.store import LocalStore

Operation = Callable[[LocalStore], Any]


def _anything(*_: object) -> None:
    """A check that agrees."""


def _move(source: str, destination: str) -> Operation:
    return lambda store: store.move(Move((source,), (destination,), True, _anything))


def _copy(source: str, destination: str, *, infinite: bool = True) -> Operation:
    return lambda store: store.copy(Move((source,), (destination,), True, _anything), infinite, _anything)


def _published(path: tuple[str, ...], data: bytes, *, parked: bool) -> Callable[[Store], Publication]:
    def staged(store: Store) -> Publication:
        upload = store.stage()
        upload.write(data)
        upload.seal(None)
        if parked:
            upload.park()
        return Publication(upload, path, 0, _anything, {"{urn:marks}mark": "/".join(path) + " anew"})

    return staged


def _transaction(store: LocalStore) -> None:
    """Every kind of step, some of them on what another one has made."""
    whole = [_published(("file",), b"replaced", parked=True), _published(("folder", "new", "c"), b"new", parked=True)]
    group = [make(store) for make in [*whole, _published(("folder", "b"), b"b", parked=False)]]
    with store.transaction() as joint:
        assert not any(isinstance(answer, Failure) for answer in joint.publish(group))
        joint.make_collection(("new",), _anything, {"{urn:marks}mark": "made"})
        joint.publish([_published(("new", "a"), b"in it", parked=False)(joint)])
        joint.set_properties(("file",), {"{urn:marks}mark": "again"}, _anything, modified_ns=5)
        joint.copy(Move(("folder",), ("new", "deep"), True, _anything), True, _anything)
        joint.move(Move(("file",), ("other",), True, _anything))
        joint.delete(("folder",), _anything)
        joint.move(Move(("place",), ("folder",), True, _anything))
        joint.move(Move(("new", "deep"), ("folder",), True, _anything))
        joint.delete(("folder", "a"), _anything)


def _lock(name: str) -> Lock:
    return Lock(f"urn:lock-of-{name}", (name,), True, True, "", None, 4e9)


OPERATIONS: dict[str, Operation] = {
    "move-file": _move("file", "new"),
    "move-file-onto-file": _move("file", "other"),
    "move-file-onto-folder": _move("file", "place"),
    "move-folder": _move("folder", "new"),
    "move-folder-onto-folder": _move("folder", "place"),
    "copy-file-onto-file": _copy("file", "other"),
    "copy-file-onto-folder": _copy("file", "place"),
    "copy-folder": _copy("folder", "new"),
    "copy-folder-alone": _copy("folder", "place", infinite=False),
    "delete-file": lambda store: store.delete(("file",), _anything),
    "delete-folder": lambda store: store.delete(("folder",), _anything),
    "lock-new": lambda store: store.lock(_lock("new"), _anything),
    "lock-file": lambda store: store.lock(_lock("other"), _anything),
    "mark-file": lambda store: store.set_properties(("file",), {"{urn:marks}mark": "anew"}, _anything, modified_ns=5),
    "make-marked": lambda store: store.make_collection(("new",), _anything, {"{urn:marks}mark": "made"}),
}


#: Beside the operations that change names and state together; the first start is one without a database.
TRANSACTION, START, FIRST, REPAIR = "transaction", "start", "first-start", "repair"


def repaired(folder: str) -> list[str]:
    """What ``partwise check --repair`` does; gives what it tells."""
    state, told = f"{folder}/.partwise", list[str]()
    repair(folder, state, told.append, damaged=examine(folder, state).damaged)
    return told


class Disk:
    """What a kill at this moment would leave."""

    def __init__(self, folder: str, *, only_names: bool) -> None:
        """``only_names``: files in the state folder, the database as one of them."""
        self._only_names = only_names
        self._folder, self._version, self._rows = folder, -1, list[object]()
        self._database: sqlite3.Connection | None = None

    def now(self) -> object:
        if self._only_names:
            return list(_names(self._folder, state=True))
        return list(_names(self._folder)), self._state()

    def _state(self) -> list[object]:
        if self._database is None:
            if not os.path.exists(f"{self._folder}/.partwise/state.db"):
                return []
            self._database = sqlite3.connect(
                f"file:{self._folder}/.partwise/state.db?mode=ro", uri=True, check_same_thread=False
            )
        # It changes with every commit of somebody else.
        [version] = self._database.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            tables = [row[0] for row in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            self._rows = [self._database.execute(f"SELECT * FROM {table}").fetchall() for table in sorted(tables)]
        return self._rows


def _names(folder: str, *, state: bool = False) -> Iterator[tuple[str, int, int, int]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        status = entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            yield entry.path, status.st_ino, 0, 0
            yield from _names(entry.path, state=state)
        elif state or entry.name[:8] != "state.db":
            yield entry.path, status.st_ino, status.st_size, status.st_mtime_ns


def _run(folder: str, name: str, step: int) -> list[int]:
    store = None if name in (START, FIRST, REPAIR) else LocalStore(folder)
    disk = Disk(folder, only_names=name in (FIRST, REPAIR))
    reached, changed, before = 0, list[int](), disk.now()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal reached, before
        if "/partwise/storage/" not in frame.f_code.co_filename:
            return None
        reached += 1
        if step:
            if reached == step:
                os._exit(9)
        elif (now := disk.now()) != before:
            changed.append(reached)
            before = now
        return trace

    sys.settrace(trace)
    if name == REPAIR:
        repaired(folder)
    elif store is None:
        store = LocalStore(folder)
    else:
        {**OPERATIONS, TRANSACTION: _transaction}[name](store)
    sys.settrace(None)
    if store is not None:
        store.close()
    return changed


def main() -> None:
    for line in sys.stdin:
        folder, name, step = line.split()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, json.dumps(_run(folder, name, int(step))).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            said = answer.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(said if code == 0 else json.dumps(code), flush=True)


if __name__ == "__main__":
    main()
