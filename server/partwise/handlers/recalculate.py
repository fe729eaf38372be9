"""PATCH with ``X-Recalculate-Hash``: which checksum does the stored file have?

The story: Nextcloud keeps the checksum that came with an upload and forgets it with a later change; since 2021 a PATCH
without a body, with ``X-Recalculate-Hash: sha1``, makes it read the file and answer ``OC-Checksum: SHA1:<hex>`` with 204.
rclone (vendor nextcloud) asks after an upload for which a listing shows no checksum, and after it has set a modification
time; anything but a 2xx ends its upload with an error.

Nothing is kept here: files may be changed by hand, and a checksum that outlived its contents would be worse than none. The
answer is of the bytes as they are, and their ETag comes with it. As any PATCH it is for those who may write.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Protocol

from aiohttp import hdrs, web

from partwise.actions.gate import etag_of
from partwise.actions.methods import COLLECTION
from partwise.actions.splice import BLOCK
from partwise.errors import Malformed, NotFound, PreconditionFailed, TryAgain, UnsupportedType, WrongKind
from partwise.handlers.body import has_body
from partwise.handlers.context import Call
from partwise.protocol.conditions import Conditions, Verdict
from partwise.protocol.paths import Path
from partwise.storage.base import OpenFile, Store

RECALCULATE = "X-Recalculate-Hash"


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


#: By the names of OC-Checksum; old ones find damage only.
_ALGORITHMS = {"SHA1": "sha1", "MD5": "md5", "SHA256": "sha256", "SHA512": "sha512", "SHA3-256": "sha3_256"}


async def recalculate(call: Call) -> web.Response:
    """204 with ``OC-Checksum``. Raises NotFound, WrongKind, Malformed for an algorithm that is not known."""
    call.require_write()
    name = (call.header(RECALCULATE) or "").strip().upper()
    if name not in _ALGORITHMS:
        raise Malformed(f"{RECALCULATE} can be {', '.join(_ALGORITHMS)}.")
    conditions = Conditions.parse(call.header)
    services, target = call.services, call.target
    with services.hop.lane() as lane:
        file = await lane.run(_open, services.store, target.path, slash=target.slash)
        try:
            _judge(call, conditions, file)
            digest: _Hash = hashlib.new(_ALGORITHMS[name], usedforsecurity=False)
            done = 0
            while step := await lane.run(_step, digest, file, done):
                done += step
                if call.request.transport is None or call.request.transport.is_closing():
                    raise ConnectionResetError("the client went away")
        finally:
            await lane.run(file.close)
        etag = file.resource.etag
        if done != file.resource.size or await lane.run(_etag, services.store, target.path) != etag:
            raise TryAgain("The file changed while it was read. Ask again.")
    return web.Response(
        status=HTTPStatus.NO_CONTENT, headers={"OC-Checksum": f"{name}:{digest.hexdigest()}", hdrs.ETAG: f'"{etag}"'}
    )


def _open(store: Store, path: Path, *, slash: bool) -> OpenFile:
    if store.stat(path).collection:
        raise WrongKind("This is a collection; only a file has a checksum.", accepted=COLLECTION)
    if slash:
        raise NotFound("There is no collection under this address.")
    return store.open(path)


def _judge(call: Call, conditions: Conditions, file: OpenFile) -> None:
    if has_body(call.request):
        raise UnsupportedType(f"PATCH with {RECALCULATE} takes no body.")
    modified = file.resource.modified_ns / 1e9
    if not conditions.is_unconditional and (
        conditions.evaluate(False, True, etag_of(file.resource), modified) is not Verdict.PASS
    ):
        raise PreconditionFailed("The resource is not in the state that the request's conditions ask for.")


def _step(digest: _Hash, file: OpenFile, offset: int) -> int:
    data = file.read(offset, BLOCK)
    digest.update(data)
    return len(data)


def _etag(store: Store, path: Path) -> str | None:
    return store.stat(path).etag
