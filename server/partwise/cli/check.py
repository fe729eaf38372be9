"""``partwise check DIRECTORY``."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

from partwise.batch.archive import Archive
from partwise.batch.broken_off import BrokenOff, broken_off
from partwise.storage.local.check import CannotCheck, Examination, alone, bounded, examine, state_of
from partwise.storage.local.repair import repair


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser(
        "check",
        help="look whether the state of a folder is sound",
        description="Look whether what the server keeps about a folder is sound and agrees with the files. No server may be"
        " running there. Exit code 0: nothing was found, or all is mended; 1: something was found, and is left; 2: it cannot"
        " be checked.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="DIRECTORY", help="the served folder")
    parser.add_argument("--repair", action="store_true", help="mend what is found; what files hold is not touched")


def run(options: argparse.Namespace) -> int:
    """0: nothing found. 1: something found, and left. 2: cannot be checked."""
    try:
        return _check(options.directory, mend=options.repair)
    except CannotCheck as reason:
        return _refuse(str(reason))
    except PermissionError:
        return _refuse(f"the state of {options.directory} cannot be written; run this with the account of the server")
    except OSError as error:
        return _refuse(f"the folder cannot be checked: {error.strerror or error}")


def _check(folder: str, *, mend: bool) -> int:
    state = state_of(folder)
    if state is None:
        print(f"No server has kept anything about {folder} yet.")
        return 0
    found = _examine(folder, state)
    mended = mend and bool(found.findings)
    for finding in found.findings:
        print(f"found: {finding}")
    if mended:
        with _Telling(lambda text: print(f"done: {text}")) as tell:
            repair(folder, state, tell.tell, damaged=found.damaged)
            ended = Archive(_reports(state), 0).end_broken_off()
            if ended:
                tell.tell(f"an end was given to {ended:,} report{'' if ended == 1 else 's'} of uploads that broke off")
        found = _examine(folder, state)
        for finding in found.findings:
            print(f"left: {finding}")
    for note in found.notes:
        print(f"note: {note}")
    if not found.findings:
        print("Everything is mended." if mended else "Nothing is wrong.")
        return 0
    if not mend:
        print(f"Mend it with: partwise check --repair {shlex.quote(folder)}")
    return 1


def _examine(folder: str, state: str) -> Examination:
    with alone(state):
        found = examine(folder, state)
        reports = [_sentence(report) for report in broken_off(_reports(state))]
    return found._replace(findings=(*found.findings, *bounded(reports, "reports have no end")))


def _reports(state: str) -> str:
    return os.path.join(state, "reports")


def _sentence(report: BrokenOff) -> str:
    name = os.path.basename(report.path).partition(".")[0]
    torn = ", and its last line is torn" if report.torn else ""
    return f"the report {name} has no end: its server was killed{torn}"


class _Telling(logging.Handler):
    """What the storage logs while it recovers is told as well."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(record.getMessage())

    def __enter__(self) -> _Telling:
        logging.getLogger("partwise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("partwise").removeHandler(self)


def _refuse(why: str) -> int:
    print(f"partwise: {why}", file=sys.stderr)
    return 2
