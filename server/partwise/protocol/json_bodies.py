"""JSON as it is sent (RFC 8259): in ASCII and on one line, whatever a client's names hold."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["dump_json"]

_SURROGATE = re.compile("[\ud800-\udfff]")
# Everything beyond ASCII is escaped: there are clients that break lines at U+2028 and U+0085 too.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def dump_json(value: Any) -> str:
    """One line of ASCII. Surrogates, which stand for bytes that are not UTF-8, become U+FFFD (RFC 8259 §8.2)."""
    text = _encode(value)
    # Characters beyond U+FFFF are written as two escaped surrogates, which is how JSON writes them.
    return _encode(_legible(value)) if "\\ud" in text else text


def _legible(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {key: _legible(member) for key, member in value.items()}
        case list() | tuple():
            return [_legible(member) for member in value]
        case _:
            return value
