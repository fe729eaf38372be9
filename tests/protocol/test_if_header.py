"""The If header: its grammar, the tokens it submits, and when it holds (RFC 4918 §10.4)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import Malformed
from partwise.protocol.etags import ETag
from partwise.protocol.if_header import Condition, If, State, StateList, parse_if

A = "urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2"
B = "urn:uuid:58f202ac-22cf-11d1-b12d-002035b29092"


def token(value: str, negated: bool = False) -> Condition:
    return Condition(negated, value, None)


def etag(value: str, weak: bool = False, negated: bool = False) -> Condition:
    return Condition(negated, None, ETag(value, weak))


def untagged(*conditions: Condition) -> StateList:
    return StateList(None, conditions)


PARSED = [
    ("(<urn:a>)", [untagged(token("urn:a"))]),
    ('(["a"])', [untagged(etag("a"))]),
    ('([W/"a"])', [untagged(etag("a", weak=True))]),
    ('([""])', [untagged(etag(""))]),
    ('(<urn:a>["a"])', [untagged(token("urn:a"), etag("a"))]),
    ("(<urn:a>)(<urn:b>)", [untagged(token("urn:a")), untagged(token("urn:b"))]),
    (" \t( \t<urn:a> \t) \t", [untagged(token("urn:a"))]),
    ('([ "a" ])', [untagged(etag("a"))]),
    # Not, with and without white space, in any case.
    ("(Not <urn:a>)", [untagged(token("urn:a", negated=True))]),
    ("(not<urn:a>)", [untagged(token("urn:a", negated=True))]),
    ('(<urn:a>NOT\t["a"])', [untagged(token("urn:a"), etag("a", negated=True))]),
    # Entity tags may hold what the grammar is made of; a backslash is itself.
    ('(["[(<,>)]"])', [untagged(etag("[(<,>)]"))]),
    ('(["I am an ETag"])', [untagged(etag("I am an ETag"))]),
    ('(["a\\"])', [untagged(etag("a\\"))]),
    ('(["größe\udcff"])', [untagged(etag("größe\udcff"))]),
    # A tag holds until the next.
    (
        "</a> (<urn:a>) (<urn:b>) <http://h/b?c> (<urn:c>)",
        [
            StateList("/a", (token("urn:a"),)),
            StateList("/a", (token("urn:b"),)),
            StateList("http://h/b?c", (token("urn:c"),)),
        ],
    ),
    ("<http://[::1]:8080/>(<urn:a>)", [StateList("http://[::1]:8080/", (token("urn:a"),))]),
    # Cyberduck leaves out the space behind the tag.
    ("</a%20b>(<urn:a>)", [StateList("/a%20b", (token("urn:a"),))]),
    ("</größe>(<urn:a>)", [StateList("/größe", (token("urn:a"),))]),
    # Field lines that were joined, and empty members (RFC 9110 §5.6.1).
    ("(<urn:a>), (<urn:b>)", [untagged(token("urn:a")), untagged(token("urn:b"))]),
    (", (<urn:a>) ,\t,", [untagged(token("urn:a"))]),
    ("</a> (<urn:a>), </b> (<urn:b>)", [StateList("/a", (token("urn:a"),)), StateList("/b", (token("urn:b"),))]),
    # Tokens of other servers are tokens.
    ("(<opaquelocktoken:{1-2}20120101T0Z>)", [untagged(token("opaquelocktoken:{1-2}20120101T0Z"))]),
    ("(<DAV:no-lock>)", [untagged(token("DAV:no-lock"))]),
    # npm's webdav, lock() with refreshToken.
    (A, [untagged(token(A))]),
    (f" {A}\t", [untagged(token(A))]),
    # neon: cadaver, davfs2, litmus.
    (f"<http://h:80/a/> (<{A}>)", [StateList("http://h:80/a/", (token(A),))]),
    (
        f'(<{A}> ["1-2"]) (Not <DAV:no-lock> ["1-2"])',
        [untagged(token(A), etag("1-2")), untagged(token("DAV:no-lock", negated=True), etag("1-2"))],
    ),
]


@pytest.mark.parametrize(("value", "lists"), PARSED)
def test_grammar(value: str, lists: list[StateList]) -> None:
    assert parse_if(value) == If(tuple(lists))


MALFORMED = [
    ("", "is empty"),
    (" \t", "is empty"),
    (", ,", "is empty"),
    ("()", "at least one condition"),
    ("(<urn:a>) ( )", "character 13: a list must hold at least one condition"),
    ("(", "a condition must be"),
    (")", "a list of conditions"),
    ("(<urn:a>", "a condition must be"),
    ("(<urn:a>))", "character 10: a list of conditions"),
    ("((<urn:a>))", "character 2: a condition"),
    ("<urn:a>", "character 8: a list of conditions"),
    ("<urn:a> <urn:b> (<urn:c>)", "character 9: a list of conditions"),
    ("</a>, (<urn:a>)", "a list of conditions"),
    ("</a> (<urn:a>) </b>", "a list of conditions"),
    ("(<urn:a>) </a> (<urn:b>)", "character 11: lists with and without"),
    ("(<urn:a>, <urn:b>)", "a condition"),
    ("(<urn:a>) urn:b", "a list of conditions"),
    ('"a"', "a list of conditions"),
    ('["a"]', "a list of conditions"),
    ("*", "a list of conditions"),
    ("abc", "a list of conditions"),
    # Not.
    ("(Not)", "a condition"),
    ("(Not Not <urn:a>)", "a condition"),
    ("Not (<urn:a>)", "a list of conditions"),
    ("(Not (<urn:a>))", "a condition"),
    ("(Nott <urn:a>)", "a condition"),
    # Tokens.
    ("(urn:a)", "a condition"),
    ("(<>)", "a condition"),
    ("(<a>)", "a condition"),
    ("(</a>)", "a condition"),
    ("(<urn:>)", "a condition"),
    ("(<:a>)", "a condition"),
    ("(<1:a>)", "a condition"),
    ("(< urn:a>)", "a condition"),
    ("(<urn:a b>)", "a condition"),
    ("(<urn:a\x00>)", "a condition"),
    ("(<urn:a#b>)", "a condition"),
    ("(<urn:a)", "a condition"),
    # Entity tags.
    ("([])", "a condition"),
    ("([a])", "a condition"),
    ('("a")', "a condition"),
    ('(["a)', "a condition"),
    ('(["a"', "a condition"),
    ('(["a" "b"])', "a condition"),
    ('([w/"a"])', "a condition"),
    ('([W/ "a"])', "a condition"),
    ('(["a\n"])', "a condition"),
    ('(["a\x7f"])', "a condition"),
    # Resource tags.
    ("<> (<urn:a>)", "a resource"),
    ("<a/b> (<urn:a>)", "a resource"),
    ("<//h/a> (<urn:a>)", "a resource"),
    ("</a b> (<urn:a>)", "a resource"),
    ("</a#b> (<urn:a>)", "a resource"),
    ("</a (<urn:a>)", "a resource"),
    # Line ends do not belong into a field value.
    ("(<urn:a>)\n", "a list of conditions"),
    (f"{A}\n", "a list of conditions"),
]


@pytest.mark.parametrize(("value", "words"), MALFORMED)
def test_malformed(value: str, words: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_if(value)
    assert words in refused.value.text
    assert refused.value.text.endswith(".")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("(<urn:a>)", {"urn:a"}),
        ("(<urn:a> <urn:b>) (<urn:c>)", {"urn:a", "urn:b", "urn:c"}),
        ("</x> (<urn:a>) </y> (<urn:a>)", {"urn:a"}),
        # §10.4.1: the mere fact that it appears.
        ("(Not <urn:a>)", {"urn:a"}),
        ("(<DAV:no-lock>) (Not <DAV:no-lock>) (<urn:a>)", {"urn:a"}),
        ('(["a"])', set()),
        ("(<URN:a> <urn:a>)", {"URN:a", "urn:a"}),
    ],
)
def test_submitted_tokens(value: str, tokens: set[str]) -> None:
    assert parse_if(value).tokens == tokens


def at(etag: str | None, *tokens: str, weak: bool = False) -> State:
    return State(None if etag is None else ETag(etag, weak), frozenset(tokens))


NOTHING: dict[str | None, State] = {}
FREE: dict[str | None, State] = {None: at("e")}
LOCKED: dict[str | None, State] = {None: at("e", A)}
TWICE: dict[str | None, State] = {None: at("e", A, B)}
UNMAPPED: dict[str | None, State] = {None: at(None)}
UNMAPPED_LOCKED: dict[str | None, State] = {None: at(None, A)}

NO_TAG = f'(<{A}> ["I am an ETag"]) (["I am another ETag"])'
NOT = f"(Not <{A}> <{B}>)"
TRUE = f"(<{A}>) (Not <DAV:no-lock>)"
COPY = f'</resource1> (<{A}> [W/"A weak ETag"]) (["strong ETag"])'
COLLECTION = f"<http://www.example.com/specs/> (<{A}>)"

HOLDS = [
    # One condition: of a resource that is free, locked, not there, not there and locked; and unknown.
    (f"(<{A}>)", FREE, False),
    (f"(<{A}>)", LOCKED, True),
    (f"(<{A}>)", UNMAPPED, False),
    (f"(<{A}>)", UNMAPPED_LOCKED, True),
    (f"(<{A}>)", NOTHING, False),
    (f"(Not <{A}>)", FREE, True),
    (f"(Not <{A}>)", LOCKED, False),
    (f"(Not <{A}>)", UNMAPPED, True),
    (f"(Not <{A}>)", UNMAPPED_LOCKED, False),
    (f"(Not <{A}>)", NOTHING, True),
    ('(["e"])', FREE, True),
    ('(["f"])', FREE, False),
    ('(["e"])', UNMAPPED, False),
    ('(["e"])', NOTHING, False),
    ('(Not ["e"])', FREE, False),
    ('(Not ["f"])', FREE, True),
    ('(Not ["e"])', UNMAPPED, True),
    ('(Not ["e"])', NOTHING, True),
    # The comparison is strong.
    ('([W/"e"])', FREE, False),
    ('(Not [W/"e"])', FREE, True),
    ('(["e"])', {None: at("e", weak=True)}, False),
    ('([W/"e"])', {None: at("e", weak=True)}, False),
    # Tokens match exactly (§10.4.4).
    (f"(<{A.upper()}>)", LOCKED, False),
    (f"(<{A}x>)", LOCKED, False),
    # All of a list.
    (f'(<{A}> ["e"])', LOCKED, True),
    (f'(<{A}> ["f"])', LOCKED, False),
    (f'(<{A}> ["e"])', FREE, False),
    (f"(<{A}> <{B}>)", LOCKED, False),
    (f"(<{A}> <{B}>)", TWICE, True),
    # One of the lists.
    (f"(<{B}>) (<{A}>)", LOCKED, True),
    (f"(<{A}>) (<{B}>)", LOCKED, True),
    (f'(<{B}>) (["f"])', LOCKED, False),
    # What no lock has (§10.4.8); litmus: fail_cond_put_unlocked, fail_complex_cond_put.
    ("(<DAV:no-lock>)", FREE, False),
    ("(<DAV:no-lock>)", LOCKED, False),
    ("(Not <DAV:no-lock>)", FREE, True),
    ("(Not <DAV:no-lock>)", NOTHING, True),
    (f'(<{A}> ["x"]) (Not <DAV:no-lock> ["x"])', LOCKED, False),
    (f'(<{A}> ["e"]) (Not <DAV:no-lock> ["e"])', LOCKED, True),
    # The tagged resource, not the Request-URI.
    (f"</a> (<{A}>)", {None: at(None, A), "/a": at("e")}, False),
    (f"</a> (<{A}>)", {None: at(None), "/a": at("e", A)}, True),
    (f"</a> (<{A}>) </b> (<{B}>)", {"/a": at("e"), "/b": at("f", B)}, True),
    (f"</a> (<{A}>) </b> (<{B}>)", {"/a": at("e", B), "/b": at("f", A)}, False),
    (f"</a> (<{B}>) (<{A}>)", {"/a": at("e", A)}, True),
    # §10.4.6, the no-tag production.
    (NO_TAG, {None: at("I am an ETag", A)}, True),
    (NO_TAG, {None: at("I am an ETag")}, False),
    (NO_TAG, {None: at("I am another ETag")}, True),
    (NO_TAG, {None: at("I am yet another ETag", A)}, False),
    # §10.4.7, Not: "the resource must not be locked with a lock having the first token and must be with the second".
    (NOT, {None: at("e", B)}, True),
    (NOT, TWICE, False),
    (NOT, LOCKED, False),
    (NOT, FREE, False),
    # §10.4.8, always true; the token is submitted.
    (TRUE, LOCKED, True),
    (TRUE, FREE, True),
    (TRUE, UNMAPPED, True),
    # §10.4.9, tagged lists in COPY: only /resource1 matters; no weak tag matches here.
    (COPY, {"/resource1": at("strong ETag"), "/resource2": at(None)}, True),
    (COPY, {"/resource1": at("strong ETag", A)}, True),
    (COPY, {"/resource1": at("A weak ETag", A, weak=True)}, False),
    (COPY, {"/resource1": at(None), "/resource2": at("strong ETag")}, False),
    # §10.4.10, the lock of a collection.
    (COLLECTION, {None: at("e", A), "http://www.example.com/specs/": at(None, A)}, True),
    (COLLECTION, {None: at("e", A), "http://www.example.com/specs/": at(None, B)}, False),
    # §10.4.11, entity tags of what is not there.
    ('</specs/rfc2518.doc> (["4217"])', {"/specs/rfc2518.doc": at(None)}, False),
    ('</specs/rfc2518.doc> (Not ["4217"])', {"/specs/rfc2518.doc": at(None)}, True),
    # Another server's resource: nothing is known.
    (f"<http://other/a> (<{A}>)", LOCKED, False),
    (f"<http://other/a> (Not <{A}>)", LOCKED, True),
]


@pytest.mark.parametrize(("value", "states", "expected"), HOLDS)
def test_holds(value: str, states: dict[str | None, State], expected: bool) -> None:
    assert parse_if(value).holds(states.get) is expected


def test_each_resource_is_looked_up_once_and_only_while_nothing_holds() -> None:
    asked: list[str | None] = []

    def look(tag: str | None) -> State:
        asked.append(tag)
        return at("e", B)

    header = parse_if(f"</a> (<{A}>) (<{A}>) </b> (<{A}>) </a> (<{B}>) </c> (<{B}>)")
    assert header.holds(look)
    assert asked == ["/a", "/b"]


# What may stand in a URI here and in an entity tag: anything visible, but for the ends of the two.
_visible = st.characters(min_codepoint=0x21, exclude_characters="\x7f<>#")
_tokens = st.builds(
    "{}:{}".format, st.sampled_from(["urn", "DAV", "opaquelocktoken", "a+b.c-1"]), st.text(_visible, min_size=1)
)
_paths = st.builds("/{}".format, st.text(_visible).filter(lambda text: not text.startswith("/")))
_etags = st.builds(
    ETag, st.text(st.characters(min_codepoint=0x20, exclude_characters='"\x7f') | st.just("\t")), st.booleans()
)
_conditions = st.builds(Condition, st.booleans(), _tokens, st.none()) | st.builds(
    Condition, st.booleans(), st.none(), _etags
)
_lists = st.lists(_conditions, min_size=1, max_size=4).map(tuple)
_headers = st.one_of(
    st.lists(st.builds(StateList, st.none(), _lists), min_size=1, max_size=5),
    st.lists(st.builds(StateList, _paths | _tokens, _lists), min_size=1, max_size=5),
).map(lambda lists: If(tuple(lists)))

_blank = st.text(" \t", max_size=2)
_between = st.text(" \t,", max_size=3)


@given(_headers, st.data())
def test_what_is_written_with_any_white_space_is_read_back(header: If, data: st.DataObject) -> None:
    def blank() -> str:
        return data.draw(_blank)

    written, tag = data.draw(_between), None
    for each in header.lists:
        # A tag that is already in force need not be repeated.
        if each.tag != tag or (each.tag is not None and data.draw(st.booleans())):
            written += f"<{each.tag}>{blank()}"
        tag = each.tag
        written += f"({blank()}"
        for condition in each.conditions:
            written += data.draw(st.sampled_from(["Not", "not", "NOT", "nOt"])) + blank() if condition.negated else ""
            if condition.token is not None:
                written += f"<{condition.token}>{blank()}"
            else:
                written += f"[{blank()}{condition.etag}{blank()}]{blank()}"
        written += f"){data.draw(_between)}"
    assert parse_if(written) == header


@given(
    st.text()
    | st.text('()<>[]"W/Not urn:a,\t')
    | st.lists(st.sampled_from(PARSED)).map(lambda rows: "".join(row[0] for row in rows))
)
def test_any_text_is_read_or_malformed(value: str) -> None:
    try:
        header = parse_if(value)
    except Malformed:
        return
    assert len({each.tag is None for each in header.lists}) == 1
    for each in header.lists:
        assert each.tag is None or f"<{each.tag}>" in value
        for condition in each.conditions:
            assert (condition.token is None) is not (condition.etag is None)
            assert condition.token is None or condition.token in value
            assert condition.etag is None or str(condition.etag) in value


SIZE = 65_536


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        ")",
        "()",
        "<",
        ">",
        "[",
        '["',
        "[ ",
        "Not",
        "Not ",
        " ",
        ",",
        " ,",
        "(<",
        "(<a:",
        "(<a:b> ",
        "(Not ",
        '(["',
        "</a>",
        "a",
        "a:",
        "/",
    ],
)
def test_hostile_headers_are_judged_at_once(unit: str) -> None:
    for value in (unit * (SIZE // len(unit)), "(" + unit * (SIZE // len(unit)), "(<a:b>)" + unit * (SIZE // len(unit))):
        before = time.process_time()
        try:
            parse_if(value)
        except Malformed as refused:
            assert len(refused.text) < 500
        # Quadratic time would be seconds.
        assert time.process_time() - before < 0.25


@pytest.mark.parametrize("unit", ["(<a:b>)", '(Not["a"])', "</a>(<a:b>)", "(<a:b>),"])
def test_long_headers_are_read_in_linear_time(unit: str) -> None:
    count = SIZE * 4 // len(unit)
    before = time.process_time()
    assert len(parse_if(unit * count).lists) == count
    assert time.process_time() - before < 2
