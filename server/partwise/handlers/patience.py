"""How long a client is waited for: judged by looking at each connection now and then, not by a timer for each chunk.

A look says what the server waits for and how many bytes have come (or were taken) so far. Only time in which both this look
and the one before found the server waiting counts: while it computes, or keeps bytes waiting itself, nobody is late.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """What is waited for."""

    #: A first byte, of a connection that was just opened.
    SILENT = auto()
    #: The rest of a request's head.
    HEAD = auto()
    #: A next request.
    IDLE = auto()
    #: More of a body.
    BODY = auto()
    #: That the client takes what was sent.
    READER = auto()
    #: The server itself, or nobody.
    BUSY = auto()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for each phase. ``rate``: bytes per second that a body or a reader must make on average of ``window`` seconds,
    after a first such window that counts for nothing."""

    head: float
    idle: float
    body: float
    send: float
    rate: float
    window: float

    def seconds(self, phase: Phase) -> float:
        """How long it may last without a byte; a head is limited as a whole."""
        return {Phase.IDLE: self.idle, Phase.BODY: self.body, Phase.READER: self.send}.get(phase, self.head)

    @property
    def shortest(self) -> float:
        return min(self.head, self.idle, self.body, self.send, self.window)


class Watch:
    """One connection, from look to look. ``now`` on any clock that does not jump."""

    __slots__ = ("_count", "_interrupted", "_number", "_phase", "_seen", "_silent", "_start", "_waited", "_window")

    def __init__(self, now: float) -> None:
        self._seen = now
        self._restart(Phase.SILENT, 0, 0)

    def _restart(self, phase: Phase, number: int, count: int) -> None:
        self._phase, self._number = phase, number
        self._silent = self._waited = self._window = 0.0
        self._start = self._count = count
        self._interrupted = False

    @property
    def silent(self) -> float:
        """Seconds without a byte in this phase."""
        return self._silent

    def late(self, phase: Phase, number: int, count: int, now: float, patience: Patience) -> bool:
        """Has the client's time run out? ``number`` of the request on its connection, ``count`` of bytes so far."""
        passed, self._seen = now - self._seen, now
        if phase is Phase.BUSY:
            self._interrupted = True
            if self._phase is Phase.READER:
                # It has taken all there was.
                self._phase = phase
            return False
        if phase is Phase.HEAD and self._phase is Phase.SILENT:
            # The time for the first head begins with the connection.
            self._phase = phase
        if (phase, number) != (self._phase, self._number):
            self._restart(phase, number, count)
            return False
        if self._interrupted:
            self._interrupted, passed = False, 0.0
        self._waited += passed
        self._silent = self._silent + passed if count == self._count or phase is Phase.HEAD else 0.0
        self._count = count
        return self._silent >= patience.seconds(phase) or self._slow(phase, passed, patience)

    def _slow(self, phase: Phase, passed: float, patience: Patience) -> bool:
        if phase not in (Phase.BODY, Phase.READER):
            return False
        self._window += passed
        if self._window < patience.window:
            return False
        slow = self._count - self._start < patience.rate * self._window and self._waited > 1.5 * patience.window
        self._window, self._start = 0.0, self._count
        return slow
