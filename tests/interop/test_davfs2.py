"""davfs2: the server as a folder of the file system, with locks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.served import contents, make_tree, said, served

pytestmark = [
    pytest.mark.needs("mount.davfs"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
]


@pytest.fixture
def cache() -> Iterator[Path]:
    """Where davfs2 keeps what it has read and will write: of root and its own group, and reachable for its own user."""
    path = Path(tempfile.mkdtemp(prefix="davfs2-"))
    shutil.chown(path, "root", "davfs2")
    path.chmod(0o770)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mounted(folder: Path, tmp_path: Path, cache: Path) -> Iterator[Path]:
    """The folder under which the server appears."""
    settings = tmp_path / "davfs2.conf"
    # Linux asks for more of a directory at once than the usual 16 KiB of davfs2, which it answers with EINVAL: buf_size.
    settings.write_text(f"ask_auth 0\nuse_locks 1\ndelay_upload 0\nbuf_size 128\ncache_dir {cache}\n")
    point = tmp_path / "mounted"
    point.mkdir()
    with served(folder) as url:
        (folder / "before.txt").write_bytes(b"written by somebody else")
        said("mount.davfs", "-o", f"conf={settings}", url, point, cwd=tmp_path)
        try:
            yield point
        finally:
            if point.is_mount():
                subprocess.run(["umount", "--lazy", point], check=False)


def test_a_mounted_folder(folder: Path, tmp_path: Path, mounted: Path) -> None:
    assert (mounted / "before.txt").read_bytes() == b"written by somebody else"
    (mounted / "before.txt").unlink()
    (tmp_path / "local").mkdir()
    expected = make_tree(tmp_path / "local")
    shutil.copytree(tmp_path / "local", mounted / "tree")

    (mounted / "old.txt").write_bytes(b"one\n")
    (mounted / "old.txt").rename(mounted / "tree" / "new.txt")
    with (mounted / "tree" / "new.txt").open("ab") as file:
        file.write(b"two\n")
    (mounted / "gone").mkdir()
    (mounted / "gone" / "file").write_bytes(b"x" * 100_000)
    assert (mounted / "gone" / "file").read_bytes() == b"x" * 100_000
    (mounted / "gone" / "file").unlink()
    (mounted / "gone").rmdir()
    (mounted / "tree").rename(mounted / "moved")
    assert sorted(os.listdir(mounted)) == ["lost+found", "moved"]
    assert contents(mounted / "moved") == expected | {"new.txt": b"one\ntwo\n"}

    # It ends when all is written.
    said("umount", mounted, cwd=tmp_path)
    assert contents(folder / "moved") == expected | {"new.txt": b"one\ntwo\n"}
    assert set(os.listdir(folder)) - {".partwise"} == {"moved"}
