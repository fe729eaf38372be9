"""Reading ``Authorization`` (RFC 7617)."""

from __future__ import annotations

import base64
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.auth.credentials import Credentials, parse_basic
from partwise.errors import Unauthenticated


def basic(raw: bytes, scheme: str = "Basic ") -> str:
    return scheme + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("value", "user", "password"),
    [
        # RFC 7617 §2 and §2.1: the examples.
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
        ("Basic dGVzdDoxMjPCow==", "test", "123£"),
        (basic(b"ann:secret", "basic "), "ann", "secret"),
        (basic(b"ann:secret", "BASIC   "), "ann", "secret"),
        (" " + basic(b"ann:secret") + "\t", "ann", "secret"),
        (basic(b"ann:a:b:"), "ann", "a:b:"),
        (basic(b"ann:"), "ann", ""),
        (basic(b":secret"), "", "secret"),
        (basic("Zoë:pässwörd".encode("latin-1")), "Zoë", "pässwörd"),
        (basic(unicodedata.normalize("NFD", "Zoë:pässwörd").encode()), "Zoë", "pässwörd"),
        (basic("🔑:🔓".encode()), "🔑", "🔓"),
    ],
)
def test_understood(value: str, user: str, password: str) -> None:
    assert parse_basic(value) == Credentials(user, password.encode())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic =",
        "Basic a",
        "Basic YW5uOnNlY3JldA",  # without its padding
        "Basic YW5uOnNlY3JldA=",
        "Basic YW5uOnNlY3JldA==,",
        "Basic YW5uOnNlY3JldA== YW5uOnNlY3JldA==",
        "Basic YW5uOnNlY3JldA==, Basic YW5uOnNlY3JldA==",
        "Basic YW5u-nNlY3JldA==",
        "Basic Ÿann:secret",
        "BasicYW5uOnNlY3JldA==",
        "Bearer YW5uOnNlY3JldA==",
        'Digest username="ann"',
        basic(b"ann"),
        basic(b"ann:sec\0ret"),
        basic(b"a\nnn:secret"),
        basic(b"ann:secret\x7f"),
        basic("ann:secret\x85".encode()),
    ],
)
def test_not_understood(value: str) -> None:
    with pytest.raises(Unauthenticated):
        parse_basic(value)


@given(st.text() | st.binary().map(basic))
def test_any_value_is_credentials_or_a_refusal(value: str) -> None:
    try:
        found = parse_basic(value)
    except Unauthenticated:
        return
    assert ":" not in found.user
    assert found.user == unicodedata.normalize("NFC", found.user)
    sent = base64.b64decode(value.split()[1])
    assert sent.partition(b":")[1]


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(parse_basic(basic(b"ann:secret")))
