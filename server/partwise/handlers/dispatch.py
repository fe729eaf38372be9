"""From a request to its verb, and from any failure to its response: the one ``try`` around everything."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from partwise.actions.members import MemberFailures
from partwise.errors import Failure, LengthMismatch, NotImplementedHere, TooSlow, TryAgain
from partwise.handlers.answer import failure_response, members_response
from partwise.handlers.authenticate import authenticate
from partwise.handlers.body import ClientGone
from partwise.handlers.context import SERVICES, Call, Services
from partwise.handlers.delete import delete
from partwise.handlers.expect import check_expectation
from partwise.handlers.get import get
from partwise.handlers.host import check_host
from partwise.handlers.lock import lock, unlock
from partwise.handlers.mkcol import mkcol
from partwise.handlers.options import EVERY, compliance, options
from partwise.handlers.patch import patch
from partwise.handlers.post import post
from partwise.handlers.propfind import propfind
from partwise.handlers.proppatch import proppatch
from partwise.handlers.put import put
from partwise.handlers.relocate import copy, move
from partwise.handlers.report import report
from partwise.handlers.representing import answered
from partwise.handlers.service import service

log = logging.getLogger(__name__)

_WRITING = {"PUT", "PATCH", "POST", "DELETE", "MKCOL", "PROPPATCH", "COPY", "MOVE", "LOCK", "UNLOCK"}

Verb = Callable[[Call], Awaitable[web.StreamResponse]]

VERBS: dict[str, Verb] = {
    "OPTIONS": options,
    "GET": get,
    "HEAD": get,
    "PUT": put,
    "PATCH": patch,
    "POST": post,
    "DELETE": delete,
    "MKCOL": mkcol,
    "PROPFIND": propfind,
    "REPORT": report,
    "PROPPATCH": proppatch,
    "COPY": copy,
    "MOVE": move,
    "LOCK": lock,
    "UNLOCK": unlock,
}


@web.middleware
async def everything(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one middleware: no request is answered by anybody else, not even what no route matches."""
    return await handle(request)


async def handle(request: web.Request) -> web.StreamResponse:
    """Every request of the application."""
    services = request.app[SERVICES]
    try:
        return await _answer(request, services)
    except Failure as failure:
        response = failure_response(request, failure, _home(services))
        if isinstance(failure, TooSlow):
            # RFC 9110 §15.5.9: the rest of it is not waited for.
            response.force_close()
    except MemberFailures as failures:
        response = members_response(failures)
    except ClientGone:
        # It may have closed its sending side only, and still be there to read this.
        cut = LengthMismatch("The request ended before its body was complete; nothing was stored.")
        response = failure_response(request, cut, _home(services))
        response.force_close()
    except (ConnectionError, web.HTTPException):
        raise
    except Exception:
        log.exception("%s failed", request.method)
        failed = TryAgain("The server failed for a reason of its own. Try again.")
        response = failure_response(request, failed, _home(services))
    if request.writer.output_size:
        # A response has begun; only cutting it short tells the client that it is not whole.
        raise ConnectionAbortedError("failed in the middle of a response")
    if hdrs.EXPECT in request.headers and not request.content.total_bytes:
        # The client still waits to be asked for its body; it will not come, nor can the next request be found.
        response.force_close()
        getattr(request.protocol, "expect_no_body", lambda: None)()
    return response


def _home(services: Services) -> str:
    return services.mount.href((), collection=True)


async def _answer(request: web.Request, services: Services) -> web.StreamResponse:
    if request.method not in VERBS:
        raise NotImplementedHere(f"The method {request.method[:40]} is not known here.")
    check_expectation(request)
    check_host(request, services.config)
    principal = await authenticate(request, services)
    coding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if coding is not None and coding.strip().lower() != "chunked":
        # RFC 9112 §6.1: a transfer coding that is not understood is answered with 501.
        raise NotImplementedHere("The only transfer coding that is known here is chunked.")
    # aiohttp's own reading of the target decodes too early and cuts at "#".
    raw = request.raw_path
    if request.method == "OPTIONS" and (
        raw == "*" or services.mount.is_above(raw) or not services.policy.may_read(principal)
    ):
        return web.Response(headers=compliance(EVERY))
    target = services.mount.parse(raw)
    if request.method in _WRITING and services.mount.is_hidden(target.path):
        raise services.mount.hidden_name()
    call = Call(services, request, target, principal)
    if target.service:
        return await service(call)
    return await answered(call, VERBS[request.method])
