from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.digests import (
    DigestCheck,
    Expected,
    format_sha256,
    parse_content_digest,
    parse_content_md5,
    parse_oc_checksum,
    parse_repr_digest,
)

# RFC 9530 Appendix B.1: the body {"hello": "world"} and a line feed.
BODY = b'{"hello": "world"}\n'
SHA256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA512 = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"


@pytest.mark.parametrize("parse", [parse_content_digest, parse_repr_digest])
def test_examples_of_the_rfc(parse: Callable[[str], tuple[Expected, ...]]) -> None:
    assert parse(SHA256) == (Expected("sha-256", hashlib.sha256(BODY).digest()),)
    both = parse(f"{SHA512}, {SHA256}")
    assert both == (
        Expected("sha-256", hashlib.sha256(BODY).digest()),
        Expected("sha-512", hashlib.sha512(BODY).digest()),
    )


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("", 0),
        ("md5=:AAAA:", 0),
        ("unixsum=:AAAA:, crc32c=:AA==:", 0),
        ("unknown=token;with=1", 0),
        (f"unknown=?1, {SHA256}", 1),
        (f"{SHA256};parameter=ignored", 1),
        (f" {SHA256} ", 1),
    ],
)
def test_other_algorithms_are_ignored(value: str, count: int) -> None:
    assert len(parse_content_digest(value)) == count


def test_the_last_of_one_key_counts() -> None:
    # RFC 9651 §3.2.
    assert parse_content_digest(f"sha-256=:{'A' * 43}=:, {SHA256}") == parse_content_digest(SHA256)


@pytest.mark.parametrize(
    "value",
    [
        "sha-256",
        "sha-256=",
        "sha-256=abc",
        "sha-256=1",
        'sha-256="RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="',
        "sha-256=()",
        "sha-256=::",
        "sha-256=:AAAA:",
        "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=",
        "sha-256=:R K/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabD=:",
        "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        SHA256 + ",",
        SHA256 + " " + SHA512,
        "sha-256=:é:",
        "é",
        "\udc80",
    ],
)
def test_malformed_digest_fields(value: str) -> None:
    for parse in (parse_content_digest, parse_repr_digest):
        with pytest.raises(errors.Malformed) as failure:
            parse(value)
        assert not isinstance(failure.value, errors.DigestMismatch)


def test_content_md5() -> None:
    # RFC 1864 §2.
    assert parse_content_md5(" Q2hlY2sgSW50ZWdyaXR5IQ== ") == Expected("md5", b"Check Integrity!")


@pytest.mark.parametrize(
    "value", ["", "Q2hlY2sgSW50ZWdyaXR5IQ", "Q2hl Y2sgSW50ZWdyaXR5IQ==", "AAAA", "=", "\udc80", "é" * 24]
)
def test_malformed_content_md5(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_content_md5(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("SHA1:" + hashlib.sha1(BODY).hexdigest(), Expected("sha-1", hashlib.sha1(BODY).digest())),
        ("sha1:" + hashlib.sha1(BODY).hexdigest().upper(), Expected("sha-1", hashlib.sha1(BODY).digest())),
        ("MD5:" + hashlib.md5(BODY).hexdigest(), Expected("md5", hashlib.md5(BODY).digest())),
        ("SHA256:" + hashlib.sha256(BODY).hexdigest(), Expected("sha-256", hashlib.sha256(BODY).digest())),
        ("SHA512:" + hashlib.sha512(BODY).hexdigest(), Expected("sha-512", hashlib.sha512(BODY).digest())),
        ("SHA3-256:" + hashlib.sha3_256(BODY).hexdigest(), Expected("sha3-256", hashlib.sha3_256(BODY).digest())),
        ("Adler32:00620062", Expected("adler32", bytes.fromhex("00620062"))),
        # Qt writes the number without its leading zeros.
        ("ADLER32:620062", Expected("adler32", bytes.fromhex("00620062"))),
        (" ADLER32 : 620062 ", Expected("adler32", bytes.fromhex("00620062"))),
        ("CRC32:anything at all", None),
        (":", None),
    ],
)
def test_oc_checksum(value: str, expected: Expected | None) -> None:
    assert parse_oc_checksum(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "SHA1",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "SHA1:",
        "SHA1:zz",
        "SHA1:da39",
        "MD5:" + "0" * 31,
        "MD5:" + "0" * 40,
        "ADLER32:",
        "ADLER32:123456789",
        "ADLER32:0x1",
        "MD5:" + "00 " * 16,
        "MD5:" + "٣" * 32,
    ],
)
def test_malformed_oc_checksum(value: str) -> None:
    with pytest.raises(errors.Malformed):
        parse_oc_checksum(value)


@given(st.text() | st.text('sha-25612=:A,; ()"') | st.text("SHA1MD5:ADLER320f"))
def test_arbitrary_text_is_read_or_malformed(value: str) -> None:
    for parse in (parse_content_digest, parse_repr_digest, parse_content_md5, parse_oc_checksum):
        with suppress(errors.Malformed):
            parse(value)


REFERENCE = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
    "sha3-256": lambda body: hashlib.sha3_256(body).digest(),
    "sha-1": lambda body: hashlib.sha1(body).digest(),
    "md5": lambda body: hashlib.md5(body).digest(),
    "adler32": lambda body: zlib.adler32(body).to_bytes(4, "big"),
}


@given(st.sampled_from(sorted(REFERENCE)), st.lists(st.binary()), st.binary(min_size=1))
def test_right_bytes_pass_and_others_do_not(algorithm: str, pieces: list[bytes], more: bytes) -> None:
    check = DigestCheck([Expected(algorithm, REFERENCE[algorithm](b"".join(pieces)))])
    for piece in pieces:
        check.update(piece)
    check.verify()
    check.update(more)
    with pytest.raises(errors.DigestMismatch):
        check.verify()


def test_the_failure_names_algorithm_and_both_values() -> None:
    promised = bytes(20)
    check = DigestCheck([Expected("sha-1", promised)])
    check.update(BODY)
    with pytest.raises(errors.DigestMismatch) as failure:
        check.verify()
    for part in ("sha-1", promised.hex(), hashlib.sha1(BODY).hexdigest()):
        assert part in str(failure.value)


def test_all_promises_count_even_contradictory_ones() -> None:
    right = Expected("md5", hashlib.md5(BODY).digest())
    wrong = Expected("md5", bytes(16))
    other = Expected("sha-256", bytes(32))
    for promises, good in (
        ([], True),
        ([right, right], True),
        ([right, wrong], False),
        ([wrong, right], False),
        ([right, other], False),
    ):
        check = DigestCheck(iter(promises))
        check.update(BODY)
        if good:
            check.verify()
        else:
            with pytest.raises(errors.DigestMismatch):
                check.verify()


@given(st.binary())
def test_round_trip(body: bytes) -> None:
    digest = hashlib.sha256(body).digest()
    assert parse_repr_digest(format_sha256(digest)) == (Expected("sha-256", digest),)
    md5 = hashlib.md5(body).digest()
    assert parse_content_md5(base64.b64encode(md5).decode()) == Expected("md5", md5)


def test_format() -> None:
    assert format_sha256(hashlib.sha256(BODY).digest()) == SHA256
