"""The command line: ``partwise serve``, ``partwise push`` and ``partwise check``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

#: Each with a module of its own, imported when it is asked for: who pushes needs nothing of the server.
_COMMANDS = {"serve": "partwise.cli.serve", "push": "partwise.cli.push", "check": "partwise.cli.check"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


class _Version(argparse.Action):
    """What finds the version is imported only when somebody asks: a push should begin at once."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        metadata = import_module("importlib.metadata")
        try:
            print(f"partwise {metadata.version('partwise')}")
        except metadata.PackageNotFoundError:  # run from a checkout that was not installed
            print("partwise, not installed")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code."""
    parser = _Parser(prog="partwise", description="Judges, stores and reports every part of an upload as it arrives.")
    parser.add_argument("--version", action=_Version, nargs=0, help="tell the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    said = sys.argv[1:] if arguments is None else arguments
    for command in [name for name in _COMMANDS if name in said[:1]] or _COMMANDS:
        import_module(_COMMANDS[command]).add_command(commands)
    options = parser.parse_args(said)
    code: int = options.run(options)
    return code
