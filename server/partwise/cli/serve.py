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
from partwise.workers import WorkersDied


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
    parser.add_argument("--workers", metavar="N", type=int, help="processes that serve together (1)")
    parser.add_argument(
        "--durability",
        choices=("full", "os"),
        help="acknowledge what survives a power cut, or what the system has taken (full)",
    )
    parser.add_argument("--htpasswd", metavar="FILE", type=Path, help="users and their passwords (bcrypt or argon2)")
    parser.add_argument("--read-only", metavar="USER", action="append", help="a user who may not write; repeatable")
    parser.add_argument(
        "--anonymous", choices=("read", "write"), help="what anyone may do; off loopback this or --htpasswd is needed"
    )
    parser.add_argument(
        "--trusted-proxy",
        metavar="NETWORK",
        action="append",
        dest="trusted_proxies",
        help="proxies whose X-Forwarded-Host, -Proto and -Port are believed; repeatable",
    )
    parser.add_argument(
        "--early", choices=("auto", "always", "never"), help="report while the upload still runs (auto)"
    )
    parser.add_argument("--schemas", metavar="DIR", type=Path, help="XML schemas that uploaded XML must satisfy")
    parser.add_argument("--accept", metavar="TYPE", action="append", help="media type to take, as image/*; repeatable")
    parser.add_argument("--max-item-size", metavar="BYTES", type=int, help="largest item")
    parser.add_argument("--max-batch-size", metavar="BYTES", type=int, help="largest upload")
    parser.add_argument(
        "--quota", metavar="PATH=BYTES", action="append", type=_quota, help="most bytes below a path; repeatable"
    )
    parser.add_argument("--max-connections", metavar="N", type=int, help="connections of one worker (4096)")
    parser.add_argument("--max-staging", metavar="BYTES", type=int, help="most bytes on their way in one worker")
    parser.add_argument(
        "--apple-files", choices=("keep", "refuse"), help="what happens to ._* and .DS_Store of macOS (keep)"
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file with any of these settings")
    parser.add_argument("--verbose", action="store_true", help="log every request")


def _folder(text: str) -> Path:
    # An empty argument is an unset variable of a script, not the current folder.
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def _quota(text: str) -> tuple[str, str]:
    path, equals, size = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form PATH=BYTES, such as /alice=1000000")
    return path, size


def run(options: argparse.Namespace) -> int:
    """Serve. 0 after a clean stop; 2, and one line that says why, if it cannot start; 1 if its workers keep dying."""
    given = vars(options)
    flags = {name: value for name, value in given.items() if value is not None}
    file, verbose = flags.pop("config", None), flags.pop("verbose")
    del flags["run"]
    if "quota" in flags:
        flags["quota"] = dict(flags["quota"])
    try:
        config = load(file, flags)
        _check(config)
    except ValueError as error:
        return _refuse(str(error))
    who = " %(process)d" if config.workers > 1 else ""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format=f"%(asctime)s{who} %(levelname)s %(message)s"
    )
    try:
        serve(config, verbose=verbose)
    except (ValueError, CannotListen) as error:
        return _refuse(str(error))
    except WorkersDied as error:
        print(f"partwise: {error}", file=sys.stderr)
        return 1
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
    if config.htpasswd is not None and not (config.htpasswd.is_file() and os.access(config.htpasswd, os.R_OK)):
        raise ValueError(f"the password file {config.htpasswd} does not exist or cannot be read")
    if config.anonymous is None and config.htpasswd is None and not config.on_loopback:
        raise ValueError(
            f"listening on {config.host} lets others in: name users with --htpasswd FILE, or say what anyone may do "
            "with --anonymous read or --anonymous write"
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
