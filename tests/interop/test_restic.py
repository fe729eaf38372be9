"""restic, which keeps its repository on the server through rclone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.served import contents, make_tree, said


@pytest.mark.needs("restic", "rclone")
def test_backup_and_restore(folder: Path, tmp_path: Path, url: str) -> None:
    environment = {
        "RESTIC_REPOSITORY": "rclone:p:backups/ours",
        "RESTIC_PASSWORD": "a secret",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
        "RCLONE_CONFIG": "",
        "RCLONE_CONFIG_P_TYPE": "webdav",
        "RCLONE_CONFIG_P_URL": url,
        "RCLONE_CONFIG_P_VENDOR": "other",
    }
    local, restored = tmp_path / "local", tmp_path / "restored"
    local.mkdir()
    make_tree(local)
    said("restic", "init", cwd=tmp_path, **environment)
    said("restic", "backup", ".", cwd=local, **environment)
    (local / "later.bin").write_bytes(b"later" * 5000)
    said("restic", "backup", ".", cwd=local, **environment)
    assert (folder / "backups" / "ours" / "config").is_file()
    said("restic", "forget", "--keep-last", "1", "--prune", cwd=tmp_path, **environment)
    assert "no errors were found" in said("restic", "check", "--read-data", cwd=tmp_path, **environment)
    said("restic", "restore", "latest", "--target", restored, cwd=tmp_path, **environment)
    [root] = [path.parent for path in restored.rglob("later.bin")]
    assert contents(root) == contents(local)
