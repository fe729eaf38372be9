"""The checker of the storage contract: every store must pass it (see ``storage.base.Store``)."""

from __future__ import annotations

import pytest
from tests.storage.contract_listing import ListingContract
from tests.storage.contract_relocation import RelocationContract
from tests.storage.contract_state import StateContract
from tests.storage.contract_tools import anything, contents, nothing_there, publication, put
from tests.storage.contract_transaction import TransactionContract

from partwise.errors import Failure, NotAllowed, NotFound, ParentMissing, PreconditionFailed, WrongKind
from partwise.storage.base import Exists, Published, Resource, Store

__all__ = ["StorageContract", "anything", "contents", "publication", "put"]


class StorageContract(ListingContract, StateContract, RelocationContract, TransactionContract):
    """Subclass it as a test class with a fixture ``store``."""

    @pytest.mark.parametrize("size", [0, 1, 300_000, 5_000_000])
    def test_what_was_published_is_there(self, store: Store, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        answer = put(store, ("a",), data)
        assert isinstance(answer, Published) and answer.created
        assert contents(store, ("a",)) == data
        assert store.stat(("a",))._replace(created_ns=0) == answer.resource
        assert answer.resource.size == size

    def test_replacing_changes_the_etag_even_with_equal_bytes(self, store: Store) -> None:
        tags = set()
        for number in range(20):
            answer = put(store, ("a",), b"same")
            assert isinstance(answer, Published) and answer.created is (number == 0)
            tags.add(answer.resource.etag)
        assert len(tags) == 20

    def test_nothing_is_visible_before_publishing(self, store: Store) -> None:
        upload = store.stage()
        upload.write(b"x" * 600_000)
        assert list(store.members(())) == []
        upload.abort()
        upload.abort()
        assert list(store.members(())) == []

    def test_a_group_has_one_answer_each(self, store: Store) -> None:
        put(store, ("taken",), b"old")
        store.make_collection(("c",), anything)
        group = [
            publication(store, ("a",), b"1"),
            publication(store, ("taken",), b"new", check=nothing_there),
            publication(store, ("missing", "a"), b"2"),
            publication(store, ("c",), b"3"),
            publication(store, ("taken", "a"), b"4"),
            publication(store, ("deep", "er", "a"), b"5", existing=0),
            publication(store, ("a",), b"6"),
        ]
        answers = store.publish(group)
        kinds = [type(answer) for answer in answers]
        assert kinds == [
            Published,
            PreconditionFailed,
            ParentMissing,
            WrongKind,
            ParentMissing,
            Published,
            Published,
        ]
        assert [answer.created for answer in answers if isinstance(answer, Published)] == [True, True, False]
        assert contents(store, ("a",)) == b"6"
        assert contents(store, ("taken",)) == b"old"
        assert contents(store, ("deep", "er", "a")) == b"5"

    def test_the_check_sees_what_stands_there(self, store: Store) -> None:
        seen: list[Resource | None] = []
        first = put(store, ("a",), b"1", check=seen.append)
        assert isinstance(first, Published)
        put(store, ("a",), b"2", check=seen.append)
        assert seen[0] is None
        assert seen[-1] is not None
        assert seen[-1]._replace(created_ns=0) == first.resource

    def test_collections_are_made_only_below_what_must_exist(self, store: Store) -> None:
        assert isinstance(put(store, ("c", "d", "a"), b"", existing=1), ParentMissing)
        assert list(store.members(())) == []

    @pytest.mark.parametrize(
        ("path", "existing", "found"),
        [
            (("new",), 0, None),
            (("c", "new"), 1, None),
            (("c", "d", "new"), 1, None),
            (("c", "d", "new"), 2, ParentMissing),
            (("x", "new"), 0, None),
            (("x", "new"), 1, ParentMissing),
            (("f", "new"), 0, ParentMissing),
            (("f", "x", "new"), 0, ParentMissing),
            (("f", "new"), 1, ParentMissing),
        ],
    )
    def test_look(self, store: Store, path: tuple[str, ...], existing: int, found: type[Failure] | None) -> None:
        """Judged before the bytes as it will be judged when they are published."""
        store.make_collection(("c",), anything)
        put(store, ("f",), b"1")
        if found is None:
            assert store.look(path, existing) is None
            assert isinstance(put(store, path, b"", existing=existing), Published)
            assert store.look(path, existing) == store.stat(path)
        else:
            with pytest.raises(found):
                store.look(path, existing)
            assert isinstance(put(store, path, b"", existing=existing), found)

    def test_a_kept_modification_time(self, store: Store) -> None:
        answer = put(store, ("a",), b"", modified_ns=1_000_000_000_123_456_000)
        assert isinstance(answer, Published)
        assert store.stat(("a",)).modified_ns == 1_000_000_000_123_456_000

    def test_an_open_file_outlives_its_name(self, store: Store) -> None:
        put(store, ("a",), b"old")
        file = store.open(("a",))
        put(store, ("a",), b"new!")
        store.delete(("a",), anything)
        assert file.read(0, 10) == b"old"
        file.close()

    def test_make_collection(self, store: Store) -> None:
        store.make_collection(("c",), anything)
        assert store.stat(("c",)).collection
        assert store.stat(("c",)).etag is None
        with pytest.raises(Exists):
            store.make_collection(("c",), anything)
        with pytest.raises(ParentMissing):
            store.make_collection(("x", "y"), anything)
        put(store, ("f",), b"")
        with pytest.raises(Exists):
            store.make_collection(("f",), anything)
        with pytest.raises(ParentMissing):
            store.make_collection(("f", "c"), anything)

    def test_delete(self, store: Store) -> None:
        put(store, ("c", "d", "a"), b"1", existing=0)
        put(store, ("f",), b"1")
        with pytest.raises(NotFound):
            store.delete(("nothing",), anything)
        with pytest.raises(PreconditionFailed):
            store.delete(("f",), nothing_there)
        with pytest.raises(NotAllowed):
            store.delete((), anything)
        store.delete(("c",), anything)
        store.delete(("f",), anything)
        assert list(store.members(())) == []
        with pytest.raises(NotFound):
            store.stat(("c", "d", "a"))

    def test_members_and_walk(self, store: Store) -> None:
        for path in [("a",), ("c", "b"), ("c", "d", "e"), ("z",)]:
            put(store, path, b"1", existing=0)
        assert {member.path for member in store.members(())} == {("a",), ("c",), ("z",)}
        walked = [member.path for member in store.walk(())]
        assert sorted(walked) == [("a",), ("c",), ("c", "b"), ("c", "d"), ("c", "d", "e"), ("z",)]
        assert walked.index(("c",)) < walked.index(("c", "d")) < walked.index(("c", "d", "e"))
        for path in [("a",), ("nothing",)]:
            with pytest.raises(NotFound):
                store.members(path)

    @pytest.mark.parametrize("path", [(), ("c",)])
    def test_listings_at_the_same_time(self, store: Store, path: tuple[str, ...]) -> None:
        for number in range(20):
            put(store, (*path, f"{number}"), b"", existing=0)
        listings = [store.members(path) for _ in range(3)]
        begun = [[next(listing)] for listing in listings]
        for listing, found in zip(listings, begun, strict=True):
            found += listing
        assert [len({member.path for member in found}) for found in begun] == [20, 20, 20]

    def test_opening_what_is_no_file(self, store: Store) -> None:
        store.make_collection(("c",), anything)
        for path in [(), ("c",), ("nothing",), ("c", "x", "y")]:
            with pytest.raises(NotFound):
                store.open(path)
