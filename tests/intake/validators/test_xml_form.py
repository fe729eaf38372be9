"""What expat promises for XML items: names are bounded, nothing outside is opened, and the verdict is libxml2's."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from partwise.errors import Failure, NotWellFormed, RuleFailed, SchemaInvalid, TooLarge
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.schemas import Schemas, load_schemas
from partwise.intake.validators.xml_form import (
    MAX_DEFAULTS,
    MAX_NAMES,
    MAX_NAMES_LENGTH,
    MAX_NAMESPACE,
    Form,
)
from partwise.intake.validators.xml_text import MAX_PROLOG, XmlRules

SCHEMA = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" elementFormDefault="qualified">
 <xs:element name="list"><xs:complexType><xs:sequence>
  <xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/>
 </xs:sequence><xs:attribute name="v" type="xs:int"/></xs:complexType></xs:element>
</xs:schema>
"""
LIST = b'<list xmlns="urn:t">'


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "list.xsd").write_text(SCHEMA)
    return load_schemas(folder)


def judge(pieces: Iterable[bytes], schemas: Schemas | None = None) -> None:
    validator = XmlRules(schemas)(Candidate("a.xml", "application/xml", "utf-8"))
    assert validator is not None
    for piece in pieces:
        validator.feed(piece)
    assert validator.finish() is None


def blocks(pieces: Iterable[bytes], size: int = 65536) -> Iterator[bytes]:
    block = b""
    for piece in pieces:
        block += piece
        if len(block) >= size:
            yield block
            block = b""
    yield block


# Names that differ, by where they stand: element, attribute, prefix, namespace, the pairs of prefix and name, one tag.
NAMES: dict[str, Callable[[int], Iterable[bytes]]] = {
    "elements": lambda count: (b"<e%d/>" % n for n in range(count)),
    "attributes": lambda count: (b"<e a%d=''/>" % n for n in range(count)),
    "prefixes": lambda count: (b"<e xmlns:p%d='u'/>" % n for n in range(count)),
    "namespaces": lambda count: (b"<e xmlns='u%d'/>" % n for n in range(count)),
    "pairs": lambda count: chain(
        [b"<e " + b" ".join(b"xmlns:p%d='u'" % n for n in range(300)) + b">"],
        (b"<p%d:e%d/>" % (n % 300, n // 300) for n in range(count)),
        [b"</e>"],
    ),
    "one tag": lambda count: chain([b"<e"], (b" a%d=''" % n for n in range(count)), [b"/>"]),
    "one tag, values like tags": lambda count: chain([b"<e"], (b" a%d = '/>'" % n for n in range(count)), [b"/>"]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_different_names_are_bounded(kind: str, schemas: Schemas) -> None:
    def items(count: int) -> Iterator[bytes]:
        return blocks(chain([LIST], NAMES[kind](count), [b"</list>"]), 4096)

    with pytest.raises(TooLarge, match="50,000 different names") as refused:
        judge(items(MAX_NAMES + 1))
    assert refused.value.limit == MAX_NAMES
    # A namespace and the name in it are two; what surrounds them counts too.
    judge(items(MAX_NAMES // 2 - 10 if kind == "namespaces" else MAX_NAMES - 1000))
    with pytest.raises(TooLarge, match="50,000 different names"):
        judge(items(MAX_NAMES + 1), schemas)


def test_a_tag_without_end_is_refused_at_its_first_name_too_many() -> None:
    fed = 0

    def tag() -> Iterator[bytes]:
        nonlocal fed
        yield b"<r><e"
        for piece in blocks(b" a%d=''" % n for n in range(10**6)):
            fed += len(piece)
            yield piece

    with pytest.raises(TooLarge, match="50,000 different names"):
        judge(tag())
    assert fed < 2_000_000


@pytest.mark.parametrize("start", [b"<a>", b"<a><!--", b"<a><![CDATA[", b"<a b='", b"<a><?p "])
def test_what_only_looks_like_names_is_not_counted(start: bytes) -> None:
    end = {b"<a>": b"</a>", b"<a><!--": b"--></a>", b"<a><![CDATA[": b"]]></a>", b"<a b='": b"'/>"}.get(
        start, b"?></a>"
    )
    head = b"<r>" + start
    if start == b"<a>":
        text = (b' &lt;e%d a%d="1"' % (n, n) for n in range(MAX_NAMES + 1))
    elif start == b"<a b='":
        text = (b' &lt;e%d a%d="1"/>' % (n, n) for n in range(MAX_NAMES + 1))
    else:
        text = (b' <e%d a%d="1"/>' % (n, n) for n in range(MAX_NAMES + 1))
    judge(blocks(chain([head], text, [end, b"</r>"])))


def test_the_length_of_names_is_bounded() -> None:
    judge([b"<r>", *(b"<e%d%s/>" % (n, b"x" * 2000) for n in range(MAX_NAMES_LENGTH // 2010)), b"</r>"])
    with pytest.raises(TooLarge, match="names") as refused:
        judge([b"<r>", *(b"<e%d%s/>" % (n, b"x" * 2000) for n in range(MAX_NAMES_LENGTH // 2000 + 1)), b"</r>"])
    assert refused.value.limit == MAX_NAMES_LENGTH
    judge([b"<a xmlns='" + b"u" * MAX_NAMESPACE + b"'/>"])
    with pytest.raises(TooLarge, match="namespace") as refused:
        judge([b"<a xmlns='" + b"u" * (MAX_NAMESPACE + 1) + b"'/>"])
    assert refused.value.limit == MAX_NAMESPACE


@pytest.mark.parametrize("kind", ["CDATA 'v'", "CDATA #FIXED 'v'"])
def test_attributes_by_default_are_bounded(kind: str) -> None:
    def document(count: int) -> bytes:
        return b"<!DOCTYPE a [<!ATTLIST a %s>]><a/>" % b" ".join(b"b%d %s" % (n, kind.encode()) for n in range(count))

    judge([document(MAX_DEFAULTS)])
    judge([document(500).replace(kind.encode(), b"CDATA #IMPLIED")])
    with pytest.raises(TooLarge) as refused:
        judge([document(MAX_DEFAULTS + 1)])
    assert refused.value.limit == MAX_DEFAULTS


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A pipe without a writer: whoever opens it to read hangs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    yield pipe
    # Frees a reader that hangs after all.
    with contextlib.suppress(OSError):
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


BODIES = ['<list xmlns="urn:t"/>', '<list xmlns="urn:t">&nbsp;</list>', "<other>&nbsp;</other>"]


def within_seconds(check: Callable[[], None]) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            check()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "the external subset was opened"
    if raised:
        raise raised[0]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["SYSTEM", 'PUBLIC "-//W3C//DTD SVG 1.1//EN"'])
def test_an_external_subset_is_never_opened(body: str, kind: str, silent: Path, schemas: Schemas) -> None:
    for name in (str(silent), silent.as_uri()):
        document = f'<!DOCTYPE list {kind} "{name}" [<!ELEMENT list ANY>]>{body}'.encode()
        within_seconds(lambda document=document: judge([document]))  # type: ignore[misc]
        within_seconds(lambda document=document: judge([document], schemas))  # type: ignore[misc]


@pytest.mark.parametrize("body", ['<lost xmlns="urn:t"/>', '<list xmlns="urn:t" v="x"/>', '<list xmlns="urn:t" w="1">'])
def test_an_external_subset_is_not_opened_to_say_what_is_wrong(body: str, silent: Path, schemas: Schemas) -> None:
    def check() -> None:
        with pytest.raises(SchemaInvalid) as refused:
            judge([f'<!DOCTYPE list SYSTEM "{silent}">\n{body}'.encode()], schemas)
        assert refused.value.issues[0].line == 2
        assert (refused.value.issues[0].path or "").startswith("/l")

    within_seconds(check)


@pytest.mark.parametrize("body", BODIES)
def test_a_file_that_is_no_dtd_is_not_read(body: str, tmp_path: Path, schemas: Schemas) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    document = f'<!DOCTYPE list SYSTEM "{tmp_path}/passwd">{body}'.encode()
    judge([document])
    judge([document], schemas)


@pytest.mark.parametrize(
    ("data", "line", "column", "words"),
    [
        (b"<a></b>", 1, 6, "mismatched tag (a is open)"),
        (b"<a>\n <b>\n</a>", 3, 3, "mismatched tag (b is open)"),
        (b"<a>\n\xc3\xa9\x01</a>", 2, 2, "a character that may not stand here"),
        (b"<p:a/>", 1, 1, "a namespace prefix that is not declared"),
        (b"<a>\n<b>", 2, 4, "the document is not complete (b is open)"),
        (b"<a/><b/>", 1, 5, "junk after document element"),
        (b"<a>&x;</a>", 1, 4, "undefined entity"),
        (b"<?xml version='2.0'?><a/>", 1, None, "the version of XML must be 1.0"),
    ],
)
def test_where_and_what(data: bytes, line: int, column: int | None, words: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(NotWellFormed) as refused:
            judge(pieces)
        (issue,) = refused.value.issues
        assert (issue.line, issue.column, issue.message) == (line, column, words)
        assert refused.value.text == f"The XML item is not well-formed at line {line}: {words}."


def test_an_undeclared_prefix_hides_no_later_error(schemas: Schemas) -> None:
    for tail in (b"</list>", b"</b>", b""):
        for given_schemas in (None, schemas):
            with pytest.raises(NotWellFormed, match="prefix"):
                judge([LIST + b"<p:a/>" + tail], given_schemas)


def test_utf_8_is_read_as_nothing_else() -> None:
    hidden = '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
    for encoding in ("utf-16-le", "utf-16-be"):
        for mark in (b"", b"\xef\xbb\xbf"):
            with pytest.raises(NotWellFormed):
                judge([mark + hidden.encode(encoding)])
            with pytest.raises(NotWellFormed):
                judge([mark + f"\ufeff{hidden}".encode(encoding)[mark == b"" :]])


def test_an_entity_that_gets_past_the_prolog_is_refused_by_the_parser() -> None:
    form = Form()
    with pytest.raises(RuleFailed, match="declares entities"):
        form.feed(b'<!DOCTYPE a [<!ENTITY x "y">]><a/>')


@pytest.mark.parametrize(("start", "end"), [(b"<!--", b"-->"), (b'<i n="', b'"/>'), (b"<?x ", b"?>")])
def test_a_long_token_is_read_only_a_few_times(start: bytes, end: bytes) -> None:
    # Expat would begin anew with each of 1,000 pieces.
    form = Form()
    form.feed(LIST + start)
    read = sum(bool(form.feed(b"x" * 1000)) for _ in range(1000))
    assert read < 30
    assert form.feed(end + b"</list>") + form.finish()


@pytest.mark.parametrize(
    ("start", "end"), [(b"<!--", b"-->"), (b'<i n="', b'"/>'), (b"<i>", b"</i>"), (b"<?x ", b"?>")]
)
def test_a_long_token_is_taken(start: bytes, end: bytes, schemas: Schemas) -> None:
    text = [b"x" * 65_000] * 153
    for given_schemas in (None, schemas):
        judge([LIST, start, *text, end + b"</list>"], given_schemas)
        with pytest.raises(NotWellFormed):
            judge([LIST, start, *text, end + b"</lost>"], given_schemas)


def test_a_root_behind_a_long_comment_is_found(schemas: Schemas) -> None:
    for size in range(MAX_PROLOG - 3000, MAX_PROLOG - 100, 500):
        document = b"<!--" + b"x" * size + b"-->" + LIST
        for tail in (b"</list>", b"<a>" + b"y" * 5000 + b"</a></list>"):
            judge([document + tail], schemas)
            judge([document, tail], schemas)
    with pytest.raises(SchemaInvalid):
        judge([b"<!--" + b"x" * 20_000 + b"-->" + b"<lost xmlns='urn:t'/>"], schemas)


MEMORY = """
import resource
from partwise.errors import TooLarge
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.xml_text import XmlRules
def run(item):
    validator = XmlRules(None)(Candidate("a", "text/xml"))
    validator.feed(b"<r>")
    try:
        for start in range(0, 60_000, 5000):
            validator.feed(b"".join(b"<e%d-%d a%d-%d=''/>" % (item, n, item, n) for n in range(start, start + 2500)))
    except TooLarge:
        pass
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for item in range(5):
    run(item)
before = peak()
for item in range(5, 12):
    run(item)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_names_are_forgotten_with_their_item() -> None:
    path = ":".join(entry for entry in sys.path if entry)
    run = [sys.executable, "-c", textwrap.dedent(MEMORY)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={"PYTHONPATH": path})
    # Over 300,000 names: kept, they would be 30 MB.
    assert int(done.stdout) < 8192


PIECES = [
    b"<a>", b"</a>", b"<a/>", b"<b c='1'>", b"</b>", b"<p:a xmlns:p='u'>", b"</p:a>", b"<!DOCTYPE a SYSTEM 'x'>",
    b"<!DOCTYPE a [", b"]>", b"<!ELEMENT a ANY>", b"<!ATTLIST a b CDATA 'x'>", b"<!NOTATION n SYSTEM 'x'>", b"%x;",
    b"<!--", b"-->", b"--", b"<?p i?>", b"<?XML ?>", b"<?xml version='1.0'?>", b"<?xml version='1.0' standalone='yes'?>",
    b"<?xml version='2.0'?>", b"<![CDATA[", b"]]>", b"&nbsp;", b"&amp;", b"&#65;", b"&#0;", b"&#xD800;", b"\xc3\xa9",
    b"\xff", b"\0", b"\x01", b" ", b"\n", b"\r", b"\x85", b"text", b"'", b'"', b"<", b">", b"=", b"&",
    b"<a b='1' b='2'/>", b"<a xmlns='u' xmlns:p='u' p:b='' b=''/>", b"<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
    b"<a b='<'/>", b"<a b='&x;'/>", b"\xef\xbf\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"<a xml:space='x'/>",
]  # fmt: skip
WHOLE = [
    b"<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM 'x' [<!ELEMENT a ANY><!ATTLIST a b CDATA 'x'>]>\n"
    b"<a xmlns:p='u'><p:b c='1' p:d='2'>t&amp;&#65;</p:b><![CDATA[x]]><!-- c --><?p i?>&nbsp;</a>\n<!-- e -->",
    b"<a b='1'><b>text</b><c/></a>",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 3))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 6))
        data[at : at + size] = draw(st.sampled_from(PIECES) | st.binary(max_size=2))
    return bytes(data)


def well_formed(data: bytes) -> bool | None:
    """The verdict of libxml2; ``None`` where it is known to differ from expat's.

    libxml2 refuses namespaces that are no URIs, which Namespaces in XML does not ask for, and forgives what it does ask
    for (§7: prefixes, colons) in some documents; it judges ``xml:id``; and it knows the letters that the fifth edition of
    XML 1.0 admits to names, expat those of the fourth.
    """
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False)
    try:
        etree.fromstring(data, parser)
        good = True
    except etree.XMLSyntaxError:
        good = False
    special = {etree.ErrorDomains.NAMESPACE, etree.ErrorDomains.VALID, etree.ErrorDomains.DTD}
    if any(entry.domain in special for entry in parser.error_log):
        return None
    return good


def verdict(data: bytes) -> bool | None:
    """Is it well-formed? ``None`` if it is refused for another reason."""
    try:
        judge([data])
    except RuleFailed:
        return None
    except Failure as failure:
        assert isinstance(failure, NotWellFormed)
        return False
    return True


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(b"".join)
    | st.lists(st.sampled_from(PIECES), max_size=5).map(lambda pieces: b"<a>" + b"".join(pieces) + b"</a>")
    | mutated()
)
@example(WHOLE[0])
@example(b"<?xml version='1.0' standalone='yes'?><!DOCTYPE a SYSTEM 'x'><a>&nbsp;</a>")
@example(b"<!DOCTYPE a SYSTEM 'x'><a b='&nbsp;'/>")
@example(b"<!DOCTYPE a [%x;]><a>&nbsp;</a>")
@example(b"<!DOCTYPE a [<!ELEMENT a ANY>]><a>&nbsp;</a>")
def test_the_verdict_is_that_of_libxml2(data: bytes) -> None:
    expected = well_formed(data)
    assume(data and expected is not None and b":" not in data.replace(b"p:", b"").replace(b"xmlns:", b""))
    judged = verdict(data)
    if expected and judged is False:
        # expat knows the names of the fourth edition of XML 1.0, libxml2 those of the fifth: with ASCII they agree.
        judged = verdict(re.sub(rb"[\x80-\xff]+", b"x", data))
    assert judged in (expected, None), data
