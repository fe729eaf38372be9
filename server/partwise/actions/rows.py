"""The rows of a multistatus for many resources, most of which differ in a few values only.

What is the same for all files of an answer, and for all its collections, is rendered once and becomes a template: by the
same writers, from the same table of properties (``properties.Source`` says what may be different), so that a row is the same
whichever way it was made. A resource with stored properties is rendered by itself, and so is everything while there are
locks and ``lockdiscovery`` is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from partwise.actions.columns import COLUMNS, Column
from partwise.actions.properties import LIVE, Facts, Source, View, framed, source, writer
from partwise.actions.propstats import Planned, gathered
from partwise.protocol.multistatus import propstat_response, text
from partwise.protocol.paths import Path, encode_segments
from partwise.storage.base import Properties, Resource
from partwise.storage.columns import Members

_NOTHING: Properties = {}
_NONE_STORED: Mapping[Path, Properties] = {}
#: Where a value belongs; no text of a document holds it.
_PLACE = "\0"
_HREF = "<D:href>"


class _Template(NamedTuple):
    """What stands around the values of a row, the name first: one text more than there are values."""

    around: tuple[str, ...]
    values: tuple[Callable[[Members], Iterable[str]], ...]


class Rows:
    """Renders resources for one answer."""

    def __init__(self, view: View, planned: Planned) -> None:
        self._view, self._planned = view, planned
        self._templated = not planned.needs(Source.ELSEWHERE)
        self._locks = planned.needs(Source.LOCKS)
        #: Of collections, and of files.
        self._templates: dict[bool, _Template] = {}

    def render(self, group: Sequence[Resource]) -> str:
        """The rows of some members of one collection; one query for stored properties, if they are asked for."""
        stored = _NONE_STORED
        if self._planned.stored:
            stored = self._view.store.properties(
                group.paths() if isinstance(group, Members) else [one.path for one in group]
            )
        if not isinstance(group, Members) or not self._templated or (self._locks and self._view.store.has_locks()):
            return "".join(self._singly(group, stored))
        if not stored:
            return self._alike(group)
        plain = [path not in stored for path in group.paths()]
        described = "".join(self._singly((one for one in group if one.path in stored), stored))
        return self._alike(group.only(plain)) + described if any(plain) else described

    def _singly(self, group: Iterable[Resource], stored: Mapping[Path, Properties]) -> Iterator[str]:
        for one in group:
            href = self._view.mount.href(one.path, collection=one.collection)
            yield propstat_response(href, self._planned.plan(Facts(one, stored.get(one.path, _NOTHING), self._view)))

    def _alike(self, group: Members) -> str:
        """Of members without stored properties. By columns: a million rows are few calls of Python code."""
        template = self._templates.get(group.collection)
        if template is None:
            template = self._templates[group.collection] = self._template(Facts(group[0], _NOTHING, self._view))
        # What the hrefs share is encoded once; names that are encoded need no escaping.
        prefix = text(self._view.mount.href(group.parent, collection=True))
        pieces: list[Iterable[str]] = [repeat(template.around[0] + prefix), encode_segments(group.names)]
        for values, after in zip(template.values, template.around[1:], strict=False):
            pieces += repeat(after), values(group)
        pieces.append(repeat(template.around[-1]))
        return "".join(chain.from_iterable(zip(*pieces, strict=False)))

    def _template(self, facts: Facts) -> _Template:
        values: list[Callable[[Members], Iterable[str]]] = []
        elements: list[tuple[str | None, str | None]] = []
        for name, missing in self._planned.entries or ():
            element = writer(name)(facts)
            if element is not None and source(name) in (Source.RESOURCE, Source.BIRTH):
                column = COLUMNS.get(name) or self._each(LIVE[name].value)
                values.append(column.values)
                element = framed(name)(column.before + _PLACE + column.after)
            elements.append((element, missing))
        opening, _, rest = propstat_response("", gathered(elements)).partition(_HREF)
        slash = "/" if facts.resource.collection else ""
        first, *others = (slash + rest).split(_PLACE)
        return _Template((opening + _HREF, first, *others), tuple(values))

    def _each(self, value: Callable[[Facts], str | None]) -> Column:
        """Of a property for which there is no quicker way."""
        return Column(lambda members: [value(Facts(one, _NOTHING, self._view)) or "" for one in members])
