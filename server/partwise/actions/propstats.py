"""What is told of the properties of one resource: ``D:propstat``, planned once per request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple

from partwise.actions.properties import (
    LIVE,
    Facts,
    Source,
    dead,
    empty,
    is_live,
    needs_comparing,
    needs_stored,
    source,
    writer,
)
from partwise.errors import TooLarge
from partwise.protocol.propfind import AllProp, Prop, PropName

#: Properties that one request may name, and the characters that their names may take in an answer.
MAX_NAMES = 256
MAX_NAMED = 16 * 1024

Asked = AllProp | PropName | Prop
#: Pairs of a status and the serialised elements that have it.
Propstats = list[tuple[int, str]]
Plan = Callable[[Facts], Propstats]


#: The name of a property in Clark notation, and what is told where it is missing, ``None``: nothing.
Entries = tuple[tuple[str, str | None], ...]


class Planned(NamedTuple):
    """A plan, and whether it needs stored properties, and all below each collection compared (``properties.comparing``).

    ``entries`` are the properties that it tells, in their order, but for dead ones of which nobody knows before they are
    read; ``None`` for a plan that tells none (see ``actions.rows``).
    """

    plan: Plan
    stored: bool
    compares: bool = False
    entries: Entries | None = None

    def needs(self, of: Source) -> bool:
        """Does a value follow from this?"""
        return self.entries is None or any(source(name) is of for name, _ in self.entries)


def plan_of(asked: Asked, *, minimal: bool) -> Planned:
    """How the propstats of each resource are made, decided once per request.

    Raises TooLarge for too many names.
    """
    match asked:
        case PropName():
            return Planned(_names, stored=True)
        case AllProp(include=include):
            names = [name for name, live in LIVE.items() if live.in_allprop]
            entries = _entries(names, _bounded(include), with_dead=True, minimal=minimal)
            return Planned(_values(entries, with_dead=True), True, any(map(needs_comparing, include)), entries)
        case Prop(names=names):
            named = _bounded(names)
            entries = _entries((), named, with_dead=False, minimal=minimal)
            plan = _values(entries, with_dead=False)
            return Planned(plan, any(map(needs_stored, named)), any(map(needs_comparing, named)), entries)


def _names(facts: Facts) -> Propstats:
    collection = facts.resource.collection
    live = "".join(
        empty(name)
        for name, entry in LIVE.items()
        if (collection if entry.compares else entry.value(facts) is not None)
    )
    return [(HTTPStatus.OK, live + "".join(map(empty, dead(facts.stored))))]


def _bounded(names: Iterable[str]) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(names))
    if len(named) > MAX_NAMES or sum(len(empty(name)) for name in named) > MAX_NAMED:
        # What one resource lacks is told for every resource: a small body would make a very large answer.
        raise TooLarge(f"Ask for {MAX_NAMES} properties at most, with shorter names.", limit=MAX_NAMES)
    return named


def _entries(all_of: Iterable[str], named: tuple[str, ...], *, with_dead: bool, minimal: bool) -> Entries:
    """``all_of``: left out where a resource lacks them; ``named``: asked for by name, so 404 where it does."""
    plan: dict[str, str | None] = dict.fromkeys(all_of)
    for name in named:
        # What allprop tells anyway needs no second place.
        if not (with_dead and not is_live(name)):
            plan.setdefault(name, None if minimal else empty(name))
        elif not minimal:
            plan[name] = empty(name)
    return tuple(plan.items())


def _values(entries: Entries, *, with_dead: bool) -> Plan:
    writers = tuple((writer(name), missing) for name, missing in entries)
    told = {name for name, _ in entries}

    def propstats(facts: Facts) -> Propstats:
        values = [(write(facts), missing) for write, missing in writers]
        if with_dead and facts.stored:
            values += [(value, None) for name, value in dead(facts.stored).items() if name not in told]
        return gathered(values)

    return propstats


def gathered(values: Iterable[tuple[str | None, str | None]]) -> Propstats:
    """Elements, ``None`` for one that a resource lacks, and what is told then."""
    present, absent = "", ""
    for value, missing in values:
        if value is not None:
            present += value
        elif missing is not None:
            absent += missing
    answer: Propstats = []
    if present or not absent:
        answer.append((HTTPStatus.OK, present))
    if absent:
        answer.append((HTTPStatus.NOT_FOUND, absent))
    return answer
