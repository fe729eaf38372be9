"""Reading htpasswd files, and reading them again."""

from __future__ import annotations

import logging
import os
import unicodedata
from pathlib import Path

import argon2
import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.auth.htpasswd import MAX_SIZE, HtpasswdFile, parse

ONE = bcrypt.hashpw(b"one", bcrypt.gensalt(4)).decode()
TWO = bcrypt.hashpw(b"two", bcrypt.gensalt(4)).decode()
COSTLY = ONE.replace("$04$", "$05$")
ARGON2 = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("three")


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("", {}),
        ("\n \n\t\r\n# a comment\n  # another: with a colon", {}),
        (f"ann:{ONE}", {"ann": ONE}),
        (f"ann:{ONE}\nbob:{TWO}\n", {"ann": ONE, "bob": TWO}),
        (f"ann:{ONE}\r\n\r\nbob:{ARGON2} \t\r\n", {"ann": ONE, "bob": ARGON2}),
        (f"\ufeffann:{ONE}\n", {"ann": ONE}),
        (f"ann:{ONE}:Ann of Accounts:ann@example.org\n", {"ann": ONE}),
        (f"Ann Ärger:{ONE}\n🔑:{TWO}\n", {"Ann Ärger": ONE, "🔑": TWO}),
        (unicodedata.normalize("NFD", f"Zoë:{ONE}"), {"Zoë": ONE}),
        (f"ann:{ONE}\nAnn:{TWO}\n", {"ann": ONE, "Ann": TWO}),
    ],
)
def test_parse(text: str, users: dict[str, str]) -> None:
    assert parse(text.encode()).hashes == users


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("ann", "line 1: it does not read user:hash"),
        (ONE, "line 1: it does not read user:hash"),
        (f":{ONE}", "line 1: it does not read user:hash"),
        (f"\n# c\nann:{ONE}\nbob:$apr1$4CYVcaCX$oYRGkNIr/dlCvDrmMV3ej1", "line 4: .*bcrypt or argon2.*htpasswd -B"),
        ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1: .*htpasswd -B"),
        ("ann:rqXexS6ZhobKA", "line 1: .*htpasswd -B"),
        ("ann:opensesame", "line 1: .*htpasswd -B"),
        ("ann:", "line 1: .*htpasswd -B"),
        (f"ann:{ONE}\n\nann:{TWO}", "line 3: the user of line 1 is named again"),
        (f"Zoë:{ONE}\n" + unicodedata.normalize("NFD", f"Zoë:{TWO}"), "line 2: the user of line 1"),
        (f"a\0n:{ONE}", "line 1: it holds a control character"),
        (f"a\tn:{ONE}", "line 1: it holds a control character"),
        (f"a\x85n:{ONE}", "line 1: it holds a control character"),
        (f"a\x1b[2Jn:{ONE}", "line 1: it holds a control character"),
        (f"ok:{ONE}\nZoë:{ONE}".encode("latin-1"), "line 2: it is not UTF-8"),
        ("\n" * (MAX_SIZE + 1), "larger than 1048576 bytes"),
        ("".join(f"u{n}:{ONE}\n" for n in range(10_001)), "line 10001: there are more than 10000 users"),
    ],
)
def test_refused_with_the_line_and_without_the_hash(data: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse(data if isinstance(data, bytes) else data.encode())
    for secret in ("W6ph5", "opensesame", "rqXexS", "oYRGk", ONE, TWO):
        assert secret not in str(caught.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{text}:{ONE}".encode()))
def test_any_bytes_are_users_or_a_refusal(data: bytes) -> None:
    try:
        found = parse(data)
    except ValueError as error:
        assert str(error).startswith("line ")
        return
    assert all(user and ":" not in user and unicodedata.is_normalized("NFC", user) for user in found.hashes)


def test_there_is_one_decoy_for_each_kind_of_hash() -> None:
    users = parse(f"a:{ONE}\nb:{TWO}\nc:{COSTLY}\nd:{ARGON2}".encode())
    assert len(users.decoys) == 3
    assert not set(users.decoys) & set(users.hashes.values())
    assert ONE not in repr(users)
    assert parse(b"").decoys == ()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(f"ann:{ONE}\n")
    return path


def test_it_is_looked_at_once_a_second(path: Path) -> None:
    clock = Clock()
    file = HtpasswdFile(path, clock)
    assert not file.is_due()
    clock.now += 1
    assert [file.is_due() for _ in range(3)] == [True, False, False]
    clock.now += 0.5
    assert not file.is_due()
    clock.now += 0.5
    assert file.is_due()


def test_an_unchanged_file_is_not_read_again(path: Path) -> None:
    file = HtpasswdFile(path)
    before = file.users
    file.refresh()
    assert file.users is before


def test_changed_in_place_with_the_same_size_and_time(path: Path) -> None:
    file = HtpasswdFile(path)
    times = path.stat()
    path.write_text(f"bob:{TWO}\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    file.refresh()
    assert file.users.hashes == {"bob": TWO}


def test_replaced_by_a_file_of_the_same_size_and_time(path: Path) -> None:
    file = HtpasswdFile(path)
    times = path.stat()
    other = path.with_name("other")
    other.write_text(f"bob:{TWO}\n")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    file.refresh()
    assert file.users.hashes == {"bob": TWO}


@pytest.mark.parametrize("what", ["broken", "removed", "folder", "pipe", "unreadable"])
def test_a_broken_file_keeps_the_users_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    file = HtpasswdFile(path)
    path.unlink()
    match what:
        case "broken":
            path.write_text("bob:opensesame\n")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "unreadable":
            path.symlink_to(path)
    for _ in range(3):
        file.refresh()
    assert file.users.hashes == {"ann": ONE}
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "users known before stay" in record.getMessage()
    assert "opensesame" not in record.getMessage()

    if what == "folder":
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_text(f"bob:{TWO}\n")
    file.refresh()
    assert file.users.hashes == {"bob": TWO}
    path.write_text("bob")
    file.refresh()
    assert len(caplog.records) == 2, "what breaks again is told again"


def test_all_users_may_be_removed(path: Path) -> None:
    file = HtpasswdFile(path)
    path.write_text("")
    file.refresh()
    assert file.users.hashes == {}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory|is not a file"),
        (lambda path: os.mkfifo(path), "is not a file"),
        (lambda path: path.write_text("ann:secret"), "cannot be used: line 1: "),
    ],
)
def test_an_unusable_file_is_refused_at_start(tmp_path: Path, make: object, why: str) -> None:
    path = tmp_path / "users"
    assert callable(make)
    make(path)
    with pytest.raises(ValueError, match=why):
        HtpasswdFile(path)


def test_a_file_without_users_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users"
    path.write_text("# nobody yet\n")
    HtpasswdFile(path)
    assert "names no user" in caplog.text
