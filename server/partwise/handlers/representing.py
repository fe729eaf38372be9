"""``Prefer: return=representation`` (RFC 7240 §4.2, RFC 8144 §2.3, §3): the new state comes with the answer to a write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.read import Representation, represent
from partwise.errors import Failure, NotFound, PreconditionFailed
from partwise.handlers.context import Call
from partwise.handlers.gating import destination
from partwise.handlers.get import send_file
from partwise.handlers.preferring import preferences
from partwise.protocol.conditions import Conditions
from partwise.protocol.paths import Path

Verb = Callable[[Call], Awaitable[web.StreamResponse]]

_WRITES = {"PUT", "PATCH", "COPY", "MOVE"}
_DONE = {HTTPStatus.CREATED: HTTPStatus.CREATED, HTTPStatus.NO_CONTENT: HTTPStatus.OK}


async def answered(call: Call, verb: Verb) -> web.StreamResponse:
    """What the verb answers; for a client that asks for it with the file as it is now, also when a condition failed."""
    if call.request.method not in _WRITES or not preferences(call).representation:
        return await verb(call)
    try:
        answer = await verb(call)
    except PreconditionFailed as failure:
        # RFC 8144 §3: a 412 may hold the current representation, which saves the client a GET.
        now = await _now(call, call.target.path, failure.status)
        if now is None:
            raise
        return now
    status = _DONE.get(HTTPStatus(answer.status))
    if status is None:
        return answer
    path = destination(call).path if hdrs.DESTINATION in call.request.headers else call.target.path
    return await _now(call, path, status) or answer


async def _now(call: Call, path: Path, status: HTTPStatus) -> web.StreamResponse | None:
    if not call.services.policy.may_read(call.principal):
        return None
    try:
        found = await call.services.hop.run(_open, call, path)
    except Failure:
        return None
    if found is None:
        return None
    wishes = preferences(call)
    headers = {hdrs.CONTENT_LOCATION: call.services.mount.href(path), **wishes.applied(representation=True)}
    return await send_file(call, found, status, headers)


def _open(call: Call, path: Path) -> Representation | None:
    store = call.services.store
    resource = store.stat(path)
    if resource.collection:
        raise NotFound("A collection has no representation of its own.")
    return represent(store, resource, Conditions(), None, 1)
