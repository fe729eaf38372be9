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
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from partwise.storage.base import Move
from partwise.storage.local.store import LocalStore

Operation = Callable[[LocalStore], Any]


def _anything(*_: object) -> None:
    """A check that agrees."""


def _move(source: str, destination: str) -> Operation:
    return lambda store: store.move(Move((source,), (destination,), True, _anything))


def _copy(source: str, destination: str, *, infinite: bool = True) -> Operation:
    return lambda store: store.copy(Move((source,), (destination,), True, _anything), infinite, _anything)


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
}


def _on_disk(folder: str) -> object:
    """What a kill at this moment would leave."""
    names = sorted((str(path), path.lstat().st_ino) for path in Path(folder).rglob("*") if path.name[:8] != "state.db")
    with sqlite3.connect(f"file:{folder}/.partwise/state.db?mode=ro", uri=True) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [database.execute(f"SELECT * FROM {table}").fetchall() for table in sorted(tables)]
    database.close()
    return names, rows


def _run(folder: str, operation: Operation, step: int) -> list[int]:
    store = LocalStore(folder)
    reached, changed, before = 0, list[int](), _on_disk(folder)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal reached, before
        if "/partwise/storage/" not in frame.f_code.co_filename:
            return None
        reached += 1
        if step:
            if reached == step:
                os._exit(9)
        elif (now := _on_disk(folder)) != before:
            changed.append(reached)
            before = now
        return trace

    sys.settrace(trace)
    operation(store)
    sys.settrace(None)
    store.close()
    return changed


def main() -> None:
    for line in sys.stdin:
        folder, name, step = line.split()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, json.dumps(_run(folder, OPERATIONS[name], int(step))).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            said = answer.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(said if code == 0 else json.dumps(code), flush=True)


if __name__ == "__main__":
    main()
