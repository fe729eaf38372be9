"""rclone, as a plain WebDAV client and as the client of a Nextcloud, where it keeps modification times."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.interop.served import contents, said

FILES = 300


def make_files(folder: Path) -> None:
    """Three hundred files in a few folders, from no byte to a hundred thousand, modified in other years."""
    source = random.Random(1)
    for number in range(FILES):
        below = folder / ("deep folder/日本 語" if number % 3 else "ünï cødé & 100%")
        below.mkdir(parents=True, exist_ok=True)
        file = below / f"file {number} + 100% #&.txt"
        file.write_bytes(
            source.randbytes(0 if number % 10 == 0 else source.randrange(1, 5 ** (1 + number % 7) + 20_000))
        )
        # Whole seconds: X-OC-Mtime carries no fraction.
        moment = 1_000_000_000 + number * 86_400
        os.utime(file, (moment, moment))


def modified(folder: Path) -> dict[str, int]:
    """When each file was modified, in whole seconds: what getlastmodified tells."""
    return {
        str(file.relative_to(folder)): file.stat().st_mtime_ns // 10**9
        for file in folder.rglob("*.txt")
        if ".partwise" not in file.parts
    }


def remote(url: str, vendor: str) -> dict[str, str]:
    """The remote ``p:``. A configuration file is neither read nor written."""
    return {
        "RCLONE_CONFIG": "",
        "RCLONE_CONFIG_P_TYPE": "webdav",
        "RCLONE_CONFIG_P_URL": url,
        "RCLONE_CONFIG_P_VENDOR": vendor,
        # From 1.64 on it uploads to a Nextcloud in chunks, at addresses that only a Nextcloud has.
        "RCLONE_CONFIG_P_NEXTCLOUD_CHUNK_SIZE": "0",
    }


@pytest.mark.needs("rclone")
@pytest.mark.parametrize("vendor", ["other", "nextcloud"])
def test_sync_of_300_files(folder: Path, tmp_path: Path, url: str, vendor: str) -> None:
    local, back, environment = tmp_path / "local", tmp_path / "back", remote(url, vendor)
    make_files(local)
    # Without modification times rclone tells what has changed by the size.
    sync = ["rclone", "sync", "-v", "--transfers", "8", *(["--size-only"] if vendor == "other" else [])]

    said(*sync, local, "p:tree", cwd=tmp_path, **environment)
    assert contents(folder / "tree") == contents(local)
    if vendor == "nextcloud":
        assert modified(folder / "tree") == modified(local)

    again = said(*sync, local, "p:tree", cwd=tmp_path, **environment)
    assert "There was nothing to transfer" in again

    # It waits 10 ms between any two requests: the bytes are fetched once, in one way or the other.
    if vendor == "other":
        checked = said("rclone", "check", "--download", local, "p:tree", cwd=tmp_path, **environment)
    else:
        checked = said("rclone", "check", local, "p:tree", cwd=tmp_path, **environment)
        said(*sync, "p:tree", back, cwd=tmp_path, **environment)
        assert contents(back) == contents(local)
        assert modified(back) == modified(local)
    assert "0 differences found" in checked
    assert f"{FILES} matching files" in checked

    gone = [file for number, file in enumerate(sorted(local.rglob("*.txt"))) if number % 3 == 0]
    for file in gone:
        file.unlink()
    assert said(*sync, local, "p:tree", cwd=tmp_path, **environment).count(": Deleted") == len(gone) == FILES // 3
    assert contents(folder / "tree") == contents(local)


@pytest.mark.needs("rclone")
@pytest.mark.parametrize("vendor", ["other", "nextcloud"])
def test_moves_and_copies_on_the_server(folder: Path, tmp_path: Path, url: str, vendor: str) -> None:
    local, environment = tmp_path / "local", remote(url, vendor)
    local.mkdir()
    (local / "a b ü.txt").write_bytes(b"alpha")
    said("rclone", "copy", local, "p:from here", cwd=tmp_path, **environment)

    copied = said("rclone", "copyto", "-v", "p:from here/a b ü.txt", "p:copies/c.txt", cwd=tmp_path, **environment)
    assert "Copied (server-side copy)" in copied
    moved = said("rclone", "moveto", "-v", "p:from here/a b ü.txt", "p:moved/ü.txt", cwd=tmp_path, **environment)
    assert "Moved (server-side)" in moved
    said("rclone", "move", "p:copies", "p:elsewhere/copies", cwd=tmp_path, **environment)
    said("rclone", "rmdir", "p:from here", cwd=tmp_path, **environment)
    assert contents(folder) == {
        "elsewhere": None,
        "elsewhere/copies": None,
        "elsewhere/copies/c.txt": b"alpha",
        "moved": None,
        "moved/ü.txt": b"alpha",
    }
    assert said("rclone", "cat", "p:moved/ü.txt", cwd=tmp_path, **environment) == "alpha"
    listed = said("rclone", "lsf", "-R", "p:", cwd=tmp_path, **environment).split()
    assert sorted(listed) == ["elsewhere/", "elsewhere/copies/", "elsewhere/copies/c.txt", "moved/", "moved/ü.txt"]
