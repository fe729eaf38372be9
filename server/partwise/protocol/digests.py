"""Digests that come with a body and the check of it: RFC 9530, ``Content-MD5`` (RFC 1864), ``OC-Checksum``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import http_sf

from partwise import errors

__all__ = [
    "DigestCheck",
    "Expected",
    "format_sha256",
    "parse_content_digest",
    "parse_content_md5",
    "parse_oc_checksum",
    "parse_repr_digest",
]


@dataclass(frozen=True, slots=True)
class Expected:
    """A digest that the body must have; ``algorithm`` is sha-256, sha-512, sha3-256, sha-1, md5 or adler32."""

    algorithm: str
    value: bytes


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Adler32:
    __slots__ = ("_sum",)

    def __init__(self) -> None:
        self._sum = zlib.adler32(b"")

    def update(self, data: bytes | memoryview, /) -> None:
        self._sum = zlib.adler32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


# What hashes, and how many bytes come out. md5 and sha-1 only find damage here, never a forger.
_ALGORITHMS: dict[str, tuple[Callable[[], _Hash], int]] = {
    "sha-256": (hashlib.sha256, 32),
    "sha-512": (hashlib.sha512, 64),
    "sha3-256": (hashlib.sha3_256, 32),
    "sha-1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "md5": (lambda: hashlib.md5(usedforsecurity=False), 16),
    "adler32": (_Adler32, 4),
}

# RFC 9530 §5: the "Active" algorithms; the "Deprecated" ones MUST NOT be relied upon.
_ACTIVE = ("sha-256", "sha-512")

_OC_ALGORITHMS = {
    "SHA1": "sha-1",
    "MD5": "md5",
    "SHA256": "sha-256",
    "SHA512": "sha-512",
    "SHA3-256": "sha3-256",
    "ADLER32": "adler32",
}
_HEX = re.compile("(?:[0-9A-Fa-f]{2})+")


def parse_content_digest(value: str) -> tuple[Expected, ...]:
    """The digests of ``Content-Digest`` that are checked; other algorithms are ignored.

    Raises ``Malformed`` for bad syntax or a digest of the wrong length. Source: RFC 9530 §2.
    """
    return _digest_field("Content-Digest", value)


def parse_repr_digest(value: str) -> tuple[Expected, ...]:
    """The digests of ``Repr-Digest``, as ``parse_content_digest``. Source: RFC 9530 §3."""
    return _digest_field("Repr-Digest", value)


def _digest_field(header: str, value: str) -> tuple[Expected, ...]:
    try:
        # RFC 9651 §4.2: "Convert input_bytes into an ASCII string; if conversion fails, fail parsing."
        members = http_sf.parse(value.encode("ascii"), tltype="dictionary")
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise errors.Malformed(f"{header} must be written like sha-256=:<base64>:; correct it or leave it out.")
    found = []
    for algorithm in _ACTIVE:
        if algorithm in members:
            member = members[algorithm]
            digest = member[0] if isinstance(member, tuple) else member
            if not isinstance(digest, bytes):
                raise errors.Malformed(f"The {algorithm} of {header} must be base64 between colons.")
            found.append(_expected(header, algorithm, digest))
    return tuple(found)


def parse_content_md5(value: str) -> Expected:
    """The digest of ``Content-MD5``. Raises ``Malformed``. Source: RFC 1864."""
    try:
        digest = base64.b64decode(value.strip(" \t").encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise errors.Malformed("Content-MD5 must be the base64 of 16 bytes; correct it or leave it out.") from None
    return _expected("Content-MD5", "md5", digest)


def parse_oc_checksum(value: str) -> Expected | None:
    """The digest of ``OC-Checksum`` (``SHA1:<hex>``, …), ``None`` for an algorithm that is not known here.

    Raises ``Malformed`` without a colon, for bad hexadecimal and for a digest of the wrong length.
    """
    name, colon, digits = value.strip(" \t").partition(":")
    if not colon:
        raise errors.Malformed("OC-Checksum must be written like SHA1:<hexadecimal>; correct it or leave it out.")
    algorithm = _OC_ALGORITHMS.get(name.strip(" \t").upper())
    if algorithm is None:
        return None
    digits = digits.strip(" \t")
    if algorithm == "adler32" and digits:
        # The ownCloud client writes the number without leading zeros.
        digits = digits.rjust(8, "0")
    if not _HEX.fullmatch(digits):
        raise errors.Malformed(f"The {algorithm} of OC-Checksum must be hexadecimal; correct it or leave it out.")
    return _expected("OC-Checksum", algorithm, bytes.fromhex(digits))


def _expected(header: str, algorithm: str, digest: bytes) -> Expected:
    length = _ALGORITHMS[algorithm][1]
    if len(digest) != length:
        raise errors.Malformed(
            f"{header} holds {len(digest)} bytes for {algorithm}, which has {length}; correct it or leave it out."
        )
    return Expected(algorithm, digest)


class DigestCheck:
    """Hashes a body as it passes, once per algorithm, and compares it with every digest that was promised."""

    __slots__ = ("_expected", "_hashes")

    def __init__(self, expected: Iterable[Expected], *also: str) -> None:
        """``also``: algorithms to be computed without a promise."""
        self._expected = tuple(expected)
        algorithms = {each.algorithm for each in self._expected} | {*also}
        self._hashes = {algorithm: _ALGORITHMS[algorithm][0]() for algorithm in algorithms}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body."""
        for each in self._hashes.values():
            each.update(data)

    def value(self, algorithm: str) -> bytes | None:
        """The digest of the bytes so far, ``None`` if it is not computed."""
        found = self._hashes.get(algorithm)
        return None if found is None else found.digest()

    def verify(self) -> None:
        """Raise ``DigestMismatch`` unless the bytes so far have every expected digest (told in hexadecimal)."""
        for expected in self._expected:
            actual = self._hashes[expected.algorithm].digest()
            if actual != expected.value:
                raise errors.DigestMismatch(
                    f"The bytes that arrived have the {expected.algorithm} digest {actual.hex()}, "
                    f"not {expected.value.hex()} as promised; send them again."
                )


def format_sha256(digest: bytes) -> str:
    """The value of ``Repr-Digest`` or ``Content-Digest`` for the 32 bytes of a SHA-256. Source: RFC 9530 §2."""
    return f"sha-256=:{base64.b64encode(digest).decode('ascii')}:"
