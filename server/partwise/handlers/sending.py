"""Files go from the page cache to the socket, copied by nobody.

Not in the event loop: it would stand still for as long as the disk reads what is not in memory, and as long as a fast client
takes what is.
"""

from __future__ import annotations

import asyncio
import io
import os
import select
import socket
from collections.abc import Callable

from aiohttp import web

from partwise.handlers.context import Call
from partwise.processors import roaming
from partwise.protocol.ranges import ByteRange

#: A part up to this size is sent by the event loop: a hop would take longer.
_SMALL = 256 * 1024
#: For one call, and for one hop: others want the thread too.
_PIECE, _STEP = 1024 * 1024, 8 * 1024 * 1024
#: Milliseconds that a thread waits for a client to make room: less than a hop to the event loop and back would take.
_PATIENCE = 1


async def send_part(call: Call, descriptor: int, part: ByteRange) -> None:
    """Raises ConnectionResetError if the client went away, ConnectionAbortedError if the file is shorter than the part."""
    sending = _Sending(call.request, descriptor, part)
    try:
        await sending.begin(call)
        while sending.start < part.stop:
            sending.check()
            await call.services.hop.run(_roaming, sending.step)
            if sending.start < part.stop:
                await sending.room()
    finally:
        sending.close()


def _roaming(step: Callable[[], None]) -> None:
    with roaming():
        step()


class _Sending:
    def __init__(self, request: web.Request, descriptor: int, part: ByteRange) -> None:
        self._request, self._descriptor = request, descriptor
        #: What comes next.
        self.start, self._stop = part
        self._socket: socket.socket | None = None

    async def begin(self, call: Call) -> None:
        """What the transport holds goes first; and all of it if it is little, or to be encrypted."""
        await call.services.hop.run(self._advise)
        self.check()
        transport = self._request.transport
        assert transport is not None
        beside = transport.get_extra_info("sslcontext") is None and transport.get_extra_info("socket") is not None
        count = self._stop - self.start
        if beside and count > _SMALL:
            # A descriptor of its own: that of the transport may be closed, and be another's, while a step runs.
            self._socket = transport.get_extra_info("socket").dup()
            if not transport.get_write_buffer_size():
                return
            count = _SMALL
        with io.FileIO(self._descriptor, closefd=False) as file:
            if await asyncio.get_running_loop().sendfile(transport, file, self.start, count) < count:
                raise _too_short()
        self.start += count

    def check(self) -> None:
        if self._request.transport is None or self._request.transport.is_closing():
            raise ConnectionResetError("the client went away")

    def step(self) -> None:
        """As much as the client takes now."""
        assert self._socket is not None
        # select(2) knows descriptors below 1,024 only.
        room = select.poll()
        room.register(self._socket, select.POLLOUT)
        until = min(self._stop, self.start + _STEP)
        while self.start < until:
            try:
                sent = os.sendfile(
                    self._socket.fileno(), self._descriptor, self.start, min(_PIECE, self._stop - self.start)
                )
            except BlockingIOError:
                if not room.poll(_PATIENCE):
                    return
                continue
            if not sent:
                raise _too_short()
            self.start += sent

    def _advise(self) -> None:
        if not hasattr(os, "posix_fadvise"):
            return
        if self._stop - self.start <= _SMALL:
            os.posix_fadvise(self._descriptor, self.start, self._stop - self.start, os.POSIX_FADV_WILLNEED)
        else:
            # The system reads ahead by itself, and twice as far: faster than what it is asked for piece by piece.
            os.posix_fadvise(self._descriptor, self.start, self._stop - self.start, os.POSIX_FADV_SEQUENTIAL)

    async def room(self) -> None:
        """Wait until the client has taken some."""
        assert self._socket is not None
        loop, descriptor = asyncio.get_running_loop(), self._socket.fileno()
        free: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, lambda: None if free.done() else free.set_result(None))
        try:
            await free
        finally:
            loop.remove_writer(descriptor)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def _too_short() -> ConnectionAbortedError:
    # Cut short by hand meanwhile. Only closing tells the client that what it has is not all.
    return ConnectionAbortedError("the file became shorter while it was sent")
