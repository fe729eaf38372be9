"""The rows of a multistatus for many resources, most of which differ in a few values only.

What is the same for all files of an answer, and for all its collections, is rendered once and becomes a template: by the
same writers, from the same table of properties (``properties.Source`` says what may be different), so that a row is the same
whichever way it was made. A resource with stored properties is rendered by itself, and so is everything while there are
locks and ``lockdiscovery`` is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from partwise.actions.properties import LIVE, Facts, Source, View, framed, source, writer
from partwise.actions.propstats import Planned, gathered
from partwise.protocol.multistatus import propstat_response, text
from partwise.protocol.paths import Path, encode_segments
from partwise.storage.base import Properties, Resource

_NOTHING: Properties = {}
_NONE_STORED: Mapping[Path, Properties] = {}
#: Facts from all of their fields, without the function call that a named tuple's own constructor is.
_facts: Callable[[type[Facts], tuple[Resource, Properties, View]], Facts] = tuple.__new__


class _Template(NamedTuple):
    """A row with ``%s`` for its href and for each of the values."""

    row: str
    values: tuple[Callable[[Facts], str | None], ...]


class Rows:
    """Renders resources for one answer."""

    def __init__(self, view: View, planned: Planned) -> None:
        self._view, self._planned = view, planned
        self._templated = not planned.needs(Source.ELSEWHERE)
        self._locks = planned.needs(Source.LOCKS)
        #: Of collections, and of files.
        self._templates: dict[bool, _Template] = {}

    def render(self, group: Sequence[Resource]) -> str:
        """The rows of some members of one collection, files first; one query for stored properties, if they are asked for."""
        view = self._view
        stored = view.store.properties([one.path for one in group]) if self._planned.stored else _NONE_STORED
        if not self._templated or (self._locks and view.store.has_locks()):
            return "".join(self._singly(group, stored))
        plain, described = group, list[Resource]()
        if stored:
            plain = [one for one in group if one.path not in stored]
            described = [one for one in group if one.path in stored]
        files = [one for one in plain if not one.collection]
        collections = [one for one in plain if one.collection]
        return "".join([*self._alike(files), *self._alike(collections), *self._singly(described, stored)])

    def _singly(self, group: Iterable[Resource], stored: Mapping[Path, Properties]) -> Iterator[str]:
        for one in group:
            href = self._view.mount.href(one.path, collection=one.collection)
            yield propstat_response(href, self._planned.plan(Facts(one, stored.get(one.path, _NOTHING), self._view)))

    def _alike(self, group: Sequence[Resource]) -> Iterable[str]:
        """Of files, or of collections, without stored properties. By columns: a million rows are few calls of Python code."""
        if not group:
            return ()
        facts = list(map(_facts, repeat(Facts), zip(group, repeat(_NOTHING), repeat(self._view))))
        collection, path = group[0].collection, group[0].path
        template = self._templates.get(collection)
        if template is None:
            template = self._templates[collection] = self._template(facts[0])
        columns = [map(value, facts) for value in template.values]
        mount = self._view.mount
        if not path:
            return [template.row % (text(mount.href(())), *[value(facts[0]) for value in template.values])]
        # What the hrefs share is encoded once; names that are encoded need no escaping. The first "%s" is that of the href.
        prefix = text(mount.href(path[:-1], collection=True)).replace("%", "%%")
        row = template.row.replace("%s", f"{prefix}%s/" if collection else f"{prefix}%s", 1)
        names = encode_segments([one.path[-1] for one in group])
        return map(row.__mod__, zip(names, *columns, strict=True))

    def _template(self, facts: Facts) -> _Template:
        values: list[Callable[[Facts], str | None]] = []
        elements: list[tuple[str | None, str | None]] = []
        for name, missing in self._planned.entries or ():
            element = writer(name)(facts)
            if element is not None:
                element = element.replace("%", "%%")
                if source(name) in (Source.RESOURCE, Source.BIRTH):
                    values.append(LIVE[name].value)
                    element = framed(name)("%s")
            elements.append((element, missing and missing.replace("%", "%%")))
        return _Template(propstat_response("%s", gathered(elements)), tuple(values))
