"""Verifying off the event loop: shared, bounded and remembered no longer than is right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from partwise.auth.credentials import Credentials
from partwise.auth.htpasswd import Users
from partwise.auth.verifier import Verifier
from partwise.errors import TooManyRequests, TryAgain

WAIT = 10


class Counting:
    """Stands in for the slow hash: right if password and hash are equal. Closed, it lets nobody through."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)

    def __call__(self, password: bytes, stored: str) -> bool:
        self.calls.append(stored)
        self.begun.release()
        assert self.open.wait(WAIT)
        if stored == "broken":
            raise TryAgain("no memory")
        return password == stored.encode()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(counting: Counting, clock: Clock) -> Iterator[Verifier]:
    made = Verifier(threads=2, waiting=3, kept=2, keep=300.0, clock=clock, matches=counting)
    yield made
    counting.open.set()
    made.close()


def ask(verifier: Verifier, user: str, password: str, stored: str) -> bool:
    return verifier.verify(Credentials(user, password.encode()), stored).result(WAIT)


def remembers(verifier: Verifier, user: str, password: str, stored: str) -> bool:
    return verifier.remembers(Credentials(user, password.encode()), stored)


def test_a_success_is_remembered_for_these_credentials_only(verifier: Verifier) -> None:
    assert not remembers(verifier, "ann", "one", "one")
    assert ask(verifier, "ann", "one", "one")
    assert remembers(verifier, "ann", "one", "one")
    assert not remembers(verifier, "ann", "other", "one")
    assert not remembers(verifier, "ann", "one", "changed")
    assert not remembers(verifier, "bob", "one", "one")
    assert not remembers(verifier, "ann", "", "one")


def test_a_failure_is_not_remembered(verifier: Verifier, counting: Counting) -> None:
    for _ in range(2):
        assert not ask(verifier, "ann", "wrong", "one")
    assert not remembers(verifier, "ann", "wrong", "one")
    assert len(counting.calls) == 2


def test_a_wrong_password_does_not_make_the_right_one_forgotten(verifier: Verifier) -> None:
    ask(verifier, "ann", "one", "one")
    ask(verifier, "ann", "wrong", "one")
    assert remembers(verifier, "ann", "one", "one")


def test_a_success_ends_after_its_time_however_often_it_is_used(verifier: Verifier, clock: Clock) -> None:
    ask(verifier, "ann", "one", "one")
    clock.now += 299
    assert remembers(verifier, "ann", "one", "one")
    clock.now += 1
    assert not remembers(verifier, "ann", "one", "one")


def test_the_least_recently_used_is_forgotten_first(verifier: Verifier) -> None:
    ask(verifier, "ann", "1", "1")
    ask(verifier, "bob", "2", "2")
    assert remembers(verifier, "ann", "1", "1")
    ask(verifier, "cat", "3", "3")
    assert [remembers(verifier, user, key, key) for user, key in (("ann", "1"), ("bob", "2"), ("cat", "3"))] == [
        True,
        False,
        True,
    ]


def test_the_same_question_is_computed_once(verifier: Verifier, counting: Counting) -> None:
    counting.open.clear()
    ann = Credentials("ann", b"one")
    futures = [verifier.verify(ann, "one") for _ in range(100)]
    counting.open.set()
    assert all(future.result(WAIT) for future in futures)
    assert counting.calls == ["one"]


def test_too_many_different_questions_are_refused(verifier: Verifier, counting: Counting) -> None:
    counting.open.clear()
    futures: list[Future[bool]] = [
        verifier.verify(Credentials("ann", str(number).encode()), "one") for number in range(5)
    ]
    with pytest.raises(TooManyRequests):
        verifier.verify(Credentials("ann", b"5"), "one")
    assert verifier.verify(Credentials("ann", b"4"), "one") is futures[4], "what waits already may be shared"
    for _ in range(2):
        assert counting.begun.acquire(timeout=WAIT)
    assert len(counting.calls) == 2, "two at a time"
    counting.open.set()
    assert [future.result(WAIT) for future in futures] == [False] * 5
    assert ask(verifier, "ann", "one", "one"), "there is room again"


def test_a_verification_that_fails_by_itself_leaves_nothing_behind(verifier: Verifier) -> None:
    for _ in range(10):
        with pytest.raises(TryAgain):
            ask(verifier, "ann", "broken", "broken")
    assert not remembers(verifier, "ann", "broken", "broken")


def test_a_decoy_is_constant_for_a_name_and_all_are_used(verifier: Verifier) -> None:
    users = Users({}, ("x", "y", "z"))
    names = [f"user{number}" for number in range(200)]
    chosen = [verifier.decoy(users, name) for name in names]
    assert chosen == [verifier.decoy(users, name) for name in names]
    assert set(chosen) == {"x", "y", "z"}
    assert verifier.decoy(Users({}, ()), "ann") is None
