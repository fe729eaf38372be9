"""Password hashes as htpasswd files hold them: bcrypt and argon2, through the libraries of these names."""

from __future__ import annotations

import base64
import binascii
import re

import argon2
import argon2.exceptions
import bcrypt

from partwise.errors import TryAgain

# The last character of a bcrypt salt holds two bits, so there are four of them.
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)

#: htpasswd itself makes none above; each step doubles the time, and 17 takes about ten seconds.
_BCRYPT_COSTS = range(4, 18)
#: KiB. Two passwords are verified at a time.
_ARGON2_MEMORY = 1024 * 1024
_ARGON2_PASSES = 100

#: bcrypt looks at no more bytes of a password.
_BCRYPT_BYTES = 72

_argon2 = argon2.PasswordHasher()


def check(stored: str) -> None:
    """Raises ValueError for a hash of another kind, a damaged one, and one that costs too much; never quotes it."""
    if found := _BCRYPT.fullmatch(stored):
        if int(found[1]) not in _BCRYPT_COSTS:
            raise ValueError(f"the cost of the bcrypt hash is not between {_BCRYPT_COSTS[0]} and {_BCRYPT_COSTS[-1]}")
        return
    if not (found := _ARGON2.fullmatch(stored)):
        raise ValueError("the password is not kept as a whole bcrypt or argon2 hash")
    memory, passes, lanes = map(int, found.group(1, 2, 3))
    # RFC 9106 §3.1: the memory is an integer number of KiB from 8*p; salt and tag have 8 and 4 bytes at least.
    if not (lanes and passes and memory >= 8 * lanes and _size(found[4]) >= 8 and _size(found[5]) >= 4):
        raise ValueError("the argon2 hash is damaged")
    if memory > _ARGON2_MEMORY or passes > _ARGON2_PASSES:
        raise ValueError(
            f"the argon2 hash asks for more than {_ARGON2_MEMORY // 1024} MiB or {_ARGON2_PASSES} passes for every login"
        )


def decoy(stored: str) -> str:
    """A hash that costs as much as this one and that no password matches: its salt and digest are zeros."""
    if found := _BCRYPT.fullmatch(stored):
        return stored[: found.end(1) + 1] + "." * 53
    head, salt, tag = stored.rsplit("$", 2)
    return "$".join((head, "A" * len(salt), "A" * len(tag)))


def matches(password: bytes, stored: str) -> bool:
    """Compare in constant time. Takes the time that the hash was made to take; both libraries leave the interpreter to
    others meanwhile. Raises TryAgain if there is not enough memory.

    Of a longer password bcrypt takes the first 72 bytes. htpasswd does the same without a word when it makes the hash,
    and so must we: refusing would lock out users whose password is the one they set.
    """
    if stored.startswith("$2"):
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode())
    try:
        return _argon2.verify(stored, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except argon2.exceptions.VerificationError:
        # A 401 would make clients forget a password that may be right.
        raise TryAgain("The password could not be verified just now. Try again.") from None


def _size(text: str) -> int:
    """Bytes that unpadded Base64 stands for; 0 if no encoder writes it so."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return 0
    return len(data) if base64.b64encode(data).decode().rstrip("=") == text else 0
