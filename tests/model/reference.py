"""WebDAV as a dict of resources and a list of locks, written from RFC 4918: what a server must answer, in a few lines.

It knows nothing of the server but the order in which failures are told (``docs/status-codes.md``), which the RFC leaves
open. Every method gives the status; one that fails changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Path = tuple[str, ...]


@dataclass
class Node:
    """``body`` is ``None`` for a collection. ``version`` stands for the entity tag: new with each writing."""

    body: bytes | None
    version: int = 0
    dead: str | None = None


@dataclass(frozen=True)
class Held:
    token: str
    root: Path
    exclusive: bool
    infinite: bool
    principal: str


@dataclass(frozen=True)
class Term:
    """One condition in a list of ``If``: a token, or a version of some resource; neither: ``DAV:no-lock``."""

    negated: bool
    token: str | None = None
    version: int | None = None


#: A resource, and conditions that must all hold for it.
TermList = tuple[Path, tuple[Term, ...]]


@dataclass(frozen=True)
class Asked:
    """What every request carries. ``matches``: what ``If-Match`` or ``If-None-Match`` says of the target."""

    principal: str
    lists: tuple[TermList, ...] = ()
    matches: Callable[[Node | None], bool] = lambda _: True

    @property
    def tokens(self) -> set[str]:
        return {term.token for _, terms in self.lists for term in terms if term.token is not None}


class Refused(Exception):
    def __init__(self, status: int, rows: dict[Path, int] | None = None) -> None:
        super().__init__(status)
        self.status, self.rows = status, rows or {}


@dataclass
class Model:
    tree: dict[Path, Node] = field(default_factory=lambda: {(): Node(None)})
    locks: list[Held] = field(default_factory=list)
    versions: int = 0

    # -- what is there

    def covering(self, path: Path) -> list[Held]:
        """§6.1: a lock of depth infinity covers all members, also those that come."""
        return [
            lock for lock in self.locks if lock.root == path or (lock.infinite and path[: len(lock.root)] == lock.root)
        ]

    def below(self, path: Path) -> list[Path]:
        return sorted(other for other in self.tree if len(other) > len(path) and other[: len(path)] == path)

    def is_collection(self, path: Path) -> bool:
        return path in self.tree and self.tree[path].body is None

    # -- what may be done

    def may(self, asked: Asked, path: Path) -> bool:
        """§6.4, §7: of the locks that cover a resource the token of one must be submitted, by its creator."""
        covering = self.covering(path)
        return not covering or any(
            lock.token in asked.tokens and lock.principal == asked.principal for lock in covering
        )

    def need(self, asked: Asked, *paths: Path) -> None:
        if not all(self.may(asked, path) for path in paths):
            raise Refused(423)

    def need_members(self, asked: Asked, path: Path) -> None:
        barred = {member: 423 for member in self.below(path) if not self.may(asked, member)}
        if barred:
            raise Refused(207, barred)

    def need_if(self, asked: Asked) -> None:
        """§10.4.3: one list must hold, each for its own resource."""
        if asked.lists and not any(all(self.holds(path, term) for term in terms) for path, terms in asked.lists):
            raise Refused(412)

    def holds(self, path: Path, term: Term) -> bool:
        if term.version is not None:
            node = self.tree.get(path)
            found = node is not None and node.body is not None and node.version == term.version
        else:
            found = any(lock.token == term.token for lock in self.covering(path))
        return found is not term.negated

    def need_matches(self, asked: Asked, path: Path) -> None:
        if not asked.matches(self.tree.get(path)):
            raise Refused(412)

    def need_parent(self, path: Path) -> None:
        if not self.is_collection(path[:-1]):
            raise Refused(409)

    def need_there(self, path: Path) -> None:
        if path not in self.tree:
            raise Refused(404)

    # -- the methods

    def put(self, asked: Asked, path: Path, body: bytes) -> int:
        if self.is_collection(path):
            raise Refused(405)
        self.need_parent(path)
        self.need_if(asked)
        # §7.4: only what makes a new member concerns the lock of its collection.
        self.need(asked, path, *([] if path in self.tree else [path[:-1]]))
        self.need_matches(asked, path)
        return self.write(path, body)

    def write(self, path: Path, body: bytes) -> int:
        self.versions += 1
        before = self.tree.get(path)
        self.tree[path] = Node(body, self.versions, None if before is None else before.dead)
        return 201 if before is None else 204

    def mkcol(self, asked: Asked, path: Path) -> int:
        if path in self.tree:
            raise Refused(405)
        self.need_parent(path)
        self.need_if(asked)
        self.need(asked, path, path[:-1])
        self.need_matches(asked, path)
        self.tree[path] = Node(None)
        return 201

    def delete(self, asked: Asked, path: Path) -> int:
        self.need_there(path)
        self.need_if(asked)
        self.need(asked, path, path[:-1])
        self.need_matches(asked, path)
        self.need_members(asked, path)
        self.remove(path)
        self.end_locks(lambda lock: lock.root[: len(path)] == path)
        return 204

    def remove(self, path: Path) -> None:
        for gone in [path, *self.below(path)]:
            self.tree.pop(gone, None)

    def end_locks(self, which: Callable[[Held], bool]) -> None:
        self.locks = [lock for lock in self.locks if not which(lock)]

    def proppatch(self, asked: Asked, path: Path, value: str | None) -> int:
        self.need_there(path)
        self.need_if(asked)
        self.need(asked, path)
        self.need_matches(asked, path)
        self.tree[path].dead = value
        return 207

    def copy(self, asked: Asked, path: Path, to: Path, overwrite: bool, infinite: bool) -> int:
        inside = len(to) > len(path) and to[: len(path)] == path
        if path[: len(to)] == to or (inside and infinite):
            raise Refused(403)
        self.transfer(asked, path, to, overwrite)
        names = [path, *self.below(path)] if infinite else [path]
        copies = {(*to, *name[len(path) :]): self.tree[name] for name in names}
        return self.place(copies, to)

    def move(self, asked: Asked, path: Path, to: Path, overwrite: bool) -> int:
        if path[: len(to)] == to or to[: len(path)] == path:
            raise Refused(403)
        self.transfer(asked, path, to, overwrite, source=True)
        moved = {(*to, *name[len(path) :]): self.tree[name] for name in [path, *self.below(path)]}
        self.remove(path)
        # §7.6: a lock does not move with its resource.
        self.end_locks(lambda lock: lock.root[: len(path)] == path)
        return self.place(moved, to)

    def transfer(self, asked: Asked, path: Path, to: Path, overwrite: bool, source: bool = False) -> None:
        self.need_there(path)
        self.need_parent(to)
        self.need_if(asked)
        self.need(asked, to, to[:-1], *([path, path[:-1]] if source else []))
        self.need_matches(asked, path)
        if to in self.tree:
            if not overwrite:
                raise Refused(412)
            self.need_members(asked, to)
        if source:
            self.need_members(asked, path)

    def place(self, found: dict[Path, Node], to: Path) -> int:
        status = 204 if to in self.tree else 201
        self.remove(to)
        # What is overwritten is deleted with its members' locks; one on the name itself goes on to protect it.
        self.end_locks(lambda lock: len(lock.root) > len(to) and lock.root[: len(to)] == to)
        for name, node in found.items():
            self.versions += 1
            self.tree[name] = Node(node.body, self.versions, node.dead)
        return status

    def lock(self, asked: Asked, path: Path, exclusive: bool, infinite: bool) -> int:
        """201 or 200; the caller adds the lock, whose token the server chooses."""
        if path not in self.tree:
            self.need_parent(path)
        self.need_if(asked)
        conflicts = [lock for lock in self.covering(path) if exclusive or lock.exclusive]
        if conflicts:
            raise Refused(423)
        if path not in self.tree:
            self.need(asked, path[:-1])
        self.need_matches(asked, path)
        if infinite:
            rows = {
                lock.root: 423
                for lock in self.locks
                if len(lock.root) > len(path) and lock.root[: len(path)] == path and (exclusive or lock.exclusive)
            }
            if rows:
                raise Refused(207, {**rows, path: 424})
        if path in self.tree:
            return 200
        self.write(path, b"")
        return 201

    def refresh(self, asked: Asked, path: Path) -> int:
        if len(asked.tokens) != 1:
            raise Refused(400)
        self.need_creator(asked, path, *asked.tokens, missing=412)
        self.need_if(asked)
        return 200

    def need_creator(self, asked: Asked, path: Path, token: str, missing: int) -> None:
        found = [lock for lock in self.covering(path) if lock.token == token and path in self.tree]
        if not found:
            raise Refused(missing)
        if found[0].principal != asked.principal:
            raise Refused(403)

    def unlock(self, asked: Asked, path: Path, token: str) -> int:
        self.need_there(path)
        self.need_if(asked)
        self.need_creator(asked, path, token, missing=409)
        self.end_locks(lambda lock: lock.token == token)
        return 204

    def get(self, asked: Asked, path: Path) -> int:
        self.need_there(path)
        self.need_if(asked)
        return 200
