"""What a decoder makes of an archive, in a form that can be compared and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from partwise.batch.containers import Decoder
from partwise.errors import Failure
from partwise.protocol.members import KIND, NAME, Kind
from partwise.protocol.multipart import NEED_DATA, End, NeedData, PartBegin, PartBroken, PartData, PartEnd, PartFailed


class Member(NamedTuple):
    name: bytes
    kind: Kind
    size: int
    modified: str | None
    data: bytes
    failure: type[Failure] | None = None


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def decode(decoder: Decoder, chunks: Iterable[bytes]) -> tuple[list[Member], type[Failure] | None]:
    """The members, and how it ended: None if whole. A member in progress when it breaks off is not among them."""
    members: list[Member] = []
    headers: dict[str, bytes] | None = None
    data = bytearray()
    ended = False
    try:
        for chunk in [*filter(None, chunks), b""]:
            decoder.receive(chunk)
            while not isinstance(event := decoder.next_event(), NeedData):
                assert not ended
                match event:
                    case PartBegin(fields):
                        assert headers is None
                        headers = dict(fields)
                        data.clear()
                    case PartData(more):
                        assert more and headers is not None
                        data += more
                    case PartEnd() | PartFailed():
                        assert headers is not None
                        members.append(_member(headers, bytes(data), getattr(event, "failure", None)))
                        headers = None
                    case PartBroken():
                        raise AssertionError("members have headers")
                    case End():
                        ended = True
    except Failure as failure:
        return members, type(failure)
    assert ended and headers is None
    assert decoder.next_event() is NEED_DATA
    return members, None


def _member(headers: dict[str, bytes], data: bytes, failure: Failure | None) -> Member:
    modified = headers.get("x-oc-mtime")
    return Member(
        headers[NAME],
        Kind[headers[KIND].decode()],
        int(headers["content-length"]),
        None if modified is None else modified.decode(),
        data,
        None if failure is None else type(failure),
    )
