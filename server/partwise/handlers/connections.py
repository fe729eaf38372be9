"""All connections of this process: who comes in, who has waited too long, and who must make room for others."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter, deque

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from partwise.config import Config
from partwise.errors import TooManyRequests, TryAgain
from partwise.handlers.arriving import Arriving
from partwise.handlers.context import SERVICES
from partwise.handlers.patience import Patience, Watch
from partwise.handlers.shortcut import ShortcutProtocol
from partwise.handlers.turning_away import TurningAway, last_word

log = logging.getLogger(__name__)

#: Seconds between two looks at all connections, at most, and how many are looked at before others have their turn.
_LOOK, _AT_ONCE = 1.0, 64


class Connection(ShortcutProtocol):
    """What is looked at now and then; ``handlers.wire`` knows how."""

    __slots__ = ("content", "lingering", "watch")

    watch: Watch
    #: The body of the request in progress, or of the last one.
    content: StreamReader | None
    #: Bytes of a body that came after its request had been answered.
    lingering: int

    def look(self, transport: asyncio.Transport, now: float, patience: Patience, arriving: Arriving) -> bool:
        """End what has waited too long for its client. Can the connection be spared, if need be?"""
        raise NotImplementedError

    def begin_request(self) -> None:
        """The next one is taken from the queue."""
        raise NotImplementedError

    def spare(self) -> bool:
        """Close if no request has begun to arrive."""
        raise NotImplementedError


class Connections(web.Server):
    """All connections of this process."""

    def begin(self, app: web.Application, config: Config) -> None:
        """In place of ``__init__``: aiohttp makes this object as one of its own class."""
        self._arriving = app[SERVICES].arriving
        self.load = app[SERVICES].load
        self._patience = patience_of(config)
        self._most, self._most_each = _room(config), config.max_address_connections
        self._addresses: Counter[str] = Counter()
        #: Those that can be closed for others, the longest idle first.
        self._spare: deque[Connection] = deque()
        self.turning_away = TurningAway()
        make = self.request_factory

        def begin(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: RequestHandler,
            writer: AbstractStreamWriter,
            task: asyncio.Task[None],
        ) -> web.BaseRequest:
            assert isinstance(protocol, Connection)
            protocol.content, protocol.lingering = payload, 0
            protocol.begin_request()
            return make(message, payload, protocol, writer, task)

        self.request_factory = begin

    # -- who comes in

    def has_room(self, transport: asyncio.Transport) -> bool:
        """For one more connection; if not, it is turned away."""
        if self._most_each is not None and self._addresses[_address(transport)] >= self._most_each:
            self._turn_away(transport, _TOO_MANY_OF_YOURS)
            return False
        if len(self._connections) >= self._most and not self._make_room():
            self._turn_away(transport, _TOO_MANY)
            return False
        return True

    def _turn_away(self, transport: asyncio.Transport, word: bytes) -> None:
        self.load.went()
        self.turning_away.add(transport, word)

    def _make_room(self) -> bool:
        """What says nothing gives way. (RFC 9112 §9.8: "A client, server, or proxy MAY close the transport connection at any
        time.")"""
        while self._spare:
            if self._spare.popleft().spare():
                return True
        return False

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._most_each is not None:
            self._addresses[_address(transport)] += 1

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        # One that was turned away is none of them.
        if handler in self._connections:
            self.load.went()
        if self._most_each is not None and (transport := self._connections.get(handler)) is not None:
            address = _address(transport)
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]
        super().connection_lost(handler, exc)

    # -- who has waited too long

    async def watch(self) -> None:
        """Look at all connections now and then, for as long as the server runs."""
        pause = min(_LOOK, self._patience.shortest / 4)
        while True:
            await asyncio.sleep(pause)
            await self._look()

    async def _look(self) -> None:
        clock, spare = asyncio.get_running_loop().time, []
        for number, (connection, transport) in enumerate(list(self._connections.items())):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            assert isinstance(connection, Connection)
            if connection.look(transport, clock(), self._patience, self._arriving):
                spare.append(connection)
        self.load.resting(len(spare))
        self._spare = deque(sorted(spare, key=lambda connection: -connection.watch.silent))
        self.turning_away.sweep(clock())


_TOO_MANY = last_word(TryAgain("The server has too many connections. Try again in a few seconds."))
_TOO_MANY_OF_YOURS = last_word(
    TooManyRequests("Your address has too many connections to this server. Close some of them.")
)


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _room(config: Config) -> int:
    """Connections that may be open. Items on their way need descriptors too."""
    granted, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if granted == resource.RLIM_INFINITY or config.max_connections <= granted // 2:
        return config.max_connections
    log.warning(
        "the system grants %d descriptors: %d connections are taken at most, not %d",
        granted,
        granted // 2,
        config.max_connections,
    )
    return granted // 2


def patience_of(config: Config) -> Patience:
    return Patience(
        head=config.header_timeout,
        idle=config.keep_alive,
        body=config.body_timeout,
        send=config.send_timeout,
        rate=config.min_rate,
        window=config.rate_window,
    )
