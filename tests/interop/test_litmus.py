"""litmus 0.13, the conformance suite of the neon library: every test of every suite, without a warning."""

from __future__ import annotations

import re
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError

import pytest
from tests.interop.served import PASSWORD, USER, htpasswd, said, served

#: Tests that each suite of litmus 0.13 says it has run: 104 in all. It leaves out of this count what it skips.
SUITES = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
SUMMARY = re.compile(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")


@pytest.mark.needs("litmus")
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("credentials", [False, True], ids=["anonymous", "credentials"])
def test_104_of_104(folder: Path, tmp_path: Path, credentials: bool, workers: int) -> None:
    flags: list[str | Path] = ["--workers", str(workers)]
    if credentials:
        flags += ["--htpasswd", htpasswd(tmp_path / "users")]
    with ExitStack() as stack:
        url = stack.enter_context(served(folder, *flags))
        if credentials:
            with pytest.raises(HTTPError) as refused:
                urllib.request.urlopen(url, timeout=10)
            stack.enter_context(refused.value)
            assert refused.value.code == 401
        # -k: go on with the next suite, so that one failure does not hide the others. It writes debug.log where it runs.
        report = said("litmus", "-k", url, *([USER, PASSWORD] if credentials else []), cwd=tmp_path).replace("\r", "\n")
    odd = [line for line in report.splitlines() if re.search(r"FAIL|WARN|SKIP|warning|skipped", line)]
    assert not odd
    assert SUMMARY.findall(report) == [(suite, str(count), str(count), "0") for suite, count in SUITES.items()]
    assert sum(SUITES.values()) == 104
