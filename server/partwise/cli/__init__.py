"""The command line: ``partwise serve`` and ``partwise push``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

#: Each with a module of its own, imported when it is asked for: who pushes needs nothing of the server.
_COMMANDS = {"serve": "partwise.cli.serve", "push": "partwise.cli.push"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and exit code 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def _version() -> str:
    try:
        return f"partwise {version('partwise')}"
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "partwise, not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code."""
    parser = _Parser(prog="partwise", description="Judges, stores and reports every part of an upload as it arrives.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    said = sys.argv[1:] if arguments is None else arguments
    for command in [name for name in _COMMANDS if name in said[:1]] or _COMMANDS:
        import_module(_COMMANDS[command]).add_command(commands)
    options = parser.parse_args(said)
    code: int = options.run(options)
    return code
