"""What the parts of the storage contract have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from partwise.errors import Failure, PreconditionFailed
from partwise.storage.base import Lock, Move, Path, Publication, Published, Resource, Store

Before = Callable[[Resource | None], None]


def anything(standing: Resource | None) -> None:
    """A gate that is open."""


def nothing_there(standing: Resource | None) -> None:
    if standing is not None:
        raise PreconditionFailed("taken")


def never(standing: Resource | None) -> None:
    raise PreconditionFailed("never")


def publication(
    store: Store,
    path: Path,
    data: bytes,
    *,
    existing: int | None = None,
    check: Before = anything,
    modified_ns: int | None = None,
    properties: Mapping[str, str | None] | None = None,
) -> Publication:
    upload = store.stage()
    for start in range(0, len(data), 70_000):
        upload.write(data[start : start + 70_000])
    upload.seal(modified_ns)
    return Publication(upload, path, len(path) - 1 if existing is None else existing, check, properties or {})


def put(store: Store, path: Path, data: bytes = b"", **options: object) -> Published | Failure:
    [answer] = store.publish([publication(store, path, data, **options)])  # type: ignore[arg-type]
    return answer


def contents(store: Store, path: Path) -> bytes:
    file = store.open(path)
    try:
        return file.read(0, file.resource.size + 1)
    finally:
        file.close()


def tree(store: Store, path: Path = ()) -> dict[str, bytes | None]:
    """Everything below a path: contents of files, ``None`` for collections."""
    return {
        "/".join(member.path[len(path) :]): None if member.collection else contents(store, member.path)
        for member in store.walk(path)
    }


def give(store: Store, path: Path, **values: str | None) -> None:
    store.set_properties(path, values, anything)


def has(store: Store, path: Path) -> dict[str, str]:
    """The stored properties, but for what the store keeps for itself."""
    found = store.properties([path]).get(path, {})
    return {name: value for name, value in found.items() if name != "{DAV:}creationdate"}


def created(store: Store, path: Path) -> int:
    stored = store.properties([path]).get(path, {}).get("{DAV:}creationdate")
    return store.stat(path).created_ns if stored is None else int(stored)


def lock_of(
    root: Path, token: str = "urn:t", *, infinite: bool = False, exclusive: bool = True, **values: object
) -> Lock:
    return Lock(token, root, exclusive, infinite, "<owner/>", "me", time.time() + 1000)._replace(**values)  # type: ignore[arg-type]


def tokens(locks: tuple[Lock, ...]) -> list[str]:
    return [lock.token for lock in locks]


class Told:
    """Gathers the members that could not be copied."""

    def __init__(self) -> None:
        self.failures: dict[Path, Failure] = {}

    def __call__(self, path: Path, failure: Failure) -> None:
        assert path not in self.failures
        self.failures[path] = failure


def moving(source: Path, destination: Path, *, overwrite: bool = True, check: object = None) -> Move:
    return Move(source, destination, overwrite, check or (lambda source, standing: None))  # type: ignore[arg-type]


def move(store: Store, source: Path, destination: Path, **options: bool) -> bool:
    return store.move(moving(source, destination, **options))


def copy(store: Store, source: Path, destination: Path, *, infinite: bool = True, **options: bool) -> bool:
    """Every member must be copied."""
    told = Told()
    answer = store.copy(moving(source, destination, **options), infinite, told)
    assert told.failures == {}
    return answer
