"""``partwise serve DIRECTORY``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from partwise.app import make_app
from partwise.config import Config, load
from partwise.handlers.wire import make_runner

#: A thread that runs Python code must let the event loop in soon (the default of 5 ms is felt by every small request).
_SWITCH_INTERVAL = 0.001


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
        app = make_app(config)
    except ValueError as error:
        return _refuse(str(error))
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    sys.setswitchinterval(_SWITCH_INTERVAL)
    _raise_descriptor_limit()
    try:
        asyncio.run(_serve(app, config, verbose))
    except _CannotListen as error:
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


class _CannotListen(Exception):
    """The address cannot be taken; the sentence says why."""


async def _listen(runner: web.AppRunner, config: Config) -> None:
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {config.port} on {config.host} is in use; choose another with --port"
        else:
            why = f"cannot listen on {config.host} port {config.port}: {error.strerror or error}"
        raise _CannotListen(why) from None


def _refuse(why: str) -> int:
    print(f"partwise: {why}", file=sys.stderr)
    return 2


def _raise_descriptor_limit() -> None:
    """Every item on its way holds a descriptor; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(app: web.Application, config: Config, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = make_runner(app, config, verbose=verbose)
    await runner.setup()
    try:
        await _listen(runner, config)
        public = f", for the outside at {config.public_url}" if config.public_url else ""
        print(f"partwise serves {config.directory} at {_url(runner, config)}{public}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _url(runner: web.AppRunner, config: Config) -> str:
    host, port = runner.addresses[0][:2]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}{config.prefix.rstrip('/')}/"
