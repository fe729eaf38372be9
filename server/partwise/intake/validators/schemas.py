"""The XML schemas of an operator: read once at start, chosen by the root element of an item.

Everything is read from one folder; nothing is fetched from a network, and nothing outside of that folder is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lxml import etree

_XS = "{http://www.w3.org/2001/XMLSchema}"
_MERGING = (f"{_XS}include", f"{_XS}redefine")
_REFERRING = (*_MERGING, f"{_XS}import")


@dataclass(frozen=True, slots=True)
class Schemas:
    """Compiled schemas by root element. ``None`` as namespace is "no namespace". Safe to share between threads."""

    by_root: dict[tuple[str | None, str], etree.XMLSchema]
    namespaces: frozenset[str | None]

    def covers(self, namespace: str | None) -> bool:
        """Whether any schema declares root elements of this namespace."""
        return namespace in self.namespaces

    def get(self, namespace: str | None, name: str) -> etree.XMLSchema | None:
        """The schema that declares this root element."""
        return self.by_root.get((namespace, name))


@dataclass(frozen=True, slots=True)
class _Document:
    name: str
    tree: etree._ElementTree[etree._Element]
    namespace: str | None
    roots: frozenset[str]
    merged: frozenset[Path]


def load_schemas(folder: Path) -> Schemas:
    """All ``*.xsd`` below ``folder``, compiled.

    A file that others include is part of those and stands for nothing alone. Raises :class:`ValueError`, one sentence
    naming the files, for a schema that cannot be read or compiled, refers to something outside of the folder, or
    declares a root element that another file declares too.
    """
    top = folder.resolve()
    documents = {path: _read(path, top) for path in sorted(p.resolve() for p in top.rglob("*.xsd"))}
    within = {path: _closure(path, documents) for path in documents}
    by_root: dict[tuple[str | None, str], etree.XMLSchema] = {}
    origin: dict[tuple[str | None, str], Path] = {}
    namespaces: set[str | None] = set()
    for path, document in documents.items():
        if _is_part(path, within):
            continue
        schema = _compile(document)
        for part in (path, *sorted(within[path] - {path})):
            # XSD 1.0 §4.2.1: a document without a target namespace takes that of the including one.
            for key in ((document.namespace, name) for name in documents[part].roots):
                other = origin.setdefault(key, part)
                if other != part and other not in within[path]:
                    raise ValueError(
                        f"Both {documents[other].name} and {documents[part].name} declare the root element "
                        f"{key[1]}; keep one of them."
                    )
                by_root.setdefault(key, schema)
                namespaces.add(key[0])
    return Schemas(by_root, frozenset(namespaces))


class _NoNetwork(etree.Resolver):
    """The second lock: references are checked when read, so nothing should come here but files of the folder."""

    def __init__(self, top: Path) -> None:
        super().__init__()
        self._top = top

    def resolve(self, system_url: str | None, public_id: str | None, context: object) -> None:
        address = urlsplit(system_url or "")
        if address.scheme not in ("", "file") or not Path(unquote(address.path)).resolve().is_relative_to(self._top):
            raise ValueError("a reference leads out of the folder of schemas")


def _read(path: Path, top: Path) -> _Document:
    parser = etree.XMLParser(no_network=True, load_dtd=False, huge_tree=False)
    parser.resolvers.add(_NoNetwork(top))
    name = str(path.relative_to(top)) if path.is_relative_to(top) else path.name
    try:
        tree = etree.parse(str(path), parser)
    except (etree.XMLSyntaxError, OSError) as error:
        raise ValueError(f"The schema {name} cannot be read: {_first_line(error)}.") from None
    root = tree.getroot()
    if root.tag != f"{_XS}schema":
        raise ValueError(f"The file {name} holds no XML schema; remove it from the folder of schemas.")
    merged = set()
    for reference in root.iterchildren(*_REFERRING):
        location = reference.get("schemaLocation")
        if location is not None:
            target = _locate(location, path, top, name)
            if reference.tag in _MERGING:
                merged.add(target)
    roots = frozenset(str(element.get("name")) for element in root.iterchildren(f"{_XS}element"))
    return _Document(name, tree, root.get("targetNamespace") or None, roots, frozenset(merged))


def _locate(location: str, path: Path, top: Path, name: str) -> Path:
    address = urlsplit(location.strip())
    target = (path.parent / unquote(address.path)).resolve()
    if address.scheme or address.netloc or not target.is_relative_to(top):
        raise ValueError(
            f"The schema {name} refers to {location}, which is not in the folder of schemas; "
            "put a copy there and refer to that."
        )
    if not target.is_file():
        raise ValueError(f"The schema {name} refers to {location}, which is missing; put it into the folder.")
    return target


def _closure(path: Path, documents: dict[Path, _Document]) -> frozenset[Path]:
    """What becomes part of this schema by include and redefine, transitively."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        document = documents.get(waiting.pop())
        new = document.merged - seen if document is not None else ()
        seen.update(new)
        waiting.extend(new)
    return frozenset(seen & documents.keys())


def _is_part(path: Path, within: dict[Path, frozenset[Path]]) -> bool:
    # Of files that include each other in a circle the first by name stands for all.
    return any(
        path in parts and (other not in within[path] or other < path)
        for other, parts in within.items()
        if other != path
    )


def _compile(document: _Document) -> etree.XMLSchema:
    try:
        return etree.XMLSchema(document.tree)
    except etree.XMLSchemaParseError as error:
        raise ValueError(f"The schema {document.name} cannot be used: {_first_line(error)}.") from None


def _first_line(error: Exception) -> str:
    lines: Iterable[str] = str(error).splitlines() or (type(error).__name__,)
    return next(iter(lines)).rstrip(".")[:300]
