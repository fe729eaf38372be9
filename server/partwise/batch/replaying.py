"""What an earlier try of the batch has done: an item's bytes are compared and not written, an operation is not repeated."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from partwise.batch.operations import Operation
from partwise.batch.outcome import Outcome
from partwise.errors import ChangedSince, NotFound
from partwise.protocol.digests import format_sha256
from partwise.protocol.paths import Path
from partwise.storage.base import Store


class Replay:
    """``earlier`` is the row that told of it."""

    def __init__(self, store: Store, path: Path, earlier: Outcome) -> None:
        self._store = store
        self._path = path
        self.earlier = earlier
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._hash.update(data)

    def finish(self) -> None:
        """Raises ChangedSince if these are other bytes, or something else stands there now."""
        if self.earlier.digest != format_sha256(self._hash.digest()):
            raise ChangedSince(
                "An earlier try of this batch stored other bytes under this name; send the new ones in another batch.",
                href=self.earlier.location or self.earlier.href,
            )
        try:
            tag = self._store.stat(self._path).etag
        except NotFound:
            tag = None
        if self.earlier.etag != f'"{tag}"':
            raise ChangedSince(
                "The file has changed since this batch stored it; nothing was overwritten. Send it in another batch.",
                href=self.earlier.location or self.earlier.href,
            )


class Operations:
    """The operations of one request: by what each is recognised when the batch is sent again."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def recognise(self, operation: Operation, target: str) -> str:
        """``METHOD target digest-number``: the same thing may be asked for several times. ``target`` is an href."""
        headers = operation.headers
        more = json.dumps([headers.get("destination"), headers.get("depth")]).encode()
        digest = hashlib.sha256(more + operation.body).hexdigest()[:32]
        key = f"{operation.method} {target} {digest}"
        self._asked[key] += 1
        return f"{key}-{self._asked[key]}"
