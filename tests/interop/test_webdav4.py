"""webdav4, WebDAV for fsspec: what pandas, dask and others see of the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.interop.served import PASSWORD, USER, contents, htpasswd, make_tree, served
from webdav4.client import HTTPError
from webdav4.fsspec import WebdavFileSystem


@contextmanager
def connected(url: str, **options: object) -> Iterator[WebdavFileSystem]:
    remote = WebdavFileSystem(url, skip_instance_cache=True, **options)
    with remote.client.http:
        yield remote


def test_a_file_system(folder: Path, tmp_path: Path, url: str) -> None:
    local = tmp_path / "local"
    local.mkdir()
    # A name with "?" is a pattern for fsspec, and webdav4 sends "#" and "%" as they are.
    expected = {name: data for name, data in make_tree(local).items() if "%" not in name}
    (local / "100% & more; a+b=c #1?.txt").unlink()
    with connected(url) as remote:
        remote.put(f"{local}/", "tree", recursive=True)
        assert contents(folder / "tree") == expected
        assert set(remote.find("tree")) == {f"tree/{name}" for name, data in expected.items() if data is not None}
        assert set(remote.ls("tree", detail=False)) == {f"tree/{name}" for name in os.listdir(local)}
        assert remote.info("tree/folder with space/größe/naïve 😀.bin")["size"] == 256
        assert remote.isdir("tree/empty folder")
        assert remote.cat("tree/folder with space/größe/naïve 😀.bin") == bytes(range(256))
        assert remote.cat_file("tree/folder with space/größe/naïve 😀.bin", start=10, end=20) == bytes(range(10, 20))

        with remote.open("tree/written.bin", "wb") as file:
            file.write(b"one\n")
            file.write(b"two\n" * 50_000)
        with remote.open("tree/written.bin", "rb") as file:
            file.seek(4 + 4 * 49_998)
            assert file.read() == b"two\ntwo\n"
        with remote.open("tree/written.bin", "wb") as file:
            file.write(b"shorter")
        assert remote.modified("tree/written.bin").timestamp() == int((folder / "tree" / "written.bin").stat().st_mtime)

        remote.mv("tree/written.bin", "tree/größer.bin")
        remote.cp_file("tree/größer.bin", "tree/copy.bin")
        remote.copy("tree/folder with space", "copied", recursive=True)
        remote.mv("copied", "moved", recursive=True)
        remote.rm("tree/folder with space", recursive=True)
        below = "folder with space/"
        assert contents(folder) == {
            "tree": None,
            "tree/empty folder": None,
            "tree/zero bytes": b"",
            "tree/größer.bin": b"shorter",
            "tree/copy.bin": b"shorter",
            "moved": None,
        } | {name.replace(below, "moved/"): data for name, data in expected.items() if name.startswith(below)}

        remote.get("moved/", str(tmp_path / "back"), recursive=True)
        assert contents(tmp_path / "back") == {
            name.removeprefix(below): data for name, data in expected.items() if name.startswith(below)
        }
        with pytest.raises(FileNotFoundError):
            remote.info("nowhere")


def test_credentials(folder: Path, tmp_path: Path) -> None:
    with served(folder, "--htpasswd", htpasswd(tmp_path / "users")) as url:
        with connected(url, auth=(USER, PASSWORD)) as remote:
            remote.pipe_file("a", b"alpha")
            assert remote.cat_file("a") == b"alpha"
        with connected(url, auth=(USER, PASSWORD + "x")) as stranger, pytest.raises(HTTPError) as refused:
            stranger.cat_file("a")
        assert refused.value.status_code == 401
    assert contents(folder) == {"a": b"alpha"}
