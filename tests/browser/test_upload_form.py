"""The form on a collection's page in headless Chromium: a person chooses 5,000 files and reads what became of each."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest
from tests.browser.chromium import Page, chromium, program
from tests.interop.many import check_stored, check_told, contents_of, names, quick_folder
from tests.interop.served import served

#: The rows of the report's page as a person reads them: number, name, result.
ROWS = """Array.from(document.querySelectorAll("tbody tr"), (row) =>
    [".index", ".name", ".badge"].map((cell) => row.querySelector(cell).innerText))"""
#: Keeps what the form's note says, also beyond the page's end.
NOTED = """new MutationObserver(() =>
    sessionStorage.setItem("noted", (sessionStorage.getItem("noted") ?? "") + note.textContent + "|")
).observe(note, {childList: true}), 1"""
VISIBLE = "document.querySelector('.running').checkVisibility()"


async def upload(page: Page, url: str, files: list[Path]) -> None:
    """Open the page, choose the files, press the button, and wait until the report is there whole."""
    await page.go(url)
    await page.press(".upload summary")
    await page.choose("#files", files)
    await page.press(".upload button")
    await page.loads()


# Without its scripts the page has a plain HTML form.
@pytest.mark.parametrize(("count", "scripts"), [(5_000, False), (20, True)], ids=["plain form", "with scripts"])
@pytest.mark.skipif(program() is None and not os.environ.get("CI"), reason="needs chromium")
async def test_every_file_has_its_row(tmp_path: Path, count: int, scripts: bool) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    files = [chosen / name for name in names(count)]
    for file in files:
        file.write_bytes(contents_of(file.name))
    with quick_folder() as folder, served(folder) as url:
        async with asyncio.timeout(400), chromium(tmp_path) as page:
            await page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
            await upload(page, url, files)
            rows = [(int(index), name, int(result.split()[0])) for index, name, result in await page.value(ROWS)]
            check_told(rows, count)
            assert await page.value("document.querySelector('#summary').innerText") == f"{count:,} files were stored."
            assert await page.value(VISIBLE) is False, "the page still says that it is being written"
        check_stored(folder, count)


@pytest.mark.skipif(program() is None and not os.environ.get("CI"), reason="needs chromium")
async def test_what_has_become_of_the_first_files_is_told_while_the_others_travel(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    files = [chosen / "broken.json", *(chosen / f"{number}.bin" for number in range(12))]
    for file in files:
        file.write_bytes(b"x" * 1_000_000)
    with quick_folder() as folder, served(folder) as url:
        async with asyncio.timeout(100), chromium(tmp_path) as page:
            await page.go(url)
            await page.press(".upload summary")
            await page.choose("#files", files)
            await page.value(NOTED)
            await page.call("Network.enable")
            slowly = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4_000_000}
            await page.call("Network.emulateNetworkConditions", **slowly)
            await page.value("setTimeout(() => document.querySelector('.upload button').click()), 1")
            await page.loads()
            noted = await page.value("sessionStorage.getItem('noted')")
        assert noted.startswith("Uploading 13 files…|")
        assert re.search(r"\b[1-9][0-9]* good, 1 not\.\|", noted)
