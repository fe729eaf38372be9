"""The head of a request inside a part of type ``application/http`` (RFC 9112 §2, §3, §5, §10.2): bytes in, values out.

The body is what follows the head in the part, which needs no framing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from partwise.errors import HeadersTooLarge, Malformed, NotImplementedHere

__all__ = ["MAX_FIELDS", "MAX_HEAD", "HeadReader", "RequestHead", "parse_request_head"]

#: Bytes of a head: an ``If`` with many lock tokens is long.
MAX_HEAD = 64 * 1024
#: Header fields of one head.
MAX_FIELDS = 100

_BLANK_LINE = b"\r\n\r\n"

# RFC 9110 §5.6.2
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9112 §3: request-line = method SP request-target SP HTTP-version. Two forms of target name a resource: origin-form
# (§3.2.1) and absolute-form (§3.2.2). Bytes beyond ASCII are read as names have them elsewhere.
_REQUEST_LINE = re.compile(
    rb"(" + _TOKEN + rb") ((?:/|[Hh][Tt][Tt][Pp][Ss]?://[^/?#\x00-\x20\x7f])[^\x00-\x20\x7f]*+) HTTP/1\.[01]"
)
# §5.1: "No whitespace is allowed between the field name and colon"; RFC 9110 §5.5: a value holds no control characters.
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)")


class RequestHead(NamedTuple):
    """``target`` is raw, in origin-form or absolute-form.

    ``headers`` have lower-case names; repeated lines are joined with ", " (RFC 9110 §5.3). Bytes that are not UTF-8 are
    surrogates.
    """

    method: str
    target: str
    headers: Mapping[str, str]


class HeadReader:
    """Finds the head at the beginning of a part that arrives in pieces; ``limit`` is its most bytes."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_HEAD) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """The head, and the bytes of the body that came with it; ``None`` before the head is whole.

        Raises Malformed, NotImplementedHere, HeadersTooLarge; feed nothing more then.
        """
        buffer = self._buffer
        searched = max(0, len(buffer) - len(_BLANK_LINE) + 1)
        buffer += data
        end = buffer.find(_BLANK_LINE, searched)
        if (len(buffer) if end < 0 else end + len(_BLANK_LINE)) > self._limit:
            raise HeadersTooLarge(
                f"The head of the request in this part is longer than {self._limit} bytes; shorten it.",
                limit=self._limit,
            )
        if end < 0:
            return None
        body_begins = end + len(_BLANK_LINE)
        return parse_request_head(bytes(buffer[:body_begins])), bytes(buffer[body_begins:])

    def finish(self) -> RequestHead:
        """The part has ended without a body, nor the blank line before it.

        The line end that belongs to the delimiter of a multipart is often meant to be that of the head. Raises as
        :meth:`feed`.
        """
        return parse_request_head(bytes(self._buffer))


def parse_request_head(head: bytes) -> RequestHead:
    """Read a head, with its blank line or without.

    Raises Malformed for what RFC 9112 does not allow, another version of HTTP than 1, another form of target, and for
    framing, which a part has already; NotImplementedHere for a transfer coding; HeadersTooLarge.
    """
    # §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line".
    request_line, *lines = head.removeprefix(b"\r\n").removesuffix(b"\r\n").removesuffix(b"\r\n").split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(request_line)
    if found is None:
        raise Malformed(
            "The part does not begin with a request line; write a method, a space, an absolute path or URL, a space and "
            "HTTP/1.1."
        )
    if len(lines) > MAX_FIELDS:
        raise HeadersTooLarge(
            f"The request in this part has more than {MAX_FIELDS} header fields; send fewer.", limit=MAX_FIELDS
        )
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _field(line)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers:
        # §6.1: a transfer coding that is not understood is answered with 501; here none is needed.
        raise NotImplementedHere(
            "A request in a part has no Transfer-Encoding: its body is the rest of the part; send that as it is."
        )
    return RequestHead(found[1].decode("ascii"), _text(found[2]), headers)


def _field(line: bytes) -> tuple[str, str]:
    if line.startswith((b" ", b"\t")):
        # §5.2: "A server that receives an obs-fold in a request message that is not within a "message/http" container
        # MUST either reject the message …"
        raise Malformed("A header line of the request in this part goes on in the next line; write each in one line.")
    found = _FIELD.fullmatch(line)
    if found is None:
        raise Malformed(
            "A header line of the request in this part is no field name, colon and value, or has control characters; "
            "correct it, and end each line with CR LF."
        )
    return found[1].decode("ascii").lower(), _text(found[2].rstrip(b" \t"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
