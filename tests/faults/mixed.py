"""Clients that do everything at once on names of their own, and know what must be there after a kill."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from tests.faults.test_workers_stress import LOCKINFO, MARK
from tests.harness import BOUNDARY, form_part, multipart
from tests.xml_documents import check_xml

COLLECTIONS = ("d", "e")
FILES = ("a", "b", "c", *(f"{above}/{name}" for above in COLLECTIONS for name in ("a", "b", "deep/c")))
NAMES = (*COLLECTIONS, *(f"{above}/deep" for above in COLLECTIONS), *FILES)
#: The token of a lock that nobody was told.
UNTOLD = "untold"

_ASK = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><m:mark xmlns:m="urn:marks"/><D:lockdiscovery/></D:prop>'
    b"</D:propfind>"
)
_MKCOL = (
    '<?xml version="1.0"?><D:mkcol xmlns:D="DAV:"><D:set><D:prop><D:resourcetype><D:collection/></D:resourcetype>'
    '<m:mark xmlns:m="urn:marks">{}</m:mark></D:prop></D:set></D:mkcol>'
)


def _print(data: bytes) -> str:
    """Contents, in few words."""
    return f"{len(data)}-{hashlib.md5(data).hexdigest()}"


class Node(NamedTuple):
    """``held``: the print of its contents; ``None`` for a collection."""

    held: str | None
    mark: str | None = None


@dataclass(frozen=True)
class World:
    """What stands below a client's collection, and the locks there."""

    nodes: dict[str, Node] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)

    def stands(self, name: str) -> bool:
        return name in self.nodes

    def is_file(self, name: str) -> bool:
        return name in self.nodes and self.nodes[name].held is not None

    def has_parent(self, name: str) -> bool:
        above = name.rpartition("/")[0]
        return not above or (above in self.nodes and self.nodes[above].held is None)

    def below(self, name: str) -> list[str]:
        """It, and what is in it."""
        return [each for each in self.nodes if _in(each, name)]

    def put(self, name: str, held: bytes) -> World:
        """Contents change; a property stays."""
        before = self.nodes.get(name)
        return replace(self, nodes={**self.nodes, name: Node(_print(held), before.mark if before else None)})

    def made(self, name: str, node: Node) -> World:
        return replace(self, nodes={**self.nodes, name: node})

    def without(self, name: str) -> World:
        return World(
            {each: node for each, node in self.nodes.items() if not _in(each, name)},
            {each: token for each, token in self.locks.items() if not _in(each, name)},
        )

    def copied(self, source: str, destination: str) -> World:
        """A lock of the destination itself stays, as that of the name (RFC 4918 §9.9.3); those below it end."""
        cleared = self.without(destination)
        come = {destination + each[len(source) :]: node for each, node in self.nodes.items() if _in(each, source)}
        kept = {each: token for each, token in self.locks.items() if each == destination}
        return World({**cleared.nodes, **come}, {**cleared.locks, **kept})

    def locked(self, name: str, token: str) -> World:
        nodes = self.nodes if name in self.nodes else {**self.nodes, name: Node(_print(b""))}
        return World(nodes, {**self.locks, name: token})

    def unlocked(self, name: str) -> World:
        return replace(self, locks={each: token for each, token in self.locks.items() if each != name})


def _in(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}/")


@dataclass
class Request:
    """What is asked for, and the world after it. ``items``: of a batch that is no whole; ``told``: those that were stored."""

    method: str
    name: str
    after: World
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (201, 204)
    items: dict[str, bytes] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def explains(self, before: World, now: World) -> bool:
        """Can this be what a kill in the midst of it has left?"""
        untold = {name: token if before.locks.get(name) == token else UNTOLD for name, token in now.locks.items()}
        now = replace(now, locks=untold)
        if not self.items:
            return now in (before, self.after)
        for name, data in self.items.items():
            if now.nodes.get(name) == before.put(name, data).nodes[name]:
                before = before.put(name, data)
            elif name in self.told:
                return False
        return now == before


class Client:
    """One at a time, in ``/NAME/``. ``count`` is called before each request and after each answer."""

    def __init__(self, name: str, chance: random.Random, count: Callable[[], None]) -> None:
        self.name, self._chance, self._count = name, chance, count
        self.world = World()
        self.pending: Request | None = None
        self.done = 0

    # -- asking

    def run(self, port: int) -> None:
        """Until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                self.pending = self._choose()
                self._ask(connection, self.pending)
                self.pending = None
                self.done += 1
        except (ConnectionError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, request: Request) -> None:
        headers = dict(request.headers)
        if self.world.locks:
            headers["If"] = " ".join(f"<{self._href(name)}> (<{token}>)" for name, token in self.world.locks.items())
        self._count()
        connection.request(request.method, self._href(request.name), request.body or None, headers)
        response = connection.getresponse()
        whole = request.method != "POST"
        for line in () if whole else response:
            whole = self._take(request, line)
        body = response.read()
        if not whole:
            raise ConnectionError("cut")
        assert response.status in request.statuses, (request, response.status, body)
        if request.method == "PROPPATCH":
            assert b"200 OK" in body
        self.world = request.after
        if request.method == "LOCK":
            token = (response.headers["Lock-Token"] or "").strip("<>")
            self.world = self.world.locked(request.name, token)
        self._count()

    def _take(self, request: Request, line: bytes) -> bool:
        """Is it the last?"""
        row = json.loads(line) if line.endswith(b"\n") and line.strip() else {}
        if "href" in row:
            assert row["status"] in (201, 204), row
            request.told.add(unquote(row["href"]).removeprefix(f"/{self.name}/"))
            self._count()
        return "summary" in row

    def _href(self, name: str) -> str:
        return f"/{self.name}/{name}"

    # -- choosing

    def _choose(self) -> Request:
        kinds = (
            *(self._put, self._put, self._batch, self._batch, self._make, self._make, self._delete, self._move),
            *(self._move, self._copy, self._copy, self._mark, self._mark, self._lock, self._unlock),
        )
        while (request := self._chance.choice(kinds)()) is None:
            pass
        return request

    def _one(self, names: list[str]) -> str | None:
        return self._chance.choice(names) if names else None

    def _data(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((0, 10, 3000, 70_000)))

    def _places(self) -> list[str]:
        """Where a file may be put."""
        return [name for name in FILES if self.world.has_parent(name)]

    def _put(self) -> Request | None:
        name, data = self._chance.choice(self._places()), self._data()
        return Request("PUT", name, self.world.put(name, data), data)

    def _batch(self) -> Request | None:
        names = [name for name in self._places() if name not in self.world.locks]
        if not names:
            return None
        items = {
            name: self._data() for name in self._chance.sample(names, min(len(names), self._chance.randrange(2, 7)))
        }
        atomic = self._chance.random() < 0.5
        after = self.world
        for name, data in items.items():
            after = after.put(name, data)
        body = multipart(form_part(*item) for item in items.items())
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": "application/x-ndjson"}
        found = Request("POST", "?atomic=1" if atomic else "", after, body, headers, (207,))
        return found if atomic else replace(found, items=items)

    def _make(self) -> Request | None:
        name = self._one([name for name in NAMES if name not in FILES and self.world.has_parent(name)])
        if name is None or self.world.stands(name):
            return None
        if self._chance.random() < 0.5:
            return Request("MKCOL", name, self.world.made(name, Node(None)))
        mark = f"made {self._chance.random()}"
        headers = {"Content-Type": "application/xml"}
        return Request("MKCOL", name, self.world.made(name, Node(None, mark)), _MKCOL.format(mark).encode(), headers)

    def _delete(self) -> Request | None:
        name = self._one(list(self.world.nodes))
        # A lock goes with its resource; a collection's with all that is in it.
        return None if name is None else Request("DELETE", name, self.world.without(name))

    def _pair(self) -> tuple[str, str] | None:
        source = self._one(list(self.world.nodes))
        if source is None:
            return None
        fitting = FILES if self.world.is_file(source) else COLLECTIONS
        destination = self._one([name for name in fitting if self.world.has_parent(name)])
        if destination is None or _in(destination, source) or _in(source, destination):
            return None
        return source, destination

    def _move(self) -> Request | None:
        pair = self._pair()
        if pair is None:
            return None
        source, destination = pair
        after = self.world.copied(source, destination).without(source)
        return Request("MOVE", source, after, headers={"Destination": self._href(destination)})

    def _copy(self) -> Request | None:
        pair = self._pair()
        if pair is None:
            return None
        source, destination = pair
        after = self.world.copied(source, destination)
        return Request("COPY", source, after, headers={"Destination": self._href(destination)})

    def _mark(self) -> Request | None:
        name = self._one(list(self.world.nodes))
        if name is None:
            return None
        mark = f"mark {self._chance.random()}"
        after = self.world.made(name, self.world.nodes[name]._replace(mark=mark))
        return Request("PROPPATCH", name, after, MARK.format(mark).encode(), statuses=(207,))

    def _lock(self) -> Request | None:
        name = self._one([name for name in self._places() if name not in self.world.locks])
        if name is None:
            return None
        headers = {"Timeout": "Second-3600", "Depth": "0"}
        return Request("LOCK", name, self.world.locked(name, UNTOLD), LOCKINFO, headers, (200, 201))

    def _unlock(self) -> Request | None:
        name = self._one(list(self.world.locks))
        if name is None:
            return None
        return Request("UNLOCK", name, self.world.unlocked(name), headers={"Lock-Token": f"<{self.world.locks[name]}>"})

    # -- looking

    def check(self, port: int, folder: Path) -> None:
        """Everything that was acknowledged is there; what was not is whole or absent."""
        now = self._found(port, folder)
        if self.pending is None:
            assert now == self.world
        else:
            request = replace(self.pending, body=b"", items={})
            told = f"{request}, {self.pending.items.keys()}\nbefore {self.world}\nnow {now}"
            assert self.pending.explains(self.world, now), told
        self.world, self.pending = now, None

    def _found(self, port: int, folder: Path) -> World:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("PROPFIND", self._href(""), _ASK, {"Depth": "infinity"})
            response = connection.getresponse()
            assert response.status == 207
            document = check_xml(response.read())
        finally:
            connection.close()
        world = World()
        for element in document.iterfind("{DAV:}response"):
            name = unquote(element.findtext("{DAV:}href") or "").removeprefix(self._href("")).rstrip("/")
            if not name:
                continue
            place = folder / self.name / name
            mark = element.findtext(".//{urn:marks}mark") or None
            world = world.made(name, Node(None if place.is_dir() else _print(place.read_bytes()), mark))
            for token in element.iter("{DAV:}locktoken"):
                assert name not in world.locks
                world = world.locked(name, token.findtext("{DAV:}href") or "")
        on_disk = {path.relative_to(folder / self.name).as_posix() for path in (folder / self.name).rglob("*")}
        assert on_disk == world.nodes.keys()
        return world
