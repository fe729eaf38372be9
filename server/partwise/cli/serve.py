"""``partwise serve DIRECTORY``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from partwise.config import Config, load
from partwise.run import CannotListen, serve


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    parser = commands.add_parser("serve", help="serve a folder", description="Serve a folder until Ctrl-C.")
    parser.set_defaults(run=run)
    # What is not said on the command line may be said by the environment or the file: so no defaults here.
    parser.add_argument("directory", metavar="DIRECTORY", type=_folder, help="the folder to serve")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (8080); 0 takes a free one")
    parser.add_argument("--prefix", help="path under which requests arrive (/)")
    parser.add_argument("--public-url", metavar="URL", help="how the outside world sees the folder's root")
    parser.add_argument("--service-prefix", metavar="NAME", help="reserved name for the server's own resources (-)")
    parser.add_argument("--anonymous", choices=("read", "write"), help="what anyone may do; needed off loopback")
    parser.add_argument(
        "--early", choices=("auto", "always", "never"), help="report while the upload still runs (auto)"
    )
    parser.add_argument("--schemas", metavar="DIR", type=Path, help="XML schemas that uploaded XML must satisfy")
    parser.add_argument("--accept", metavar="TYPE", action="append", help="media type to take, as image/*; repeatable")
    parser.add_argument("--max-item-size", metavar="BYTES", type=int, help="largest item")
    parser.add_argument("--max-batch-size", metavar="BYTES", type=int, help="largest upload")
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file with any of these settings")
    parser.add_argument("--verbose", action="store_true", help="log every request")


def _folder(text: str) -> Path:
    # An empty argument is an unset variable of a script, not the current folder.
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def run(options: argparse.Namespace) -> int:
    """Serve. 0 after a clean stop; 2, and one line that says why, if it cannot start."""
    given = vars(options)
    flags = {name: value for name, value in given.items() if value is not None}
    file, verbose = flags.pop("config", None), flags.pop("verbose")
    del flags["run"]
    try:
        config = load(file, flags)
        _check(config)
    except ValueError as error:
        return _refuse(str(error))
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        serve(config, verbose=verbose)
    except (ValueError, CannotListen) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"the folder cannot be served: {error.strerror or error}")
    return 0


def _check(config: Config) -> None:
    """What can be said before anything is opened. Raises ValueError."""
    folder = config.directory
    if not folder.exists():
        raise ValueError(f"the folder {folder} does not exist")
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"the folder {folder} is not writable")
    if config.schemas is not None:
        _check_schemas(config.schemas)
    if config.anonymous is None and not config.on_loopback:
        raise ValueError(
            f"listening on {config.host} lets others in: say what they may do with --anonymous read or --anonymous write"
        )


def _check_schemas(folder: Path) -> None:
    """A folder that says nothing must not be taken for one that allows everything. Raises ValueError."""
    if not folder.is_dir():
        raise ValueError(f"the schema folder {folder} does not exist or is not a folder")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise ValueError(f"the schema folder {folder} cannot be read")
    if next(folder.rglob("*.xsd"), None) is None:
        raise ValueError(f"the schema folder {folder} holds no .xsd file")


def _refuse(why: str) -> int:
    print(f"partwise: {why}", file=sys.stderr)
    return 2
