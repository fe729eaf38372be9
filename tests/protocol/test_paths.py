"""Names: from the request-target to segments and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partwise.errors import Failure, ForbiddenName, Malformed, MalformedName, NotFound
from partwise.protocol.paths import Mount, Target, check_new, split_name

ROOT = Mount()
BELOW = Mount(prefix="/dav", public="/share", origin="https://files.example.org")


@pytest.mark.parametrize(
    ("mount", "raw", "target"),
    [
        (ROOT, "/", Target((), True)),
        (ROOT, "/a", Target(("a",), False)),
        (ROOT, "/a/b/", Target(("a", "b"), True)),
        (ROOT, "/a%20b", Target(("a b",), False)),
        (ROOT, "/%C3%A9", Target(("é",), False)),
        (ROOT, "/é", Target(("é",), False)),
        (ROOT, "/%FF", Target(("\udcff",), False)),
        (ROOT, "/a?x=1&y", Target(("a",), False, "x=1&y")),
        (ROOT, "/a%3Fb", Target(("a?b",), False)),
        (ROOT, "http://host:1/a/b?q", Target(("a", "b"), False, "q")),
        (ROOT, "http://host", Target((), True)),
        (ROOT, "/-/schemas/x", Target(("schemas", "x"), False, service=True)),
        (ROOT, "/%2D/schemas", Target(("schemas",), False, service=True)),
        (ROOT, "/-", Target((), False, service=True)),
        (ROOT, "/photos/-/x", Target(("photos", "-", "x"), False)),
        (BELOW, "/dav", Target((), True)),
        (BELOW, "/dav/", Target((), True)),
        (BELOW, "/dav/-/x", Target(("x",), False, service=True)),
        (BELOW, "/dav/a", Target(("a",), False)),
        # Decoded once: what is encoded twice stays encoded once.
        (ROOT, "/%252e%252e", Target(("%2e%2e",), False)),
        (ROOT, "/...", Target(("...",), False)),
    ],
)
def test_parse(mount: Mount, raw: str, target: Target) -> None:
    assert mount.parse(raw) == target


@pytest.mark.parametrize(
    ("mount", "raw", "failure"),
    [
        (ROOT, "/a/#ment", MalformedName),
        (ROOT, "/a#", MalformedName),
        (ROOT, "/%", MalformedName),
        (ROOT, "/%zz", MalformedName),
        (ROOT, "/a%0", MalformedName),
        (ROOT, "/a%00b", MalformedName),
        (ROOT, "/a//b", MalformedName),
        (ROOT, "//a", MalformedName),
        (ROOT, "/a/../b", ForbiddenName),
        (ROOT, "/a/%2e%2E/b", ForbiddenName),
        (ROOT, "/.%2e", ForbiddenName),
        (ROOT, "/./a", ForbiddenName),
        (ROOT, "/a%2Fb", ForbiddenName),
        (ROOT, "/a%2fb/%2e%2e/c", ForbiddenName),
        (ROOT, "a", Malformed),
        (ROOT, "", Malformed),
        (BELOW, "/", NotFound),
        (BELOW, "/davos/a", NotFound),
        (BELOW, "/share/a", NotFound),
    ],
)
def test_parse_refuses(mount: Mount, raw: str, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        mount.parse(raw)


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        (("a\x01",), MalformedName),
        (("a\x85",), MalformedName),
        (("\udcff",), MalformedName),
        (("a" * 256,), ForbiddenName),
        (("é" * 128,), ForbiddenName),
        (("a\\b",), ForbiddenName),
        (("C:", "x"), ForbiddenName),
        (("c:x",), ForbiddenName),
        (("a" * 200,) * 20, ForbiddenName),
    ],
)
def test_new_names_refused(path: tuple[str, ...], failure: type[Failure]) -> None:
    with pytest.raises(failure):
        check_new(path)


@pytest.mark.parametrize("path", [("a" * 255,), ("ab:c",), ("d", "c:"), ("ａ", "…"), ("-", "a"), (" a ",), ("a.",)])
def test_new_names_taken(path: tuple[str, ...]) -> None:
    check_new(path)


@pytest.mark.parametrize("path", [("-", "a"), ("-",), (".partwise",), (".PARTWISE", "x")])
def test_reserved_names(path: tuple[str, ...]) -> None:
    with pytest.raises(ForbiddenName):
        ROOT.check_new(path)


def test_reserved_names_are_reserved_at_the_top_only() -> None:
    ROOT.check_new(("photos", "-"))
    ROOT.check_new(("photos", ".partwise"))


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", ("a",)), ("a/b c", ("a", "b c")), ("100%25", ("100%25",)), ("a?b#c", ("a?b#c",))],
)
def test_split_name(name: str, path: tuple[str, ...]) -> None:
    assert split_name(name) == path


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("", MalformedName),
        ("/etc/passwd", ForbiddenName),
        ("../a", ForbiddenName),
        ("a/..", ForbiddenName),
        ("a//b", MalformedName),
        ("a/", ForbiddenName),
        ("a\0", MalformedName),
    ],
)
def test_split_name_refuses(name: str, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        split_name(name)


@pytest.mark.parametrize(
    ("mount", "reference", "path"),
    [
        (ROOT, "a%20b", ("c", "a b")),
        (ROOT, "d/a", ("c", "d", "a")),
        (ROOT, "/c/a", ("c", "a")),
        (ROOT, "http://host:8/c/a", ("c", "a")),
        (ROOT, "//HOST:8/c/a", ("c", "a")),
        (BELOW, "/share/c/a", ("c", "a")),
        (BELOW, "/dav/c/a", ("c", "a")),
        (BELOW, "https://files.example.org/share/c/a", ("c", "a")),
    ],
)
def test_resolve(mount: Mount, reference: str, path: tuple[str, ...]) -> None:
    assert mount.resolve(reference, ("c",), "host:8") == path


@pytest.mark.parametrize(
    ("reference", "failure"),
    [
        ("/other/a", ForbiddenName),
        ("/c", ForbiddenName),
        ("/c/", ForbiddenName),
        ("/cc/a", ForbiddenName),
        ("../a", ForbiddenName),
        ("a/%2e%2e/b", ForbiddenName),
        ("", ForbiddenName),
        ("d/", ForbiddenName),
        ("http://evil.example/c/a", ForbiddenName),
        ("//evil.example/c/a", ForbiddenName),
        ("ftp://host:8/c/a", ForbiddenName),
        ("file:///etc/passwd", ForbiddenName),
        ("cid:1@x", ForbiddenName),
        ("a?x", MalformedName),
        ("a#x", MalformedName),
        ("a%zz", MalformedName),
    ],
)
def test_resolve_refuses(reference: str, failure: type[Failure]) -> None:
    with pytest.raises(failure):
        ROOT.resolve(reference, ("c",), "host:8")


SEGMENT = st.text(min_size=1, max_size=20).filter(lambda s: s not in (".", "..") and "/" not in s and "\0" not in s)


@given(st.lists(SEGMENT, max_size=4).map(tuple), st.sampled_from([ROOT, Mount("/dav", "/dav")]))
def test_href_and_parse_are_inverse(path: tuple[str, ...], mount: Mount) -> None:
    path = tuple(segment.encode("utf-8", "replace").decode() for segment in path)
    href = mount.href(path)
    assert href.isascii()
    assert not set(href) & set("&<>\"' ")
    if path[:1] != ("-",):
        assert mount.parse(href).path == path


@given(st.text(max_size=60))
def test_any_target_parses_or_fails_by_meaning(raw: str) -> None:
    try:
        target = ROOT.parse("/" + raw)
    except Failure:
        return
    assert not {"", ".", ".."} & set(target.path)
    assert not any("/" in segment or "\0" in segment for segment in target.path)
