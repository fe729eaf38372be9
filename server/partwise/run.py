"""Running a server in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import signal
import sys
from collections.abc import Sequence

from aiohttp import web

from partwise.app import make_app
from partwise.config import Config
from partwise.handlers.wire import make_runner
from partwise.intake.validators.base import ValidatorFactory

#: A thread that runs Python code must let the event loop in soon (the default of 5 ms is felt by every small request).
_SWITCH_INTERVAL = 0.001


def serve(config: Config, validators: Sequence[ValidatorFactory] = (), *, verbose: bool = False) -> None:
    """Serve ``config.directory`` until SIGINT or SIGTERM; prints the URL. ``validators`` judge after the built-in ones.

    Raises ValueError or OSError for a folder that cannot be served (see :func:`~partwise.app.make_app`), CannotListen for
    an address that cannot be taken.
    """
    app = make_app(config, validators)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    _raise_descriptor_limit()
    asyncio.run(_serve(app, config, verbose))


class CannotListen(Exception):
    """The address cannot be taken; the sentence says why."""


async def _listen(runner: web.AppRunner, config: Config) -> None:
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {config.port} on {config.host} is in use; choose another with --port"
        else:
            why = f"cannot listen on {config.host} port {config.port}: {error.strerror or error}"
        raise CannotListen(why) from None


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
