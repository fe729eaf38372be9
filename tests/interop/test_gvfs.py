"""gvfs, the WebDAV client of the GNOME desktop, by its command line ``gio``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.served import contents, said

SCRIPT = """\
set -eu
gio mount "$DAV"
gio mkdir "$DAV/new%20folder"
gio copy "local ü.bin" "$DAV/new%20folder/up%20%C3%BC.bin"
gio list --attributes=standard::size "$DAV/new%20folder"
gio copy "$DAV/new%20folder/up%20%C3%BC.bin" down.bin
gio copy "$DAV/new%20folder/up%20%C3%BC.bin" "$DAV/copy.bin"
gio move "$DAV/copy.bin" "$DAV/new%20folder/moved.bin"
gio rename "$DAV/new%20folder" renamed
gio info --attributes=standard::type,standard::size "$DAV/renamed/moved.bin"
printf 'typed\\n' | gio save "$DAV/renamed/saved.txt"
printf 'typed again\\n' | gio save "$DAV/renamed/saved.txt"
gio cat "$DAV/renamed/saved.txt"
gio remove "$DAV/renamed/moved.bin"
gio mkdir "$DAV/gone"
gio remove "$DAV/gone"
gio tree "$DAV"
gio mount --unmount "$DAV"
"""


@pytest.mark.needs("dbus-run-session", "gio")
def test_a_session(folder: Path, tmp_path: Path, url: str) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "local ü.bin").write_bytes(data)
    # gvfs puts its sockets there, and wants it for itself.
    (tmp_path / "runtime").mkdir(mode=0o700)
    report = said(
        *("dbus-run-session", "--", "sh", "-c", SCRIPT),
        cwd=tmp_path,
        DAV=url.rstrip("/").replace("http:", "dav:"),
        XDG_RUNTIME_DIR=str(tmp_path / "runtime"),
        # Neither a mount for programs that do not know gvfs, nor a look at the disks and telephones of this machine.
        GVFS_DISABLE_FUSE="1",
        GIO_USE_VOLUME_MONITOR="unix",
    )
    assert (tmp_path / "down.bin").read_bytes() == data
    assert contents(folder) == {"renamed": None, "renamed/up ü.bin": data, "renamed/saved.txt": b"typed again\n"}
    lines = report.splitlines()
    assert any(line.split("\t")[:2] == ["up ü.bin", str(len(data))] for line in lines)  # list
    assert "size: 256000" in report
    assert lines.count("typed again") == 1
    assert "`-- renamed\n    |-- saved.txt\n    `-- up ü.bin\n" in report  # tree
