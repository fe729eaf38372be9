"""REPORT over a real socket: a client that only asks what has changed knows what is there."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import Serve
from tests.harness import Answer, Client, Row, running

D = "{DAV:}"


def body(token: str = "", level: str | None = "infinite", most: int | None = None, prop: str = "<getetag/>") -> bytes:
    parts = f"<sync-token>{token}</sync-token>"
    if level is not None:
        parts += f"<sync-level>{level}</sync-level>"
    if most is not None:
        parts += f"<limit><nresults>{most}</nresults></limit>"
    return f'<sync-collection xmlns="DAV:">{parts}<prop>{prop}</prop></sync-collection>'.encode()


def token_of(answer: Answer) -> str:
    token = answer.xml.findtext(f"{D}sync-token")
    assert token
    return token


def status_of(row: Row) -> int:
    """Of the resource, not of its properties."""
    line = row.element.findtext(f"{D}status")
    return 200 if line is None else int(line.split()[1])


class Mirror:
    """What a client knows that never lists a collection: hrefs and entity tags."""

    def __init__(self, client: Client, target: str = "/", level: str = "infinite", most: int | None = None) -> None:
        self.client, self.target, self.level, self.most = client, target, level, most
        self.token = ""
        self.known: dict[str, str | None] = {}
        #: What the last sync told: href → status.
        self.told: dict[str, int] = {}
        self.requests = 0

    async def sync(self) -> None:
        self.told, self.requests, more = {}, 0, True
        while more:
            asked = body(self.token, self.level, self.most)
            answer = await self.client.request("REPORT", self.target, asked, Depth="0")
            assert answer.status == 207, answer.body
            self.token, more = token_of(answer), False
            self.requests += 1
            rows = answer.rows
            if self.most is not None:
                assert len([row for row in rows if status_of(row) != 507]) <= self.most
            for row in rows:
                status = status_of(row)
                if status == 507:
                    assert (row.href, row.error) == (self.target, "number-of-matches-within-limits")
                    more = True
                    continue
                assert row.href.startswith(self.target) and row.href != self.target
                self.take(row.href, status, row.element.findtext(f".//{D}getetag"))
            assert not more or len(rows) > 1, "no progress"

    def take(self, href: str, status: int, etag: str | None) -> None:
        self.told[href] = status
        self.known.pop(href.rstrip("/") if href.endswith("/") else f"{href}/", None)
        if status == 404:
            for known in [known for known in self.known if known == href or known.startswith(f"{href.rstrip('/')}/")]:
                del self.known[known]
        else:
            # A file under a collection's name leaves the client no members.
            self.known[href] = etag


async def listed(client: Client, target: str = "/", depth: str = "infinity") -> dict[str, str | None]:
    asked = b'<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
    answer = await client.request("PROPFIND", target, asked, Depth=depth)
    return {row.href: row.element.findtext(f".//{D}getetag") for row in answer.rows if row.href != target}


@pytest.fixture
def tree(folder: Path) -> Path:
    (folder / "c" / "d").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "c" / "e").write_bytes(b"2")
    (folder / "c" / "d" / "f").write_bytes(b"3")
    return folder


async def test_initial(tree: Path, client: Client) -> None:
    """RFC 6578 §3.4: all members, with the properties asked for, and a token."""
    for level, hrefs in {"infinite": {"/a", "/c/", "/c/e", "/c/d/", "/c/d/f"}, "1": {"/a", "/c/"}}.items():
        answer = await client.request("REPORT", "/", body(level=level, prop="<getcontentlength/>"))
        assert answer.status == 207
        assert {row.href for row in answer.rows} == hrefs
        assert {row.href: row.element.findtext(f".//{D}getcontentlength") for row in answer.rows}["/a"] == "1"
        assert answer.xml[-1].tag == f"{D}sync-token"
        # Nothing has happened since: no responses, and the same token.
        again = await client.request("REPORT", "/", body(token_of(answer), level))
        assert (again.rows, token_of(again)) == ([], token_of(answer))


PROPPATCH = b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">%s</x></prop></set></propertyupdate>'


async def changed(mirror: Mirror) -> dict[str, int]:
    await mirror.sync()
    assert mirror.known == await listed(mirror.client, mirror.target)
    return mirror.told


async def test_changes_through_the_server(tree: Path, client: Client) -> None:
    """RFC 6578 §3.5: what is told of each kind of change."""
    mirror = Mirror(client)
    await mirror.sync()

    async def told(method: str, target: str, data: bytes = b"", **headers: str) -> dict[str, int]:
        answer = await client.request(method, target, data, **headers)
        assert answer.status < 300
        return await changed(mirror)

    assert await told("PUT", "/a", b"more") == {"/a": 200}
    assert await told("PUT", "/c/d/new", b"x") == {"/c/d/new": 200}
    assert await told("PROPPATCH", "/c/e", PROPPATCH % b"1") == {"/c/e": 200}
    assert await told("PROPPATCH", "/c/", PROPPATCH % b"2") == {"/c/": 200}
    assert await told("PROPPATCH", "/c/", PROPPATCH % b"2") == {}
    assert await told("MKCOL", "/m") == {"/m/": 200}
    assert await told("DELETE", "/a") == {"/a": 404}
    assert await told("MOVE", "/c/e", Destination="/e") == {"/c/e": 404, "/e": 200}
    # Members of a collection that is gone are not told.
    assert await told("MOVE", "/c", Destination="/x") == {
        "/c/": 404,
        **dict.fromkeys(["/x/", "/x/d/", "/x/d/f", "/x/d/new"], 200),
    }
    assert await told("COPY", "/x/d/", Destination="/m/d/") == dict.fromkeys(["/m/d/", "/m/d/f", "/m/d/new"], 200)
    assert await told("DELETE", "/x/d/f") == {"/x/d/f": 404}
    assert await told("DELETE", "/x/") == {"/x/": 404}
    # A lock is no change.
    lock = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    assert await told("LOCK", "/m/d/f", lock) == {}


async def test_changes_behind_the_servers_back(tree: Path, client: Client) -> None:
    mirror = Mirror(client)
    await mirror.sync()
    (tree / "a").write_bytes(b"other")
    (tree / "c" / "d").rename(tree / "d")
    assert await changed(mirror) == {"/a": 200, "/c/d/": 404, "/d/": 200, "/d/f": 200}
    # Gone and made again: changed, never removed (RFC 6578 §3.5.1); its former member is.
    shutil.rmtree(tree / "d")
    await Mirror(client).sync()
    (tree / "d").mkdir()
    (tree / "d" / "g").write_bytes(b"")
    assert await changed(mirror) == {"/d/": 200, "/d/g": 200, "/d/f": 404}
    (tree / "a").unlink()
    await Mirror(client).sync()
    (tree / "a").write_bytes(b"again")
    assert await changed(mirror) == {"/a": 200}
    # A file in the place of a collection, and the other way round.
    shutil.rmtree(tree / "d")
    (tree / "d").write_bytes(b"")
    (tree / "a").unlink()
    (tree / "a").mkdir()
    assert await changed(mirror) == {"/d": 200, "/d/g": 404, "/a/": 200}


async def test_what_is_not_served_is_not_told(tree: Path, client: Client, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / "leads-out").symlink_to(tmp_path / "outside")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    (tree / os.fsdecode(b"\xff&")).write_bytes(b"")
    mirror = Mirror(client)
    await mirror.sync()
    assert set(mirror.known) == {"/a", "/c/", "/c/e", "/c/d/", "/c/d/f", "/%FF%26"}


async def test_links_to_collections(tree: Path, client: Client) -> None:
    """Members have one name each; the link is told as what it is, and can be asked by itself (RFC 6578 §3.3)."""
    (tree / "link").symlink_to("c")
    (tree / "c" / "loop").symlink_to("..")
    answer = await client.request("REPORT", "/", body())
    rows = {row.href: (status_of(row), row.error) for row in answer.rows}
    assert rows["/link/"] == rows["/c/loop/"] == (403, "sync-traversal-supported")
    assert {href for href, row in rows.items() if row == (200, None)} == {"/a", "/c/", "/c/e", "/c/d/", "/c/d/f"}
    assert {row.href for row in (await client.request("REPORT", "/", body(level="1"))).rows} == {"/a", "/c/", "/link/"}
    inside = await client.request("REPORT", "/link/", body(level="1"))
    assert {row.href for row in inside.rows} == {"/link/e", "/link/d/", "/link/loop/"}
    # Another collection under the same name begins anew.
    (tree / "link").unlink()
    (tree / "link").symlink_to("c/d")
    answer = await client.request("REPORT", "/link/", body(token_of(inside), "1"))
    assert (answer.status, answer.error) == (403, "valid-sync-token")


async def test_level_one(tree: Path, client: Client) -> None:
    mirror = Mirror(client, level="1")
    await mirror.sync()
    (tree / "c" / "deep").write_bytes(b"")
    await mirror.sync()
    assert mirror.told == {}
    shutil.rmtree(tree / "c")
    (tree / "a").write_bytes(b"changed")
    await mirror.sync()
    assert mirror.told == {"/c/": 404, "/a": 200}
    assert mirror.known == await listed(client, depth="1")


async def test_a_subtree(tree: Path, client: Client) -> None:
    whole, part = Mirror(client), Mirror(client, "/c/")
    await whole.sync()
    await part.sync()
    (tree / "c" / "d" / "f").write_bytes(b"changed")
    (tree / "a").write_bytes(b"changed")
    assert await changed(part) == {"/c/d/f": 200}
    assert await changed(whole) == {"/c/d/f": 200, "/a": 200}
    shutil.rmtree(tree / "c")
    assert (await client.request("REPORT", "/c/", body(part.token))).status == 404
    (tree / "c").mkdir()
    assert await changed(part) == {"/c/e": 404, "/c/d/": 404}
    told = await changed(whole)
    # That it is another collection can be seen where the medium tells when a directory was made.
    assert told.pop("/c/", 200) == 200 and told == {"/c/e": 404, "/c/d/": 404}


async def test_stopped_meanwhile(tree: Path) -> None:
    """Also what happened while no server ran is found, and tokens hold across restarts."""
    async with running(tree) as server, Client(server) as client:
        mirror = Mirror(client)
        await mirror.sync()
    (tree / "a").unlink()
    (tree / "c" / "e").rename(tree / "e")
    (tree / "c" / "d" / "f").write_bytes(b"changed")
    async with running(tree) as server, Client(server) as client:
        mirror.client = client
        assert await changed(mirror) == {"/a": 404, "/c/e": 404, "/e": 200, "/c/d/f": 200}
        assert await changed(mirror) == {}
    shutil.rmtree(tree / ".partwise")
    async with running(tree) as server, Client(server) as client:
        answer = await client.request("REPORT", "/", body(mirror.token))
        assert (answer.status, answer.error) == (403, "valid-sync-token")


async def test_two_servers_on_one_folder(tree: Path) -> None:
    async with (
        running(tree) as one,
        running(tree) as two,
        Client(one) as first,
        Client(two) as second,
    ):
        mirror = Mirror(first)
        await mirror.sync()
        await second.request("PUT", "/c/new", b"")
        await Mirror(second).sync()
        mirror.client = second
        assert await changed(mirror) == {"/c/new": 200}
        mirror.client = first
        assert await changed(mirror) == {}


@pytest.mark.parametrize("most", [1, 2, 7])
async def test_truncated(tree: Path, serve: Serve, most: int) -> None:
    """RFC 6578 §3.6: in parts, each with a token to go on from; each change once."""
    client = await serve(max_sync=7)
    for number in range(20):
        (tree / "c" / f"{number}").write_bytes(b"")
    mirror = Mirror(client, most=most)
    await mirror.sync()
    assert mirror.known == await listed(client) and mirror.requests == -(-25 // most)
    for number in range(0, 20, 2):
        (tree / "c" / f"{number}").unlink()
    (tree / "a").write_bytes(b"changed")
    assert set((await changed(mirror)).values()) == {200, 404}
    # By the server's own limit, and a client's beyond it.
    for limit in (None, 1000):
        rows = (await client.request("REPORT", "/", body(most=limit))).rows
        assert len(rows) == 8 and status_of(rows[-1]) == 507


async def test_changes_between_the_parts_of_an_answer(tree: Path, client: Client) -> None:
    for number in range(10):
        (tree / f"n{number}").write_bytes(b"")
    mirror = Mirror(client, most=3)
    answer = await client.request("REPORT", "/", body(most=3))
    mirror.token = token_of(answer)
    for row in answer.rows:
        if status_of(row) != 507:
            mirror.take(row.href, status_of(row), row.element.findtext(f".//{D}getetag"))
    for path in sorted(tree.glob("n*"))[::2]:
        path.unlink()
    (tree / "a").write_bytes(b"changed")
    await changed(mirror)


TOKEN = "urn:partwise:sync:"


@pytest.mark.parametrize("token", ["x", "urn:x", TOKEN, f"{TOKEN}0:0:1", f"{TOKEN}abc:def:1:members:more", "&lt;", "0"])
async def test_tokens_of_somebody_else(client: Client, token: str) -> None:
    answer = await client.request("REPORT", "/", body(token))
    assert (answer.status, answer.error) == (403, "valid-sync-token")


async def test_tokens_of_another_collection_level_or_time(tree: Path, client: Client) -> None:
    async def status(target: str, token: str, level: str = "infinite") -> int:
        return (await client.request("REPORT", target, body(token, level))).status

    deep = token_of(await client.request("REPORT", "/", body()))
    shallow = token_of(await client.request("REPORT", "/", body(level="1")))
    assert await status("/c/", deep) == 403
    assert (await status("/", shallow), await status("/", shallow, "1"), await status("/", deep, "1")) == (
        403,
        207,
        207,
    )
    head, _, number = deep.rpartition(":")
    assert await status("/", f"{head}:{int(number) + 1}") == 403
    # Without collections below, the levels are the same.
    flat = token_of(await client.request("REPORT", "/c/d/", body(level="1")))
    assert await status("/c/d/", flat) == 207


@pytest.mark.parametrize(
    ("target", "data", "depth", "status", "error"),
    [
        ("/", body(), "1", 400, "malformed"),
        ("/", body(), "infinity", 400, "malformed"),
        ("/", body(), "2", 400, "malformed"),
        ("/", body(level=None), "0", 400, "malformed"),
        ("/", body(level=None), None, 400, "malformed"),
        ("/", body(level="2"), None, 422, "schema-invalid"),
        ("/", b"", None, 400, "not-well-formed"),
        ("/", b'<version-tree xmlns="DAV:"/>', None, 403, "supported-report"),
        ("/a", body(), None, 403, "supported-report"),
        ("/a/", body(), None, 404, None),
        ("/nowhere", body(), None, 404, None),
        ("/.partwise", body(), None, 404, None),
        ("/.partwise/staging/", body(), None, 404, None),
        ("/", b'<expand-property xmlns="DAV:"/>', "1", 400, "malformed"),
        ("/nowhere", b'<expand-property xmlns="DAV:"/>', "0", 404, None),
    ],
)
async def test_refused(
    tree: Path, client: Client, target: str, data: bytes, depth: str | None, status: int, error: str | None
) -> None:
    answer = await client.request("REPORT", target, data, **({} if depth is None else {"Depth": depth}))
    assert (answer.status, answer.error) == (status, error)


async def test_a_body_of_any_length(serve: Serve) -> None:
    client = await serve(max_protocol_body=1000)
    assert (await client.request("REPORT", "/", b" " * 1001)).status == 413


async def test_clients_of_the_drafts(tree: Path, client: Client) -> None:
    """Without a sync-level the Depth header tells the same."""
    answer = await client.request("REPORT", "/", body(level=None), Depth="1")
    assert {row.href for row in answer.rows} == {"/a", "/c/"}
    answer = await client.request("REPORT", "/", body(level=None), Depth="infinity")
    assert len(answer.rows) == 5


async def test_infinity_may_be_forbidden(tree: Path, serve: Serve) -> None:
    client = await serve(infinite_depth=False)
    answer = await client.request("REPORT", "/", body())
    assert (answer.status, answer.error) == (403, "sync-traversal-supported")
    assert (await client.request("REPORT", "/", body(level="1"))).status == 207


# -- properties


async def test_the_properties(tree: Path, client: Client) -> None:
    """RFC 6578 §4, RFC 3253 §3.1.5: told when asked for by name, and only then."""
    asked = b'<propfind xmlns="DAV:"><prop><sync-token/><supported-report-set/></prop></propfind>'
    rows = {row.href: row.element for row in (await client.request("PROPFIND", "/", asked, Depth="1")).rows}
    token = rows["/"].findtext(f".//{D}sync-token")
    assert token and rows["/a"].findtext(f".//{D}sync-token") == ""
    for href, reports in {"/": ["sync-collection", "expand-property"], "/a": ["expand-property"]}.items():
        found = rows[href].iterfind(f".//{D}supported-report-set/{D}supported-report/{D}report/*")
        assert [one.tag for one in found] == [f"{D}{name}" for name in reports]
    answer = await client.request("REPORT", "/", body(token))
    assert (answer.rows, token_of(answer)) == ([], token)
    (tree / "c" / "e").write_bytes(b"changed")
    [row] = (await client.request("PROPFIND", "/", asked, Depth="0")).rows
    assert row.element.findtext(f".//{D}sync-token") != token
    assert {row.href for row in (await client.request("REPORT", "/", body(token))).rows} == {"/c/e"}
    everything = await client.request("PROPFIND", "/", Depth="0")
    assert b"sync-token" not in everything.body and b"supported-report-set" not in everything.body
    for target in ("/", "/a"):
        assert "REPORT" in (await client.request("OPTIONS", target)).headers["Allow"]


async def test_dead_properties_in_the_answer(tree: Path, client: Client) -> None:
    mirror = Mirror(client)
    await mirror.sync()
    await client.request("PROPPATCH", "/a", PROPPATCH % b"value")
    prop = '<x xmlns="urn:x"/><nosuch/>'
    [row] = (await client.request("REPORT", "/", body(mirror.token, prop=prop))).rows
    assert row.element.findtext(".//{urn:x}x") == "value"
    assert row.element.find(f"{D}propstat[2]/{D}prop/{D}nosuch") is not None
    minimal = await client.request("REPORT", "/", body(mirror.token, prop=prop), Prefer="return=minimal")
    assert minimal.headers["Preference-Applied"] == "return=minimal" and b"nosuch" not in minimal.body


# -- expand-property


def refer(*hrefs: str) -> bytes:
    inner = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    return (
        '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
        f'<r:refs xmlns:r="urn:r" xmlns="urn:other"><r:group>to {inner} and so on</r:group></r:refs>'
        "</D:prop></D:set></D:propertyupdate>"
    ).encode()


REFS = '<property name="refs" namespace="urn:r">%s</property>'


def expansion(inner: str) -> bytes:
    return f'<expand-property xmlns="DAV:">{inner}</expand-property>'.encode()


async def test_expand_property(tree: Path, client: Client) -> None:
    """RFC 3253 §3.8: responses in the place of hrefs, as far as they are resources of this server."""
    here = f"http://127.0.0.1:{client.port}"
    hrefs = ["/c/e", f"{here}/c/", "/nowhere", "http://elsewhere.example/a", "/.partwise/state.db", "mailto:a@b"]
    assert (await client.request("PROPPATCH", "/a", refer(*hrefs))).status == 207
    await client.request("PROPPATCH", "/c/e", refer("/a"))
    size = '<property name="getcontentlength"/><property name="colour" namespace=""/>'
    answer = await client.request("REPORT", "/a", expansion(size + REFS % (size + REFS % size)))
    [row] = answer.rows
    assert row.element.findtext(f"{D}propstat/{D}prop/{D}getcontentlength") == "1"
    group = row.element.find(f"{D}propstat/{D}prop/{{urn:r}}refs/{{urn:r}}group")
    assert group is not None and group.text == "to " and group[-1].tail == " and so on"
    found = [(one.tag, one.text if one.tag == f"{D}href" else one.findtext(f"{D}href")) for one in group]
    assert found == [
        (f"{D}response", "/c/e"),
        (f"{D}response", "/c/"),
        (f"{D}response", "/nowhere"),
        (f"{D}href", "http://elsewhere.example/a"),
        (f"{D}response", "/.partwise/state.db"),
        (f"{D}href", "mailto:a@b"),
    ]
    statuses = [one.findtext(f"{D}status") for one in group if one.tag == f"{D}response"]
    assert statuses == [None, None, "HTTP/1.1 404 Not Found", "HTTP/1.1 404 Not Found"]
    assert group[0].findtext(f"{D}propstat/{D}prop/{D}getcontentlength") == "1"
    back = group[0].find(f".//{{urn:r}}group/{D}response")
    assert back is not None and back.findtext(f"{D}href") == "/a"
    assert group[1].find(f"{D}propstat/{D}prop/colour") is not None


async def test_expand_property_without_anything_to_expand(tree: Path, client: Client) -> None:
    await client.request("PROPPATCH", "/a", refer("/c/e"))
    [row] = (await client.request("REPORT", "/a", expansion(REFS % "" + '<property name="add-member"/>'))).rows
    assert row.element.findtext(f".//{{urn:r}}group/{D}href") == "/c/e"
    [row] = (
        await client.request("REPORT", "/", expansion('<property name="add-member"><property name="x"/></property>'))
    ).rows
    assert row.element.findtext(f".//{D}add-member/{D}href") == "/?add-member"
    assert (await client.request("REPORT", "/", expansion(""))).status == 207


async def test_expand_property_is_bounded(tree: Path, client: Client) -> None:
    """A resource that refers to itself many times, on many levels."""
    assert (await client.request("PROPPATCH", "/a", refer(*["/a"] * 40))).status == 207
    inner = '<property name="getetag"/>'
    for _ in range(6):
        inner = REFS % inner
    answer = await client.request("REPORT", "/a", expansion(inner))
    responses = list(answer.xml.iter(f"{D}response"))
    full = [one for one in responses if one.find(f"{D}propstat") is not None]
    assert len(full) == 1000
    assert {one.findtext(f"{D}status") for one in responses if one not in full} == {"HTTP/1.1 507 Insufficient Storage"}


# -- many at once


async def test_many_at_once(tree: Path) -> None:
    """Nothing is lost, whoever compares while others do, through two servers, and while the tree changes."""
    names = [f"{number:02}" for number in range(12)]
    async with running(tree) as one, running(tree) as two, Client(one) as first, Client(two) as second:
        mirrors = [
            Mirror(client, level=level, most=most)
            for client in (first, second)
            for level in ("1", "infinite")
            for most in (None, 5)
        ]

        async def write(client: Client, mine: Iterable[str]) -> None:
            for name in mine:
                await client.request("PUT", f"/{name}", b"")
                await client.request("MKCOL", f"/c/{name}")
                await client.request("PUT", f"/c/{name}/x", b"1")
                (tree / "c" / name / "y").write_bytes(b"")
                await client.request("MOVE", f"/c/{name}", Destination=f"/c/d/{name}")
                (tree / name).unlink()

        async def follow(mirror: Mirror) -> None:
            for _ in range(3):
                await mirror.sync()

        await asyncio.gather(write(first, names[::2]), write(second, names[1::2]), *map(follow, mirrors))
        for mirror in mirrors:
            await mirror.sync()
            depth = "1" if mirror.level == "1" else "infinity"
            assert mirror.known == await listed(mirror.client, depth=depth)
            await mirror.sync()
            assert mirror.told == {}


# -- anything

NAMES = ["a", "a0", "a.b", "b"]
PLACES = [*NAMES, *(f"{one}/{two}" for one in NAMES[:3] for two in NAMES[:3]), "a/a/a", "a/a/b", "a/a.b/a"]
CHANGE = st.tuples(
    st.sampled_from(["put", "write", "mkcol", "mkdir", "delete", "rm", "move", "rename", "copy", "patch", "sync"]),
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
)


def by_hand(folder: Path, change: str, one: str, two: str) -> None:
    path, other = folder / one, folder / two
    try:
        match change:
            case "write":
                path.write_bytes(os.urandom(3))
            case "mkdir":
                path.mkdir()
            case "rm" if path.is_dir():
                shutil.rmtree(path)
            case "rm":
                path.unlink()
            case "rename":
                path.rename(other)
    except OSError:
        pass


async def through_the_server(client: Client, change: str, one: str, two: str, number: int) -> None:
    headers = {"Destination": f"/{two}"} if change in ("move", "copy") else {}
    data = {"put": b"%d" % number, "patch": PROPPATCH % (b"%d" % (number % 2))}.get(change)
    method = {"patch": "PROPPATCH"}.get(change, change.upper())
    await client.request(method, f"/{one}", data, **headers)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGE, min_size=4, max_size=40), st.sampled_from([None, 1, 3]))
def test_a_mirror_is_the_tree(tmp_path_factory: pytest.TempPathFactory, changes: list[Any], most: int | None) -> None:
    """Whatever is done, through the server and by hand: after each sync the client has what PROPFIND would list."""

    async def run() -> None:
        folder = tmp_path_factory.mktemp("served")
        async with running(folder) as server, Client(server) as client:
            mirrors = [Mirror(client, most=most), Mirror(client, level="1", most=most)]
            for number, (change, one, two) in enumerate([*changes, ("sync", "", "")]):
                if change in ("write", "mkdir", "rm", "rename"):
                    by_hand(folder, change, one, two)
                elif change != "sync":
                    await through_the_server(client, change, one, two, number)
                else:
                    # Sometimes one level lags behind the other.
                    for mirror in mirrors if number % 3 or not one else mirrors[:1]:
                        await mirror.sync()
                        depth = "1" if mirror.level == "1" else "infinity"
                        assert mirror.known == await listed(client, depth=depth)

    asyncio.run(run())
