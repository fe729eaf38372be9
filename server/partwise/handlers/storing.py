"""From a good body to a durable file: its judges are heard, then the committer publishes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from partwise.errors import Failure
from partwise.handlers.context import Call
from partwise.handlers.hop import Lane, Step
from partwise.intake.item import Item
from partwise.intake.judging import too_late, when_judged
from partwise.intake.pipeline import Staged
from partwise.storage.base import Published

T = TypeVar("T")


async def store(call: Call, staged: Staged, lane: Lane) -> Published:
    """Raises what its judges or the store say; then nothing of it is left."""
    if staged.waiting:
        try:
            await _judged(staged, call.services.config.judge_timeout)
        except BaseException:
            await lane.run(staged.publication.upload.abort)
            raise
    return await _publish(call, staged)


async def store_whole(call: Call, item: Item, body: bytes, lane: Lane, *, conditional: bool) -> Published:
    """As :func:`store`, from the first byte on, of a body that is there: one way out of the event loop and one back.

    ``conditional``: it may well be refused for what stands under its name.
    """
    services = call.services

    def receive(done: Callable[[Published | Failure | Staged], None]) -> None:
        staged = services.intake.take(item, body, look=conditional)
        if staged.waiting:
            done(staged)
        else:
            services.committer.submit([staged.publication], lambda results: done(results[0]))

    found = await lane.run_until(receive)
    if isinstance(found, Staged):
        # It waits for judges, with whom the event loop speaks.
        return await store(call, found, lane)
    if isinstance(found, Failure):
        raise found
    return found


async def _judged(staged: Staged, patience: float) -> None:
    """Wait for the judges that validators asked. Raises their refusal, or TryAgain when they take too long."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Failure | None] = loop.create_future()

    when_judged(staged.waiting, lambda verdict: _deliver(loop, answer, verdict))
    try:
        async with asyncio.timeout(patience):
            verdict = await answer
    except TimeoutError:
        raise too_late() from None
    if verdict is not None:
        raise verdict


def _deliver(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], result: T) -> None:
    """Resolve a future of the event loop from another thread; nobody may be waiting any more."""

    def deliver() -> None:
        if not future.done():
            future.set_result(result)

    loop.call_soon_threadsafe(deliver)


async def _publish(call: Call, staged: Staged) -> Published:
    published: Step[Published | Failure] = Step()
    bell = call.services.hop.bell
    call.services.committer.submit([staged.publication], lambda results: bell.put(published, results[0]))
    result = await published
    if isinstance(result, Failure):
        raise result
    return result
