"""LOCK and UNLOCK."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions import lock as action
from partwise.actions.properties import active_locks
from partwise.actions.unlock import unlock as end_lock
from partwise.errors import Malformed
from partwise.handlers.answer import XML
from partwise.handlers.body import has_body, whole
from partwise.handlers.context import Call
from partwise.handlers.gating import gate_of, view_of
from partwise.protocol.locking import lock_document, parse_lock_token, parse_lockinfo, parse_timeout
from partwise.protocol.preferences import Depth, parse_depth
from partwise.protocol.quirks import bare_token
from partwise.storage.base import Lock


async def lock(call: Call) -> web.Response:
    """200, or 201 where the name was unmapped, with the lock; without a body a lock is refreshed."""
    call.require_write()
    services, target = call.services, call.target
    seconds = parse_timeout(
        call.header("Timeout"), default=services.config.lock_timeout, longest=services.config.max_lock_timeout
    )
    gate = gate_of(call)
    body = await whole(call, services.config.max_protocol_body)
    expires = services.clock() + seconds
    info = await services.hop.run(parse_lockinfo, body) if body else None
    if info is None or bare_token(call.header("If")) is not None:
        refreshed = await services.hop.run_writing(action.refresh, services.store, target.path, gate, expires)
        return await _answer(call, refreshed, HTTPStatus.OK, {})
    depth = _depth(call)
    services.mount.check_new(target.path)
    asked = Lock(
        # RFC 4918 §6.5: a token is unique "across all resources for all time".
        uuid.uuid4().urn,
        target.path,
        info.exclusive,
        depth is Depth.INFINITY,
        info.owner,
        call.principal,
        expires,
    )
    granted = await services.hop.run_writing(action.lock, services.store, asked, gate, slash=target.slash)
    status = HTTPStatus.CREATED if granted.created else HTTPStatus.OK
    return await _answer(call, granted.lock, status, {"Lock-Token": f"<{granted.lock.token}>"})


def _depth(call: Call) -> Depth:
    # RFC 4918 §9.10.3: "If no Depth header is submitted on a LOCK request, then the request MUST act as if a
    # 'Depth:infinity' had been submitted." Values other than 0 and infinity MUST NOT be used. Not asked for a refresh,
    # §9.10.2: "A server MUST ignore the Depth header on a LOCK refresh."
    depth = parse_depth(call.header("Depth"), Depth.INFINITY)
    if depth is Depth.ONE:
        raise Malformed("A lock has the depth 0 or infinity.")
    return depth


async def _answer(call: Call, granted: Lock, status: HTTPStatus, headers: dict[str, str]) -> web.Response:
    inner = await call.services.hop.run(active_locks, view_of(call), (granted,))
    return web.Response(
        status=status,
        body=lock_document(inner).encode("utf-8", "replace"),
        headers={hdrs.CONTENT_TYPE: XML, hdrs.CACHE_CONTROL: "no-store", **headers},
    )


async def unlock(call: Call) -> web.Response:
    call.require_write()
    token = parse_lock_token(call.header("Lock-Token"))
    gate, bodied = gate_of(call), has_body(call.request)
    await call.services.hop.run_writing(end_lock, call.services.store, call.target.path, token, gate, bodied=bodied)
    return web.Response(status=HTTPStatus.NO_CONTENT)
