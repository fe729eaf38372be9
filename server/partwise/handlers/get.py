"""GET and HEAD."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from http import HTTPStatus

from aiohttp import hdrs, web

from partwise.actions.gate import Gate
from partwise.actions.listing import listing
from partwise.actions.properties import CONTENT_LANGUAGE, content_type
from partwise.actions.read import Representation, at_hand, judge, represent
from partwise.errors import NotFound
from partwise.handlers.answer import PAGE_HEADERS
from partwise.handlers.context import Call
from partwise.handlers.gating import reading
from partwise.handlers.sending import send_part
from partwise.handlers.single_item import asked_item, single_item
from partwise.handlers.stream import stream_blocks
from partwise.protocol.conditions import Conditions
from partwise.protocol.dates import format_http_date
from partwise.protocol.ranges import ByteRange, content_range
from partwise.storage.base import OpenFile, Resource

#: Types that cannot hold scripts. Whatever else users stored must not act with the rights of this origin.
_PASSIVE = ("text/plain", "text/css", "text/csv", "application/json", "application/pdf", "application/octet-stream")
_SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"


async def get(call: Call) -> web.StreamResponse:
    """A file, whole or in parts; a collection as a page for a person."""
    call.require_read()
    conditions = Conditions.parse(call.header)
    gate = reading(call)
    found: Resource | Representation | None = None
    # What can be read without waiting is read here: a hop costs several times as much.
    if gate is None and not call.target.slash and (hdrs.RANGE not in call.request.headers or _is_head(call)):
        found = at_hand(call.services.store, call.target.path, conditions)
    if found is None:
        found = await call.services.hop.run(_look_up, call, conditions, gate)
    if isinstance(found, Resource):
        if (asked := asked_item(call.target.query)) is not None:
            return await single_item(call, *asked)
        return await _collection(call, found)
    return await send_file(call, found)


def _look_up(call: Call, conditions: Conditions, gate: Gate | None) -> Resource | Representation:
    """One hop: what stands there, and if it is a file all that is needed to send it."""
    services, target = call.services, call.target
    resource = services.store.stat(target.path)
    if gate is not None:
        gate.check_if(target.path, resource)
    if resource.collection:
        judge(resource, conditions)
        return resource
    if target.slash:
        raise NotFound("There is no collection under this address.")
    ranged = None if _is_head(call) else call.header(hdrs.RANGE)
    return represent(services.store, resource, conditions, ranged, services.config.max_ranges)


def _is_head(call: Call) -> bool:
    return call.request.method == "HEAD"


async def _collection(call: Call, resource: Resource) -> web.StreamResponse:
    services = call.services
    headers = dict(PAGE_HEADERS)
    if not call.target.slash:
        # RFC 4918 §5.2: served all the same, and told its name with the slash.
        headers[hdrs.CONTENT_LOCATION] = services.mount.href(resource.path, collection=True)
    pieces = listing(services.store, services.mount, resource.path, may_write=call.may_write)
    return await stream_blocks(call, HTTPStatus.OK, headers, pieces)


async def send_file(
    call: Call, found: Representation, status: int = HTTPStatus.OK, extra: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Closes the file. ``status`` is that of a whole file; ``extra`` are further headers."""
    if not found.modified:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=_validators(found.resource))
    declared = content_type(found.resource, found.stored)
    headers = {**_validators(found.resource), **_content_headers(declared, found.stored.get(CONTENT_LANGUAGE))}
    if extra:
        headers.update(extra)
    if found.file is None:
        return web.Response(status=status, body=found.content, headers=headers)
    with closing(found.file) as file:
        if found.ranges is None:
            return await _send(call, headers, status, file, [(b"", ByteRange(0, found.resource.size))], b"")
        size = found.resource.size
        if len(found.ranges) == 1:
            headers[hdrs.CONTENT_RANGE] = content_range(found.ranges[0], size)
            return await _send(call, headers, HTTPStatus.PARTIAL_CONTENT, file, [(b"", found.ranges[0])], b"")
        # RFC 9110 §14.6: multipart/byteranges
        boundary = secrets.token_hex(16)
        parts = list(_parts(found.ranges, size, headers[hdrs.CONTENT_TYPE], boundary))
        headers[hdrs.CONTENT_TYPE] = f"multipart/byteranges; boundary={boundary}"
        end = f"\r\n--{boundary}--\r\n".encode()
        return await _send(call, headers, HTTPStatus.PARTIAL_CONTENT, file, parts, end)


def _parts(ranges: tuple[ByteRange, ...], size: int, kind: str, boundary: str) -> Iterator[tuple[bytes, ByteRange]]:
    for one in ranges:
        head = f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {content_range(one, size)}\r\n\r\n"
        yield head.encode(), one


def _validators(resource: Resource) -> dict[str, str]:
    return {
        hdrs.ETAG: f'"{resource.etag}"',
        hdrs.LAST_MODIFIED: format_http_date(resource.modified_ns // 1_000_000_000),
        hdrs.CACHE_CONTROL: "no-cache",
    }


@lru_cache(256)
def _content_headers(declared: str, language: str | None) -> Mapping[str, str]:
    kind = declared.partition(";")[0].strip()
    headers = {hdrs.CONTENT_TYPE: declared, hdrs.ACCEPT_RANGES: "bytes", "X-Content-Type-Options": "nosniff"}
    if kind not in _PASSIVE and (
        kind == "image/svg+xml" or not kind.startswith(("image/", "audio/", "video/", "font/"))
    ):
        headers["Content-Security-Policy"] = _SANDBOX
    if language is not None:
        headers[hdrs.CONTENT_LANGUAGE] = language
    return headers


async def _send(
    call: Call,
    headers: dict[str, str],
    status: int,
    file: OpenFile,
    parts: list[tuple[bytes, ByteRange]],
    end: bytes,
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = sum(len(head) + part.stop - part.start for head, part in parts) + len(end)
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        await response.write_eof()
        return response
    for head, part in parts:
        if head:
            await response.write(head)
        if part.stop > part.start:
            await send_part(call, file.fileno(), part)
    if end:
        await response.write(end)
    await response.write_eof()
    return response
