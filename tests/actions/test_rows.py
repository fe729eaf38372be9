"""Rows made from templates are those that the plan of each resource gives, whatever is asked and whatever is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partwise.actions.columns import COLUMNS
from partwise.actions.properties import LIVE, Facts, Source, View, framed
from partwise.actions.propfind import propfind
from partwise.actions.propstats import Asked, plan_of
from partwise.actions.rows import Rows
from partwise.protocol.limits import Limits
from partwise.protocol.multistatus import MULTISTATUS_CLOSE, MULTISTATUS_OPEN, propstat_response
from partwise.protocol.paths import Mount
from partwise.protocol.preferences import Depth
from partwise.protocol.propfind import AllProp, Prop, PropName
from partwise.storage.base import Lock, Resource
from partwise.storage.columns import Members
from partwise.storage.local.store import LocalStore

LIMITS = Limits(1, 1, None, None, (), (), (), ())
MOUNT = Mount("/a", "/a%20b&c")
#: How much is free on the disk is another number each time, and tokens are told after a comparison.
NAMES = [
    *(name for name in LIVE if "quota" not in name and "sync-token" not in name),
    "{DAV:}unknown",
    "{urn:x%s}dead",
    "{urn:x}other",
    "plain",
]
USUAL = Prop(tuple(f"{{DAV:}}{name}" for name in ("resourcetype", "getcontentlength", "getlastmodified", "getetag")))


@pytest.fixture(scope="module", params=["plain", "described", "locked"])
def view(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    folder = tmp_path_factory.mktemp("served")
    for name in ["a.txt", "b", "100%s.html", "a&b'<c>\"", "é ü.png", "line\nbreak", "c.tar.gz"]:
        (folder / name).write_bytes(name.encode())
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).touch()
    for name in ["d", "d/e", "d%d"]:
        (folder / name).mkdir()
    for number in range(300):
        (folder / "d" / "e" / f"{number}.txt").touch()
    (folder / "d" / "here").symlink_to(folder / "a.txt")
    (folder / "d" / "there").symlink_to(folder / "d%d")
    (folder / "d" / "outside").symlink_to("/")
    os.utime(folder / "b", (-10, -10))
    store = LocalStore(os.fspath(folder))
    if request.param == "described":
        for path in [(), ("a.txt",), ("d",), ("d", "e", "7.txt"), ("d", "there")]:
            values = {"{urn:x}other": '<x:other xmlns:x="urn:x">100%s</x:other>', "{DAV:}getcontenttype": "text/x-%s"}
            store.set_properties(path, values, lambda _: None)
        store.set_properties(("d%d",), {"{DAV:}displayname": "<D:displayname>%d</D:displayname>"}, lambda _: None)
    if request.param == "locked":
        store.lock(Lock("urn:t", ("d", "e"), True, True, "", None, 4e9), lambda _: None)
    yield View(store, MOUNT, "me", lambda: 1e9, LIMITS)
    store.close()


def listed(view: View, depth: Depth) -> list[Resource]:
    below = {
        Depth.ZERO: list,
        Depth.ONE: lambda: list(view.store.members(())),
        Depth.INFINITY: lambda: list(view.store.walk(())),
    }
    return [view.store.stat(()), *below[depth]()]


def one_by_one(view: View, resources: Sequence[Resource], asked: Asked, minimal: bool) -> list[str]:
    plan = plan_of(asked, minimal=minimal).plan
    stored = view.store.properties([one.path for one in resources])
    return [
        propstat_response(
            MOUNT.href(one.path, collection=one.collection), plan(Facts(one, stored.get(one.path, {}), view))
        )
        for one in resources
    ]


def rows_of(document: bytes) -> list[str]:
    text = document.decode()
    assert text.startswith(MULTISTATUS_OPEN) and text.endswith(MULTISTATUS_CLOSE)
    return text[len(MULTISTATUS_OPEN) : -len(MULTISTATUS_CLOSE)].splitlines(keepends=True)


def check(view: View, depth: Depth, asked: Asked, minimal: bool, root: bool) -> None:
    expected = one_by_one(view, listed(view, depth), asked, minimal)[0 if root else 1 :]
    found = rows_of(b"".join(propfind(view, (), depth, asked, minimal=minimal, root=root)))
    assert sorted(found) == sorted(expected)
    assert not root or found[0] == expected[0]


@pytest.mark.parametrize("depth", [Depth.ZERO, Depth.ONE, Depth.INFINITY])
@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("asked", [USUAL, AllProp(), AllProp(tuple(NAMES)), PropName(), Prop(()), Prop(tuple(NAMES))])
def test_the_document_is_that_of_each_resource(view: View, depth: Depth, minimal: bool, asked: Asked) -> None:
    check(view, depth, asked, minimal, root=True)
    if depth is not Depth.ZERO:
        check(view, depth, asked, minimal, root=False)


@settings(max_examples=40)
@given(names=st.lists(st.sampled_from(NAMES), unique=True), minimal=st.booleans(), allprop=st.booleans())
def test_any_properties(view: View, names: list[str], minimal: bool, allprop: bool) -> None:
    asked = AllProp(tuple(names)) if allprop else Prop(tuple(names))
    check(view, Depth.ONE, asked, minimal, root=True)


def test_a_collection_comes_before_its_members(view: View) -> None:
    document = b"".join(propfind(view, (), Depth.INFINITY, AllProp())).decode()
    place = document.index("<D:href>/a%20b&amp;c/d/e/</D:href>")
    assert document.index("<D:href>/a%20b&amp;c/d/</D:href>") < place
    assert place < min(document.index(f"<D:href>/a%20b&amp;c/d/e/{number}.txt</D:href>") for number in range(300))


def test_templates_are_used(view: View) -> None:
    """Else the other tests compare the slow way with itself."""
    rows = Rows(view, plan_of(USUAL, minimal=False))
    for group in view.store.scan((), False):
        rows.render(group)
    assert {kind: len(template.values) for kind, template in rows._templates.items()} == {False: 3, True: 1}


def test_what_the_table_promises_of_sources(view: View) -> None:
    """KIND is the same for all of a kind; RESOURCE and BIRTH are never empty, and there for all of a kind or for none."""
    resources = [one for one in listed(view, Depth.INFINITY) if not view.store.locks_on(one.path)]
    for name, live in LIVE.items():
        for collection in (False, True):
            values = {live.value(Facts(one, {}, view)) for one in resources if one.collection is collection}
            if live.source in (Source.KIND, Source.LOCKS):
                assert len(values) == 1, name
            elif live.source in (Source.RESOURCE, Source.BIRTH):
                assert "" not in values, name
                assert values == {None} or None not in values, name
                assert "%s" in framed(name)("%s")


def test_columns_hold_the_values_of_the_table(view: View) -> None:
    told = 0
    for group in view.store.scan((), True):
        for name, column in COLUMNS.items():
            values = [LIVE[name].value(Facts(one, {}, view)) for one in group]
            if isinstance(group, Members) and values[0] is not None:
                assert [column.before + value + column.after for value in column.values(group)] == values
                told += len(group)
    assert told > 5 * 300


def test_what_the_table_promises_of_birth(view: View) -> None:
    """Only what says so needs to know when a resource was made."""
    for one in listed(view, Depth.ONE):
        for name, live in LIVE.items():
            if live.source is not Source.BIRTH and "quota" not in name:
                facts = Facts(one, {}, view)
                assert live.value(facts) == live.value(facts._replace(resource=one._replace(created_ns=0))), name
