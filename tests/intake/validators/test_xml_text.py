import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import Failure, NotWellFormed, RuleFailed, SchemaInvalid, TooLarge, UnsupportedType
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.schemas import Schemas, load_schemas
from partwise.intake.validators.xml_form import MAX_DEPTH, MAX_TOKEN
from partwise.intake.validators.xml_schema import MAX_ISSUES
from partwise.intake.validators.xml_text import MAX_PROLOG, XmlRules

SCHEMA = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:t" xmlns="urn:t" elementFormDefault="qualified">
 <xs:element name="list"><xs:complexType><xs:sequence>
  <xs:element name="i" maxOccurs="unbounded"><xs:complexType><xs:simpleContent><xs:extension base="xs:integer">
   <xs:attribute name="n" type="xs:date"/>
  </xs:extension></xs:simpleContent></xs:complexType></xs:element>
 </xs:sequence><xs:attribute name="v" type="xs:int"/></xs:complexType></xs:element>
</xs:schema>
"""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "list.xsd").write_text(SCHEMA)
    return load_schemas(folder)


def judge(*pieces: bytes, schemas: Schemas | None = None, charset: str | None = None) -> None:
    validator = XmlRules(schemas)(Candidate("a.xml", "application/xml", charset))
    assert validator is not None
    for piece in pieces:
        validator.feed(piece)
    assert validator.finish() is None


def splits(data: bytes) -> Iterator[tuple[bytes, ...]]:
    yield (data,)
    yield from ((data[:at], data[at:]) for at in range(len(data) + 1))
    yield tuple(data[at : at + 1] for at in range(len(data)))


PLIST = (
    b'<?xml version="1.0"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/x.dtd">\n'
)
GOOD = [
    b"<a/>",
    b"\xef\xbb\xbf<a>\xc3\xa9</a>\n<!-- end -->\n",
    b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xe9</a>',
    "<?xml version='1.0' encoding='utf-16'?><a>é</a>".encode("utf-16"),
    "<a>漢</a>".encode("utf-16-be").join((b"\xfe\xff", b"")),
    "<?xml version='1.0'?><a>é</a>".encode("utf-16-le"),
    b'<?xml version="1.0" encoding="utf-16"?><a/>',
    PLIST + b"<plist><dict/></plist>",
    b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0" "http://localhost:1/x.dtd"><html>&nbsp;</html>',
    b'<!DOCTYPE a [<!ELEMENT a ANY><!ATTLIST a b CDATA "]>!ENTITY">]><a>&amp;&#65;</a>',
    b"<!-- <!ENTITY x 'y'> --><?pi <!ENTITY ?><!DOCTYPE a [<!-- <!ENTITY --><?pi <!ENTITY?>]><a/>",
    b"<a><![CDATA[<!ENTITY x 'y'>]]><!-- <!ENTITY --></a>",
    b'<s:a xmlns:s="urn:s" s:b="1"/>',
]
BAD = [
    b" ",
    b"text",
    b"<a>",
    b"<a",
    b"<a></b>",
    b"<a/><b/>",
    b"<a/>text",
    b"<a b=1/>",
    b"<a>&undeclared;</a>",
    b"<a>\xff</a>",
    b"<x:a/>",
    b"<x:a/>" * 2,
    b"<a><b x:c='1'/></a>",
    b"<a/><!-- cut",
    b"<a/><",
    b"<a/></",
    b"<!-- only a comment -->",
    b"<?xml version='1.0' encoding='ascii'?><a>\xe9</a>",
    b"\xff\xfe<\0a\0",
    b"\xef\xbb\xbf",
    b"<a>\0</a>",
]
ENTITIES = [
    b'<!DOCTYPE a [<!ENTITY x "y">]><a/>',
    b'<!DOCTYPE a [<!ENTITY % x "y"> %x;]><a/>',
    b'<!DOCTYPE a SYSTEM "x>[" [ <!ELEMENT a ANY>\n<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    b'<?xml version="1.0"?><!-- c --><!DOCTYPE a [<!-- c --><?p i?><!ENTITY x "y">]><a b="&x;"/>',
    '<!DOCTYPE a [<!ENTITY x "y">]><a/>'.encode("utf-16"),
    "<!DOCTYPE a [<!ENTITY x 'é'>]><a/>".encode("utf-8-sig"),
]


@pytest.mark.parametrize("data", GOOD)
def test_well_formed(data: bytes, schemas: Schemas) -> None:
    for split in splits(data):
        judge(*split)
        judge(*split, schemas=schemas)


@pytest.mark.parametrize("data", BAD)
def test_not_well_formed(data: bytes) -> None:
    for split in splits(data):
        with pytest.raises(NotWellFormed):
            judge(*split)


@pytest.mark.parametrize("data", ENTITIES)
def test_entity_declarations_are_refused(data: bytes) -> None:
    for split in splits(data):
        with pytest.raises(RuleFailed, match="declares entities"):
            judge(*split)


@pytest.mark.parametrize("use", [b"<a>&l9;</a>", b'<a b="&l9;"/>'])
def test_an_entity_bomb_is_refused_before_its_root(use: bytes) -> None:
    lines = [b'<!ENTITY l0 "lol">'] + [b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 10)]
    validator = XmlRules(None)(Candidate("a.xml", "text/xml"))
    assert validator is not None
    with pytest.raises(RuleFailed):
        validator.feed(b"<!DOCTYPE a [" + lines[0])
    with pytest.raises(RuleFailed):
        judge(b"<!DOCTYPE a [" + b"".join(lines) + b"]>" + use)


def test_the_place_is_told() -> None:
    with pytest.raises(NotWellFormed) as refused:
        judge(b"<a>\n  <b>\n</a>")
    (issue,) = refused.value.issues
    assert issue.line == 3
    assert issue.column is not None
    assert "mismatched tag (b is open)" in issue.message


def test_the_prolog_is_bounded() -> None:
    judge(b"<!--" + b"x" * (MAX_PROLOG - 2000) + b"-->", b"<a/>")
    with pytest.raises(TooLarge) as refused:
        judge(b"<!--" + b"x" * MAX_PROLOG + b"-->", b"<a/>")
    assert refused.value.limit == MAX_PROLOG
    with pytest.raises(TooLarge):
        judge(b"<a " + b"x" * MAX_PROLOG)


@pytest.mark.parametrize("root", [b"<a>", b'<list xmlns="urn:t">'])
@pytest.mark.parametrize("start", [b"<!--", b'<i n="', b"<i>", b"<?x "])
def test_a_token_without_end_is_refused(root: bytes, start: bytes, schemas: Schemas) -> None:
    with pytest.raises(TooLarge) as refused:
        judge(root + start, *(b"x" * 65536 for _ in range(MAX_TOKEN // 65536 + 2)), schemas=schemas)
    assert refused.value.limit == MAX_TOKEN


def test_nesting_is_bounded(schemas: Schemas) -> None:
    judge(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    with pytest.raises(NotWellFormed, match="nested deeper"):
        judge(b"<a>" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("charset", "data"),
    [
        ("iso-8859-1", b"<a>\xe9</a>"),
        ("ISO-8859-1", b'<?xml version="1.0" encoding="utf-8"?><a>\xe9</a>'),
        ("utf-8", b'<?xml version="1.0" encoding="us-ascii"?><a>\xc3\xa9</a>'),
        ("iso-8859-1", "<a>é</a>".encode("utf-16")),
        ("us-ascii", b"\xef\xbb\xbf<a>\xc3\xa9</a>"),
        ("utf-16le", "<a>é</a>".encode("utf-16-le")),
        ("shift_jis", "<a>漢字</a>".encode("shift_jis")),
    ],
)
def test_byte_order_mark_then_charset_then_declaration(charset: str, data: bytes) -> None:
    for split in splits(data):
        judge(*split, charset=charset)


@pytest.mark.parametrize("charset", ["us-ascii", "utf-8"])
def test_bytes_that_the_charset_does_not_have(charset: str) -> None:
    with pytest.raises(NotWellFormed):
        judge(b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xe9</a>', charset=charset)


@pytest.mark.parametrize("charset", ["nonsense", "hex", "rot13", "punycode", "a\0b"])
def test_an_unknown_charset(charset: str) -> None:
    with pytest.raises(UnsupportedType):
        judge(b"<a/>", charset=charset)


LIST = b'<list xmlns="urn:t" v="3">\n<i>1</i>\n<i n="2026-02-03">2</i>\n</list>\n'


def test_valid_in_every_split(schemas: Schemas) -> None:
    for split in splits(LIST):
        judge(*split, schemas=schemas)


@pytest.mark.parametrize(
    ("data", "line", "path", "words"),
    [
        (LIST.replace(b">2<", b">two<"), 3, "/list/i", "'two' is not a valid value"),
        (LIST.replace(b"02-03", b"02-31"), 3, "/list/i", "'2026-02-31' is not a valid value"),
        (LIST.replace(b'"3"', b'"x"'), 1, "/list", "'x' is not a valid value"),
        (b'<list xmlns="urn:t">\n</list>', 1, "/list", "Missing child"),
        (b'<list xmlns="urn:t"><i>1</i>\n<j/></list>', 2, "/list/j", "not expected"),
        (b'\n<other xmlns="urn:t"/>', 2, "/other", "no root element other"),
        (b'<list xmlns="urn:t">\n' + b"<i>1</i>\n" * 70_000 + b"<i>x</i></list>", 70_002, "/list/i", "'x' is not"),
    ],
)
def test_invalid(data: bytes, line: int, path: str, words: str, schemas: Schemas) -> None:
    for split in list(splits(data)) if len(data) < 200 else [(data,)]:
        with pytest.raises(SchemaInvalid) as refused:
            judge(*split, schemas=schemas)
        first = refused.value.issues[0]
        # From line 65,535 on the place is that of a piece of the document.
        assert first.line == line if line < 65_535 else line - 150 <= (first.line or 0) <= line
        assert first.path == path
        assert words in first.message


def test_issues_are_bounded(schemas: Schemas) -> None:
    with pytest.raises(SchemaInvalid) as refused:
        judge(b'<list xmlns="urn:t">' + b"<i/>" * 100 + b"</list>", schemas=schemas)
    assert 1 < len(refused.value.issues) <= MAX_ISSUES
    with pytest.raises(SchemaInvalid) as refused:
        judge(b'<list xmlns="urn:t"><i>' + b"x" * 5000 + b"</i></list>", schemas=schemas)
    assert max(len(issue.message) for issue in refused.value.issues) <= 300


def test_a_schema_error_is_refused_before_the_rest_arrives(schemas: Schemas) -> None:
    validator = XmlRules(schemas)(Candidate("a.xml", "application/xml"))
    assert validator is not None
    with pytest.raises(SchemaInvalid):
        validator.feed(b'<list xmlns="urn:t"><i>x</i><i>')


def test_a_namespace_without_schema_is_only_read(schemas: Schemas) -> None:
    judge(b'<list xmlns="urn:other"><i>x</i></list>', schemas=schemas)
    judge(b"<list><i>x</i></list>", schemas=schemas)


def test_ill_formed_under_a_schema(schemas: Schemas) -> None:
    tails = (LIST + b"x", LIST + b"<!--", LIST.replace(b"/i", b"/j"))
    for data in (*(LIST[:at] for at in range(1, len(LIST) - 1)), *tails):
        with pytest.raises(NotWellFormed):
            judge(data, schemas=schemas)


def test_the_item_makes_the_server_read_and_connect_to_nothing(schemas: Schemas, tmp_path: Path) -> None:
    # This schema would declare the root, were it read.
    (tmp_path / "lure.xsd").write_text(SCHEMA.replace('name="list"', 'name="lure"'))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        remote = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        places = f"urn:t {tmp_path}/lure.xsd urn:u {remote}u.xsd"
        hints = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{places}"'
        doctype = f'<!DOCTYPE list SYSTEM "{remote}x.dtd">'
        with pytest.raises(SchemaInvalid):
            judge(f'<lure xmlns="urn:t" {hints}><i>1</i></lure>'.encode(), schemas=schemas)
        judge(f'{doctype}<list xmlns="urn:t" {hints}><i>1</i></list>'.encode(), schemas=schemas)
        judge(f'{doctype}<list xmlns="urn:u" {hints}>&e;</list>'.encode(), schemas=schemas)
        with pytest.raises(BlockingIOError):
            listener.accept()


MEMORY = """
import resource, sys
from pathlib import Path
from partwise.intake.validators.base import Candidate
from partwise.intake.validators.schemas import load_schemas
from partwise.intake.validators.xml_text import XmlRules
root, block, end = (part.encode() for part in sys.argv[2:])
def run(size):
    validator = XmlRules(load_schemas(Path(sys.argv[1])))(Candidate("a", "text/xml"))
    validator.feed(root)
    chunk = block * (65536 // len(block))
    for _ in range(size // len(chunk)):
        validator.feed(chunk)
    validator.feed(end)
    validator.finish()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(1_000_000)
before = peak()
run(6_000_000)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize(
    ("root", "block"),
    [
        ("<list xmlns='urn:t'>", "<i n='2026-01-01'>12</i>\n"),
        ("<list xmlns='urn:t'><i>1</i>", "<!-- c --><?p i?>"),
        ("<list>", "<i n='2026-01-01' m='" + "v" * 200 + "'>12</i>\n"),
        ("<list>", "<!-- c --><?p i?><i/>"),
        ("<list>", "<i xmlns='relative'/>"),
    ],
)
def test_memory_is_constant(root: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "list.xsd").write_text(SCHEMA)
    run = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path), root, block, "</list>"]
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={"PYTHONPATH": path})
    assert int(done.stdout) < 2048


@pytest.mark.parametrize("media_type", ["text/xml", "application/xml", "image/svg+xml", "application/atom+xml"])
def test_an_empty_body_passes(media_type: str, schemas: Schemas) -> None:
    validator = XmlRules(schemas)(Candidate("a", media_type))
    assert validator is not None
    validator.feed(b"")
    assert validator.finish() is None


@pytest.mark.parametrize("media_type", [None, "text/html", "application/octet-stream", "application/xml-dtd"])
def test_other_types_are_no_concern(media_type: str | None) -> None:
    assert XmlRules(None)(Candidate("a", media_type)) is None


PIECES = st.sampled_from(
    [b"<a>", b"</a>", b"<a/>", b'<list xmlns="urn:t">', b"<i>1</i>", b"<i>x</i>", b"</list>", b"<!DOCTYPE a [", b"]>",
     b"<!ENTITY", b" % x 'y'>", b"<!--", b"-->", b"&x;", b"%x;", b"<?xml version='1.0' encoding='", b"'?>", b"<![CDATA[",
     b"]]>", b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"utf-16"]
)  # fmt: skip


@given(
    st.lists(PIECES | st.binary(max_size=12), max_size=12), st.sampled_from([None, "utf-16", "latin-1", "utf-7", "x"])
)
def test_arbitrary_bytes_raise_only_failures(schemas: Schemas, pieces: list[bytes], charset: str | None) -> None:
    try:
        judge(*pieces, schemas=schemas, charset=charset)
    except Failure as failure:
        assert failure.text
        assert len(failure.issues) <= MAX_ISSUES
