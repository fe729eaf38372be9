"""The bodies that are arriving now: how many and how much there may be at once, and how a server that must stop ends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from partwise.errors import Depends, Failure, TooLarge, TooManyRequests, TryAgain
from partwise.handlers.load import Load

#: Seconds that uploads get to write their last words, once they were told to stop.
_LAST_WORDS = 5.0
#: Seconds between two looks whether there is room again.
_LOOK = 0.05


# Timeouts, because aiohttp takes one quietly where it drains what a handler has left of a body, and logs all else as a fault.
class Stopping(TimeoutError):
    """The server stops; the rest of the body is not read."""


class Cancelled(TimeoutError):
    """Somebody cancelled the batch; the rest of the body is not read."""


class Late(TimeoutError):
    """The body does not come, or too slowly; the rest of it is not read."""


#: Asked while nobody else uploads, with the seconds waited so far: would an upload wait for itself alone? Then it may go on, and
#: the item in progress is refused when it is too large. Raises TooLarge if a batch as a whole is.
Alone = Callable[[float], bool]


def cancelled() -> Failure:
    """What every item is told that was not judged before."""
    return Depends("The upload was cancelled; what was stored before stays.")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be on its way at once in this process: bodies, batches, batches of one user, bytes. ``None``: any."""

    uploads: int | None = None
    batches: int | None = None
    user_batches: int | None = None
    staging: int | None = None


class Promise:
    """What is still to come of a body whose length is known, in bytes."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def keep(self, size: int) -> None:
        """So much has come. In any thread, before it is staged: it never counts twice."""
        self.left = max(0, self.left - size)


class Arriving:
    """All bodies in progress in this process. ``staged`` tells how many bytes are received and not published."""

    def __init__(
        self, bounds: Bounds = Bounds(), staged: Callable[[], int] = lambda: 0, load: Load | None = None
    ) -> None:
        self._bounds = bounds
        self._staged = staged
        self._load = load or Load()
        # By identity: aiohttp's requests are mappings, which have no hash.
        self._requests: dict[int, web.Request] = {}
        self._promised: dict[int, Promise] = {}
        #: Bytes that came of a body which promised nothing.
        self._taken: dict[int, int] = {}
        self._batches: Counter[str | None] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, request: object) -> bool:
        return id(request) in self._requests

    def begin(self, request: web.Request) -> None:
        """Raises TryAgain if there are too many, or too much is on its way; TooLarge if there can never be room."""
        if not request.content.is_eof():
            # What is there in full already waits for nobody, and a small request of the protocol always gets through.
            self._admit(request)
        self._requests[id(request)] = request
        self._empty.clear()

    def _admit(self, request: web.Request) -> None:
        uploads, staging = self._bounds.uploads, self._bounds.staging
        if uploads is not None and len(self._requests) >= uploads:
            raise TryAgain("Too many uploads are on their way to this server. Try again in a few seconds.")
        if staging is None:
            return
        # A batch is published while it arrives; its length says little about what of it is held at any time.
        promised = (request.content_length or 0) if request.method == hdrs.METH_PUT else 0
        if promised > staging:
            raise _never(staging)
        if self._on_their_way() + promised > staging:
            raise TryAgain("Too many bytes are on their way to this server. Try again in a few seconds.")
        if promised:
            self._promised[id(request)] = Promise(promised)

    def _on_their_way(self) -> int:
        return self._staged() + sum(promise.left for promise in self._promised.values())

    async def room(self, request: web.Request, size: int, patience: float, alone: Alone | None = None) -> None:
        """Wait, before ``size`` bytes of a body are taken, until there is room for what did not say how much it will be.

        Raises TooLarge for a body that there can never be room for; TryAgain if there is none for ``patience`` seconds: of those
        that wait for each other's end somebody must go. ``alone``: for a body that is not just one item (see :data:`Alone`).
        """
        staging = self._bounds.staging
        if staging is None:
            return
        if (promise := self.promise(request)) is not None:
            promise.keep(size)
            return
        taken = self._taken[id(request)] = self._taken.get(id(request), 0) + size
        if alone is None and taken > staging:
            raise _never(staging)
        clock = asyncio.get_running_loop().time
        start = clock()
        while self._on_their_way() + size > staging:
            waited = clock() - start
            if len(self._requests) == 1 and alone is not None and alone(waited):
                return
            if waited >= patience:
                if len(self._requests) == 1:
                    raise _never(staging)
                raise TryAgain("Too many bytes are on their way to this server. Try again in a few seconds.")
            await asyncio.sleep(_LOOK)

    def promise(self, request: web.Request) -> Promise | None:
        """Of a body in progress, if it gave one that counts."""
        return self._promised.get(id(request))

    def end(self, request: web.Request) -> None:
        self._requests.pop(id(request), None)
        self._promised.pop(id(request), None)
        self._taken.pop(id(request), None)
        if not self._requests:
            self._empty.set()

    def begin_batch(self, principal: str | None) -> None:
        """To be ended with :meth:`end_batch`. Raises TooManyRequests for the user's own, TryAgain for everybody's.

        Those who log in nowhere are not one user.
        """
        total, each = self._bounds.batches, self._bounds.user_batches
        if principal is not None and each is not None and self._batches[principal] >= each:
            count = "a batch" if each == 1 else f"{each} batches"
            raise TooManyRequests(f"You have {count} running; wait until one has ended, then try again.")
        if total is not None and self._batches.total() >= total:
            raise TryAgain("Too many batches are running on this server. Try again in a few seconds.")
        self._batches[principal] += 1
        self._load.batch_came()

    def end_batch(self, principal: str | None) -> None:
        self._load.batch_went()
        self._batches[principal] -= 1
        if not self._batches[principal]:
            del self._batches[principal]

    async def stop(self, grace: float) -> None:
        """Let bodies arrive for ``grace`` seconds more, then end those that are left."""
        if await self._done(grace):
            return
        for request in list(self._requests.values()):
            request.content.set_exception(Stopping())
        await self._done(_LAST_WORDS)

    async def _done(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True


def _never(staging: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {staging} bytes taken here.", limit=staging)
