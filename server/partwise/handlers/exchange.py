"""Where the workers of one server see how busy the others are, and pass connections on to them.

The kernel shares new connections out blindly. So each worker has a *seat*: figures in memory that all of them share, and a
queue, one end of a pair of Unix sockets that has no name, in which the others put connections of which nothing was read.
There is no lock: each figure has one writer, and who reads an old one is wrong by a connection or two for a moment.

What is on its way is known to both sides: who gives counts what it has given, and sends that number along; who takes notes
the last number that has come. The difference is right again with the next message, whoever died in between.
"""

from __future__ import annotations

import logging
import mmap
import os
import socket
import struct
from collections.abc import Iterator

from partwise.handlers.load import CELLS, weight

log = logging.getLogger(__name__)

#: With a descriptor: who gives it, how many that one has given to the same worker, the address family of the connection.
_MESSAGE = struct.Struct("=qqq")
#: Does the worker take connections? Before its load.
_OPEN = 0
_WORD = 8


class Exchange:
    """The seats of all workers. To be made before the first fork; whoever does not work keeps them for those who will."""

    def __init__(self, workers: int) -> None:
        """Raises OSError without descriptors for two sockets each."""
        # Of each worker: whether it is open, its load, what each of the others has given it, and what it has taken from each.
        width = 1 + CELLS + 2 * workers
        cells = memoryview(mmap.mmap(-1, workers * width * _WORD)).cast("q")
        self._rows = [cells[number * width : (number + 1) * width] for number in range(workers)]
        self._queues: list[tuple[socket.socket, socket.socket]] = []
        try:
            for _ in range(workers):
                # Who puts something in must not wait, and can keep it. (Not SEQPACKET, which macOS does not have.)
                self._queues.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
                for end in self._queues[-1]:
                    end.setblocking(False)
        except OSError:
            self.close()
            raise

    def vacate(self, number: int) -> None:
        """That worker has died: nothing more is given to it. What waits in its queue is for the next one at its seat."""
        self._rows[number][_OPEN] = 0

    def seat(self, number: int) -> Seat:
        """For the process that is this worker now."""
        return Seat(number, self._rows, self._queues[number][0], [giving for _, giving in self._queues])

    def close(self) -> None:
        for ends in self._queues:
            for end in ends:
                end.close()


class Seat:
    """One worker's place among the others, closed at first."""

    def __init__(
        self, number: int, rows: list[memoryview[int]], taking: socket.socket, giving: list[socket.socket]
    ) -> None:
        self.number = number
        self._rows = rows
        self._taking, self._giving = taking, giving
        self._given = slice(1 + CELLS, 1 + CELLS + len(rows))
        self._taken = slice(self._given.stop, self._given.stop + len(rows))
        #: For the figures of this worker. What its predecessor left there is gone with it.
        self.load = rows[number][1 : 1 + CELLS]
        rows[number][_OPEN] = 0
        for cell in range(CELLS):
            self.load[cell] = 0

    def open(self) -> None:
        """From now on the others may give."""
        self._rows[self.number][_OPEN] = 1

    def close(self) -> None:
        """They may no more. What is in the queue can still be taken."""
        self._rows[self.number][_OPEN] = 0

    def fileno(self) -> int:
        """Can be read when there is something to take."""
        return self._taking.fileno()

    def least_busy(self) -> int:
        """Who should have the next connection: a worker that is open, and this one if no other is less busy."""
        best, least = self.number, self._weight(self.number)
        for number, row in enumerate(self._rows):
            if number != self.number and row[_OPEN] and (found := self._weight(number)) < least:
                best, least = number, found
        return best

    def _weight(self, number: int) -> tuple[int, int, int]:
        row = self._rows[number]
        return weight(row[1 : 1 + CELLS], sum(row[self._given]) - sum(row[self._taken]))

    def give(self, connection: socket.socket, to: int) -> bool:
        """Put a connection into the queue of another worker, and close it here. False: there is no room; it is still ours."""
        given = self._rows[to][self._given]
        given[self.number] += 1
        message = _MESSAGE.pack(self.number, given[self.number], connection.family)
        try:
            socket.send_fds(self._giving[to], [message], [connection.fileno()])
        except OSError:
            given[self.number] -= 1
            return False
        connection.close()
        return True

    def take(self) -> Iterator[socket.socket]:
        """What is in the queue, until it is empty."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._taking, _MESSAGE.size, 1)
            except (BlockingIOError, InterruptedError):
                return
            giver, number, family = _MESSAGE.unpack(message)
            self._rows[self.number][self._taken][giver] = number
            if not descriptors:
                log.error("a connection is lost: there are no descriptors left")
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                # What the system could tell of it some systems do not tell once the client has gone.
                yield socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=descriptor)
