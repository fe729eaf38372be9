"""The storage contract: every promise a store makes, and what it may raise.

A store keeps resources under paths (tuples of segments, see ``protocol.paths``). It is synchronous, may be called from
several threads at once, and never says a status: it raises a meaning. ``tests/storage/contract.py`` holds every store to
the promises below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from partwise.errors import Failure, QuotaExceeded

Path = tuple[str, ...]

_NONE: Mapping[str, str | None] = {}


class Resource(NamedTuple):
    """A file or collection as it was at one moment.

    ``size`` in bytes (0 for a collection); ``modified_ns`` and ``created_ns`` nanoseconds since 1970; ``etag`` the opaque
    tag of a strong ETag without quotes, ``None`` for a collection.

    ``created_ns`` is what the medium knows; where contents were replaced the stored property ``{DAV:}creationdate``
    (nanoseconds as a decimal number) is the truth.
    """

    path: Path
    collection: bool
    size: int
    modified_ns: int
    etag: str | None
    created_ns: int = 0


class Lock(NamedTuple):
    """A write lock (RFC 4918 §6, §7). ``token`` is a URI; ``root`` the path it was asked for.

    ``infinite``: its depth is infinity, else 0. ``owner`` is the client's ``DAV:owner`` element as text, empty if it gave
    none. ``principal`` is who made it, ``None`` for somebody without a name; only the same may use it (§6.4). ``expires``
    is a moment of the wall clock in seconds since 1970.
    """

    token: str
    root: Path
    exclusive: bool
    infinite: bool
    owner: str
    principal: str | None
    expires: float


#: Names of stored properties in Clark notation; the value of a dead property is its whole element as text, of a live one
#: that is kept (``{DAV:}getcontenttype``, ``{DAV:}displayname`` …) what the action that sets it writes.
Properties = Mapping[str, str]


class Mark(NamedTuple):
    """How far somebody knows what happened below a collection.

    ``place`` names the collection and this memory of it; ``number`` grows. ``shallow``: only the collection's own members
    are known. ``floor``, while the first answer is not complete: what was gone up to it need not be remembered.
    """

    place: str
    number: int
    shallow: bool = False
    floor: int | None = None


class Change(NamedTuple):
    """A member that is new or has changed, or is gone. Members are ``compared`` of every collection but a link to one."""

    path: Path
    collection: bool
    gone: bool
    compared: bool


class Changes(NamedTuple):
    """Oldest first, each path once; ``mark`` is where to go on, ``more`` tells that there are others already."""

    changes: Sequence[Change]
    mark: Mark
    more: bool


class Exists(Exception):
    """Something is there already (an action gives this its meaning)."""


#: Judges, inside the critical section, what stands at the target now (``None``: nothing). Raises a Failure to refuse.
#: It has no effect of its own: a store may ask about ``None`` before it knows, and again about what it found; the last
#: answer counts.
Check = Callable[[Resource | None], None]


class Upload(Protocol):
    """Bytes on their way into the store, invisible to everybody. Used by one thread at a time."""

    def write(self, data: bytes | memoryview) -> None:
        """Append; ``data`` may change afterwards. Raises OutOfSpace when the disk is full."""

    def seal(self, modified_ns: int | None) -> None:
        """No more bytes come. ``modified_ns``: keep this modification time. Raises OutOfSpace."""

    def fill(self, data: bytes, modified_ns: int | None) -> None:
        """All of them at once: :meth:`write` and :meth:`seal`."""

    def park(self) -> None:
        """Of a sealed upload that will wait long: keep nothing in memory and no descriptor. Raises OutOfSpace."""

    def abort(self) -> None:
        """Drop the bytes and all they hold. Allowed at any time before publishing, also twice."""


class Publication(NamedTuple):
    """A sealed upload and where it shall appear.

    The first ``existing`` segments of ``path`` must exist; collections missing below them are made. For a plain PUT that
    is the whole parent (``len(path) - 1``), for an item of a batch the collection that was posted to.

    Other stored properties of a file that is replaced stay; a new name has none but these, whatever an earlier owner of the
    name left.
    """

    upload: Upload
    path: Path
    existing: int
    check: Check
    #: Stored properties that change together with the contents; ``None`` removes one.
    properties: Mapping[str, str | None] = _NONE


class Published(NamedTuple):
    """The upload stands in the tree, durably. ``created``: nothing stood there before.

    ``created_ns`` of its resource is 0: not looked for.
    """

    created: bool
    resource: Resource


class Quota(NamedTuple):
    """The most bytes that all files below a collection may have together, and those they have (RFC 4331)."""

    limit: int
    used: int

    @property
    def left(self) -> int:
        """Bytes that can still come; never negative."""
        return max(0, self.limit - self.used)


def quota_exceeded(quota: Quota) -> QuotaExceeded:
    """The same words for whoever finds out."""
    return QuotaExceeded(
        f"This does not fit into the quota of {quota.limit} bytes, of which {quota.left} are left;"
        " delete something, or ask for more room.",
        limit=quota.limit,
    )


class OpenFile(Protocol):
    """A file open for reading: what ``resource`` describes, whatever happens to the name."""

    @property
    def resource(self) -> Resource: ...

    def fileno(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset``."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Move:
    """What COPY and MOVE have in common. ``overwrite``: what stands at the destination is replaced, else that is Exists.

    ``check`` is asked inside the critical section about the source, and what stands at the destination.
    """

    source: Path
    destination: Path
    overwrite: bool
    check: Callable[[Resource, Resource | None], None]


class Witness(Protocol):
    """Sees when the members of a collection, or what is known of them, are no longer what they were (:meth:`Store.witness`).

    May be asked by any thread.
    """

    def holds(self) -> bool:
        """Has nothing changed since it was made, whoever might have done it? Never waits; False for ever after False.

        What was done by this or another process before it is asked is seen, if it was done through a store or with the
        ordinary calls of the system in this collection. Everything else is covered by time: it holds for 90 ms at most.
        """

    def close(self) -> None:
        """Allowed twice."""


#: Told of a member that could not be copied, and why; its own members are left out.
Failed = Callable[[Path, Failure], None]


class AtHand(NamedTuple):
    """A small file that was in memory: what it is (``created_ns`` is not looked for), its contents, its stored properties."""

    resource: Resource
    content: bytes
    stored: Properties


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

    def scan(
        self, path: Path, infinite: bool, *, born: bool = True, witness: Witness | None = None
    ) -> Iterator[Sequence[Resource]]:
        """As :meth:`members`, or as :meth:`walk` if ``infinite``, in groups: much cheaper where there are many.

        A group has 256 members at most, all of one collection, and is never empty; where it can be it is one by columns
        (``storage.columns``). ``born=False``: ``created_ns`` is not
        wanted, and 0. ``witness`` is one of this collection; it does not hold any more if the members are such that it
        could not be told of every change.
        """

    def witness(self, path: Path, *, stored: bool, locks: bool) -> Witness | None:
        """Somebody who sees when a listing of a collection and its members has become old; make it before you list.

        ``stored``, ``locks``: the listing tells stored properties, and that there are no locks. ``None`` where changes
        cannot be seen, or there is no collection. Close it.
        """

    def open(self, path: Path) -> OpenFile:
        """Raises NotFound, also when ``path`` is a collection."""

    def at_hand(self, path: Path, most: int) -> AtHand | None:
        """A file of ``most`` bytes at most, if nothing at all has to be waited for: no disk, no lock, nobody else.

        ``None`` says nothing about what stands there: it must be looked at in the other ways.
        """

    def stage(self) -> Upload:
        """Room for one body. Nothing of it is visible, and a crash leaves nothing of it behind after the next start."""

    @property
    def durable(self) -> bool:
        """Does what it acknowledges survive a power cut? Else nothing is ever waited for."""

    def flush(self, publications: Sequence[Publication]) -> None:
        """Make the bytes of sealed uploads durable; :meth:`publish` has less to do then. Not needed before it.

        Raises OutOfSpace, TryAgain: then the uploads are to be aborted, for a second try could find clean what was lost.
        """

    def publish(self, publications: Sequence[Publication]) -> list[Published | Failure]:
        """Make a group of sealed uploads appear; one answer each, in order.

        Each is atomic: a reader sees the old contents or the new, never a part. **Durable when this returns**: bytes,
        names and the collections made for them survive a power cut. ``check``, the parent and the kind of the target are
        judged again in one critical section that holds across all writers of the store. Answers: Published; or
        ParentMissing, WrongKind (a collection stands there), what ``check`` raised, OutOfSpace, QuotaExceeded, TryAgain. An
        upload that was refused is aborted; the others are not concerned. When a sync fails, nothing of the group is
        acknowledged.
        """

    def transaction(self) -> AbstractContextManager[Store]:
        """Writes that belong together: all or nothing, also after a kill or a power cut at any instant.

        The block gets a store through which it reads and writes, from one thread; every other writer waits until it ends.
        Of that store :meth:`publish`, :meth:`make_collection`, :meth:`delete`, :meth:`move`, :meth:`copy` and
        :meth:`set_properties` belong to it; nothing of them is durable before the block has ended. If it raises, everything
        is as it was, and what it raised goes on. Raises OutOfSpace, TryAgain at its end: then too nothing has changed.
        Uploads may be parked. Readers may see it in progress.
        """

    def make_collection(self, path: Path, check: Check, properties: Properties | None = None) -> None:
        """With these stored properties, all or nothing; durable when it returns.

        Raises Exists, ParentMissing, OutOfSpace, or what ``check`` raised.
        """

    def delete(self, path: Path, check: Check) -> None:
        """Remove a file or a whole collection; it is gone at once for every reader, and durably when this returns.

        With it go its stored properties and every lock rooted at or below it (RFC 4918 §9.6). Raises NotFound, NotAllowed
        (the root, a mount point), or what ``check`` raised.
        """

    def move(self, move: Move) -> bool:
        """Rename a file or a whole collection at once, with its stored properties; True if the destination was free.

        Locks rooted at or below the source do not move, they end (RFC 4918 §7.6). What stood at the destination goes as by
        :meth:`delete`, its properties too, but for a lock rooted at the destination itself: that holds the name. Durable
        when it returns. Raises NotFound, ParentMissing (of the destination), Exists, Overlapping (one lies in the other),
        NotAllowed (the root, a mount point) or what ``check`` raised.
        """

    def copy(self, move: Move, infinite: bool, failed: Failed) -> bool:
        """As :meth:`move`, but the source stays, with its locks; ``creationdate`` is new (RFC 4918 §15.1).

        ``infinite``: a collection with all its members, else without. The copy appears at once, when it is complete, but
        for members that could not be read, which ``failed`` is told. Also raises OutOfSpace: then nothing changed.
        """

    def properties(self, paths: Sequence[Path]) -> Mapping[Path, Properties]:
        """The stored properties of resources that have some."""

    def set_properties(
        self, path: Path, changes: Mapping[str, str | None], check: Check, modified_ns: int | None = None
    ) -> None:
        """Change stored properties, ``None`` removes one, all or nothing; durable when it returns.

        ``modified_ns``: set the modification time too. Raises NotFound, OutOfSpace, or what ``check`` raised.
        """

    def locks_on(self, path: Path) -> tuple[Lock, ...]:
        """Locks whose scope the path lies in (RFC 4918 §6.1): rooted there, or of depth infinity above. None expired."""

    def has_locks(self) -> bool:
        """May there be any lock at all? Much cheaper than asking for each path; True costs only time."""

    def locks_below(self, path: Path) -> tuple[Lock, ...]:
        """Locks rooted at a descendant of the path, by their roots' order."""

    def lock(self, lock: Lock, check: Check) -> Resource | None:
        """Record a lock that ``check`` agrees to, durably. An unmapped name becomes an empty file (RFC 4918 §7.3).

        Gives the new file, or ``None`` if something stood there. ``check`` judges conflicts: it runs in the critical
        section, where :meth:`locks_on` and :meth:`locks_below` are the truth. Raises ParentMissing, OutOfSpace, or what
        ``check`` raised.
        """

    def refresh(self, token: str, expires: float) -> Lock | None:
        """Give a lock a new end; ``None`` if there is no such lock any more."""

    def unlock(self, token: str) -> bool:
        """End a lock; False if there was none."""

    def quota(self, path: Path) -> Quota | None:
        """Of all quotas that cover a collection the one with the least left; ``None`` if none does.

        It need not exist yet. What would make a quota's files larger than its limit is refused by :meth:`publish`,
        :meth:`copy` and :meth:`move` with QuotaExceeded, judged in the critical section. Files that somebody else placed or
        removed are found within minutes.
        """

    def compare(self, path: Path, infinite: bool) -> Iterator[None]:
        """Take note of what has changed below a collection, in small steps; :meth:`changes` knows it after the last.

        Whoever changed it, also behind the store's back and while nobody looked. ``infinite``: all descendants, but for
        those under a link to a collection; else the members alone. Nothing is held between two steps. Raises NotFound.
        """

    def changes(self, path: Path, infinite: bool, since: Mark | None, most: int) -> Changes:
        """What :meth:`compare` noted below a collection after a mark, at most so much; ``None``: all that is there.

        ``most=0`` asks for the mark alone, of somebody who knows everything. A file counts as changed with its entity tag,
        everything with its stored properties. Members of a collection that is gone are not told. A mark holds across
        restarts. Raises NotFound; InvalidSyncToken for a mark that was not given out for this collection, or is older than
        what is remembered.
        """

    def free_space(self) -> int | None:
        """Bytes that can still be stored; ``None`` if nobody knows."""

    def used_space(self) -> int | None:
        """Bytes that are in use on the store's medium, by whomever; ``None`` if nobody knows."""

    def state_folder(self) -> str:
        """A folder on stable storage for the server's own state, unreachable by clients."""

    def close(self) -> None:
        """Release all that is held."""
