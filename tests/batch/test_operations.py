"""Operations inside a batch, done on a real store: what each does, who refuses it, and what its row can say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path as Folder
from typing import Any

import pytest
from tests.storage.contract_tools import give, has, lock_of, publication, tree
from tests.xml_documents import check_xml

from partwise.actions.gate import Gate
from partwise.batch.judging import judging
from partwise.batch.operations import METHODS, Operation, Performed, Surroundings, aim, perform
from partwise.errors import (
    Failure,
    ForbiddenName,
    InvalidResourceType,
    LengthMismatch,
    Locked,
    Malformed,
    MalformedName,
    NotAllowed,
    NotFound,
    NotImplementedHere,
    NotWellFormed,
    OtherServer,
    OutOfSpace,
    Overlapping,
    ParentMissing,
    PreconditionFailed,
    ProtectedProperty,
    UnsupportedType,
    WrongKind,
)
from partwise.protocol.http_request import parse_request_head
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, status_response
from partwise.protocol.paths import Mount, Target
from partwise.storage.base import Lock, Store
from partwise.storage.local.store import LocalStore

MOUNT = Mount("/dav", "/pub")
HOSTS = frozenset({"here"})
MOST = 5000

#: What everything begins with; ``c`` is what was posted to.
BEGINNING: dict[str, bytes | None] = {
    "out": b"out",
    "c": None,
    "c/a": b"a",
    "c/b": b"b",
    "c/d": None,
    "c/d/x": b"x",
    "c/d/e": None,
    "c/d/e/y": b"y",
}


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """Made once: making the state's database takes longer than all the rest."""
    store = LocalStore(os.fspath(tmp_path_factory.mktemp("served")))
    yield store
    store.close()


@pytest.fixture
def store(one_store: LocalStore) -> Iterator[LocalStore]:
    """A store as it is in the beginning, without locks and properties."""
    paths = [tuple(name.split("/")) for name in BEGINNING]
    if tree(one_store) != BEGINNING or one_store.locks_below(()) or any(has(one_store, path) for path in paths):
        for member in list(one_store.members(())):
            one_store.delete(member.path, lambda standing: None)
        files = {path: data for path, data in zip(paths, BEGINNING.values(), strict=True) if data is not None}
        one_store.publish([publication(one_store, path, data, existing=0) for path, data in files.items()])
    assert tree(one_store) == BEGINNING and not one_store.locks_below(())
    yield one_store
    assert os.listdir(one_store._staging.folder) == []


def around(store: Store, **values: Any) -> Surroundings:
    """``overwrite`` and ``tokens`` as the whole batch said; alice asks."""
    locate = lambda tag: MOUNT.locate(tag, HOSTS).path  # noqa: E731
    return Surroundings(store, Gate(store, MOUNT, ("c",), locate, "alice", **values), ("c",), HOSTS, MOST)


def do(store: Store, request: str, body: bytes = b"", **values: Any) -> Performed:
    """``request``: a request line without its version, then fields with ``|`` between."""
    line, *fields = (piece.strip() for piece in request.split("|"))
    head = parse_request_head("\r\n".join((f"{line} HTTP/1.1", *fields, "", "")).encode())
    target = aim(head, MOUNT, ("c",), HOSTS)
    return perform(Operation(head.method, target, head.headers, body), around(store, **values))


def lock(store: Store, name: str, token: str, **values: Any) -> None:
    store.lock(lock_of(tuple(name.split("/")), token, principal="alice", **values), lambda standing: None)


def changed(store: Store) -> Mapping[str, bytes | str | None]:
    """What differs from the beginning; ``-`` is gone."""
    now = tree(store)
    gone = dict.fromkeys(BEGINNING.keys() - now.keys(), "-")
    return {**{name: value for name, value in now.items() if BEGINNING.get(name, "") != value}, **gone}


MOVED_D = {"c/n": None, "c/n/x": b"x", "c/n/e": None, "c/n/e/y": b"y"}
NO_D = dict.fromkeys(("c/d", "c/d/x", "c/d/e", "c/d/e/y"), "-")


DONE: list[tuple[str, int, str | None, dict[str, object]]] = [
    ("DELETE /dav/c/a", 204, None, {"c/a": "-"}),
    ("DELETE /pub/c/a", 204, None, {"c/a": "-"}),
    ("DELETE http://here/dav/c/a", 204, None, {"c/a": "-"}),
    ("DELETE https://HERE:443/dav/c/a?query", 204, None, {"c/a": "-"}),
    ("DELETE /dav/c/%61 | Content-Length: 0", 204, None, {"c/a": "-"}),
    ("DELETE /dav/c/a | Depth: 0", 204, None, {"c/a": "-"}),
    ("DELETE /dav/c/d", 204, None, NO_D),
    ("DELETE /dav/c/d/ | Depth: infinity", 204, None, NO_D),
    ("MKCOL /dav/c/n", 201, None, {"c/n": None}),
    ("MKCOL /dav/c/d/n/", 201, None, {"c/d/n": None}),
    ("MOVE /dav/c/a | Destination: /dav/c/n", 201, "/pub/c/n", {"c/a": "-", "c/n": b"a"}),
    ("MOVE /dav/c/a | Destination: http://here/dav/c/d/n", 201, "/pub/c/d/n", {"c/a": "-", "c/d/n": b"a"}),
    ("MOVE /dav/c/a | Destination: /dav/c/b", 204, None, {"c/a": "-", "c/b": b"a"}),
    ("MOVE /dav/c/a | Destination: /dav/c/n | Overwrite: F", 201, "/pub/c/n", {"c/a": "-", "c/n": b"a"}),
    ("MOVE /dav/c/d/ | Destination: /dav/c/n/", 201, "/pub/c/n", {**NO_D, **MOVED_D}),
    ("COPY /dav/c/a | Destination: /dav/c/n", 201, "/pub/c/n", {"c/n": b"a"}),
    ("COPY /dav/c/a | Destination: /dav/c/b", 204, None, {"c/b": b"a"}),
    ("COPY /dav/c/a | Destination: /dav/c/n | Depth: 1", 201, "/pub/c/n", {"c/n": b"a"}),
    ("COPY /dav/c/d | Destination: /dav/c/n", 201, "/pub/c/n", MOVED_D),
    ("COPY /dav/c/d | Destination: /dav/c/n | Depth: 0", 201, "/pub/c/n", {"c/n": None}),
]


@pytest.mark.parametrize(("request_", "status", "location", "difference"), DONE)
def test_done(
    store: LocalStore, request_: str, status: int, location: str | None, difference: dict[str, object]
) -> None:
    assert do(store, request_) == Performed(status, location)  # type: ignore[arg-type]
    assert changed(store) == difference


def states(store: Store) -> dict[str, object]:
    """All that a client can see of each resource."""
    return {name: (store.stat(tuple(name.split("/"))), has(store, tuple(name.split("/")))) for name in BEGINNING}


@pytest.mark.parametrize(("request_", "status", "location", "difference"), DONE)
def test_judged_only(
    store: LocalStore, request_: str, status: int, location: str | None, difference: dict[str, object]
) -> None:
    """Told as if it were done; no entity tag changes."""
    before = states(store)
    assert do(judging(store), request_) == Performed(status, location)  # type: ignore[arg-type]
    assert changed(store) == {} and states(store) == before


REFUSED: list[tuple[str, type[Failure]]] = [
    # Out of reach
    ("DELETE /dav/c", ForbiddenName),
    ("DELETE /dav/c/", ForbiddenName),
    ("DELETE /dav/", ForbiddenName),
    ("DELETE /dav/out", ForbiddenName),
    ("DELETE /dav/cc/a", ForbiddenName),
    ("DELETE /dav/c/../out", ForbiddenName),
    ("DELETE /dav/c/%2e%2e/out", ForbiddenName),
    ("DELETE /dav/c/d%2f..%2f..%2fout", ForbiddenName),
    ("DELETE /dav/-/batches/x", ForbiddenName),
    ("DELETE /dav/.partwise/state.db", ForbiddenName),
    ("DELETE /other/c/a", OtherServer),
    ("DELETE http://there/dav/c/a", OtherServer),
    ("DELETE //there/dav/c/a", OtherServer),
    ("DELETE /dav/c/a#fragment", MalformedName),
    ("DELETE /dav/c//a", MalformedName),
    ("DELETE /dav/c/%", MalformedName),
    ("MKCOL /dav/c", ForbiddenName),
    ("MKCOL /dav/n", ForbiddenName),
    ("PROPPATCH /dav/out", ForbiddenName),
    ("PUT /dav/out", ForbiddenName),
    ("PUT /dav/c", ForbiddenName),
    ("MOVE /dav/c | Destination: /dav/c/n", ForbiddenName),
    ("MOVE /dav/out | Destination: /dav/c/n", ForbiddenName),
    ("MOVE /dav/c/a | Destination: /dav/n", ForbiddenName),
    ("MOVE /dav/c/a | Destination: /dav/c", ForbiddenName),
    ("MOVE /dav/c/a | Destination: /dav/-/n", ForbiddenName),
    ("MOVE /dav/c/a | Destination: /dav/.partwise/n", ForbiddenName),
    ("MOVE /dav/c/a | Destination: http://there/dav/c/n", OtherServer),
    ("MOVE /dav/c/a | Destination: /other/c/n", OtherServer),
    ("COPY /dav/c/a | Destination: /dav/n", ForbiddenName),
    ("COPY /dav/c/a | Destination: /dav/c/a%5cb", ForbiddenName),
    ("COPY /dav/out | Destination: /dav/c/n", ForbiddenName),
    # Methods
    ("GET /dav/c/a", WrongKind),
    ("POST /dav/c/d", WrongKind),
    ("PATCH /dav/c/a", WrongKind),
    ("LOCK /dav/c/a", WrongKind),
    ("UNLOCK /dav/c/a", WrongKind),
    ("PROPFIND /dav/c/a", WrongKind),
    ("OPTIONS /dav/c/a", WrongKind),
    ("BREW /dav/c/a", NotImplementedHere),
    ("delete /dav/c/a", NotImplementedHere),
    # What cannot be understood
    ("DELETE /dav/c/a | Depth: 2", Malformed),
    ("DELETE /dav/c/d | Depth: 0", Malformed),
    ("MOVE /dav/c/d | Depth: 0 | Destination: /dav/c/n", Malformed),
    ("COPY /dav/c/d | Depth: 1 | Destination: /dav/c/n", Malformed),
    ("MOVE /dav/c/a", Malformed),
    ("MOVE /dav/c/a | Destination: n", Malformed),
    ("MOVE /dav/c/a | Destination: /dav/c/n | Overwrite: maybe", Malformed),
    ("DELETE /dav/c/a | If: nonsense", Malformed),
    ("DELETE /dav/c/a | If-Match: nonsense", Malformed),
    ("DELETE /dav/c/a | Content-Length: 5", LengthMismatch),
    ("DELETE /dav/c/a | Content-Length: 0 | Content-Length: 0", Malformed),
    ("PUT /dav/c/n/", ForbiddenName),
    ("PUT /dav/c/n | Content-Range: bytes 0-1/2", Malformed),
    # What does not fit
    ("DELETE /dav/c/n", NotFound),
    ("DELETE /dav/c/a/", NotFound),
    ("DELETE /dav/c/a/b", NotFound),
    ("MKCOL /dav/c/a", WrongKind),
    ("MKCOL /dav/c/d", WrongKind),
    ("MKCOL /dav/c/m/n", ParentMissing),
    ("MOVE /dav/c/n | Destination: /dav/c/m", NotFound),
    ("MOVE /dav/c/a/ | Destination: /dav/c/m", NotFound),
    ("MOVE /dav/c/a | Destination: /dav/c/m/n", ParentMissing),
    ("COPY /dav/c/a | Destination: /dav/c/m/n", ParentMissing),
    ("MOVE /dav/c/d | Destination: /dav/c/d/e", Overlapping),
    ("COPY /dav/c/a | Destination: /dav/c/a", Overlapping),
    # Conditions
    ("MOVE /dav/c/a | Destination: /dav/c/b | Overwrite: F", PreconditionFailed),
    ("COPY /dav/c/a | Destination: /dav/c/b | Overwrite: F", PreconditionFailed),
    ('DELETE /dav/c/a | If-Match: "other"', PreconditionFailed),
    ("DELETE /dav/c/a | If-None-Match: *", PreconditionFailed),
    ("MKCOL /dav/c/n | If-Match: *", PreconditionFailed),
    ('MOVE /dav/c/a | Destination: /dav/c/n | If-Match: "other"', PreconditionFailed),
    ('DELETE /dav/c/a | If: (["other"])', PreconditionFailed),
    ("DELETE /dav/c/a | If: (<urn:t>)", PreconditionFailed),
    ('DELETE /dav/c/a | If: </dav/c/b> (["other"])', PreconditionFailed),
]


@pytest.mark.parametrize("rehearsed", [False, True])
@pytest.mark.parametrize(("request_", "failure"), REFUSED)
def test_refused(store: LocalStore, request_: str, failure: type[Failure], rehearsed: bool) -> None:
    with pytest.raises(Failure) as refused:
        do(judging(store) if rehearsed else store, request_)
    assert type(refused.value) is failure
    assert "partwise" not in refused.value.text.replace("'.partwise'", "")
    assert changed(store) == {}


def test_what_a_batch_takes_is_told(store: LocalStore) -> None:
    with pytest.raises(WrongKind) as refused:
        do(store, "LOCK /dav/c/a")
    assert refused.value.accepted == METHODS == ("PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH")


@pytest.mark.parametrize("method", ["DELETE", "COPY", "MOVE"])
def test_no_body_where_none_is_defined(store: LocalStore, method: str) -> None:
    with pytest.raises(UnsupportedType):
        do(store, f"{method} /dav/c/a | Destination: /dav/c/n", b"<body/>")
    assert changed(store) == {}


def test_put_is_aimed_only(store: LocalStore) -> None:
    head = parse_request_head(b"PUT /dav/c/new/name HTTP/1.1\r\n\r\n")
    assert aim(head, MOUNT, ("c",), HOSTS) == Target(("c", "new", "name"), False)


@pytest.mark.parametrize("said", ["", " | Overwrite: F", " | Overwrite: T"])
@pytest.mark.parametrize("batch", [True, False])
def test_overwrite_of_the_batch_is_for_those_that_say_nothing(store: LocalStore, batch: bool, said: str) -> None:
    request = f"MOVE /dav/c/a | Destination: /dav/c/b{said}"
    if said.endswith("T") or (not said and batch):
        assert do(store, request, overwrite=batch).status == 204
    else:
        with pytest.raises(PreconditionFailed):
            do(store, request, overwrite=batch)
    # It is about what would be replaced, and not about what is deleted.
    assert do(store, "DELETE /dav/c/d", overwrite=batch).status == 204


#: The root of a lock, and what it holds back.
LOCKED = [
    ("c/a", "DELETE /dav/c/a"),
    ("c/a", "MOVE /dav/c/a | Destination: /dav/c/n"),
    ("c/b", "MOVE /dav/c/a | Destination: /dav/c/b"),
    ("c/b", "COPY /dav/c/a | Destination: /dav/c/b"),
    # A lock of the collection holds its members' names.
    ("c", "DELETE /dav/c/a"),
    ("c", "MKCOL /dav/c/n"),
    ("c", "COPY /dav/c/a | Destination: /dav/c/n"),
    ("c/d", "MOVE /dav/c/a | Destination: /dav/c/d/n"),
    # Of a member of what goes
    ("c/d/e/y", "DELETE /dav/c/d"),
    ("c/d/e/y", "MOVE /dav/c/d | Destination: /dav/c/n"),
    ("c/d/x", "COPY /dav/c/a | Destination: /dav/c/d"),
]


class TestLocks:
    @pytest.mark.parametrize(("root", "request_"), LOCKED)
    def test_without_its_token(self, store: LocalStore, root: str, request_: str) -> None:
        lock(store, root, "urn:t")
        with pytest.raises(Locked) as refused:
            do(store, request_)
        assert (refused.value.href or "").rstrip("/") == f"/pub/{root}"
        assert changed(store) == {}

    @pytest.mark.parametrize(("root", "request_"), LOCKED)
    def test_with_the_token_of_the_batch(self, store: LocalStore, root: str, request_: str) -> None:
        lock(store, root, "urn:t")
        do(store, request_, tokens=frozenset({"urn:t"}))
        assert changed(store) != {}

    @pytest.mark.parametrize(("root", "request_"), LOCKED)
    def test_with_a_token_of_its_own(self, store: LocalStore, root: str, request_: str) -> None:
        lock(store, root, "urn:t")
        do(store, f"{request_} | If: </dav/{root}> (<urn:t>)")
        assert changed(store) != {}

    def test_an_untagged_list_is_about_the_operations_target(self, store: LocalStore) -> None:
        lock(store, "c/a", "urn:t")
        with pytest.raises(PreconditionFailed):
            do(store, "DELETE /dav/c/b | If: (<urn:t>)")
        assert do(store, "DELETE /dav/c/a | If: (<urn:t>)").status == 204

    def test_of_somebody_else(self, store: LocalStore) -> None:
        theirs = Lock("urn:t", ("c", "a"), True, False, "", "bob", 2.0**40)
        store.lock(theirs, lambda standing: None)
        with pytest.raises(Locked):
            do(store, "DELETE /dav/c/a | If: (<urn:t>)")

    def test_several_members_in_one_row(self, store: LocalStore) -> None:
        lock(store, "c/d/x", "urn:1")
        lock(store, "c/d/e/y", "urn:2")
        with pytest.raises(Locked) as refused:
            do(store, "DELETE /dav/c/d")
        failure = refused.value
        assert "2 members" in failure.text and "Nothing" in failure.text
        assert {issue.path for issue in failure.issues} == {"/pub/c/d/x", "/pub/c/d/e/y"}
        row(failure)


def test_members_that_cannot_be_copied(store: LocalStore) -> None:
    """A link back up is copied once, and not again through itself."""
    folder = Folder(store.state_folder()).parent
    (folder / "c/d/e/up").symlink_to("..")
    with pytest.raises(NotAllowed) as refused:
        do(store, "COPY /dav/c/d | Destination: /dav/c/n")
    assert "the member" in refused.value.text and "others were copied" in refused.value.text
    assert refused.value.href in refused.value.text
    assert [issue.path for issue in refused.value.issues] == [refused.value.href]
    assert MOVED_D.items() <= changed(store).items()
    row(refused.value)


def row(failure: Failure) -> str:
    """What a report says of it; every document that it makes is valid."""
    document = MULTISTATUS_OPEN + status_response("/pub/c/d", failure.status, failure) + MULTISTATUS_CLOSE
    check_xml(document.encode())
    return document


def update(*properties: str, removed: str = "") -> bytes:
    instructions = "".join(f"<D:set><D:prop>{value}</D:prop></D:set>" for value in properties)
    if removed:
        instructions += f"<D:remove><D:prop>{removed}</D:prop></D:remove>"
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">{instructions}</D:propertyupdate>'.encode()


def mkcol(properties: str) -> bytes:
    return f'<D:mkcol xmlns:D="DAV:" xmlns:x="urn:x"><D:set><D:prop>{properties}</D:prop></D:set></D:mkcol>'.encode()


PLAIN = "<D:resourcetype><D:collection/></D:resourcetype>"
XML = "Content-Type: application/xml"


class TestProperties:
    @pytest.mark.parametrize("name", ["c/a", "c/d/", "c/", "c"])
    def test_set_and_removed(self, store: LocalStore, name: str) -> None:
        path = tuple(name.rstrip("/").split("/"))
        give(store, path, old="<old/>")
        body = update("<x:one>1</x:one>", "<x:two/>", removed="<old/>")
        assert do(store, f"PROPPATCH /dav/{name}", body) == Performed(200)  # type: ignore[arg-type]
        assert has(store, path).keys() == {"{urn:x}one", "{urn:x}two"}

    def test_judged_only(self, store: LocalStore) -> None:
        before = states(store)
        assert do(judging(store), "PROPPATCH /dav/c/a", update("<x:one>1</x:one>")).status == 200
        assert do(judging(store), f"MKCOL /dav/c/n | {XML}", mkcol(f"{PLAIN}<x:one/>")).status == 201
        with pytest.raises(ProtectedProperty):
            do(judging(store), "PROPPATCH /dav/c/a", update("<D:getetag>mine</D:getetag>"))
        assert changed(store) == {} and states(store) == before

    def test_all_or_nothing(self, store: LocalStore) -> None:
        body = update("<x:one>1</x:one>", "<D:getetag>mine</D:getetag>", "<D:getcontentlength>0</D:getcontentlength>")
        with pytest.raises(ProtectedProperty) as refused:
            do(store, "PROPPATCH /dav/c/a", body)
        told = [issue.message for issue in refused.value.issues]
        assert ["{urn:x}one" in told[0], "{DAV:}getetag" in told[1], "{DAV:}getcontentlength" in told[2]] == [True] * 3
        assert "getetag" in refused.value.text
        assert has(store, ("c", "a")) == {}
        row(refused.value)

    def test_too_large(self, store: LocalStore) -> None:
        with pytest.raises(OutOfSpace):
            do(store, "PROPPATCH /dav/c/a", update(f"<x:one>{'1' * MOST}</x:one>"))
        assert has(store, ("c", "a")) == {}

    @pytest.mark.parametrize(
        ("request_", "body", "failure"),
        [
            ("PROPPATCH /dav/c/n", update("<x:one/>"), NotFound),
            ("PROPPATCH /dav/c/a/", update("<x:one/>"), NotFound),
            ("PROPPATCH /dav/c/a", b"", NotWellFormed),
            ("PROPPATCH /dav/c/a", b"<x", NotWellFormed),
            ("PROPPATCH /dav/c/a | Content-Length: 3", update("<x:one/>"), LengthMismatch),
            ('PROPPATCH /dav/c/a | If-Match: "other"', update("<x:one/>"), PreconditionFailed),
            ("PROPPATCH /dav/c/a | If: (<urn:t>)", update("<x:one/>"), PreconditionFailed),
        ],
    )
    def test_refused(self, store: LocalStore, request_: str, body: bytes, failure: type[Failure]) -> None:
        with pytest.raises(failure):
            do(store, request_, body)
        assert has(store, ("c", "a")) == {}

    def test_locked(self, store: LocalStore) -> None:
        lock(store, "c/a", "urn:t")
        with pytest.raises(Locked):
            do(store, "PROPPATCH /dav/c/a", update("<x:one/>"))
        assert do(store, "PROPPATCH /dav/c/a | If: (<urn:t>)", update("<x:one/>")).status == 200

    @pytest.mark.parametrize("kind", ["application/xml", "text/xml; charset=utf-8"])
    def test_extended_mkcol(self, store: LocalStore, kind: str) -> None:
        body = mkcol(f"{PLAIN}<x:one>1</x:one>")
        assert do(store, f"MKCOL /dav/c/n/ | Content-Type: {kind}", body).status == 201
        assert changed(store) == {"c/n": None}
        assert has(store, ("c", "n")).keys() == {"{urn:x}one"}

    @pytest.mark.parametrize(
        ("request_", "body", "failure"),
        [
            ("MKCOL /dav/c/n", mkcol(PLAIN), UnsupportedType),
            ("MKCOL /dav/c/n | Content-Type: text/plain", b"hello", UnsupportedType),
            (f"MKCOL /dav/c/n | {XML}", b"<x", NotWellFormed),
            (f"MKCOL /dav/c/n | {XML}", mkcol("<D:resourcetype><x:calendar/></D:resourcetype>"), InvalidResourceType),
            (f"MKCOL /dav/c/n | {XML}", mkcol(f"{PLAIN}<D:getetag>mine</D:getetag><x:one/>"), ProtectedProperty),
            (f"MKCOL /dav/c/n | {XML}", mkcol(f"{PLAIN}<x:one>{'1' * MOST}</x:one>"), OutOfSpace),
            # What speaks against the place comes first.
            (f"MKCOL /dav/c/a | {XML}", mkcol("<D:resourcetype><x:calendar/></D:resourcetype>"), WrongKind),
            ("MKCOL /dav/c/m/n | Content-Type: text/plain", b"hello", ParentMissing),
        ],
    )
    def test_extended_mkcol_refused(
        self, store: LocalStore, request_: str, body: bytes, failure: type[Failure]
    ) -> None:
        with pytest.raises(failure) as refused:
            do(store, request_, body)
        assert changed(store) == {}
        row(refused.value)


class TestInTransaction:
    """The same operations, all or nothing, each on what those before have left."""

    WHOLE = (
        ("MKCOL /dav/c/n/", b""),
        ("MOVE /dav/c/d/ | Destination: /dav/c/n/d/", b""),
        ("COPY /dav/c/a | Destination: /dav/c/n/d/copy", b""),
        ("PROPPATCH /dav/c/n/d/copy", update("<x:one>1</x:one>")),
        ("PROPPATCH /dav/c/b | If: (<urn:b>)", update("<x:one>1</x:one>")),
        ("DELETE /dav/c/a", b""),
        ("MOVE /dav/c/n/d/copy | Destination: /dav/c/a", b""),
        ("DELETE /dav/c/b | If: (<urn:b>)", b""),
        (f"MKCOL /dav/c/b | {XML}", mkcol(f"{PLAIN}<x:two/>")),
    )

    def do_all(self, store: Store) -> list[int]:
        return [do(store, request, body).status for request, body in self.WHOLE]

    def test_done(self, store: LocalStore) -> None:
        lock(store, "c/b", "urn:b")
        with store.transaction() as writing:
            assert self.do_all(writing) == [201, 201, 201, 200, 200, 204, 201, 204, 201]
        assert changed(store) == {
            **NO_D,
            "c/n": None,
            "c/n/d": None,
            "c/n/d/x": b"x",
            "c/n/d/e": None,
            "c/n/d/e/y": b"y",
            "c/b": None,
        }
        assert has(store, ("c", "a")).keys() == {"{urn:x}one"}
        assert has(store, ("c", "b")).keys() == {"{urn:x}two"}
        # RFC 4918 §9.6: DELETE ends the locks.
        assert not store.locks_below(())

    @pytest.mark.parametrize("count", range(1, len(WHOLE) + 1))
    def test_undone(self, store: LocalStore, count: int) -> None:
        lock(store, "c/b", "urn:b")
        give(store, ("c", "d", "x"), kept="<kept/>")
        with pytest.raises(NotFound), store.transaction() as writing:
            for request, body in self.WHOLE[:count]:
                do(writing, request, body)
            do(writing, "DELETE /dav/c/missing")
        assert changed(store) == {}
        assert [lock.token for lock in store.locks_below(())] == ["urn:b"]
        assert {path for path in (("c", "a"), ("c", "b"), ("c", "d", "x")) if has(store, path)} == {("c", "d", "x")}

    def test_a_refusal_leaves_what_was_done_before(self, store: LocalStore) -> None:
        lock(store, "c/b", "urn:b")
        with store.transaction() as writing:
            assert do(writing, "MKCOL /dav/c/n").status == 201
            for request, failure in (
                ("MOVE /dav/c/b | Destination: /dav/c/n/b", Locked),
                ("MKCOL /dav/c/n", WrongKind),
                ("DELETE /dav/c/missing", NotFound),
                ("COPY /dav/c/a | Destination: /dav/c/n | Overwrite: F", PreconditionFailed),
            ):
                with pytest.raises(failure):
                    do(writing, request)
            assert do(writing, "MOVE /dav/c/a | Destination: /dav/c/n/a").status == 201
        assert changed(store) == {"c/a": "-", "c/n": None, "c/n/a": b"a"}
