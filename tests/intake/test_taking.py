"""A body that is there as a whole gets the verdict that it would get in pieces, and the first reason in the order is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from partwise.actions.gate import Gate
from partwise.errors import Failure, NotFound
from partwise.intake.admission import Admission
from partwise.intake.declaration import declare
from partwise.intake.item import Item
from partwise.intake.pipeline import Intake
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.builtin import builtin_validators
from partwise.protocol.media_types import AcceptedTypes
from partwise.protocol.paths import Mount
from partwise.storage.base import Lock, Published
from partwise.storage.local.store import LocalStore

JSON, PNG = {"content-type": "application/json"}, {"content-type": "image/png"}
DIGEST = {"content-digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"}
NEW, OLD = {"if-none-match": "*"}, {"if-match": '"x"'}

PLACES = [("new",), ("file",), ("locked",), ("folder",), ("none", "x"), ("file", "x"), ("small", "x")]
BODIES = [b"", b"{}", b"{", b"x" * 50, b"\x89PNG\r\n\x1a\n"]
HEADERS = [
    {},
    JSON,
    PNG,
    JSON | NEW,
    NEW,
    OLD,
    DIGEST,
    JSON | DIGEST | OLD,
    {"content-encoding": "gzip"},
    {"content-length": "50"},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    folder = tmp_path_factory.mktemp("served")
    for name in ("folder", "small"):
        (folder / name).mkdir()
    (folder / "file").write_bytes(b"old")
    (folder / "locked").write_bytes(b"old")
    found = LocalStore(os.fspath(folder), quotas={("small",): 40}, durable=False)
    found.lock(Lock("urn:t", ("locked",), True, False, "", None, 1e12), lambda standing: None)
    yield found
    found.close()


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
@pytest.mark.parametrize("max_size", [None, 40])
def test_the_same_verdict(store: LocalStore, accept: str, max_size: int | None) -> None:
    intake = Intake(Admission(store, AcceptedTypes((accept,)), max_size), builtin_validators(None))
    seen = set()
    for path in PLACES:
        for headers in HEADERS:
            for body in BODIES:
                item = _item(store, path, headers)
                whole, pieces = _verdict(store, intake, item, body, whole=True), _verdict(store, intake, item, body)
                assert whole == pieces, (path, headers, body)
                seen.add(whole)
    assert len(seen) >= 10  # the table has both good and bad, of every kind


def _item(store: LocalStore, path: tuple[str, ...], headers: dict[str, str]) -> Item:
    def nowhere(tag: str) -> tuple[str, ...]:
        raise NotFound("There is nothing.")

    declared = declare(headers)
    gate = Gate(store, Mount(), path, nowhere, conditions=declared.conditions)
    write = gate.write(path, len(path) - 1)
    return Item(
        path,
        Candidate("/".join(path), declared.essence, None, declared.length),
        write.whole,
        len(path) - 1,
        length=declared.length,
        digests=declared.digests,
        coding=declared.coding,
        check_first=write.first,
    )


def _verdict(store: LocalStore, intake: Intake, item: Item, body: bytes, *, whole: bool = False) -> str:
    """What becomes of it; what was stored is taken away again."""
    try:
        if whole:
            staged = intake.take(item, body)
        else:
            reception = intake.begin(item)
            try:
                if body:
                    reception.write(body)
                staged = reception.finish()
            except Failure:
                reception.abort()
                raise
    except Failure as failure:
        return f"{type(failure).__name__}: {failure.text}"
    [answer] = store.publish([staged.publication])
    if isinstance(answer, Failure):
        return f"{type(answer).__name__}: {answer.text}"
    assert isinstance(answer, Published)
    if answer.created:
        store.delete(item.path, lambda standing: None)
    return f"stored, {answer.created}"


def test_nothing_is_left_of_what_was_refused(store: LocalStore) -> None:
    intake = Intake(Admission(store, AcceptedTypes(("*/*",)), None), builtin_validators(None))
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else []
    for headers in (JSON, DIGEST):
        with pytest.raises(Failure):
            intake.take(_item(store, ("new",), headers), b"{" * 300_000)
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)
    assert not os.listdir(store._medium.staging.folder)
