"""Basic authentication over the real server: who gets in, what is told before what, and what the file's changes do."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
import time
from pathlib import Path

import argon2
import bcrypt
import pytest
from tests.conftest import Serve
from tests.harness import Answer, Client, form_part, read_head

from partwise.app import make_app
from partwise.config import Config
from partwise.handlers.context import SERVICES, Accounts

CHALLENGE = 'Basic realm="partwise", charset="UTF-8"'


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()


ANN, ROB, ZOE = basic("ann", "one"), basic("rob", "two"), basic("Zoë", "drü")
WRONG = basic("ann", "wrong")
LINES = [
    f"ann:{hashed('one')}\n",
    f"rob:{argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash('two')}\n",
    f"Zoë:{hashed('drü')}\n",
]


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("".join(LINES))
    return path


@pytest.fixture
async def client(serve: Serve, users: Path) -> Client:
    """rob may only read; without credentials nothing is allowed, though on loopback."""
    found = await serve(htpasswd=users, read_only=("rob",))
    (found.folder / "file").write_bytes(b"contents")
    return found


def accounts_of(client: Client) -> Accounts:
    found = client.server.app[SERVICES].accounts
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("sent", "reading", "writing"),
    [
        (ANN, 200, 201),
        (ROB, 200, 403),
        (ZOE, 200, 201),
        (basic("Zoë", "drü", "latin-1"), 200, 201),
        (ANN.replace("Basic", "bASIC"), 200, 201),
        (None, 401, 401),
        (WRONG, 401, 401),
        (basic("ann", ""), 401, 401),
        (basic("ann", "onex"), 401, 401),
        (basic("nobody", "one"), 401, 401),
        (basic("", ""), 401, 401),
        (basic("ANN", "one"), 401, 401),
        ("", 401, 401),
        ("Basic", 401, 401),
        ("Basic %%%", 401, 401),
        ("Basic " + base64.b64encode(b"ann").decode(), 401, 401),
        ("Bearer " + ANN.split()[1], 401, 401),
        (f"{ANN}, {ANN}", 401, 401),
    ],
)
async def test_who_gets_in(client: Client, sent: str | None, reading: int, writing: int) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    for method, target, expected in (("GET", "/file", reading), ("PUT", "/new", writing)):
        for _ in range(2):  # the second time from memory
            answer = await client.request(method, target, **headers)
            assert answer.status == expected
            assert answer.headers.get("WWW-Authenticate") == (CHALLENGE if expected == 401 else None)
            if method == "PUT" and expected == 201:
                (client.folder / "new").unlink()


async def test_credentials_sent_twice_are_refused(client: Client) -> None:
    head = f"GET /file HTTP/1.1\r\nHost: x\r\nAuthorization: {ANN}\r\nAuthorization: {ANN}\r\n\r\n"
    assert (await client.raw(head.encode())).status in (400, 401)


@pytest.mark.parametrize(
    ("anonymous", "sent", "reading", "writing"),
    [
        ("read", None, 200, 401),
        ("read", WRONG, 401, 401),
        ("read", "nonsense", 401, 401),
        ("read", ANN, 200, 201),
        ("read", ROB, 200, 403),
        ("write", None, 200, 201),
        ("write", WRONG, 401, 401),
        ("write", ROB, 200, 403),
    ],
)
async def test_with_anonymous(
    serve: Serve, users: Path, anonymous: str, sent: str | None, reading: int, writing: int
) -> None:
    client = await serve(htpasswd=users, read_only=("rob",), anonymous=anonymous)
    (client.folder / "file").write_bytes(b"contents")
    headers = {} if sent is None else {"Authorization": sent}
    assert (await client.request("GET", "/file", **headers)).status == reading
    assert (await client.request("PUT", "/new", **headers)).status == writing


@pytest.mark.parametrize(("anonymous", "writing"), [(None, 201), ("read", 403), ("write", 201)])
async def test_without_users_credentials_are_ignored(serve: Serve, anonymous: str | None, writing: int) -> None:
    client = await serve(anonymous=anonymous)
    for sent in (WRONG, "nonsense"):
        assert (await client.request("GET", "/", Authorization=sent)).status == 200
        answer = await client.request("PUT", f"/{len(sent)}", Authorization=sent)
        assert answer.status == writing
        assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/none", {}),
        ("GET", "/%zz", {}),
        ("GET", "/file", {"Range": "bytes=99-"}),
        ("GET", "/-/schemas/none.xsd", {}),
        ("PROPFIND", "/none", {"Depth": "nonsense"}),
        ("PUT", "/", {}),
        ("PUT", "/none/below", {}),
        ("PUT", "/-/x", {}),
        ("PUT", "/.partwise/x", {}),
        ("PUT", "/file", {"If_None_Match": "*"}),
        ("PUT", "/file", {"Content_Digest": "sha-256=x"}),
        ("MKCOL", "/file", {}),
        ("DELETE", "/none", {"If": "(<urn:x>)"}),
        ("DELETE", "/-/", {}),
        ("POST", "/none", {"Content_Type": "text/plain"}),
    ],
)
async def test_nothing_is_told_about_a_resource_before(
    client: Client, method: str, target: str, headers: dict[str, str]
) -> None:
    for sent in ({}, {"Authorization": WRONG}):
        assert (await client.request(method, target, **headers, **sent)).status == 401
    if method not in ("GET", "PROPFIND"):
        assert (await client.request(method, target, **headers, Authorization=ROB)).status == 403
    assert (await client.request(method, target, **headers, Authorization=ANN)).status not in (401, 200)


async def test_options_need_no_credentials_and_tell_nothing(client: Client) -> None:
    """Windows and davfs2 ask for OPTIONS before they send any."""
    answers = [await client.request("OPTIONS", target) for target in ("/", "/file", "/none", "/-/", "/%zz")]
    assert {answer.status for answer in answers} == {200}
    [allow] = {answer.headers["Allow"] for answer in answers}
    assert {"GET", "PUT", "MKCOL", "PROPFIND"} <= set(allow.split(", "))
    for sent in (WRONG, "nonsense"):
        assert (await client.request("OPTIONS", "/", Authorization=sent)).status == 401
    files, collections = [
        (await client.request("OPTIONS", target, Authorization=ROB)).headers["Allow"] for target in ("/file", "/")
    ]
    assert files != collections


async def test_a_browser_is_asked_and_shown_a_page(client: Client) -> None:
    answer = await client.request("GET", "/", Accept="text/html", User_Agent="Mozilla/5.0")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"name and a password" in answer.body


async def test_a_browser_may_ask_under_any_name_when_everybody_must_log_in(client: Client) -> None:
    page = {"Accept": "text/html", "User_Agent": "Mozilla/5.0", "Host": "files.example.org"}
    assert (await client.request("GET", "/", **page)).status == 401
    assert (await client.request("GET", "/", Authorization=ANN, **page)).status == 200


async def test_a_read_only_user_is_offered_no_upload(client: Client) -> None:
    page = {"Accept": "text/html", "User_Agent": "Mozilla/5.0"}
    ann, rob = [(await client.request("GET", "/", Authorization=sent, **page)).body for sent in (ANN, ROB)]
    assert b"<form" in ann
    assert b"<form" not in rob
    refused = await client.post("/", [form_part("a", b"1")], Authorization=ROB)
    assert (refused.status, refused.error) == (403, "need-privileges")


@pytest.mark.parametrize("expect", [True, False])
async def test_a_large_body_is_not_waited_for(client: Client, expect: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    extra = "Expect: 100-continue\r\n" if expect else ""
    writer.write(f"PUT /big HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n{extra}\r\n".encode())
    status, headers = await asyncio.wait_for(read_head(reader), 5)
    assert status == 401
    assert headers["WWW-Authenticate"] == CHALLENGE
    if expect:
        assert headers["Connection"] == "close"
    writer.close()
    assert not (client.folder / "big").exists()


def next_look(client: Client) -> None:
    """Make the next request look at the file, without waiting for a second to pass."""
    accounts_of(client).file._next_look = time.monotonic()


async def test_changes_of_the_file_hold_at_once(client: Client, users: Path) -> None:
    async def statuses() -> list[int]:
        next_look(client)
        new = basic("ann", "new"), basic("max", "four")
        return [(await client.request("GET", "/", Authorization=sent)).status for sent in (ANN, ROB, *new)]

    assert await statuses() == [200, 200, 401, 401]
    users.write_text(f"ann:{hashed('new')}\n" + LINES[1])
    assert await statuses() == [401, 200, 200, 401]
    other = users.with_name("other")
    other.write_text(f"max:{hashed('four')}\n")
    other.replace(users)
    assert await statuses() == [401, 401, 401, 200]
    users.write_text("max:plain\n")
    assert await statuses() == [401, 401, 401, 200]
    users.write_text("")
    assert await statuses() == [401, 401, 401, 401]


async def test_many_at_once(client: Client) -> None:
    answers = await asyncio.gather(
        *(client.request("GET", "/file", Authorization=sent) for sent in (ANN, ROB, WRONG) for _ in range(30))
    )
    assert [answer.status for answer in answers] == [200] * 60 + [401] * 30


async def test_a_flood_of_wrong_passwords_is_refused_and_who_is_known_still_gets_in(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.request("GET", "/", Authorization=ANN)).status == 200
    verifier, end = accounts_of(client).verifier, threading.Event()
    monkeypatch.setattr(verifier, "_matches", lambda password, stored: not end.wait(10))
    guesses = [
        asyncio.create_task(client.request("GET", "/", Authorization=basic("rob", str(number)))) for number in range(70)
    ]
    try:
        done: set[asyncio.Task[Answer]] = set()
        while len(done) < 4:
            done, _ = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status for task in done} == {429}
        assert {task.result().headers["Retry-After"] for task in done} == {"5"}
        assert (await client.request("GET", "/", Authorization=ANN)).status == 200
    finally:
        end.set()
    assert sorted(answer.status for answer in await asyncio.gather(*guesses)) == [401] * 66 + [429] * 4


async def test_a_name_that_does_not_exist_costs_as_much(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    file, verifier = accounts_of(client).file, accounts_of(client).verifier
    asked: list[str] = []

    def right(password: bytes, stored: str) -> bool:
        asked.append(stored)
        return True

    monkeypatch.setattr(verifier, "_matches", right)
    # Even if a decoy matched, nobody would get in by it.
    assert (await client.request("GET", "/", Authorization=basic("nobody", "x"))).status == 401
    assert (await client.request("GET", "/", Authorization=basic("nobody", "x"))).status == 401
    assert (await client.request("GET", "/", Authorization=basic("ann", "x"))).status == 200
    decoy, _, own = asked
    assert decoy in file.users.decoys
    assert own == file.users.hashes["ann"]


async def test_who_is_removed_while_the_password_is_verified_stays_out(
    client: Client, users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, verifier = accounts_of(client).file, accounts_of(client).verifier

    def slow(password: bytes, stored: str) -> bool:
        users.write_text("".join(LINES[1:]))
        file.refresh()
        return True

    monkeypatch.setattr(verifier, "_matches", slow)
    for _ in range(2):
        assert (await client.request("GET", "/", Authorization=ANN)).status == 401


async def test_no_password_is_logged(serve: Serve, users: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = await serve(htpasswd=users)
    for sent in (basic("ann", "opensesame"), "Basic opensesame", basic("nobody", "opensesame")):
        answer = await client.request("GET", "/", Authorization=sent)
        assert b"opensesame" not in answer.body
    users.write_text("ann:opensesame\n")
    next_look(client)
    await client.request("GET", "/", Authorization=ANN)
    assert "htpasswd file" in caplog.text
    assert "opensesame" not in caplog.text
    assert ANN.split()[1] not in caplog.text


def test_a_file_in_the_served_folder_is_refused(folder: Path, users: Path) -> None:
    inside = folder / "users"
    outside = folder.parent / "link"
    inside.write_text("".join(LINES))
    outside.symlink_to(inside)
    for path in (inside, outside):
        with pytest.raises(ValueError, match="lies in the served folder"):
            make_app(Config(directory=folder, htpasswd=path))
    inside.unlink()
    inside.symlink_to(users)
    with pytest.raises(ValueError, match="lies in the served folder"):
        make_app(Config(directory=folder, htpasswd=inside))
    make_app(Config(directory=folder, htpasswd=users))


def test_an_unusable_file_is_refused_at_start(folder: Path, users: Path) -> None:
    users.write_text("ann:opensesame\n")
    with pytest.raises(ValueError, match=r"line 1: .*htpasswd -B"):
        make_app(Config(directory=folder, htpasswd=users))


def test_a_read_only_user_who_does_not_exist_is_told(
    folder: Path, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_app(Config(directory=folder, htpasswd=users, read_only=("rob", "bob")))
    assert "'bob', who may only read, is not in" in caplog.text
    assert "'rob'" not in caplog.text
