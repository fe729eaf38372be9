"""``/-/batches/<id>``: the report of a batch as a resource, to be followed, read again, and cancelled."""

from __future__ import annotations

import re
from contextlib import closing
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.methods import SERVICE
from partwise.batch.forms import Form, choose_form
from partwise.batch.outcome import Summary
from partwise.batch.reader import Reader
from partwise.errors import Malformed, NotFound, WrongKind
from partwise.handlers.answer import form_headers
from partwise.handlers.context import Call
from partwise.handlers.follow import Growth, follow
from partwise.protocol.preferences import parse_prefer
from partwise.protocol.query import parse_query

_BATCH = (*SERVICE, "DELETE")
_INDEX = re.compile(r"[1-9][0-9]{0,8}")
_EVENTS = "text/event-stream"


async def batches(call: Call) -> web.StreamResponse:
    """One batch, or one item of it. Raises NotFound for what is not there, and for what is somebody else's alike."""
    method, place = call.request.method, call.target.path[1:]
    if not (len(place) == 1 or (len(place) == 3 and place[1] == "items")):
        raise NotFound("There is nothing under this address.")
    methods = _BATCH if len(place) == 1 else SERVICE
    if method == "OPTIONS":
        return web.Response(headers={hdrs.ALLOW: ", ".join(methods), hdrs.CACHE_CONTROL: "no-store"})
    if method not in methods:
        raise WrongKind("A batch can be read and cancelled only.", accepted=methods)
    call.require_read()
    if method == "DELETE":
        call.require_write()
    reader = await call.services.hop.run(call.services.archive.find, place[0], call.principal)
    if reader is None:
        raise NotFound("There is no such batch; reports are kept for a limited time.")
    with closing(reader):
        if method == "DELETE":
            return await _delete(call, reader)
        if len(place) == 3:
            return await _item(call, reader, place[2])
        return await _report(call, reader)


async def _delete(call: Call, reader: Reader) -> web.Response:
    archive, hop = call.services.archive, call.services.hop
    forget = dict(parse_query(call.target.query)).get("forget", "0")
    if forget not in ("0", "1"):
        raise Malformed("The value of 'forget' must be 1 or 0.")
    if forget == "1":
        await hop.run(archive.forget, reader.batch)
    elif not reader.ended:
        await hop.run(archive.cancel, reader.batch)
    return web.Response(status=HTTPStatus.NO_CONTENT, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _item(call: Call, reader: Reader, index: str) -> web.Response:
    form = choose_form(call.header(hdrs.ACCEPT))
    row = await call.services.hop.run(reader.row, int(index)) if _INDEX.fullmatch(index) else None
    if row is None:
        raise NotFound("There is no such item in this batch, or not yet.")
    body = form.single(reader.metadata.collection, row)
    return web.Response(status=HTTPStatus.OK, body=body, headers=form_headers(form))


async def _report(call: Call, reader: Reader) -> web.StreamResponse:
    form = choose_form(call.header(hdrs.ACCEPT))
    start = _start(call, form)
    preferences = parse_prefer(call.header("Prefer"))
    minimal, seconds = preferences.return_ == "minimal", preferences.wait
    summary = reader.summary
    headers = form_headers(form) | _headers(summary)
    if summary.state == "running" and seconds != 0:
        headers["Incremental"] = "?1"
    applied = ["return=minimal"] if minimal else []
    if seconds is not None:
        applied.append(f"wait={seconds}")
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    if call.request.method == "GET" and _has_all(call, form, summary, start):
        # HTML §9.2.3: "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting
        # using the HTTP 204 No Content response code."
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=_headers(summary))
    response = web.StreamResponse(status=HTTPStatus.OK, headers=headers)
    await response.prepare(call.request)
    if call.request.method == "GET":
        try:
            await response.write(form.head(reader.metadata.collection))
        except ConnectionError:
            return response
        with closing(Growth(reader, call.services.archive, call.services.hop)) as growth:
            await follow(
                reader,
                form,
                response,
                call.services.hop,
                minimal=minimal,
                start=start,
                waiting=growth,
                seconds=seconds,
            )
    await response.write_eof()
    return response


def _headers(summary: Summary) -> dict[str, str]:
    return {
        hdrs.CACHE_CONTROL: "no-store",
        # nginx would collect rows until its buffer is full.
        "X-Accel-Buffering": "no",
        "P-Batch-State": summary.state,
        "P-Batch-Items": str(summary.items),
        "P-Batch-Failed": str(summary.failed),
    }


def _start(call: Call, form: Form) -> int:
    """The index of the first row that is asked for. Raises Malformed."""
    asked = dict(parse_query(call.target.query)).get("from")
    last = call.header("Last-Event-ID")
    if form.media_type == _EVENTS and last is not None and _INDEX.fullmatch(last):
        # It tells of what came since the address was made.
        return int(last) + 1
    if asked is None:
        return 1
    if not _INDEX.fullmatch(asked):
        raise Malformed("The value of 'from' must be the index of an item, counted from 1.")
    return int(asked)


def _has_all(call: Call, form: Form, summary: Summary, start: int) -> bool:
    if form.media_type != _EVENTS or summary.state == "running":
        return False
    last = call.header("Last-Event-ID")
    return last is not None and start > summary.items
