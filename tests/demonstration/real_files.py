"""Real files to upload: what matplotlib, NumPy, mimesis, pymavlink and Python itself ship.

Nothing is generated and nothing is fetched; the packages come with the ``test`` extra and are not even imported. pymavlink
ships XML documents together with the schema that they follow, ``mavschema.xsd``.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: What is gathered: the kind by suffix, and the media type that is declared for it.
MEDIA_TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "xml": "application/xml",
    "json": "application/json",
    "csv": "text/csv",
    "pdf": "application/pdf",
    "py": "text/x-python",
}
#: Every kind above, and nothing else, is what the demonstration's server takes.
ACCEPTED = ("image/*", "application/xml", "application/json", "application/pdf", "text/*")
#: Larger ones are left out, in bytes; it is the limit of the demonstration's server as well.
LARGEST = 1024 * 1024

_PACKAGES = ("matplotlib", "mimesis", "pymavlink", "numpy")
# Parts of the standard library that every distribution of Python has.
_STANDARD = ("asyncio", "email", "html", "http", "json", "logging", "unittest", "xml")


@dataclass(frozen=True, slots=True)
class RealFile:
    """A file on this machine. ``name`` is relative, as a browser names the files of a chosen folder."""

    name: str
    path: Path

    @property
    def kind(self) -> str:
        return self.path.suffix.removeprefix(".")

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.kind]

    def read(self) -> bytes:
        return self.path.read_bytes()


@cache
def gather() -> tuple[RealFile, ...]:
    """All of them, in a fixed order of mixed kinds; no two have the same name or the same contents.

    Raises FileNotFoundError if one of the packages is not installed.
    """
    seen: set[bytes] = set()
    found: list[tuple[bytes, RealFile]] = []
    for file in _candidates():
        digest = hashlib.sha256(file.read()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append((digest, file))
    # By digest: as mixed as if shuffled, and the same every time.
    return tuple(file for _, file in sorted(found, key=lambda pair: pair[0]))


def of_kind(kind: str) -> list[RealFile]:
    """Those of one kind, the largest first."""
    return sorted((file for file in gather() if file.kind == kind), key=lambda file: -file.path.stat().st_size)


def schema() -> Path:
    """The schema of the XML documents, as their package ships it."""
    return package("pymavlink") / "generator" / "mavschema.xsd"


def package(name: str) -> Path:
    """Where a package is installed. Raises FileNotFoundError."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name} is not installed: pip install -e '.[test]'")
    return Path(spec.submodule_search_locations[0])


def _candidates() -> Iterator[RealFile]:
    standard = Path(sysconfig.get_path("stdlib"))
    roots = [
        *((name, package(name)) for name in _PACKAGES),
        *((f"python/{name}", standard / name) for name in _STANDARD),
    ]
    for prefix, root in roots:
        for path in sorted(root.rglob("*")):
            if path.suffix.removeprefix(".") in MEDIA_TYPES and path.is_file() and path.stat().st_size <= LARGEST:
                yield RealFile(f"{prefix}/{path.relative_to(root).as_posix()}", path)
