"""Accepting connections in one worker of several, and passing them on to a worker that is less busy."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Sequence

from aiohttp import web

from partwise.handlers.connections import Connections
from partwise.handlers.exchange import Seat

log = logging.getLogger(__name__)

#: Seconds without accepting when that fails. The listening socket stays readable all the while.
_PAUSE = 1.0


class SharedSite(web.BaseSite):
    """In place of an ``aiohttp.web.SockSite`` for each of the sockets."""

    __slots__ = ("_burst", "_connecting", "_loop", "_paused", "_seat", "_serving", "_sockets")

    def __init__(self, runner: web.BaseRunner, sockets: Sequence[socket.socket], seat: Seat, *, burst: int) -> None:
        """``sockets`` listen and do not block; they are closed with the site. ``burst``: connections that are accepted before
        others have their turn."""
        super().__init__(runner)
        server = runner.server
        assert isinstance(server, Connections)
        self._serving, self._sockets, self._seat, self._burst = server, sockets, seat, burst
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}

    @property
    def name(self) -> str:
        return "http://{}:{}".format(*self._sockets[0].getsockname()[:2])

    async def start(self) -> None:
        await super().start()
        self._serving.load.show(self._seat.load)
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)
        self._loop.add_reader(self._seat, self._take)
        self._seat.open()

    async def stop(self) -> None:
        """Nobody comes in any more. Who was passed on to us until now is treated as one whom we have accepted."""
        self._seat.close()
        for pause in self._paused.values():
            pause.cancel()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._loop.remove_reader(self._seat)
        for connection in self._seat.take():
            self._keep(connection)
        await asyncio.gather(*self._connecting)
        await super().stop()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self._burst):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                log.error("no connection can be accepted for %g s: %s", _PAUSE, error.strerror)
                self._loop.remove_reader(listening)
                self._paused[listening] = self._loop.call_later(_PAUSE, self._go_on, listening)
                return
            place = self._seat.least_busy()
            if place == self._seat.number or not self._seat.give(connection, place):
                self._keep(connection)

    def _go_on(self, listening: socket.socket) -> None:
        del self._paused[listening]
        self._loop.add_reader(listening, self._accept, listening)

    def _take(self) -> None:
        for connection in itertools.islice(self._seat.take(), self._burst):
            self._keep(connection)

    def _keep(self, connection: socket.socket) -> None:
        # At once: it counts as ours before the next one is accepted.
        task = self._loop.create_task(self._connect(connection, self._serving()))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:
            # It has gone already, and some systems refuse to set an option then.
            connection.close()
            self._serving.load.went()
