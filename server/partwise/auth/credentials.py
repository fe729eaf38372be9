"""The credentials of Basic authentication (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass, field

from partwise.errors import Unauthenticated

#: RFC 7617 §2.1: the charset parameter asks clients to encode what they send in UTF-8.
CHALLENGE = 'Basic realm="partwise", charset="UTF-8"'

# RFC 9110 §11.4: credentials = auth-scheme [ 1*SP ( token68 / ... ) ]; the scheme is case-insensitive.
_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who somebody says to be. ``user`` is in Unicode form NFC; ``password`` is UTF-8 of the same form, never shown."""

    user: str
    password: bytes = field(repr=False)


def parse_basic(value: str) -> Credentials:
    """The value of ``Authorization``. Raises Unauthenticated if it is anything but sound Basic credentials."""
    found = _BASIC.fullmatch(value.strip(" \t"))
    if not found:
        raise _not_understood()
    try:
        raw = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        raise _not_understood() from None
    # RFC 7617 §2: "a user-id containing a colon character is invalid, as the first colon in a user-pass string
    # separates user-id and password"; "the user-id and password MUST NOT contain any control characters".
    user, colon, password = _text(raw).partition(":")
    if not colon or any(unicodedata.category(character) == "Cc" for character in user + password):
        raise _not_understood()
    # RFC 7617 §2.1 has clients send Normalization Form C; some that take names from macOS do not.
    return Credentials(unicodedata.normalize("NFC", user), unicodedata.normalize("NFC", password).encode())


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        # Clients from before RFC 7617 ignore the charset that is asked for.
        return raw.decode("latin-1")


def _not_understood() -> Unauthenticated:
    return Unauthenticated("The credentials cannot be understood; send a name and a password by Basic authentication.")
