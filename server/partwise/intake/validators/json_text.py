"""JSON (RFC 8259), judged as it arrives: ill-formed, cut off, followed by more, or not UTF-8 is refused.

An own recogniser, because ijson's C parser crashes the process on an integer of more than 4,300 digits and holds each
token whole. Strings are never held; a run of plain members is one match of one pattern, the rest goes token by token.
Several documents in one body (``application/x-ndjson``, ``application/json-seq``) are not judged here.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum, auto

from partwise.errors import Issue, NotWellFormed, TooLarge
from partwise.intake.validators.base import Candidate, Validator

#: RFC 8259 §9: "An implementation may set limits on … the maximum depth of nesting, … the range and precision of numbers."
MAX_DEPTH = 512
MAX_NUMBER = 4096
#: Bytes looked at in one go: a pattern remembers every repetition until it is done.
_SLICE = 8192

# RFC 8259 §2, §6, §7. The next byte always decides between alternatives, so that what does not match fails in linear time.
# Only runs of one class of bytes are possessive: Python 3.11.2, which Debian 12 has, fails on possessive groups that
# can give something back (python/cpython#106052). UTF-8 is checked apart from this.
_BLANK = rb"[ \t\n\r]*+"
_INSIDE = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*'
_STRING = rb'"' + _INSIDE + rb'"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_PLAIN = rb"(?:" + rb"|".join((_STRING, _NUMBER, rb"true|false|null")) + rb")"


def _container(begin: bytes, element: bytes, end: bytes) -> bytes:
    # A comma is no end: what follows it is another element.
    elements = rb"(?:" + element + _BLANK + rb"(?:," + _BLANK + rb"(?!" + end + rb")|(?=" + end + rb")))*"
    return begin + _BLANK + elements + end


def _nested(levels: int) -> bytes:
    """A value with at most so many levels of containers; the pattern doubles with each."""
    if levels == 0:
        return _PLAIN
    inner = _nested(levels - 1)
    array = _container(rb"\[", inner, rb"\]")
    return rb"(?:" + rb"|".join((_PLAIN, array, _container(rb"\{", _NAME + inner, rb"\}"))) + rb")"


_NAME = _STRING + _BLANK + rb":" + _BLANK
#: Enough for the records of most texts.
_LEVELS = 4
_VALUE = _nested(_LEVELS)


class _Expect(Enum):
    VALUE = "a value"
    VALUE_OR_END = "a value or ']'"
    NAME = "a name in double quotes"
    NAME_OR_END = "a name in double quotes or '}'"
    COLON = "':'"
    NEXT = "',' or the end of the array or object"
    NOTHING = "the end of the JSON text"


class _In(Enum):
    NONE = auto()
    NAME = auto()
    VALUE = auto()


_VALUES = re.compile(rb"(?:" + _BLANK + _VALUE + _BLANK + rb",)+")
_MEMBERS = re.compile(rb"(?:" + _BLANK + _NAME + _VALUE + _BLANK + rb",)+")
#: Where whole runs may be taken, and what is expected after one.
_RUNS = {
    _Expect.VALUE: (_VALUES, _Expect.VALUE),
    _Expect.VALUE_OR_END: (_VALUES, _Expect.VALUE),
    _Expect.NAME: (_MEMBERS, _Expect.NAME),
    _Expect.NAME_OR_END: (_MEMBERS, _Expect.NAME),
}
_BLANKS = re.compile(_BLANK)
_STRING_PART = re.compile(_INSIDE.removesuffix(b"*") + b"{1,256}")
_ESCAPE_PART = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD = re.compile(rb"[-+.0-9A-Za-z]*+")
_WHOLE_NUMBER = re.compile(_NUMBER)
_LITERALS = (b"true", b"false", b"null")
_CLOSERS = {_Expect.VALUE_OR_END: b"]", _Expect.NAME_OR_END: b"}"}
_CONTINUATION = bytes(range(0x80, 0xC0))


class JsonValidator:
    """One JSON text."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._bom: bytes | None = b""
        self._begun = False
        self._expect = _Expect.VALUE
        self._within = _In.NONE
        self._open: list[bytes] = []
        self._held = b""
        self._line, self._column = 1, 1

    def feed(self, data: bytes) -> None:
        """Raises :class:`~partwise.errors.NotWellFormed`, or :class:`~partwise.errors.TooLarge` for a giant number."""
        self._begun = self._begun or bool(data)
        if self._bom is not None:
            # RFC 8259 §8.1: "implementations that parse JSON texts MAY ignore the presence of a byte order mark".
            data = self._bom + data
            self._bom = data if len(data) < 3 and codecs.BOM_UTF8.startswith(data) else None
            if self._bom is not None:
                return
            data = data.removeprefix(codecs.BOM_UTF8)
        self._check_utf8(data, final=False)
        for start in range(0, len(data), _SLICE):
            self._read(self._held + data[start : start + _SLICE], final=False)

    def finish(self) -> None:
        """Raises :class:`~partwise.errors.NotWellFormed` if the text is not complete. An empty body passes."""
        if not self._begun:
            return
        self._check_utf8(self._bom or b"", final=True)
        self._read(self._held, final=True)
        if self._expect is not _Expect.NOTHING or self._within is not _In.NONE:
            raise self._refusal("the text ends too early", b"", 0)

    def _check_utf8(self, data: bytes, final: bool) -> None:
        try:
            self._utf8.decode(data, final)
        except UnicodeDecodeError as error:
            raise self._refusal("a character is not UTF-8", self._held + data, len(self._held) + error.start) from None

    def _read(self, data: bytes, final: bool) -> None:
        at = 0
        while at < len(data):
            used = self._step(data, at, final) if self._within is _In.NONE else self._string(data, at, final)
            if used is None:
                break
            at = used
        self._held = data[at:]
        self._advance(data[:at])

    def _step(self, data: bytes, at: int, final: bool) -> int | None:
        """One run or token; the position after it, or ``None`` if it is still arriving."""
        if (run := self._run()) is not None and (found := run[0].match(data, at)):
            self._expect = run[1]
            return found.end()
        blank = _BLANKS.match(data, at)
        if blank is not None and blank.end() > at:
            return blank.end()
        sign = data[at : at + 1]
        if sign == _CLOSERS.get(self._expect) or (self._expect is _Expect.NEXT and sign == self._open[-1]):
            self._open.pop()
            self._value_done()
        elif self._expect in (_Expect.VALUE, _Expect.VALUE_OR_END):
            return self._value(data, at, final)
        elif sign == b'"' and self._expect in (_Expect.NAME, _Expect.NAME_OR_END):
            self._within = _In.NAME
        elif sign == b":" and self._expect is _Expect.COLON:
            self._expect = _Expect.VALUE
        elif sign == b"," and self._expect is _Expect.NEXT:
            self._expect = _Expect.VALUE if self._open[-1] == b"]" else _Expect.NAME
        else:
            raise self._refusal(f"{self._expect.value} is expected", data, at)
        return at + 1

    def _run(self) -> tuple[re.Pattern[bytes], _Expect] | None:
        # Values inside a run have levels of their own; the value of a name is no run.
        if not 0 < len(self._open) <= MAX_DEPTH - _LEVELS or (self._expect is _Expect.VALUE and self._open[-1] == b"}"):
            return None
        return _RUNS.get(self._expect)

    def _value(self, data: bytes, at: int, final: bool) -> int | None:
        sign = data[at : at + 1]
        if sign in (b"[", b"{"):
            if len(self._open) == MAX_DEPTH:
                raise self._refusal(f"it is nested deeper than {MAX_DEPTH} levels", data, at)
            self._open.append(b"]" if sign == b"[" else b"}")
            self._expect = _Expect.VALUE_OR_END if sign == b"[" else _Expect.NAME_OR_END
        elif sign == b'"':
            self._within = _In.VALUE
        else:
            return self._word(data, at, final)
        return at + 1

    def _word(self, data: bytes, at: int, final: bool) -> int | None:
        """A number or literal name: judged when the sign after it is known."""
        found = _WORD.match(data, at)
        word = found[0] if found is not None else b""
        number = word[:1] in b"-0123456789" and word != b""
        if not number and not any(literal.startswith(word) for literal in _LITERALS if word):
            raise self._refusal(f"{self._expect.value} is expected", data, at)
        if number and len(word) > MAX_NUMBER:
            raise TooLarge("A number of the JSON item is too long; write it as a string.", limit=MAX_NUMBER)
        if at + len(word) == len(data) and not final:
            return None
        if not (_WHOLE_NUMBER.fullmatch(word) if number else word in _LITERALS):
            raise self._refusal("a number is malformed" if number else "a word is not known", data, at)
        self._value_done()
        return at + len(word)

    def _string(self, data: bytes, at: int, final: bool) -> int | None:
        part = _STRING_PART.match(data, at)
        if part is not None and part.end() > at:
            return part.end()
        if data[at : at + 1] == b'"':
            if self._within is _In.NAME:
                self._expect = _Expect.COLON
            else:
                self._value_done()
            self._within = _In.NONE
            return at + 1
        if not final and _ESCAPE_PART.match(data, at):
            return None
        what = "an escape" if data[at : at + 1] == b"\\" else "a control character"
        raise self._refusal(f"{what} in a string is not allowed", data, at)

    def _value_done(self) -> None:
        self._expect = _Expect.NEXT if self._open else _Expect.NOTHING

    def _advance(self, read: bytes) -> None:
        lines = read.count(b"\n")
        # Columns count characters: UTF-8 continuation bytes are none.
        width = len(read[read.rfind(b"\n") + 1 :].translate(None, _CONTINUATION))
        self._line += lines
        self._column = 1 + width if lines else self._column + width

    def _refusal(self, message: str, data: bytes, at: int) -> NotWellFormed:
        self._advance(data[:at])
        issue = Issue(message, line=self._line, column=self._column)
        return NotWellFormed(f"The JSON item is not well-formed at line {self._line}: {message}.", issues=(issue,))


def json_text(candidate: Candidate) -> Validator | None:
    """The factory for ``application/json`` and ``*+json``."""
    declared = candidate.media_type or ""
    return JsonValidator() if declared == "application/json" or declared.endswith("+json") else None
