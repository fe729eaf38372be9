"""Changes of properties, planned all or nothing; and what is told of each (RFC 4918 §9.2, RFC 5689 §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from partwise.actions.properties import empty
from partwise.actions.settable import Setting, setting
from partwise.errors import Depends, Failure, OutOfSpace
from partwise.protocol.multistatus import condition, status_line, text
from partwise.protocol.property_update import Change


@dataclass(slots=True)
class Outcome:
    """What became of each property: ``None`` if it was done. One entry each, in the order of first mention."""

    failures: dict[str, Failure | None] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return not any(self.failures.values())

    def propstats(self) -> str:
        """``D:propstat`` elements, one for each kind of outcome (RFC 4918 §9.2.1)."""
        groups: dict[tuple[int, str, str], list[str]] = {}
        for name, failure in self.failures.items():
            status = int(HTTPStatus.OK if failure is None else failure.status)
            error = "" if failure is None else condition(failure)
            groups.setdefault((status, error, "" if failure is None else failure.text), []).append(empty(name))
        return "".join(_propstat(*group, names) for group, names in groups.items())


def _propstat(status: int, error: str, sentence: str, names: Sequence[str]) -> str:
    told = f"<D:error>{error}</D:error>" if error else ""
    told += f"<D:responsedescription>{text(sentence)}</D:responsedescription>" if sentence else ""
    return f"<D:propstat><D:prop>{''.join(names)}</D:prop><D:status>{status_line(status)}</D:status>{told}</D:propstat>"


def plan(changes: Sequence[Change]) -> tuple[Outcome, dict[str, str | None], int | None]:
    """What is to be stored, and the modification time to set; nothing if a change is refused.

    A property that was changed twice has the outcome of the last: "processed in document order" (§9.2).
    """
    failures: dict[str, Failure | None] = {}
    stored: dict[str, str | None] = {}
    modified_ns: int | None = None
    for change in changes:
        try:
            found: Setting = setting(change)
        except Failure as failure:
            failures[change.name] = failure
            continue
        failures.setdefault(change.name, None)
        stored.update(found.stored)
        modified_ns = modified_ns if found.modified_ns is None else found.modified_ns
    if any(failures.values()):
        depends = Depends("Not changed, because another property of the same request could not be.")
        return Outcome({name: failure or depends for name, failure in failures.items()}), {}, None
    return Outcome(failures), stored, modified_ns


def check_size(properties: Mapping[str, str | None] | Mapping[str, str], most: int) -> None:
    """Raises OutOfSpace."""
    if sum(len(name) + len(value) for name, value in properties.items() if value is not None) > most:
        raise OutOfSpace(f"The properties of a resource may have {most} bytes together; remove some first.")
