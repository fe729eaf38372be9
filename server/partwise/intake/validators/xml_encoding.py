"""The bytes of an XML item as UTF-8, whatever they arrive in, so that everything after this sees one encoding."""

from __future__ import annotations

import codecs
import re

from partwise.errors import NotWellFormed, UnsupportedType

# RFC 7303 §3.3: a byte order mark is authoritative; longer marks first, since UTF-32's begins like UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# XML 1.0, Appendix F.1: "<?" in an encoding of more than one byte a character, without a mark.
_WIDE = ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be"), (b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"))
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
_DECLARATION_LIMIT = 1024
# Python's own inventions, no character sets of IANA.
_NOT_CHARSETS = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"))


class ToUtf8:
    """Decides the encoding from the first bytes and converts what follows.

    Precedence (RFC 7303 §3): byte order mark, then the ``charset`` parameter, then the XML declaration, then UTF-8.
    """

    def __init__(self, charset: str | None) -> None:
        self._charset = charset
        self._head: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> bytes:
        """The next bytes in UTF-8; ``b""`` while the encoding is undecided (at most 1 KiB).

        Raises :class:`~partwise.errors.UnsupportedType` for an unknown charset and
        :class:`~partwise.errors.NotWellFormed` for bytes that are not of it.
        """
        if self._head is not None:
            self._head += data
            if self._undecided(self._head):
                return b""
            data = self._decide()
        return data if self._decoder is None else self._decode(data, False)

    def finish(self) -> bytes:
        """What is left at the end. Raises as :meth:`feed`."""
        data = self._decide() if self._head is not None else b""
        return data if self._decoder is None else self._decode(data, True)

    def _undecided(self, head: bytes) -> bool:
        if len(head) < 4:
            return True
        return (
            self._charset is None
            and head.startswith(b"<?xml"[: len(head)])
            and b"?>" not in head
            and len(head) < _DECLARATION_LIMIT
        )

    def _decide(self) -> bytes:
        head, self._head = self._head or b"", None
        for mark, name in _MARKS:
            if head.startswith(mark):
                self._start(name)
                return head[len(mark) :]
        if self._charset is not None:
            self._start(self._charset)
        elif declared := _DECLARED.match(head):
            name = declared[1].decode("ascii").lower()
            # A declaration that can be read byte by byte is in no wide encoding, whatever it says (XML 1.0 §4.3.3).
            self._start("utf-8" if name.startswith(("utf-16", "utf-32", "ucs-", "iso-10646")) else name)
        else:
            self._start(next((name for start, name in _WIDE if head.startswith(start)), "utf-8"))
        return head

    def _start(self, name: str) -> None:
        try:
            known = codecs.lookup(name).name
            # Raises LookupError for codecs that make no text of bytes, such as "hex".
            "<".encode(known)
        except (LookupError, ValueError):
            known = ""
        if not known or known.replace("_", "-") in _NOT_CHARSETS:
            raise UnsupportedType(f"The charset {name[:40]} is not known here; send the XML item in UTF-8.")
        # UTF-8 is checked by the parser itself.
        if known != "utf-8":
            self._decoder = codecs.getincrementaldecoder(known)()

    def _decode(self, data: bytes, final: bool) -> bytes:
        assert self._decoder is not None
        try:
            return self._decoder.decode(data, final).encode("utf-8")
        except UnicodeError:
            raise NotWellFormed("The XML item holds bytes that its charset does not have; send it in UTF-8.") from None
