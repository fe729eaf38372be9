"""``Content-Disposition`` of a part: as browsers write it in forms, and as mail and HTTP write it elsewhere.

Sources: the multipart/form-data encoding of WHATWG HTML and RFC 7578; RFC 6266 and RFC 8187 for the other containers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from partwise import errors
from partwise.protocol.media_types import TOKEN, parse_parameters

__all__ = ["Disposition", "FormDisposition", "parse_disposition", "parse_form_disposition"]

_TOKEN = TOKEN.encode("ascii")
_FORM_DATA = re.compile(rb"form-data[ \t]*+(?=;|\Z)", re.IGNORECASE)
_NEXT = rb"(?=[ \t]*+(?:;[ \t]*+(?:" + _TOKEN + rb"=|\Z)|\Z))"
# Browsers, curl since 7.81, requests and httpx write a quote as %22; curl before that wrote \". So \" is a quote inside
# the value, unless another parameter or the end follows: then a current client has sent a value that ends with a
# backslash. Any other backslash is literal.
_QUOTED = rb'"((?:[^"\\]|\\(?!")|\\"(?!' + _NEXT + rb'))*(?:\\(?="))?)"'
# What nearly every client writes, with nothing to unescape: three times as fast as the whole grammar.
_USUAL = re.compile(rb'form-data; name="([^"\\%]*+)"(?:; filename="([^"\\%]*+)")?')
_FORM_PARAMETER = re.compile(
    rb";[ \t]*+(?:(" + _TOKEN + rb")=(?:" + _QUOTED + rb'|([^\x00-\x20\x7f";]++)))?[ \t]*+(?=;|\Z)'
)
# WHATWG: only these three are escaped, in capitals; any other % is the name's own.
_FORM_ESCAPE = re.compile(rb'%22|%0D|%0A|\\"')
_FORM_CHARACTERS = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n", b'\\"': b'"'}

_TYPE = re.compile(rf"({TOKEN})[ \t]*+(?=;|\Z)")
# RFC 8187 §3.2.1: ext-value = charset "'" [ language ] "'" value-chars
_EXT_VALUE = re.compile(
    r"([!#$%&+\-^_`{}~0-9A-Za-z]+)'([0-9A-Za-z\-]*)'((?:%[0-9A-Fa-f]{2}|[!#$&+\-.^_`|~0-9A-Za-z])*)"
)


class FormDisposition(NamedTuple):
    """A part of a form; bytes, because ``_charset_`` may come to say what they mean. ``None`` is absent."""

    name: bytes | None
    filename: bytes | None


@dataclass(frozen=True, slots=True)
class Disposition:
    """A part of another container; ``type`` in lower case, ``filename`` decoded, ``None`` if absent."""

    type: str
    filename: str | None


def parse_form_disposition(value: bytes) -> FormDisposition:
    """The ``Content-Disposition`` of a part of ``multipart/form-data``.

    ``filename*`` is ignored (RFC 7578 §4.2: it "MUST NOT be used"). Raises ``Malformed`` for another disposition, bad
    syntax and for a name or filename given twice.
    """
    usual = _USUAL.fullmatch(value)
    if usual is not None:
        return FormDisposition(*usual.groups())
    value = value.strip(b" \t")
    head = _FORM_DATA.match(value)
    position = head.end() if head else 0
    found: dict[bytes, bytes] = {}
    while head and position < len(value):
        parameter = _FORM_PARAMETER.match(value, position)
        if parameter is None:
            break
        position = parameter.end()
        key, quoted, plain = parameter.groups()
        if key is None or key.lower() not in (b"name", b"filename"):
            continue
        if key.lower() in found:
            raise errors.Malformed("Content-Disposition names the part twice; give name and filename once each.")
        found[key.lower()] = plain if quoted is None else _form_value(quoted)
    if head is None or position < len(value):
        raise errors.Malformed(
            'Content-Disposition of a part of a form must be written like form-data; name="file"; filename="a.txt".'
        )
    return FormDisposition(found.get(b"name"), found.get(b"filename"))


def _form_value(quoted: bytes) -> bytes:
    return _FORM_ESCAPE.sub(lambda found: _FORM_CHARACTERS[found[0]], quoted)


def parse_disposition(value: bytes) -> Disposition:
    """The ``Content-Disposition`` of a part of ``multipart/mixed`` and its kin (RFC 6266 §4, RFC 8187 §3.2).

    ``filename*`` beats ``filename``; both must be UTF-8 (``filename*`` may be ISO-8859-1 as well). Raises
    ``Malformed`` for bad syntax and for a filename given twice, ``MalformedName`` for one that cannot be decoded: the
    other name is then no way out, since the item would be stored under a name that was not meant.
    """
    # As Latin-1 every byte is one character, which the grammar knows as obs-text.
    text = value.decode("latin-1").strip(" \t")
    head = _TYPE.match(text)
    parameters = parse_parameters(text[head.end() :]) if head else None
    if head is None or parameters is None:
        raise errors.Malformed('Content-Disposition must be written like attachment; filename="a.txt".')
    found = dict(parameters)
    named = [name for name, _ in parameters if name in ("filename", "filename*")]
    if len(named) > len(set(named)):
        raise errors.Malformed("Content-Disposition holds the same filename parameter twice; send it once.")
    filename: str | None = None
    if "filename*" in found:
        filename = _extended(found["filename*"])
    elif "filename" in found:
        filename = _decode(found["filename"].encode("latin-1"), "utf-8")
    return Disposition(head[1].lower(), filename)


def _extended(value: str) -> str:
    found = _EXT_VALUE.fullmatch(value)
    # RFC 8187 §3.2.1: UTF-8 must be supported; its predecessor RFC 5987 had ISO-8859-1 as well.
    charset = found[1].lower() if found else ""
    if found is None or charset not in ("utf-8", "iso-8859-1"):
        raise errors.MalformedName("filename* must be written like UTF-8''na%C3%AFve.txt.")
    return _decode(unquote_to_bytes(found[3]), charset)


def _decode(name: bytes, charset: str) -> str:
    try:
        return name.decode(charset)
    except UnicodeDecodeError:
        raise errors.MalformedName("The filename in Content-Disposition is not UTF-8; encode it so.") from None
