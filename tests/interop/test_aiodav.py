"""aiodav, a WebDAV client for asyncio. It sends its XML as ``application/x-www-form-urlencoded``."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiodav import Client
from aiodav.exceptions import RemoteResourceNotFound
from tests.interop.served import contents, make_tree


async def test_a_session(folder: Path, tmp_path: Path, url: str) -> None:
    local, back = tmp_path / "local", tmp_path / "back"
    local.mkdir()
    expected = make_tree(local)
    async with Client(url) as client:
        await client.upload("tree", str(local))
        assert contents(folder / "tree") == expected
        # It cannot fetch a folder: its download_directory fails for every server.
        for name, data in expected.items():
            if data is not None:
                await client.download_file(f"tree/{name}", str(back))
                assert back.read_bytes() == data, name

        assert sorted(await client.list("tree")) == sorted(
            ["100% & more; a+b=c #1?.txt", "empty folder/", "folder with space/", "zero bytes"]
        )
        file = "tree/folder with space/größe/naïve 😀.bin"
        assert (await client.info(file))["size"] == "256"
        assert await client.is_directory("tree")
        assert not await client.is_directory(file)
        assert await client.exists(file)
        assert not await client.exists("nowhere")

        colour = {"namespace": "http://example.org/ns", "name": "colour"}
        await client.set_property(file, colour | {"value": "dark blue"})
        assert await client.get_property(file, colour) == "dark blue"

        await client.copy(file, "copy.bin")
        assert await client.get_property("copy.bin", colour) == "dark blue"
        await client.move("copy.bin", "tree/moved.bin")
        await client.copy("tree/folder with space", "deep copy")
        await client.create_directory("new folder")
        await client.delete("tree/folder with space")
        with pytest.raises(RemoteResourceNotFound):
            await client.info(file)

    below = "folder with space"
    assert contents(folder) == {
        "tree": None,
        "tree/moved.bin": bytes(range(256)),
        "new folder": None,
    } | {f"tree/{name}": data for name, data in expected.items() if not name.startswith(below)} | {
        name.replace(below, "deep copy"): data for name, data in expected.items() if name.startswith(below)
    }
