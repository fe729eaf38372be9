"""Finding the hrefs in a value, by tables and by putting them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from partwise.protocol.hrefs import split_at_hrefs

D = 'xmlns:D="DAV:"'


@pytest.mark.parametrize(
    ("element", "references"),
    [
        ("<a/>", ()),
        ("<a>href</a>", ()),
        ("<a><href>/x</href></a>", ()),
        (f"<a {D}><D:href>/x</D:href></a>", ("/x",)),
        (f"<a {D}> <D:href> /x\n</D:href> and <b><D:href/></b></a>", ("/x", "")),
        ('<a xmlns="DAV:"><href>/x?a&amp;b</href><href>y</href>tail</a>', ("/x?a&b", "y")),
        (f"<a {D}><D:href>/x<D:href>/y</D:href></D:href></a>", ("/x/y",)),
        (f"<a {D}><?place ?><!--place--><D:href>/x</D:href>place</a>", ("/x",)),
        (f"<D:href {D}>/x</D:href>", ()),
    ],
)
def test_references(element: str, references: tuple[str, ...]) -> None:
    found = split_at_hrefs(element)
    assert found.references == references
    assert len(found.pieces) == len(references) + 1
    # With anything in the place of the hrefs it is a document again, and nothing else has changed.
    filled = etree.fromstring("<new/>".join(found.pieces))
    before = etree.fromstring(element)
    for href in [one for one in before.iterdescendants("{DAV:}href") if one.getparent().tag != "{DAV:}href"]:
        stand_in = etree.Element("new")
        stand_in.tail = href.tail
        href.getparent().replace(href, stand_in)
    assert etree.tostring(filled, method="c14n") == etree.tostring(before, method="c14n")


@given(st.lists(st.sampled_from(["place", "place-", "<?place ?>", "<?place-?>", f"<D:href {D}>p</D:href>", "x"])))
def test_marks_in_the_value(pieces: list[str]) -> None:
    found = split_at_hrefs(f"<a>{''.join(pieces)}</a>")
    assert len(found.references) == len([piece for piece in pieces if "D:href" in piece])
    assert len(found.pieces) == len(found.references) + 1
