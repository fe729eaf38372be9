"""Waiting for judges: the answers of validators that had to ask somebody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from partwise.errors import Failure, TryAgain
from partwise.intake.validators.base import Waiting

log = logging.getLogger(__name__)

Ticket = Future[Failure | None]


def when_judged(waiting: Sequence[Waiting], done: Callable[[Failure | None], None]) -> None:
    """Call ``done`` once: with the first refusal, or with ``None`` when all agree; at once if there is nobody to ask.

    ``done`` runs on whatever thread brought the deciding answer.
    """
    if not waiting:
        done(None)
        return
    lock = threading.Lock()
    left = len(waiting)

    def answered(ticket: Ticket) -> None:
        nonlocal left
        verdict = _verdict(ticket)
        with lock:
            if left == 0:
                return
            left = 0 if verdict is not None else left - 1
            if left:
                return
        done(verdict)

    for answer in waiting:
        answer.ticket.add_done_callback(answered)


def _verdict(ticket: Ticket) -> Failure | None:
    """What a judge that has answered said; one that failed speaks against the item."""
    try:
        return ticket.result()
    except BaseException:  # a cancelled ticket raises CancelledError, which is no Exception
        log.exception("a judge failed")
        return TryAgain("The server could not finish judging the item; nothing was stored. Send it again.")


def too_late() -> Failure:
    """The judges did not answer in time."""
    return TryAgain("The item could not be judged in time; nothing was stored. Send it again.")
