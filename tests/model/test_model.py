"""Random sequences of requests, answered by the server as the model of ``reference.py`` says; with PARTWISE_LONG=1 a thousand."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.harness import Answer
from tests.model.reference import Asked, Held, Model, Node, Path, Refused, Term
from tests.model.served import Server, server

SEQUENCES = 1000 if os.environ.get("PARTWISE_LONG") == "1" else 60
STEPS = 25
#: Steps between two comparisons of all contents; the names, properties and locks are compared after every step.
_OFTEN = 5
_UNKNOWN = "urn:uuid:00000000-0000-4000-8000-000000000000"
_LOCKINFO = '<lockinfo xmlns="DAV:"><lockscope><{}/></lockscope><locktype><write/></locktype></lockinfo>'
_CHANGE = '<propertyupdate xmlns="DAV:"><{0}><prop><p xmlns="urn:t">{1}</p></prop></{0}></propertyupdate>'

#: What `If` may say of a resource: a token by its number among all that were ever given out (0: one that never was, -1:
#: DAV:no-lock), that of a lock, or the entity tag of a resource.
Condition = tuple[bool, int | Held | Path]


class Step(NamedTuple):
    """A request. ``choice`` and ``flag`` mean what the verb needs: a token, a depth, a body, Overwrite …"""

    verb: str
    principal: str
    path: Path
    other: Path
    lists: tuple[tuple[Path | None, tuple[Condition, ...]], ...]
    #: Submit the tokens of everything the principal has locked, in a list that always holds.
    tokens: bool
    match: str
    choice: int | Held
    flag: bool
    second: bool


_VERBS = (
    *("PUT", "PUT", "MKCOL", "DELETE", "COPY", "COPY", "MOVE", "MOVE", "PROPPATCH"),
    *("LOCK", "LOCK", "LOCK", "REFRESH", "UNLOCK", "GET", "PROPFIND"),
)


_PLAIN = Step("", "alice", (), (), (), False, "", 0, True, True)
#: What every sequence begins with, so that there is something to work on.
_BEGINNING = (
    *(_PLAIN._replace(verb="MKCOL", path=path) for path in (("a",), ("b",), ("a", "b"))),
    *(_PLAIN._replace(verb="PUT", path=path) for path in (("c",), ("a", "a"), ("a", "b", "c"), ("b", "c"))),
)


class Dice:
    """Steps by chance, most of them about what is there."""

    def __init__(self, seed: int, model: Model) -> None:
        self._random, self._model = random.Random(seed), model

    def step(self) -> Step:
        rolled = self._random
        verb = rolled.choice(_VERBS)
        path = self._new() if verb == "MKCOL" or rolled.random() < 0.25 else self._there()
        lists = self._lists() if rolled.random() < 0.3 else ()
        choice = rolled.randint(0, 4)
        covering = self._model.covering(path)
        if verb in ("REFRESH", "UNLOCK") and covering and rolled.random() < 0.7:
            choice = rolled.choice(covering)
        if verb == "REFRESH" and rolled.random() < 0.8:
            lists = ((None, ((False, choice),)),)
        return Step(
            verb,
            rolled.choice(("alice", "alice", "bob")),
            path,
            self._other(path),
            lists,
            rolled.random() < 0.5,
            rolled.choice(("If-Match", "If-None-Match")) if rolled.random() < 0.1 else "",
            choice,
            rolled.random() < 0.6,
            rolled.random() < 0.5,
        )

    def _there(self) -> Path:
        return self._random.choice(sorted(self._model.tree.keys() - {()}) or [("a",)])

    def _other(self, path: Path) -> Path:
        """Where to copy or move; seldom a place that lies in the source, or the other way round."""
        for _ in range(4):
            found = self._there() if self._random.random() < 0.4 else self._new()
            shared = min(len(found), len(path))
            if found[:shared] != path[:shared]:
                break
        return found

    def _new(self) -> Path:
        """A name that is mostly free, below a collection that mostly exists."""
        parents = [path for path, node in self._model.tree.items() if node.body is None and len(path) < 3]
        parent = self._random.choice(parents) if self._random.random() < 0.9 else ("b", "c")
        return (*parent, self._random.choice("abc"))

    def _lists(self) -> tuple[tuple[Path | None, tuple[Condition, ...]], ...]:
        tagged = self._random.random() < 0.5
        count = self._random.randint(1, 2)
        return tuple((self._there() if tagged else None, self._conditions()) for _ in range(count))

    def _conditions(self) -> tuple[Condition, ...]:
        rolled = self._random
        return tuple(
            (rolled.random() < 0.4, self._there() if rolled.random() < 0.5 else rolled.randint(-1, 4))
            for _ in range(rolled.randint(1, 2))
        )


class Trial:
    """The model and a collection of the server, given the same requests."""

    def __init__(self, asked: Server, base: str) -> None:
        self.server, self.base, self.model = asked, base, Model()
        self.issued: list[str] = []
        assert asked.request("alice", "MKCOL", base).status == 201

    def take(self, step: Step) -> None:
        lists = self._lists(step)
        matches = {
            "If-Match": lambda node: node is not None,
            "If-None-Match": lambda node: node is None,
            "": lambda _: True,
        }[step.match if step.verb not in ("GET", "PROPFIND", "REFRESH", "UNLOCK") else ""]
        asked = Asked(step.principal, tuple((tag or step.path, terms) for tag, terms in lists), matches)
        headers = {} if not lists else {"If": self._written(lists)}
        if step.match and step.verb not in ("GET", "PROPFIND", "REFRESH", "UNLOCK"):
            headers[step.match] = "*"
        before = {path: Node(node.body, node.version, node.dead) for path, node in self.model.tree.items()}
        rows: dict[Path, int] = {}
        try:
            expected = self._predict(step, asked)
        except Refused as refused:
            expected, rows = refused.status, refused.rows
            assert before == self.model.tree
        answer = self._send(step, headers)
        assert answer.status == expected, (step, answer.body)
        if rows:
            self._compare_rows({self._path(row.href): row.status for row in answer.rows}, rows)
        if step.verb == "LOCK" and answer.status in (200, 201):
            self._locked(step, answer)

    def _compare_rows(self, told: dict[Path, int], expected: dict[Path, int]) -> None:
        """Of many members under one lock its root is enough, or one of them."""
        assert told and told.items() <= expected.items()
        roots = {lock.root for lock in self.model.locks}
        assert {path for path, status in expected.items() if path in roots or status == 424} <= told.keys()

    def _locked(self, step: Step, answer: Answer) -> None:
        token = answer.headers["Lock-Token"].strip("<>")
        self.issued.append(token)
        self.model.locks.append(Held(token, step.path, step.flag, step.second, step.principal))

    # -- If

    def _lists(self, step: Step) -> list[tuple[Path | None, tuple[Term, ...]]]:
        lists = [(tag, tuple(self._term(*each) for each in terms)) for tag, terms in step.lists]
        if step.tokens and step.verb != "REFRESH":
            mine = [lock for lock in self.model.locks if lock.principal == step.principal]
            tagged = bool(lists) and lists[0][0] is not None
            always = Term(True, None)
            for lock in mine:
                lists.append((lock.root if tagged else None, (always, Term(False, lock.token))))
            if mine:
                lists.append((step.path if tagged else None, (always,)))
        return lists

    def _term(self, negated: bool, what: int | Held | Path) -> Term:
        if isinstance(what, Held):
            return Term(negated, what.token)
        if isinstance(what, tuple):
            node = self.model.tree.get(what)
            return Term(negated, version=0 if node is None or node.body is None else node.version)
        return Term(negated, self._token(what)) if what >= 0 else Term(negated)

    def _token(self, number: int | Held) -> str:
        """The latest have the low numbers."""
        if isinstance(number, Held):
            return number.token
        return self.issued[-number] if 0 < number <= len(self.issued) else _UNKNOWN

    def _written(self, lists: list[tuple[Path | None, tuple[Term, ...]]]) -> str:
        pieces = []
        for tag, terms in lists:
            conditions = " ".join(("Not " if term.negated else "") + self._state(term) for term in terms)
            pieces.append(("" if tag is None else f"<{self._href(tag)}> ") + f"({conditions})")
        return " ".join(pieces)

    def _state(self, term: Term) -> str:
        if term.version is None:
            return f"<{term.token or 'DAV:no-lock'}>"
        path = next((path for path, node in self.model.tree.items() if node.version == term.version != 0), None)
        etag = '"none"' if path is None else self.server.request("alice", "HEAD", self._href(path)).headers["ETag"]
        return f"[{etag}]"

    # -- the verbs

    def _predict(self, step: Step, asked: Asked) -> int:
        model, path = self.model, step.path
        match step.verb:
            case "PUT":
                return model.put(asked, path, self._body(step))
            case "MKCOL":
                return model.mkcol(asked, path)
            case "DELETE":
                return model.delete(asked, path)
            case "COPY":
                return model.copy(asked, path, step.other, step.flag, step.second)
            case "MOVE":
                return model.move(asked, path, step.other, step.flag)
            case "PROPPATCH":
                return model.proppatch(asked, path, str(step.choice) if step.flag else None)
            case "LOCK":
                return model.lock(asked, path, step.flag, step.second)
            case "REFRESH":
                return model.refresh(asked, path)
            case "UNLOCK":
                return model.unlock(asked, path, self._token(step.choice))
        status = model.get(asked, path)
        return 207 if step.verb == "PROPFIND" else status

    def _send(self, step: Step, headers: dict[str, str]) -> Answer:
        body, method = b"", step.verb
        match step.verb:
            case "PUT":
                body = self._body(step)
            case "COPY" | "MOVE":
                headers["Destination"] = f"http://{self.server.authority}{self._href(step.other)}"
                headers["Overwrite"] = "T" if step.flag else "F"
                headers["Depth"] = "infinity" if step.second or step.verb == "MOVE" else "0"
            case "PROPPATCH":
                body = _CHANGE.format(*(("set", step.choice) if step.flag else ("remove", ""))).encode()
            case "LOCK":
                headers["Depth"] = "infinity" if step.second else "0"
                body = _LOCKINFO.format("exclusive" if step.flag else "shared").encode()
            case "REFRESH":
                method = "LOCK"
            case "UNLOCK":
                headers["Lock-Token"] = f"<{self._token(step.choice)}>"
            case "PROPFIND":
                headers["Depth"] = "0"
        return self.server.request(step.principal, method, self._href(step.path), headers, body)

    def _body(self, step: Step) -> bytes:
        return f"{step.principal} {step.choice}".encode()

    # -- comparing

    def _href(self, path: Path) -> str:
        return "/".join((self.base, *path))

    def _path(self, href: str) -> Path:
        return tuple(segment for segment in href.removeprefix(self.base).split("/") if segment)

    def compare(self) -> None:
        """Names and kinds, dead properties, and the locks on each."""
        shown = {self._path(f"{self.base}/{name}"): found for name, found in self.server.tree(self.base).items()}
        assert {path: (found.collection, found.dead) for path, found in shown.items()} == {
            path: (node.body is None, node.dead) for path, node in self.model.tree.items()
        }
        assert {path: set(found.locks) for path, found in shown.items()} == {
            path: {lock.token for lock in self.model.covering(path)} for path in self.model.tree
        }

    def compare_contents(self) -> None:
        for path, node in self.model.tree.items():
            if node.body is not None:
                assert self.server.request("bob", "GET", self._href(path)).body == node.body


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("model")) as found:
        yield found


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_the_server_does_what_the_model_says(shared: Server, seed: int) -> None:
    trial = Trial(shared, f"/{seed}")
    dice = Dice(seed, trial.model)
    for step in _BEGINNING:
        trial.take(step)
    for number in range(STEPS):
        trial.take(dice.step())
        trial.compare()
        if number % _OFTEN == 0:
            trial.compare_contents()
    trial.compare_contents()
