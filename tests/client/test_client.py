"""The client against the real server: what was sent is there, whatever happens to the connection."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import bcrypt
import pytest
from tests.client.wires import wires
from tests.conftest import Serve
from tests.harness import Client as Server
from tests.harness import running

from partwise.client import CannotConnect, Client, Item, Options, Progress, Refused, Row, find, pacing


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """300 files of up to 3,000 bytes, and one of 1 MB."""
    folder, chance = tmp_path / "source", random.Random(4)
    for number in range(300):
        (folder / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (folder / f"d{number % 7}" / f"{number}.bin").write_bytes(chance.randbytes(chance.randrange(3000)))
    (folder / "large").write_bytes(chance.randbytes(1_000_000))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith(".partwise"):
            found[name] = path.read_bytes()
    return found


@pytest.fixture
async def pushing(client: Server) -> AsyncIterator[Client]:
    async with Client(f"http://127.0.0.1:{client.port}/") as found:
        yield found


async def push(client: Client, items: list[Item], *arguments: Options, **named: object) -> list[Row]:
    return [row async for row in client.push(items, *arguments, **named)]  # type: ignore[arg-type]


async def test_everything_arrives_once_with_its_time(pushing: Client, source: Path, folder: Path) -> None:
    items = find([f"{source}/"]).items
    events: list[Progress] = []
    rows = await push(pushing, items, show=events.append)
    assert sorted(row.item.name for row in rows) == sorted(item.name for item in items)
    assert {row.status for row in rows} == {201}
    assert contents(folder) == contents(source)
    assert (folder / "large").stat().st_mtime_ns == (source / "large").stat().st_mtime_ns
    assert events[0] == Progress("begun", 1, 301, sum(item.size for item in items))
    assert events[-1].event == "ended"
    assert sum(event.items for event in events if event.event == "sent") == 301
    # And again: nothing has to be sent.
    listing = await pushing.list()
    assert all(listing.holds(item) for item in items)
    assert listing.files.keys() == {item.name for item in items}


async def test_a_collection_below(client: Server, source: Path, folder: Path) -> None:
    (folder / "a b").mkdir()
    async with Client(f"http://127.0.0.1:{client.port}/a b") as below:
        rows = await push(below, find([str(source / "d0")]).items)
        assert {row.status for row in rows} == {201}
        assert contents(folder / "a b/d0") == contents(source / "d0")
        assert set((await below.list("d0")).files) == {row.item.name for row in rows}
        shallow = await below.list(deep=False)
        assert (shallow.collections, shallow.files) == ({"", "d0"}, {})
        assert not (await below.list("none")).collections


async def test_failures_are_told_with_their_reasons(pushing: Client, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/bad.xml").write_text("<a>")
    (tmp_path / "s/good.xml").write_text("<a/>")
    (tmp_path / "s/taken").write_text("")
    (folder / "taken").mkdir()
    gone = Item("gone", str(tmp_path / "s/gone"), 1, 0)
    rows = {
        row.item.name: row for row in await push(pushing, [*find([f"{tmp_path}/s/"]).items, gone], Options(types=True))
    }
    assert rows["good.xml"].good
    bad = rows["bad.xml"]
    assert (bad.status, bad.condition, bad.issues[0].line) == (400, "not-well-formed", 1)
    assert rows["taken"].status == 405
    assert rows["gone"].status is None
    assert rows["gone"].text == "The file cannot be read: No such file or directory."


async def test_all_or_nothing(pushing: Client, source: Path, folder: Path) -> None:
    (source / "bad.xml").write_text("<a>")
    items = find([f"{source}/"]).items
    rows = await push(pushing, items, Options(atomic=True, types=True))
    assert {row.item.name: row.status for row in rows} == {item.name: 424 for item in items} | {"bad.xml": 400}
    assert not contents(folder)
    (source / "bad.xml").write_text("<a/>")
    rows = await push(pushing, find([f"{source}/"]).items, Options(atomic=True, types=True))
    assert {row.status for row in rows} == {201}
    assert contents(folder) == contents(source)


async def test_a_dry_run_stores_nothing(pushing: Client, source: Path, folder: Path) -> None:
    rows = await push(pushing, find([f"{source}/"]).items, Options(dry_run=True))
    assert {(row.status, row.would) for row in rows} == {(200, 201)}
    assert not contents(folder)


async def test_batches_fit_the_servers_limits(serve: Serve, source: Path, folder: Path) -> None:
    server = await serve(max_items=40, max_batch_size=60_000, max_item_size=50_000)
    async with Client(f"http://127.0.0.1:{server.port}/") as client:
        limits = await client.limits()
        assert (limits.items, limits.bytes, limits.item_size) == (40, 60_000, 50_000)
        rows = await push(client, find([f"{source}/"]).items)
        assert {row.item.name for row in rows if not row.good} == {"large"}
        assert [(row.status, row.condition) for row in rows if not row.good] == [(None, "too-large")]
        small = {name: body for name, body in contents(source).items() if name != "large"}
        assert contents(folder) == small
        with pytest.raises(ValueError, match="'large' cannot be stored"):
            await push(client, find([f"{source}/"]).items, Options(atomic=True))
        with pytest.raises(ValueError, match="40 at most as a whole"):
            await push(client, find([str(source / f"d{number}") for number in range(7)]).items, Options(atomic=True))


@pytest.mark.parametrize("seed", range(6))
async def test_a_connection_that_is_cut_again_and_again(client: Server, source: Path, folder: Path, seed: int) -> None:
    total = sum(len(body) for body in contents(source).values())
    chance = random.Random(seed)
    cuts = [0 if seed == 0 else chance.randrange(total) for _ in range(4)]
    items = find([f"{source}/"]).items
    async with wires(client.port, cuts) as wire, Client(f"http://127.0.0.1:{wire.port}/") as pushing:
        rows = await push(pushing, items)
        assert wire.uploads >= 2
    assert sorted(row.item.name for row in rows) == sorted(item.name for item in items)
    assert all(row.good for row in rows)
    assert contents(folder) == contents(source)


async def test_only_what_was_not_stored_travels_again(client: Server, source: Path, folder: Path) -> None:
    items = find([f"{source}/"]).items
    small = [item for item in items if item.name != "large"]
    total, before = sum(item.size for item in small), {}
    async with wires(client.port, [total * 3 // 4]) as wire, Client(f"http://127.0.0.1:{wire.port}/") as pushing:
        async with aclosing(pushing.push(small)) as rows:
            async for row in rows:
                before[row.item.name] = row
        assert wire.uploads == 2
    # 204 is the answer to what was there already: nothing, or the one item whose row was lost with the connection.
    assert sum(row.status == 204 for row in before.values()) <= 1
    assert len(before) == len(small)


@pytest.mark.parametrize("cut", [900_000])
async def test_an_atomic_batch_that_is_cut(client: Server, source: Path, folder: Path, cut: int) -> None:
    items = find([f"{source}/"]).items
    async with wires(client.port, [cut]) as wire, Client(f"http://127.0.0.1:{wire.port}/") as pushing:
        rows = await push(pushing, items, Options(atomic=True))
    assert len(rows) == len(items)
    assert {row.status for row in rows} == {201}
    assert contents(folder) == contents(source)


async def test_a_server_that_comes_back_elsewhere(source: Path, folder: Path) -> None:
    """The first server is stopped in the middle of the upload; another one serves the folder on."""
    items = find([f"{source}/"]).items
    found: list[Row] = []
    async with wires(0) as wire, Client(f"http://127.0.0.1:{wire.port}/") as pushing:
        async with running(folder, grace=0.1) as first:
            wire.upstream = first.port
            rows = pushing.push(items, jobs=1)
            found.append(await anext(rows))
        async with running(folder) as second:
            wire.upstream = second.port
            found += [row async for row in rows]
    assert sorted(row.item.name for row in found) == sorted(item.name for item in items)
    assert all(row.good for row in found)
    assert contents(folder) == contents(source)


@pytest.mark.parametrize("public_url", ["https://files.example.org/pub/", "https://files.example.org/share/new/"])
async def test_past_the_proxy(serve: Serve, source: Path, folder: Path, public_url: str) -> None:
    """What the server calls its resources is not what they are called here."""
    server = await serve(prefix="/share", public_url=public_url)
    items = find([f"{source}/"]).items
    async with wires(server.port, [150_000] * 3) as wire, Client(f"http://127.0.0.1:{wire.port}/share/new/") as pushing:
        await pushing.make_collection()
        assert all([row.good async for row in pushing.push(items, jobs=1)])
        listing = await pushing.list()
        assert all(listing.holds(item) for item in items)
        assert [row.status async for row in pushing.delete({items[0].name: listing.files[items[0].name]})] == [204]
    assert sorted(contents(folder / "new")) == sorted(item.name for item in items[1:])


async def test_patience_has_an_end(client: Server, source: Path) -> None:
    async with wires(client.port, [0] * 1000) as wire, Client(f"http://127.0.0.1:{wire.port}/") as pushing:
        rows = await push(pushing, find([str(source / "d1")]).items, Options(patience=0.05))
    assert rows
    assert {(row.status, row.good) for row in rows} == {(None, False)}


async def test_whoever_stops_reading_stops_the_upload(pushing: Client, source: Path) -> None:
    async with aclosing(pushing.push(find([f"{source}/"]).items)) as rows:
        async for _ in rows:
            break


async def test_deleting(pushing: Client, folder: Path) -> None:
    (folder / "d/e").mkdir(parents=True)
    for name in ("d/e/1", "changed", "gone", "kept"):
        (folder / name).write_text(name)
    stored = (await pushing.list()).files
    (folder / "changed").write_text("by somebody else")
    (folder / "gone").unlink()
    rows = pushing.delete({"d": None, "changed": stored["changed"], "gone": stored["gone"]})
    found = {row.item.name: row.status async for row in rows}
    assert found == {"d": 204, "changed": 412, "gone": 204}
    assert sorted(contents(folder)) == ["changed", "kept"]


async def test_what_cannot_be_begun(client: Server, serve: Serve, source: Path) -> None:
    async with Client(f"http://127.0.0.1:{client.port}/none/") as nowhere:
        with pytest.raises(Refused) as refused:
            await push(nowhere, find([str(source / "large")]).items)
        assert refused.value.status == 404
    async with wires(client.port) as wire:
        port = wire.port
    async with Client(f"http://127.0.0.1:{port}/") as nobody:
        with pytest.raises(CannotConnect):
            await nobody.list()


@pytest.mark.parametrize("url", ["", "files.example.org", "ftp://host/", "http:///x", "http://h/?q", "http://h/#f"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Client(url)


def test_an_address() -> None:
    client = Client("https://alice:secret@host:8443/a b/ü%2F")
    assert str(client.address.url) == "https://host:8443/a%20b/%C3%BC%2F/"
    assert "secret" not in repr(client.address)


async def test_a_user(serve: Serve, tmp_path: Path, folder: Path, source: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"s\xc3\xa4cret", bcrypt.gensalt(4)) + b"\n")
    server = await serve(htpasswd=users)
    address = f"http://127.0.0.1:{server.port}/"
    async with Client(address, user="alice", password="säcret") as alice:
        assert all(row.good for row in await push(alice, find([str(source / "large")]).items))
    async with Client(address) as anonymous:
        with pytest.raises(Refused) as refused:
            await anonymous.limits()
        assert refused.value.status == 401
    assert os.listdir(folder) != []
