"""What clients were told, held against what a power cut would have left of it at that moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.disk_model import Disk
from tests.faults.disk_nodes import Standing
from tests.faults.tracing import Call, sent

#: The database's files, in the order in which they are read after a power cut.
_STATE = (".partwise/state.db-wal", ".partwise/state.db")


@dataclass(frozen=True)
class Told:
    """The client at this port was told that all of this is so, by an answer or a row of it that begins with ``begins``.

    ``holds``: what stands under which names; ``recorded``: a text that is in a property or a lock of which name, ``None`` if
    there is none any more; ``what``: for people.
    """

    what: str
    port: int
    begins: bytes
    holds: Mapping[str, Standing] = field(default_factory=dict)
    recorded: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Acknowledged:
    """``line``: where the call began that sent the first byte of it."""

    line: int
    told: Told


def acknowledged(calls: Sequence[Call], told: Iterable[Told]) -> list[Acknowledged]:
    """In the order of the trace. Raises LookupError for what was told but never sent."""
    found = []
    streams = sent(calls)
    for each in told:
        pieces = streams.get(each.port, [])
        place = b"".join(piece.data for piece in pieces).find(each.begins)
        if place < 0:
            raise LookupError(f"{each.what}: the trace does not show what its client was told")
        for piece in pieces:
            if place < len(piece.data):
                found.append(Acknowledged(piece.line, each))
                break
            place -= len(piece.data)
    return sorted(found, key=lambda each: each.line)


def at(disk: Disk, calls: Sequence[Call], lines: Iterable[int]) -> Iterator[int]:
    """Play a trace; gives each of the lines, in ascending order, when the disk is as it was just before."""
    place = 0
    for line in lines:
        while place < len(calls) and calls[place].ended < line:
            disk.apply(calls[place])
            place += 1
        yield line


def violations(disk: Disk, calls: Sequence[Call], told: Iterable[Told]) -> list[str]:
    """A sentence for each acknowledgement that came too early. The disk is as it was before the trace."""
    found = []
    answers = acknowledged(calls, told)
    for line, answer in zip(at(disk, calls, [answer.line for answer in answers]), answers, strict=True):
        for reason in _not_durable(disk, answer.told):
            found.append(f"line {line}: {answer.told.what} is acknowledged, but {reason}")
    return found


def _not_durable(disk: Disk, told: Told) -> Iterator[str]:
    for name, standing in told.holds.items():
        reason = disk.missing(name, standing)
        if reason is not None:
            yield reason
    for text in told.recorded.values():
        if text is not None and not any(text.encode() in _bytes(disk.kept(name)) for name in _STATE):
            yield f"{text}: what the database wrote of it was not synced"


def _bytes(standing: Standing) -> bytes:
    return standing if isinstance(standing, bytes) else b""


# -- what must be there after a power cut


def allowed(
    before: Mapping[str, Standing], answers: Sequence[Acknowledged], line: int, *, state: bool = False
) -> dict[str, list[Standing]]:
    """What may stand under each name if the power is cut in this line: what was told last, or what is to be told next.

    ``state``: the texts that are recorded of each name instead.
    """
    found: dict[str, list[Standing]] = {name: [standing] for name, standing in before.items()}
    closed: set[str] = set()
    for answer in answers:
        promised: Mapping[str, Standing] = answer.told.recorded if state else answer.told.holds
        for name, standing in promised.items():
            if answer.line < line:
                found[name] = [standing]
            elif name not in closed:
                closed.add(name)
                found[name] = [*found.get(name, [None]), standing]
    return found
