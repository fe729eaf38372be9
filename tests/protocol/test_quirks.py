"""The quirks are told from what is right, and from what is merely wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.protocol.if_header import parse_if
from partwise.protocol.locking import parse_lock_token
from partwise.protocol.paths import Mount
from partwise.protocol.quirks import bare_token, expected_length, is_apple_name, matches_nothing, means_all_members

TOKEN = "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize("field", [TOKEN, f" {TOKEN}\t", "opaquelocktoken:{GUID}2012", "a:b"])
def test_a_bare_token(field: str) -> None:
    assert bare_token(field) == field.strip()
    assert parse_lock_token(field) == field.strip()
    assert parse_if(field).tokens == {field.strip()}


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        f"<{TOKEN}>",
        f"(<{TOKEN}>)",
        f"{TOKEN}>",
        f"<{TOKEN}",
        f"{TOKEN}, {TOKEN}",
        "a b:c",
        '["etag"]',
        "uuid",
        "a:",
    ],
)
def test_no_bare_token(field: str | None) -> None:
    assert bare_token(field) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=40))
def test_no_list_is_taken_for_a_bare_token(text: str) -> None:
    """What RFC 4918 allows in ``If`` begins with ``<`` or ``(``; nothing of that is a quirk."""
    assert bare_token("(" + text) is None
    assert bare_token("<" + text) is None


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("0", 0),
        (" 4194304 ", 4194304),
        ("007", 7),
        (None, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1, 1", None),
        ("٣", None),
        ("²", None),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
    ],
)
def test_the_length_that_the_finder_announces(field: str | None, length: int | None) -> None:
    assert expected_length(field) == length


@pytest.mark.parametrize(
    ("name", "apple"),
    [
        ("._a", True),
        ("._", True),
        (".DS_Store", True),
        ("._.DS_Store", True),
        (".ds_store", False),
        ("a._", False),
        ("_.a", False),
    ],
)
def test_names_of_macos(name: str, apple: bool) -> None:
    assert is_apple_name(name) is apple


@pytest.mark.parametrize(
    ("agent", "known"),
    [
        ("python-requests/2.32.5", True),
        ("python-requests", False),
        ("x python-requests/2", False),
        (None, False),
        ("", False),
    ],
)
def test_webdavclient3_is_known_by_its_library(agent: str | None, known: bool) -> None:
    assert means_all_members(agent) is known


@pytest.mark.parametrize(
    ("field", "known"),
    [
        ("JoplinIgnore-0", True),
        (" JoplinIgnore-99999", True),
        ("JoplinIgnore-", False),
        ("JoplinIgnore-1, *", False),
        ('"JoplinIgnore-1"', False),
        ("*", False),
    ],
)
def test_joplin(field: str, known: bool) -> None:
    assert matches_nothing(field) is known


@pytest.mark.parametrize(
    ("prefix", "target", "above"),
    [
        ("/dav/files", "/", True),
        ("/dav/files", "/dav", True),
        ("/dav/files", "/dav/", True),
        ("/dav/files", "/dav?x=/", True),
        ("/dav/files", "/dav/files", False),
        ("/dav/files", "/dav/files/", False),
        ("/dav/files", "/dav/files/a", False),
        ("/dav/files", "/da", False),
        ("/dav/files", "/dav/fi", False),
        ("/dav/files", "/other", False),
        ("/dav/files", "*", False),
        ("", "/", False),
        ("", "/a", False),
    ],
)
def test_what_lies_above_the_prefix(prefix: str, target: str, above: bool) -> None:
    assert Mount(prefix, prefix).is_above(target) is above
