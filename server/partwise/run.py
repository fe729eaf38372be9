"""Running a server in this process, or in several, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from partwise.app import make_app
from partwise.config import Config
from partwise.handlers.exchange import Exchange, Seat
from partwise.handlers.shared_site import SharedSite
from partwise.handlers.wire import Runner, make_runner
from partwise.intake.validators.base import ValidatorFactory
from partwise.processors import Home
from partwise.workers import supervise

#: A thread that runs Python code must let the event loop in soon (the default of 5 ms is felt by every small request). Half
#: of this costs a batch a fifth more processor time, and a GET beside it is answered no sooner.
_SWITCH_INTERVAL = 0.001
#: Connections that may wait to be accepted, and those that are accepted before others have their turn: a burst of them must
#: not be felt by who is connected already.
_BACKLOG, _BURST = 1024, 8
#: See gc.set_threshold(); the default begins at 700.
_COLLECT = 20_000, 20, 20
#: Which tell the server to stop.
_SIGNALS = signal.SIGINT, signal.SIGTERM
#: Seconds between two looks at how busy the processors are.
_LOOK = 1.0
#: Where the system shares new connections out among sockets of one port. With one socket for all workers the first one
#: to wake takes a whole burst, and has to pass most of it on.
_SHARES_OUT = sys.platform.startswith("linux")

#: What getaddrinfo(3) gives for an address to listen on.
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def serve(config: Config, validators: Sequence[ValidatorFactory] = (), *, verbose: bool = False) -> None:
    """Serve ``config.directory`` until SIGINT or SIGTERM; prints the URL. ``validators`` judge after the built-in ones.

    With ``config.workers`` above 1 this process starts that many by fork and looks after them: it should have no threads
    of its own. Raises ValueError or OSError for a folder that cannot be served (see :func:`~partwise.app.make_app`),
    CannotListen for an address that cannot be taken, WorkersDied if the workers do not stay alive.
    """
    app = make_app(config, validators)
    before = {signal_number: signal.getsignal(signal_number) for signal_number in _SIGNALS}
    sys.setswitchinterval(_SWITCH_INTERVAL)
    _raise_descriptor_limit()
    listeners = _listen(config.host, config.port, config.workers if _SHARES_OUT else 1)

    def announce() -> None:
        public = f", for the outside at {config.public_url}" if config.public_url else ""
        print(f"partwise serves {config.directory} at {_url(listeners[0][0], config)}{public}", flush=True)

    try:
        if config.workers == 1:
            asyncio.run(_serve(app, listeners[0], config, verbose, announce))
        else:
            _serve_by_workers(app, listeners, config, verbose, announce)
    finally:
        for signal_number, handler in before.items():
            # None: a handler that was not set from Python, and cannot be set again.
            signal.signal(signal_number, signal.SIG_DFL if handler is None else handler)
        _close(listeners)


def _serve_by_workers(
    app: web.Application,
    listeners: Sequence[Sequence[socket.socket]],
    config: Config,
    verbose: bool,
    announce: Callable[[], None],
) -> None:
    exchange = Exchange(config.workers)

    def work(number: int, ready: Callable[[], None]) -> None:
        mine = listeners[number % len(listeners)]
        _close(each for each in listeners if each is not mine)
        asyncio.run(_serve(app, mine, config, verbose, ready, exchange.seat(number)))

    def close() -> None:
        _close(listeners)
        exchange.close()

    supervise(config.workers, work, ready=announce, stopping=close, grace=config.grace, lost=exchange.vacate)


def _close(listeners: Iterable[Sequence[socket.socket]]) -> None:
    for sockets in listeners:
        for each in sockets:
            each.close()


class CannotListen(Exception):
    """The address cannot be taken; the sentence says why."""


def _listen(host: str, port: int, shares: int) -> list[list[socket.socket]]:
    """Sockets that listen on all addresses of ``host``: as many lists as there are ``shares``, one socket per address.

    Port 0: a free one, the same for all addresses. Raises CannotListen.
    """
    listeners: list[list[socket.socket]] = [[] for _ in range(shares)]
    missing: OSError | None = None
    try:
        for address in dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)):
            try:
                found = _bind(address, port, shares)
            except OSError as error:
                # "localhost" has an address of IPv6 also where there is no IPv6.
                if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                missing = error
                continue
            for sockets, each in zip(listeners, found, strict=True):
                sockets.append(each)
            for each in found:
                each.listen(_BACKLOG)
            port = found[0].getsockname()[1]
        if missing is not None and not listeners[0]:
            raise missing
    except OSError as error:
        for each in (each for sockets in listeners for each in sockets):
            each.close()
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} on {host} is in use; choose another with --port"
        else:
            why = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise CannotListen(why) from None
    return listeners


def _bind(address: _Address, port: int, shares: int) -> list[socket.socket]:
    first = _bound(address, port, shared=False)
    if shares == 1:
        return [first]
    # A port that others share out among themselves could be joined unnoticed; only a socket that does not share finds
    # out that it is in use.
    with first:
        port = first.getsockname()[1]
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(_bound(address, port, shared=True)) for _ in range(shares)]
        stack.pop_all()
    return found


def _bound(address: _Address, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, (host, _, *scope) = address
    found = socket.socket(family, kind, protocol)
    try:
        found.setblocking(False)
        # What is left of the connections of a server that stopped just now does not hold up the next one.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # The addresses of IPv4 have sockets of their own.
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind((host, port, *scope))
    except BaseException:
        found.close()
        raise
    return found


def _raise_descriptor_limit() -> None:
    """Every item on its way holds a descriptor; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(
    app: web.Application,
    sockets: Sequence[socket.socket],
    config: Config,
    verbose: bool,
    ready: Callable[[], None],
    seat: Seat | None = None,
) -> None:
    """``seat``: for one worker of several."""
    home = Home(0 if seat is None else seat.number)
    if config.stay:
        home.settle()
    # What was made until now stays, and need not be looked through again and again; and a group of items is a few thousand
    # objects that will all be gone in a moment, which is no reason to look for circles among them.
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in _SIGNALS:
        loop.add_signal_handler(signal_number, stop.set)
    try:
        await _run(app, sockets, config, verbose, ready, stop, home, seat)
    finally:
        _deafen(loop)


def _deafen(loop: asyncio.AbstractEventLoop) -> None:
    """There is nothing left to stop: a signal that comes while the loop is closed would be a complaint on standard error."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


async def _run(
    app: web.Application,
    sockets: Sequence[socket.socket],
    config: Config,
    verbose: bool,
    ready: Callable[[], None],
    stop: asyncio.Event,
    home: Home,
    seat: Seat | None,
) -> None:
    runner = make_runner(app, config, verbose=verbose)
    await runner.setup()
    try:
        await _open(runner, sockets, seat)
        ready()
        while not stop.is_set():
            home.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK)
    finally:
        await runner.cleanup()


async def _open(runner: Runner, sockets: Sequence[socket.socket], seat: Seat | None) -> None:
    if seat is not None:
        await SharedSite(runner, sockets, seat, burst=_BURST).start()
        return
    for each in sockets:
        # asyncio has one number for both.
        await web.SockSite(runner, each, backlog=_BURST).start()
        each.listen(_BACKLOG)


def _url(listening: socket.socket, config: Config) -> str:
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}{config.prefix.rstrip('/')}/"
