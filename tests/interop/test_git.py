"""git over WebDAV: the older of its HTTP protocols, where ``git push`` locks, puts and moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.interop.served import contents, make_tree, said

IDENTITY = {
    "GIT_AUTHOR_NAME": "Alice",
    "GIT_AUTHOR_EMAIL": "alice@example.org",
    "GIT_COMMITTER_NAME": "Alice",
    "GIT_COMMITTER_EMAIL": "alice@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


@pytest.mark.needs("git")
def test_push_and_clone(folder: Path, tmp_path: Path, url: str) -> None:
    def git(*arguments: str | Path, at: Path = tmp_path) -> str:
        return said("git", *arguments, cwd=at, HOME=str(tmp_path), **IDENTITY)

    git("init", "--quiet", "--bare", "--initial-branch=main", folder / "project.git")
    git("update-server-info", at=folder / "project.git")
    git("clone", "--quiet", f"{url}project.git", "first")
    first = tmp_path / "first"
    git("checkout", "--quiet", "-B", "main", at=first)
    make_tree(first)
    (first / "empty folder").rmdir()
    for message in ("one", "two"):
        (first / "message").write_text(message)
        git("add", ".", at=first)
        git("commit", "--quiet", "-m", message, at=first)
        git("push", "--quiet", "origin", "main", at=first)
        git("fsck", "--strict", at=folder / "project.git")
        assert git("rev-parse", "main", at=folder / "project.git") == git("rev-parse", "HEAD", at=first)

    git("clone", "--quiet", f"{url}project.git", "second")
    second = tmp_path / "second"
    assert git("log", "--format=%s", at=second).split() == ["two", "one"]
    assert git("status", "--porcelain", at=second) == ""

    git("push", "--quiet", "origin", "HEAD:refs/heads/other", at=second)
    git("push", "--quiet", "origin", "--delete", "other", at=second)
    assert git("ls-remote", "--heads", "origin", at=second).split()[1:] == ["refs/heads/main"]
    for clone in (first, second):
        shutil.rmtree(clone / ".git")
    assert contents(first) == contents(second)
