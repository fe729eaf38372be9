"""webdavclient3, the most used WebDAV library of Python. It sends ``Depth: 1`` with PROPPATCH and COPY."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.interop.served import contents, make_tree
from webdav3.client import Client
from webdav3.exceptions import RemoteParentNotFound, RemoteResourceNotFound, ResourceLocked


def test_a_session(folder: Path, tmp_path: Path, url: str) -> None:
    local, back = tmp_path / "local", tmp_path / "back"
    local.mkdir()
    expected = make_tree(local)
    client = Client({"webdav_hostname": url})
    with client.session:
        client.upload_directory("tree", str(local))
        assert contents(folder / "tree") == expected
        client.download_directory("tree", str(back))
        assert contents(back) == expected

        assert sorted(client.list("tree")) == sorted(
            ["100% & more; a+b=c #1?.txt", "empty folder/", "folder with space/", "zero bytes"]
        )
        file = "tree/folder with space/größe/naïve 😀.bin"
        info = client.info(file)
        assert info["size"] == "256"
        assert info["etag"].startswith('"')
        assert not client.is_dir(file)
        assert client.is_dir("tree")
        assert client.check(file)
        assert not client.check("nowhere")

        colour = {"namespace": "http://example.org/ns", "name": "colour"}
        client.set_property(file, colour | {"value": "dark blue"})
        assert client.get_property(file, colour) == "dark blue"

        client.copy(file, "copy.bin")
        assert client.get_property("copy.bin", colour) == "dark blue"
        client.move("copy.bin", "tree/moved.bin")
        client.copy("tree/folder with space", "deep copy")
        with pytest.raises(RemoteParentNotFound):
            client.move("tree/moved.bin", "nowhere/moved.bin")
        with client.lock("tree/moved.bin") as locked:
            with pytest.raises(ResourceLocked):
                client.upload_to(io.BytesIO(b"no"), "tree/moved.bin")
            locked.upload_to(io.BytesIO(b"by the owner"), "tree/moved.bin")
        client.upload_to(iter([b"la", b"ter"]), "tree/later.bin")  # in chunks
        client.clean("tree/folder with space")
        with pytest.raises(RemoteResourceNotFound):
            client.info(file)

    # A COPY of a folder with "Depth: 1" is one with all members (RFC 4918 §9.8.3 knows 0 and infinity only).
    below = "folder with space"
    assert contents(folder) == {
        "tree": None,
        "tree/moved.bin": b"by the owner",
        "tree/later.bin": b"later",
    } | {f"tree/{name}": data for name, data in expected.items() if not name.startswith(below)} | {
        name.replace(below, "deep copy"): data for name, data in expected.items() if name.startswith(below)
    }
