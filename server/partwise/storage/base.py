"""The storage contract: every promise a store makes, and what it may raise.

A store keeps resources under paths (tuples of segments, see ``protocol.paths``). It is synchronous, may be called from
several threads at once, and never says a status: it raises a meaning. ``tests/storage/contract.py`` holds every store to
the promises below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from partwise.errors import Failure

Path = tuple[str, ...]


class Resource(NamedTuple):
    """A file or collection as it was at one moment.

    ``size`` in bytes (0 for a collection); ``modified_ns`` nanoseconds since 1970; ``etag`` the opaque tag of a strong
    ETag without quotes, ``None`` for a collection.
    """

    path: Path
    collection: bool
    size: int
    modified_ns: int
    etag: str | None


class Exists(Exception):
    """Something is there already (an action gives this its meaning)."""


#: Judges, inside the critical section, what stands at the target now (``None``: nothing). Raises a Failure to refuse.
#: It has no effect of its own: a store may ask about ``None`` before it knows, and again about what it found; the last
#: answer counts.
Check = Callable[[Resource | None], None]


class Upload(Protocol):
    """Bytes on their way into the store, invisible to everybody. Used by one thread at a time."""

    def write(self, data: bytes) -> None:
        """Append. Raises OutOfSpace when the disk is full."""

    def seal(self, modified_ns: int | None) -> None:
        """No more bytes come. ``modified_ns``: keep this modification time. Raises OutOfSpace."""

    def abort(self) -> None:
        """Drop the bytes and all they hold. Allowed at any time before publishing, also twice."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A sealed upload and where it shall appear.

    The first ``existing`` segments of ``path`` must exist; collections missing below them are made. For a plain PUT that
    is the whole parent (``len(path) - 1``), for an item of a batch the collection that was posted to.
    """

    upload: Upload
    path: Path
    existing: int
    check: Check


@dataclass(frozen=True, slots=True)
class Published:
    """The upload stands in the tree, durably. ``created``: nothing stood there before."""

    created: bool
    resource: Resource


class OpenFile(Protocol):
    """A file open for reading: what ``resource`` describes, whatever happens to the name."""

    @property
    def resource(self) -> Resource: ...

    def fileno(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset``."""

    def close(self) -> None: ...


class Store(Protocol):
    """A tree of files and collections."""

    def stat(self, path: Path) -> Resource:
        """Raises NotFound."""

    def look(self, path: Path, existing: int) -> Resource | None:
        """What stands where something is to be published, ``None`` if nothing (see :class:`Publication` for ``existing``).

        Raises ParentMissing if a collection that must exist does not, or a file stands where one would have to be made.
        """

    def members(self, path: Path) -> Iterator[Resource]:
        """The members of a collection, in no order, each once, without holding all of them in memory.

        Members that vanish meanwhile, or that lead out of the store, are left out. Close the iterator if you stop early.
        Raises NotFound, also when ``path`` is a file.
        """

    def walk(self, path: Path) -> Iterator[Resource]:
        """All descendants of a collection, each collection before its members; otherwise as :meth:`members`.

        Finite, also where links form a circle: what a link leads to is entered once.
        """

    def open(self, path: Path) -> OpenFile:
        """Raises NotFound, also when ``path`` is a collection."""

    def stage(self) -> Upload:
        """Room for one body. Nothing of it is visible, and a crash leaves nothing of it behind after the next start."""

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        """Make a group of sealed uploads appear; one answer each, in order.

        Each is atomic: a reader sees the old contents or the new, never a part. **Durable when this returns**: bytes,
        names and the collections made for them survive a power cut. ``check``, the parent and the kind of the target are
        judged again in one critical section that holds across all writers of the store. Answers: Published; or
        ParentMissing, WrongKind (a collection stands there), what ``check`` raised, OutOfSpace, TryAgain. An upload that
        was refused is aborted; the others are not concerned. When a sync fails, nothing of the group is acknowledged.
        """

    def make_collection(self, path: Path, check: Check) -> None:
        """Durable when it returns. Raises Exists, ParentMissing, OutOfSpace, or what ``check`` raised."""

    def delete(self, path: Path, check: Check) -> None:
        """Remove a file or a whole collection; it is gone at once for every reader, and durably when this returns.

        Raises NotFound, NotAllowed (the root, a mount point), or what ``check`` raised.
        """

    def free_space(self) -> int | None:
        """Bytes that can still be stored; ``None`` if nobody knows."""

    def state_folder(self) -> str:
        """A folder on stable storage for the server's own state, unreachable by clients."""

    def close(self) -> None:
        """Release all that is held."""
