"""``<collection>?batch=<id>&item=<n>``: one row of a report, the name of an item that has no usable target."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.batch.forms import choose_form
from partwise.errors import NotFound
from partwise.handlers.answer import form_headers
from partwise.handlers.context import Call
from partwise.protocol.query import parse_query


def asked_item(query: str) -> tuple[str, int] | None:
    """The batch and index that a query names, ``None`` if it names none."""
    fields = dict(parse_query(query)) if "batch=" in query else {}
    try:
        return fields["batch"], int(fields["item"])
    except (KeyError, ValueError):
        return None


async def single_item(call: Call, batch: str, index: int) -> web.Response:
    """Raises NotFound when there is no such row (any more), and for a batch of somebody else."""
    form = choose_form(call.header(hdrs.ACCEPT))
    outcome = await call.services.hop.run(call.services.archive.item, batch, index, call.principal)
    if outcome is None:
        raise NotFound("There is no such item; reports are kept for a limited time.")
    home = call.services.mount.href(call.target.path, collection=True)
    body = form.single(home, outcome)
    return web.Response(status=HTTPStatus.OK, body=body, headers=form_headers(form))
