"""Send over a thousand real files, and damaged ones among them, in one request, and print what the server says of each.

Run it from a checkout, with the ``test`` extra installed: ``python docs/walkthrough/real_files.py [FOLDER]``. It starts a
server of its own on a free port, which serves FOLDER (an empty folder; if none is said, one that is removed at the end).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import requests
from lxml import etree

# The files and the damage are those of the tests.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.demonstration.damage import FORM, Damaged, everything, prepare
from tests.demonstration.real_files import ACCEPTED, LARGEST, RealFile, schema
from tests.harness import BOUNDARY, form_part

DAV, BATCH = "{DAV:}", "{urn:partwise:batch}"


@contextlib.contextmanager
def server(folder: Path, schemas: Path) -> Iterator[str]:
    """``partwise serve`` with a schema, a list of types and a limit; gives its URL."""
    command = [sys.executable, "-m", "partwise.cli", "serve", str(folder), "--port", "0", "--schemas", str(schemas)]
    command += [f"--accept={kind}" for kind in ACCEPTED] + [f"--max-item-size={LARGEST}"]
    print("$ partwise", *command[3:], "\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said:
                raise SystemExit("The server did not start; it says why above.")
            yield said.split()[-1]
        finally:
            process.terminate()


def container(items: list[RealFile | Damaged]) -> Iterator[bytes]:
    """multipart/form-data, part by part."""
    for item in items:
        opening = f"--{BOUNDARY}\r\n".encode()
        if isinstance(item, Damaged):
            yield opening + item.part(FORM) + b"\r\n"
        else:
            yield opening + form_part(item.name, item.read(), Content_Type=item.media_type) + b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def send(url: str, items: list[RealFile | Damaged]) -> etree._Element:
    """One POST. Gives the multistatus."""
    began = time.perf_counter()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(url, data=container(items), headers=kind, timeout=600)
    print(f"{response.status_code} {response.reason}, {time.perf_counter() - began:.1f} s\n")
    if response.status_code != 207:
        raise SystemExit(response.text)
    return etree.fromstring(response.content)


def tell(items: list[RealFile | Damaged], report: etree._Element) -> None:
    """How many of each status, and every refusal: what was wrong, and what the server says."""
    rows = report.findall(f"{DAV}response")
    statuses = [str(row.findtext(f"{DAV}status")).partition(" ")[2] for row in rows]
    for status, count in sorted(Counter(statuses).items()):
        print(f"{count:6} × {status}")
    print()
    for item, status, row in zip(items, statuses, rows, strict=True):
        if isinstance(item, Damaged) or status[0] != "2":
            case = item.case if isinstance(item, Damaged) else item.name
            print(f"{status[:3]}  {case}\n       {row.findtext(f'{DAV}responsedescription') or 'stored'}")
    print(f"\n{report.findtext(f'{DAV}responsedescription')}")
    summary = report.find(f"{BATCH}summary")
    print("The summary:", "missing: the report is cut short" if summary is None else dict(summary.attrib))


def main() -> int:
    """0 if the good files, and only those, are in the folder."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else place / "served"
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{folder} is not empty")
        prepare(folder, place / "outside")
        (place / "schemas").mkdir()
        shutil.copy(schema(), place / "schemas")
        items = everything(FORM)
        good = {item.name: item.read() for item in items if isinstance(item, RealFile)}
        kinds = len({item.kind for item in items if isinstance(item, RealFile)})
        size = sum(map(len, good.values())) / 2**20
        print(
            f"{len(good)} files of {kinds} kinds, {size:.0f} MiB, and {len(items) - len(good)} items that are wrong\n"
        )
        with server(folder, place / "schemas") as url:
            tell(items, send(url, items))
        tops = sorted({name.split("/")[0] for name in good})
        stored = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for top in (*tops, "damaged")
            for path in (folder / top).rglob("*")
            if path.is_file()
        }
        same = stored == good
        print("In the folder are", "exactly the good files." if same else "OTHER FILES THAN THE GOOD ONES.")
        return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
