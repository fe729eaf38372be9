"""Which hashes are taken, what costs the same, and that both libraries are asked rightly."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import argon2
import bcrypt
import pytest

from partwise.auth import hashes

BCRYPT = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
ARGON2 = {
    kind.name.lower(): argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16, type=kind).hash(
        "secret"
    )
    for kind in argon2.Type
}
GOOD = [
    *(pytest.param(f"$2{letter}{BCRYPT[3:]}", id=f"2{letter}") for letter in "aby"),
    *(pytest.param(stored, id=f"argon2{kind}") for kind, stored in ARGON2.items()),
]


@pytest.mark.parametrize("stored", GOOD)
def test_a_good_hash_is_taken_and_tells_right_from_wrong(stored: str) -> None:
    hashes.check(stored)
    assert hashes.matches(b"secret", stored)
    assert not hashes.matches(b"Secret", stored)
    assert not hashes.matches(b"", stored)


@pytest.mark.parametrize("stored", GOOD)
def test_a_decoy_costs_the_same_and_matches_nothing(stored: str) -> None:
    decoy = hashes.decoy(stored)
    hashes.check(decoy)
    assert len(decoy) == len(stored)
    assert decoy != stored
    cost = slice(7) if stored.startswith("$2") else slice(stored.index("p=1"))
    assert decoy[cost] == stored[cost]
    assert not hashes.matches(b"secret", decoy)


ID = ARGON2["id"]


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ("", "whole bcrypt or argon2"),
        ("secret", "whole bcrypt or argon2"),
        ("$apr1$4CYVcaCX$oYRGkNIr/dlCvDrmMV3ej1", "whole bcrypt or argon2"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "whole bcrypt or argon2"),
        ("{PLAIN}secret", "whole bcrypt or argon2"),
        ("rqXexS6ZhobKA", "whole bcrypt or argon2"),
        ("$5$saltsalt$" + "a" * 43, "whole bcrypt or argon2"),
        ("$2x" + BCRYPT[3:], "whole bcrypt or argon2"),
        ("$2$" + BCRYPT[4:], "whole bcrypt or argon2"),
        (BCRYPT[:-1], "whole bcrypt or argon2"),
        (BCRYPT + "a", "whole bcrypt or argon2"),
        (BCRYPT[:28] + "a" + BCRYPT[29:], "whole bcrypt or argon2"),
        (BCRYPT.replace("$04$", "$03$"), "not between 4 and 17"),
        (BCRYPT.replace("$04$", "$18$"), "not between 4 and 17"),
        (BCRYPT.replace("$04$", "$99$"), "not between 4 and 17"),
        (ID.replace("argon2id", "argon2x"), "whole bcrypt or argon2"),
        (ID.replace("v=19", "v=18"), "whole bcrypt or argon2"),
        (ID.rpartition("$")[0], "whole bcrypt or argon2"),
        (ID + "é", "whole bcrypt or argon2"),
        (ID.replace("m=8", "m=7"), "damaged"),
        (ID.replace("p=1", "p=0"), "damaged"),
        (ID.replace("t=1", "t=0"), "damaged"),
        (ID[:-1], "damaged"),
        (ID.rpartition("$")[0] + "$AAAA", "damaged"),
        (ID.replace("m=8", "m=1048577"), "more than 1024 MiB"),
        (ID.replace("t=1", "t=101"), "or 100 passes"),
    ],
)
def test_other_hashes_are_refused(stored: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        hashes.check(stored)
    assert not stored or stored not in str(caught.value)


@pytest.mark.parametrize("length", [71, 72, 73, 200])
def test_of_a_long_password_bcrypt_takes_72_bytes(length: int) -> None:
    password = b"p" * length
    stored = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    assert hashes.matches(password, stored)
    assert not hashes.matches(password[:70], stored)
    assert hashes.matches(password + b"x", stored) is (length >= 72)


@pytest.mark.needs("htpasswd")
@pytest.mark.parametrize("password", ["secret", "pä ss:wörd", "p" * 100])
def test_what_htpasswd_makes_is_taken(tmp_path: Path, password: str) -> None:
    program = shutil.which("htpasswd")
    assert program
    file = tmp_path / "users"
    subprocess.run([program, "-cbB", "-C", "4", str(file), "ann", password], check=True, capture_output=True)
    stored = file.read_text().strip().removeprefix("ann:")
    hashes.check(stored)
    assert hashes.matches(password.encode(), stored)
    assert not hashes.matches(b"other", stored)
