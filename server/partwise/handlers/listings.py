"""Answers to PROPFIND that were given before, kept as long as somebody sees that they are still true.

Many clients ask the same of the same collection again and again, file managers every few seconds and synchronisers with many
connections at once. An answer is kept with a witness (``storage.base.Witness``), who is asked at each use; one that does not
hold any more is dropped. Everything here is done in the event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from partwise.protocol.paths import Path
from partwise.protocol.preferences import Depth
from partwise.storage.base import Witness

#: Bytes of all answers of a process, and of one.
MOST_BYTES, MOST_EACH = 16 * 1024 * 1024, 4 * 1024 * 1024
#: Answers; fewer than there can be witnesses, so that there is always one for a new one.
MOST_ANSWERS = 96
#: Bytes of a question.
MOST_ASKED = 4096
#: Questions that are remembered: the answer to one that is asked once is not worth a witness.
_REMEMBERED = 256
#: Askings for what was kept for nothing, again and again, until it is kept once more.
_MOST_PASSING = 15
#: Of the oldest answers, how many are looked at when a new one comes.
_SWEPT = 8
#: Seconds that one request waits for the answer that another one makes.
_PATIENCE = 0.05


class Question(NamedTuple):
    """Everything that an answer depends on, besides the store. ``body`` is the request's own."""

    path: Path
    slash: bool
    depth: Depth
    body: bytes
    minimal: bool
    root: bool
    principal: str | None


class _Kept:
    __slots__ = ("document", "used", "witness")

    def __init__(self, document: bytes, witness: Witness) -> None:
        self.document, self.witness = document, witness
        #: Was it an answer to anybody?
        self.used = False


class _Interest:
    """In the answers to one question. Where each is untrue before it is asked for, they are kept ever more rarely."""

    __slots__ = ("_passing", "_step")

    def __init__(self) -> None:
        #: Askings that keep nothing, still to come and in all.
        self._passing = self._step = 0

    def is_enough(self) -> bool:
        """To keep the answer that is asked for now."""
        if not self._passing:
            return True
        self._passing -= 1
        return False

    def learn(self, used: bool) -> None:
        """An answer that was kept is dropped."""
        self._passing = self._step = 0 if used else min(2 * self._step + 1, _MOST_PASSING)


class Listings:
    """The answers of one process; the least recently used go first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._asked: OrderedDict[Question, _Interest] = OrderedDict()
        self._coming: dict[Question, asyncio.Event] = {}
        #: Bytes that are held now.
        self.size = 0

    def find(self, question: Question) -> bytes | None:
        """The answer, if one is known to be true at this moment."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        if not kept.witness.holds():
            self._drop(question)
            return None
        self._kept.move_to_end(question)
        kept.used = True
        return kept.document

    async def wait(self, question: Question) -> bytes | None:
        """As :meth:`find`, after the answer that is being made by another request, if there is one, and it is quick."""
        coming = self._coming.get(question)
        if coming is None:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                await coming.wait()
        except TimeoutError:
            return None
        return self.find(question)

    def is_worth_keeping(self, question: Question) -> bool:
        """Was it asked a short while ago, and was it of use to keep the answer?"""
        interest = self._asked.get(question)
        if interest is not None:
            self._asked.move_to_end(question)
            return interest.is_enough()
        self._asked[question] = _Interest()
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
        return False

    @contextmanager
    def coming(self, question: Question) -> Iterator[None]:
        """An answer that can be kept is made in this block."""
        event = asyncio.Event()
        mine = self._coming.setdefault(question, event) is event
        self._sweep()
        try:
            yield
        finally:
            if mine:
                del self._coming[question]
                event.set()

    def keep(self, question: Question, document: bytes, witness: Witness) -> None:
        """Takes the witness over."""
        self._drop(question)
        if len(document) > min(MOST_EACH, self._most_bytes) or not witness.holds():
            witness.close()
            return
        while self._kept and (len(self._kept) >= MOST_ANSWERS or self.size + len(document) > self._most_bytes):
            self._drop(next(iter(self._kept)))
        self._kept[question] = _Kept(document, witness)
        self.size += len(document)

    def _sweep(self) -> None:
        for question in list(self._kept)[:_SWEPT]:
            if not self._kept[question].witness.holds():
                self._drop(question)

    def _drop(self, question: Question) -> None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self.size -= len(kept.document)
            kept.witness.close()
            if (interest := self._asked.get(question)) is not None:
                interest.learn(kept.used)
