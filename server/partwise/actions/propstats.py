"""What is told of the properties of one resource: ``D:propstat``, planned once per request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import NamedTuple

from partwise.actions.properties import LIVE, Facts, dead, empty, is_live, needs_comparing, needs_stored, writer
from partwise.errors import TooLarge
from partwise.protocol.propfind import AllProp, Prop, PropName

#: Properties that one request may name, and the characters that their names may take in an answer.
MAX_NAMES = 256
MAX_NAMED = 16 * 1024

Asked = AllProp | PropName | Prop
#: Pairs of a status and the serialised elements that have it.
Propstats = list[tuple[int, str]]
Plan = Callable[[Facts], Propstats]


class Planned(NamedTuple):
    """A plan, and whether it needs stored properties, and all below each collection compared (``properties.comparing``)."""

    plan: Plan
    stored: bool
    compares: bool = False


def plan_of(asked: Asked, *, minimal: bool) -> Planned:
    """How the propstats of each resource are made, decided once per request.

    Raises TooLarge for too many names.
    """
    match asked:
        case PropName():
            return Planned(_names, stored=True)
        case AllProp(include=include):
            names = [name for name, live in LIVE.items() if live.in_allprop]
            plan = _values(names, _bounded(include), with_dead=True, minimal=minimal)
            return Planned(plan, stored=True, compares=any(map(needs_comparing, include)))
        case Prop(names=names):
            named = _bounded(names)
            plan = _values((), named, with_dead=False, minimal=minimal)
            return Planned(plan, any(map(needs_stored, named)), any(map(needs_comparing, named)))


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


def _values(all_of: Iterable[str], named: tuple[str, ...], *, with_dead: bool, minimal: bool) -> Plan:
    """``all_of``: left out where a resource lacks them; ``named``: asked for by name, so 404 where it does."""
    plan: dict[str, str | None] = dict.fromkeys(all_of)
    for name in named:
        # What allprop tells anyway needs no second place.
        if not (with_dead and not is_live(name)):
            plan.setdefault(name, None if minimal else empty(name))
        elif not minimal:
            plan[name] = empty(name)
    entries = tuple((writer(name), missing) for name, missing in plan.items())

    def propstats(facts: Facts) -> Propstats:
        present, absent = "", ""
        for write, missing in entries:
            value = write(facts)
            if value is not None:
                present += value
            elif missing is not None:
                absent += missing
        if with_dead and facts.stored:
            present += "".join(value for name, value in dead(facts.stored).items() if name not in plan)
        answer: Propstats = []
        if present or not absent:
            answer.append((HTTPStatus.OK, present))
        if absent:
            answer.append((HTTPStatus.NOT_FOUND, absent))
        return answer

    return propstats
