"""A listing that was kept is told only while it is true: each change is read right after it was made."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client, form_part

from partwise.handlers.context import SERVICES
from partwise.handlers.listings import MOST_ANSWERS, Listings, Question
from partwise.protocol.preferences import Depth

USUAL = "<D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop>"
STORED = '<D:prop><D:displayname/><D:getcontenttype/><x:mark xmlns:x="urn:x"/></D:prop>'
LOCKS = "<D:prop><D:lockdiscovery/></D:prop>"
ALL = "<D:allprop/>"
LOCK = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'
MARK = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:mark xmlns:x="urn:x">{}</x:mark></D:prop></D:set></D:propertyupdate>'


@pytest.fixture(autouse=True)
def tree(folder: Path) -> Path:
    (folder / "a" / "b" / "inner").mkdir(parents=True)
    (folder / "a" / "b" / "file.txt").write_bytes(b"12345")
    (folder / "a" / "b" / "second").write_bytes(b"1")
    return folder


def listings(client: Client) -> Listings:
    return client.server.app[SERVICES].listings


def stop_time(client: Client) -> None:
    """So that nothing is forgotten because it took long."""
    client.server.app[SERVICES].store.notices.clock = lambda: 0.0  # type: ignore[attr-defined]


async def ask(client: Client, asked: str = USUAL, target: str = "/a/b/", depth: str = "1", **headers: str) -> Answer:
    body = f'<D:propfind xmlns:D="DAV:">{asked}</D:propfind>'
    return await client.request("PROPFIND", target, body, Depth=depth, **headers)


async def kept(client: Client, asked: str = USUAL, target: str = "/a/b/", depth: str = "1", **headers: str) -> Answer:
    """An answer that is kept now."""
    stop_time(client)
    before = listings(client).size
    first = await ask(client, asked, target, depth, **headers)
    assert listings(client).size == before, "what is asked once is not kept"
    second = await ask(client, asked, target, depth, **headers)
    assert listings(client).size == before + len(second.body)
    third = await ask(client, asked, target, depth, **headers)
    assert first.status == 207
    assert rows(first) == rows(second)
    assert second.body == third.body
    assert without_date(second) == without_date(third)
    return third


def rows(answer: Answer) -> list[bytes]:
    """A store promises no order."""
    return sorted(answer.body.splitlines())


def without_date(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name not in ("Date", "Transfer-Encoding", "Content-Length")
    }


async def same_as_anew(client: Client, asked: str, target: str = "/a/b/") -> None:
    """Another question with the same answer, which nobody has asked before."""
    told = await ask(client, asked, target)
    anew = await ask(client, asked + "<!-- anew -->", target)
    assert (told.status, rows(told)) == (anew.status, rows(anew))


async def _unlock(client: Client) -> None:
    answer = await client.request("LOCK", "/a/b/second", LOCK)
    await client.request("UNLOCK", "/a/b/second", Lock_Token=answer.headers["Lock-Token"])


WRITES: dict[str, Callable[[Client], Awaitable[object]]] = {
    "PUT": lambda client: client.request("PUT", "/a/b/new", b"1"),
    "PUT over": lambda client: client.request("PUT", "/a/b/file.txt", b"54321"),
    "PUT inside": lambda client: client.request("PUT", "/a/b/inner/new", b"1", X_OC_Mtime="1"),
    "PUT with a type": lambda client: client.request("PUT", "/a/b/file.txt", b"1", Content_Type="text/html"),
    "POST": lambda client: client.post("/a/b/", [form_part("new", b"1"), form_part("deep/new", b"1")]),
    "POST above": lambda client: client.post("/", [form_part("a/b/new", b"1")]),
    "PATCH": lambda client: client.request(
        "PATCH", "/a/b/file.txt", b"x", Content_Type="application/x-sabredav-partialupdate", X_Update_Range="bytes=0-0"
    ),
    "DELETE": lambda client: client.request("DELETE", "/a/b/file.txt"),
    "DELETE of it": lambda client: client.request("DELETE", "/a/b/"),
    "DELETE of its parent": lambda client: client.request("DELETE", "/a/"),
    "MKCOL": lambda client: client.request("MKCOL", "/a/b/new/"),
    "COPY into": lambda client: client.request("COPY", "/a/b/file.txt", Destination="/a/b/new"),
    "COPY over it": lambda client: client.request("COPY", "/a/b/inner/", Destination="/a/b/second"),
    "MOVE out": lambda client: client.request("MOVE", "/a/b/file.txt", Destination="/file.txt"),
    "MOVE over": lambda client: client.request("MOVE", "/a/b/file.txt", Destination="/a/b/second"),
    "MOVE of it": lambda client: client.request("MOVE", "/a/b/", Destination="/a/c/"),
    "MOVE of its parent": lambda client: client.request("MOVE", "/a/", Destination="/z/"),
    "PROPPATCH": lambda client: client.request("PROPPATCH", "/a/b/second", MARK.format("1")),
    "PROPPATCH of it": lambda client: client.request("PROPPATCH", "/a/b/", MARK.format("1")),
    "LOCK": lambda client: client.request("LOCK", "/a/b/file.txt", LOCK),
    "LOCK above": lambda client: client.request("LOCK", "/a/", LOCK),
    "LOCK of a new name": lambda client: client.request("LOCK", "/a/b/new", LOCK),
    "UNLOCK": _unlock,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_own_writes_are_read_at_once(client: Client, write: Callable[[Client], Awaitable[object]]) -> None:
    for asked in (USUAL, STORED, LOCKS, ALL):
        await kept(client, asked)
    await write(client)
    for asked in (USUAL, STORED, LOCKS, ALL):
        await same_as_anew(client, asked)


async def test_two_workers(serve: Serve) -> None:
    """Two processes have nothing in common but the folder; so it is with two servers here."""
    one, other = await serve(), await serve()
    stop_time(one)
    stop_time(other)
    questions = USUAL, STORED, LOCKS
    for write in ("PUT", "PUT inside", "POST", "PROPPATCH", "MOVE over", "UNLOCK", "MOVE of its parent"):
        for asked in questions * 3:
            await ask(one, asked)
            await ask(other, asked)
        assert listings(other).size
        await WRITES[write](one)
        for asked in questions:
            await same_as_anew(other, asked)
            await same_as_anew(one, asked)


async def test_by_hand(tree: Path, client: Client) -> None:
    place = tree / "a" / "b"
    changes: list[Callable[[], object]] = [
        lambda: (place / "new").touch(),
        lambda: (place / "file.txt").write_bytes(b"other"),
        lambda: (place / "file.txt").chmod(0o600),
        lambda: os.utime(place / "file.txt", (1, 1)),
        lambda: (place / "file.txt").rename(place / "renamed"),
        lambda: (place / "renamed").unlink(),
        lambda: (place / "link").symlink_to(place / "second"),
        lambda: (place / "second").write_bytes(b"behind a link"),
        lambda: (place / "link").unlink(),
        lambda: (place / "hard").hardlink_to(place / "second"),
        lambda: (place / "hard").write_bytes(b"by another name"),
        lambda: place.rename(tree / "a" / "c"),
        lambda: place.mkdir(),
        lambda: (tree / "a").rename(tree / "z"),
    ]
    stop_time(client)
    for change in changes:
        for _ in range(3):
            await ask(client)
        change()
        await same_as_anew(client, USUAL)


async def test_answers_of_other_questions(client: Client, tree: Path) -> None:
    """Whatever the answer depends on makes another question."""
    bodies = {
        (await kept(client)).body,
        (await kept(client, depth="0")).body,
        (await kept(client, target="/a/b/inner/")).body,
        (await kept(client, USUAL + "<!-- -->")).body + b"another body",
        (await kept(client, Prefer="return=minimal")).body,
        (await kept(client, Prefer="depth-noroot")).body,
    }
    assert len(bodies) == 6
    without_slash = await kept(client, target="/a/b")
    assert without_slash.headers["Content-Location"] == "/a/b/"
    assert "Content-Location" not in (await kept(client, depth="0", target="/a/")).headers
    minimal = await ask(client, Prefer="return=minimal")
    assert minimal.headers["Preference-Applied"] == "return=minimal"
    assert "Preference-Applied" not in (await ask(client)).headers


@pytest.mark.parametrize(
    ("asked", "target", "depth"),
    [
        (USUAL, "/a/b/", "infinity"),
        (USUAL, "/a/b/file.txt", "0"),
        (USUAL, "/missing/", "1"),
        ("<D:prop><D:quota-used-bytes/></D:prop>", "/a/b/", "1"),
        ("<D:prop><D:sync-token/></D:prop>", "/a/b/", "1"),
        ("<D:propname/>", "/a/b/", "1"),
        ("<D:prop>", "/a/b/", "1"),
        (f"{USUAL}<!--{'x' * 4096}-->", "/a/b/", "1"),
    ],
)
async def test_what_is_not_kept(client: Client, asked: str, target: str, depth: str) -> None:
    for _ in range(4):
        await ask(client, asked, target, depth)
    assert listings(client).size == 0


async def test_lock_timeouts_are_not_kept(client: Client) -> None:
    await client.request("LOCK", "/a/b/file.txt", LOCK)
    for _ in range(4):
        await ask(client, LOCKS)
    assert listings(client).size == 0
    await kept(client, USUAL)


async def test_conditions_are_judged_before(client: Client) -> None:
    await kept(client)
    assert (await ask(client, If="(<urn:uuid:none>)")).status == 412
    assert (await ask(client, If="(Not <urn:uuid:none>)")).status == 207


async def test_rights_are_judged_before(client: Client) -> None:
    await kept(client)
    services = client.server.app[SERVICES]
    object.__setattr__(services, "policy", replace(services.policy, anonymous_reads=False))
    assert (await ask(client)).status == 403


async def test_no_longer_than_100_ms(client: Client) -> None:
    await kept(client)
    services = client.server.app[SERVICES]
    question = next(iter(services.listings._kept))
    assert services.listings.find(question)
    services.store.notices.clock = lambda: 0.09  # type: ignore[attr-defined]
    assert services.listings.find(question) is None
    assert services.listings.size == 0


class Always:
    """A witness of what never changes."""

    def __init__(self) -> None:
        self.closed = False

    def holds(self) -> bool:
        return not self.closed

    def close(self) -> None:
        self.closed = True


def question(number: int) -> Question:
    return Question((str(number),), True, Depth.ONE, b"", False, True, None)


def test_memory_is_bounded() -> None:
    known = Listings(most_bytes=1000)
    witnesses = [Always() for _ in range(20)]
    for number, witness in enumerate(witnesses):
        known.keep(question(number), b"x" * 100, witness)
        assert known.find(question(0)), "the least recently used goes first"
    assert known.size == 1000
    assert [witness.closed for witness in witnesses] == [False] + [True] * 10 + [False] * 9
    large = Always()
    known.keep(question(0), b"x" * 1001, large)
    assert large.closed and witnesses[0].closed and known.find(question(0)) is None


def test_answers_are_bounded() -> None:
    known = Listings()
    witnesses = [Always() for _ in range(MOST_ANSWERS + 5)]
    for number, witness in enumerate(witnesses):
        known.keep(question(number), b"x", witness)
    assert sum(not witness.closed for witness in witnesses) == MOST_ANSWERS == known.size


def test_what_does_not_hold_goes_when_others_come() -> None:
    known = Listings()
    old = Always()
    known.keep(question(1), b"x", old)
    old.closed = True
    with known.coming(question(2)):
        assert known.size == 0


def ask_often(known: Listings, times: int, *, changes: bool) -> dict[int, Always]:
    """Which of so many askings of one question kept an answer, and with whom; ``changes``: it is untrue at the next one."""
    found = {}
    for number in range(times):
        if known.find(question(1)) is None and known.is_worth_keeping(question(1)):
            found[number] = Always()
            known.keep(question(1), b"x", found[number])
            found[number].closed = changes
    return found


def test_what_is_kept_for_nothing_is_kept_ever_more_rarely() -> None:
    assert list(ask_often(Listings(), 60, changes=True)) == [1, 3, 7, 15, 31, 47]


def test_what_is_of_use_again_is_kept_at_once_again() -> None:
    known = Listings()
    ask_often(known, 16, changes=True)
    found = ask_often(known, 30, changes=False)
    assert list(found) == [15]
    found[15].closed = True
    assert list(ask_often(known, 2, changes=False)) == [0]


async def test_others_wait_for_the_answer_that_is_made() -> None:
    known = Listings()
    with known.coming(question(1)), known.coming(question(1)):
        assert await known.wait(question(1)) is None, "it takes too long"
        assert await known.wait(question(2)) is None
    assert await known.wait(question(1)) is None
