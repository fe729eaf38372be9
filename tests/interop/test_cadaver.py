"""cadaver, the command line client of the neon library."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.served import PASSWORD, USER, contents, htpasswd, said, served

FIRST = """\
mkcol coll
put "a b.txt" "coll/a b.txt"
ls coll
get "coll/a b.txt" down.txt
copy "coll/a b.txt" coll/copied.txt
copy coll other
move coll/copied.txt coll/moved.txt
propset coll/moved.txt colour "dark blue"
propget coll/moved.txt colour
lock coll/moved.txt
discover coll/moved.txt
put new.txt coll/moved.txt
unlock coll/moved.txt
showlocks
cat coll/moved.txt
propget coll/moved.txt colour
propdel coll/moved.txt colour
"""
THEN = """\
propget coll/moved.txt colour
delete "coll/a b.txt"
rmcol other
get nowhere
"""


@pytest.mark.needs("cadaver")
@pytest.mark.parametrize("credentials", [False, True], ids=["anonymous", "credentials"])
def test_a_session(folder: Path, tmp_path: Path, credentials: bool) -> None:
    (tmp_path / "a b.txt").write_bytes(b"old contents\n")
    (tmp_path / "new.txt").write_bytes(b"new contents\n")
    flags: list[str | Path] = []
    if credentials:
        flags = ["--htpasswd", htpasswd(tmp_path / "users")]
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        (tmp_path / ".netrc").chmod(0o600)
    with served(folder, *flags) as url:
        first = said("cadaver", url, cwd=tmp_path, told=FIRST)
        assert contents(folder) == {
            "coll": None,
            "coll/a b.txt": b"old contents\n",
            "coll/moved.txt": b"new contents\n",
            "other": None,
            "other/a b.txt": b"old contents\n",
            "other/copied.txt": b"old contents\n",
        }
        then = said("cadaver", url, cwd=tmp_path, told=THEN)
    assert "failed" not in first.lower()
    assert first.count("succeeded.") == 12
    assert "a b.txt                               13" in first  # ls
    assert first.count("Value of colour is: dark blue") == 2
    assert first.count("Scope: exclusive  Type: write") == 1
    assert "No owned locks." in first
    assert first.count("new contents") == 1
    assert (tmp_path / "down.txt").read_bytes() == b"old contents\n"

    assert "Could not fetch property: 404 Not Found" in then
    assert then.count("succeeded.") == 2
    assert "404 Not Found" in then.partition("get nowhere")[2]
    assert contents(folder) == {"coll": None, "coll/moved.txt": b"new contents\n"}
