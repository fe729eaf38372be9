from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise import errors
from partwise.protocol.disposition import (
    Disposition,
    FormDisposition,
    parse_disposition,
    parse_form_disposition,
)


@pytest.mark.parametrize(
    ("value", "name", "filename"),
    [
        (b'form-data; name="file"; filename="a.txt"', b"file", b"a.txt"),
        (b'form-data; name="file"; filename=""', b"file", b""),
        (b'form-data; name="field"', b"field", None),
        (b"form-data", None, None),
        (b"form-data;", None, None),
        (b'Form-Data ;NAME="a" ; FileName="b";', b"a", b"b"),
        (b'form-data; filename="b"; name="a"', b"a", b"b"),
        (b"form-data; name=file; filename=a.txt", b"file", b"a.txt"),
        (b"form-data; name=file; filename=a%22b", b"file", b"a%22b"),
        # Chromium, a chosen folder; UTF-8; another charset
        (b'form-data; name="f"; filename="dir/a.xml"', b"f", b"dir/a.xml"),
        ('form-data; name="f"; filename="naïve €.txt"'.encode(), b"f", "naïve €.txt".encode()),
        (b'form-data; name="f"; filename="na\xefve.txt"', b"f", b"na\xefve.txt"),
        (b"form-data; name=f; filename=na\xefve.txt", b"f", b"na\xefve.txt"),
        # WHATWG: these three, in capitals, and no other
        (b'form-data; name="%22%0D%0A"; filename="%22a%22"', b'"\r\n', b'"a"'),
        (b'form-data; name="f"; filename="100%.txt"', b"f", b"100%.txt"),
        (b'form-data; name="f"; filename="a%20b%0d%0a%2F%2522"', b"f", b"a%20b%0d%0a%2F%2522"),
        # curl before 7.81
        (rb'form-data; name="f"; filename="a\"b.txt"', b"f", b'a"b.txt'),
        (rb'form-data; name="f"; filename="\"\""', b"f", b'""'),
        (rb'form-data; name="f"; filename="a\"; b.txt"', b"f", b'a"; b.txt'),
        # A literal backslash stays
        (rb'form-data; name="f"; filename="C:\dir\a.txt"', b"f", rb"C:\dir\a.txt"),
        (rb'form-data; name="f"; filename="a\\b"', b"f", rb"a\\b"),
        (b'form-data; name="f"; filename="a\\"', b"f", b"a\\"),
        (b'form-data; name="f\\"; filename="a\\" ;', b"f\\", b"a\\"),
        (b'form-data; name="f"; filename="a\\%22"', b"f", b'a\\"'),
        # Separators inside of quotes
        (b'form-data; name="a;b=c"; filename="d; name=e"', b"a;b=c", b"d; name=e"),
        (b'form-data; name="f"; filename="a=b, c (1).txt"', b"f", b"a=b, c (1).txt"),
        # RFC 7578 §4.2: filename* is not for forms; other parameters are ignored
        (b'form-data; name="f"; filename="a"; filename*=utf-8\'\'b', b"f", b"a"),
        (b"form-data; name=\"f\"; filename*=utf-8''b", b"f", None),
        (b'form-data; size=3; name="f"; x-name="g"', b"f", None),
    ],
)
def test_form(value: bytes, name: bytes | None, filename: bytes | None) -> None:
    assert parse_form_disposition(value) == FormDisposition(name, filename)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"form-datax",
        b'attachment; filename="a"',
        b'file; filename="a"',
        b"form-data, name=a",
        b"form-data name=a",
        b'form-data; name="a',
        b'form-data; name="a"b',
        b'form-data; name="a"b"',
        b"form-data; name",
        b"form-data; =a",
        b"form-data; name=",
        b"form-data; name = a",
        b"form-data; name=a b",
        b'form-data; name=a"b',
        b'form-data; "name"=a',
        b'form-data; name="a"; name="a"',
        b'form-data; filename="a"; FILENAME="b"',
        b'form-data; name="a" filename="b"',
    ],
)
def test_malformed_form(value: bytes) -> None:
    with pytest.raises(errors.Malformed):
        parse_form_disposition(value)


def whatwg(name: bytes) -> bytes:
    return name.replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")


# A name that holds such an escape itself cannot be told apart: the encoding loses it.
unambiguous = st.binary().filter(lambda name: not any(escape in name for escape in (b"%22", b"%0D", b"%0A")))


@given(unambiguous, unambiguous)
def test_what_browsers_write_comes_back(name: bytes, filename: bytes) -> None:
    value = b'form-data; name="' + whatwg(name) + b'"; filename="' + whatwg(filename) + b'"'
    assert parse_form_disposition(value) == FormDisposition(name, filename)


@given(st.text('\\"; =ab%', max_size=12), st.text('\\"; =ab%', max_size=12))
def test_what_browsers_write_comes_back_with_awkward_names(name: str, filename: str) -> None:
    value = b'form-data; name="' + whatwg(name.encode()) + b'"; filename="' + whatwg(filename.encode()) + b'"'
    assert parse_form_disposition(value) == FormDisposition(name.encode(), filename.encode())


# RFC 6266 §5 and RFC 8187 §3.2.2, their examples, and variations.
@pytest.mark.parametrize(
    ("value", "type_", "filename"),
    [
        (b'Attachment; filename="example.html"', "attachment", "example.html"),
        (b'INLINE; FILENAME= "an example.html"'.replace(b"= ", b"="), "inline", "an example.html"),
        (b"attachment; filename*= UTF-8''%e2%82%ac%20rates".replace(b"= ", b"="), "attachment", "€ rates"),
        (b"attachment; filename=\"EURO rates\"; filename*=utf-8''%e2%82%ac%20rates", "attachment", "€ rates"),
        (b"attachment; filename*=utf-8''%e2%82%ac%20rates; filename=\"EURO rates\"", "attachment", "€ rates"),
        (b"attachment; filename*=iso-8859-1'en'%A3%20rates", "attachment", "£ rates"),
        (b"attachment; filename*=UTF-8'de-DE'", "attachment", ""),
        (b"attachment", "attachment", None),
        (b" inline ; ", "inline", None),
        (b"attachment; filename=a.txt", "attachment", "a.txt"),
        (b'attachment; filename=""', "attachment", ""),
        (rb'attachment; filename="a\"b\\c"', "attachment", 'a"b\\c'),
        ('attachment; filename="naïve.txt"'.encode(), "attachment", "naïve.txt"),
        (b'attachment; filename="a%20b"', "attachment", "a%20b"),
        (b'attachment; name="f"; filename="a"; size=1', "attachment", "a"),
        (b"attachment; filename*0=a; filename*1=b", "attachment", None),
    ],
)
def test_others(value: bytes, type_: str, filename: str | None) -> None:
    assert parse_disposition(value) == Disposition(type_, filename)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b";",
        b'"attachment"',
        b"attachment filename=a",
        b"attachment, filename=a",
        b"filename=a",
        b"attachment; filename",
        b"attachment; filename=",
        b'attachment; filename="a',
        b'attachment; filename="a"b',
        b"attachment; filename=a b",
        b"attachment; filename=a; filename=b",
        b"attachment; filename*=UTF-8''a; FILENAME*=UTF-8''b",
        b'attachment; filename="a\nb"',
        b"attachment\n",
        b"\xe9; filename=a",
    ],
)
def test_malformed_others(value: bytes) -> None:
    with pytest.raises(errors.Malformed) as failure:
        parse_disposition(value)
    assert type(failure.value) is errors.Malformed


@pytest.mark.parametrize(
    "value",
    [
        b'attachment; filename="na\xefve.txt"',
        b"attachment; filename*=UTF-8''%E9",
        b"attachment; filename*=UTF-8''%c0%ae",
        b"attachment; filename*=UTF-8''%ed%a0%80",
        b"attachment; filename*=UTF-8''%4",
        b"attachment; filename*=UTF-8''%zz",
        b"attachment; filename*=UTF-8'a",
        b"attachment; filename*=a.txt",
        b"attachment; filename*=''a",
        b"attachment; filename*=UTF-16''a",
        b"attachment; filename*=utf-7''+AGE-",
        b"attachment; filename=\"a\"; filename*=UTF-8''%E9",
    ],
)
def test_names_that_cannot_be_decoded(value: bytes) -> None:
    with pytest.raises(errors.MalformedName):
        parse_disposition(value)


@given(st.text())
def test_extended_names_come_back(name: str) -> None:
    encoded = quote(name, safe="").encode()
    assert parse_disposition(b"attachment; filename*=UTF-8''" + encoded) == Disposition("attachment", name)


@given(st.text(st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="\x7f")))
def test_quoted_names_come_back(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    assert parse_disposition(b'attachment; filename="' + quoted + b'"') == Disposition("attachment", name)


fragments = st.lists(
    st.sampled_from(
        [b"form-data", b"attachment", b";", b" ", b"name", b"filename", b"*", b"=", b'"', b"\\", b"%22", b"UTF-8''"]
    )
    | st.binary(max_size=3)
).map(b"".join)


@given(fragments | fragments.map(b"form-data; ".__add__))
def test_arbitrary_bytes_are_read_or_malformed(value: bytes) -> None:
    for parse in (parse_form_disposition, parse_disposition):
        with contextlib.suppress(errors.Malformed):
            parse(value)


@pytest.mark.parametrize(
    "piece", [b'\\"', b'\\";', b'\\"; a', b"\\", b";", b' ; a="', b'"', b"; a=b", b'\\"; \t', b"'", b"%22"]
)
def test_hostile_bytes_take_linear_time(piece: bytes) -> None:
    for parse, start in ((parse_form_disposition, b'form-data; name="'), (parse_disposition, b'a; filename="')):
        for tail in (b"", b'"x'):
            with contextlib.suppress(errors.Malformed):
                parse(start + piece * 50_000 + tail)
