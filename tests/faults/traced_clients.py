"""What clients do to a server that is traced: everything that is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.faults.disk_nodes import COLLECTION, Standing
from tests.faults.traced import Client, content, lock_info, property_update
from tests.harness import BOUNDARY, mixed_part, multipart

Clients = Callable[[Client], None]

#: More than is kept in memory, and so much that it syncs itself.
_MIDDLE, _LARGE = 300_000, 4 * 1024 * 1024 + 1

_FILES = ("old", "old2", "old3", "old4", "doomed", "a", "b", "tree/x", "tree/deep/y")
BEFORE: dict[str, Standing] = {
    "tree": COLLECTION,
    "tree/deep": COLLECTION,
    **{name: b"as it was: " + name.encode() for name in _FILES},
}


def one_by_one(client: Client) -> None:
    """The state is written first: so it does not profit from what follows."""
    client.ask("PROPPATCH", "old", property_update("the first mark"), status=207, recorded={"old": "the first mark"})
    client.ask("LOCK", "tree/deep/y", lock_info("one owner"), status=200, recorded={"tree/deep/y": "one owner"})
    locked = client.ask(
        "LOCK",
        "reserved",
        lock_info("another owner"),
        status=201,
        recorded={"reserved": "another owner"},
        holds={"reserved": b""},
    )
    token = {"Lock-Token": locked["Lock-Token"]}
    client.ask("UNLOCK", "reserved", status=204, headers=token, recorded={"reserved": None})
    client.put("new", 100)
    client.put("old2", 3000, status=204)
    client.put("middle", _MIDDLE)
    client.put("large", _LARGE)
    client.put("old3", _MIDDLE, status=204)
    dated = {"X-OC-Mtime": "1000000"}
    client.ask("PUT", "dated", b"dated", status=201, headers=dated, holds={"dated": b"dated"})
    client.ask("PROPPATCH", "new", _DATED, status=207, holds={"new": content("new", 100)})
    client.ask("PATCH", "old4", b"IT", status=204, headers=_PATCHED, holds={"old4": b"IT" + content_before("old4")[2:]})
    client.ask("MKCOL", "made", status=201, holds={"made": COLLECTION})
    client.put("made/one", 10)
    client.ask("DELETE", "doomed", status=204, holds={"doomed": None})
    a, one = content_before("a"), content("made/one", 10)
    client.ask("MOVE", "made/one", status=201, headers=_to("moved"), holds={"made/one": None, "moved": one})
    client.ask("MOVE", "a", status=204, headers=_to("b"), holds={"a": None, "b": a})
    client.ask("COPY", "b", status=201, headers=_to("made/copy"), holds={"made/copy": a})
    client.ask("COPY", "moved", status=204, headers=_to("b"), holds={"b": one})
    mark = "the mark of a tree"
    client.ask("PROPPATCH", "tree/x", property_update(mark), status=207, recorded={"tree/x": mark})
    client.ask("COPY", "tree", status=201, headers=_to("t2"), holds=_tree("t2"), recorded={"t2/x": mark})
    client.ask(
        "MOVE",
        "t2",
        status=201,
        headers=_to("t3"),
        holds=_tree("t3") | dict.fromkeys(_tree("t2")),
        recorded={"t2/x": None, "t3/x": mark},
    )
    client.ask("COPY", "tree", status=204, headers=_to("t3"), holds=_tree("t3"), recorded={"t3/x": mark})
    client.ask("DELETE", "t3", status=204, holds=dict.fromkeys(_tree("t3")), recorded={"t3/x": None})


def batches(client: Client) -> None:
    small = {f"small{number}": 10 + 97 * number for number in range(40)}
    client.form(small | {"batch/middle": _MIDDLE, "batch/large": _LARGE} | {f"batch/deep/{name}": 5 for name in small})
    client.form({"whole/a": 7, "whole/middle": _MIDDLE, "whole/b/c": 9}, "?atomic=1")
    client.tar("packed", {"packed/a": 30, "packed/deep/b": 40, "packed/middle": _MIDDLE})


def operations(client: Client) -> None:
    """All that a batch may do, by itself and as a whole."""
    for prefix, query in (("each", ""), ("all", "?atomic=1")):
        client.form({f"{prefix}-a": 10, f"{prefix}-b": 20, f"{prefix}-c": 30, f"{prefix}-d/x": 40})
        a, b, x = (content(f"{prefix}-{name}", size) for name, size in (("a", 10), ("b", 20), ("d/x", 40)))
        mark = f"mark of {prefix}"
        parts = [
            _request(f"DELETE /{prefix}-c"),
            _request(f"MKCOL /{prefix}-made/"),
            _request(f"MOVE /{prefix}-a", f"Destination: /{prefix}-made/a"),
            _request(f"COPY /{prefix}-d", f"Destination: /{prefix}-made/d"),
            mixed_part(f"{prefix}-new", b"new"),
            _request(f"PROPPATCH /{prefix}-b", "Content-Type: application/xml", body=property_update(mark)),
        ]
        rows: dict[str, Mapping[str, Standing]] = {
            f"{prefix}-c": {f"{prefix}-c": None},
            f"{prefix}-made/": {f"{prefix}-made": COLLECTION},
            f"{prefix}-a": {f"{prefix}-a": None, f"{prefix}-made/a": a},
            f"{prefix}-d": {f"{prefix}-made/d": COLLECTION, f"{prefix}-made/d/x": x},
            f"{prefix}-new": {f"{prefix}-new": b"new"},
            f"{prefix}-b": {f"{prefix}-b": b},
        }
        client.batch(f"multipart/mixed; boundary={BOUNDARY}", multipart(parts), rows, query, {f"{prefix}-b": mark})


def everything(client: Client) -> None:
    one_by_one(client)
    batches(client)
    operations(client)


def crowd(number: int) -> Clients:
    """One of many, whose files are made durable in groups."""

    def client(client: Client) -> None:
        for each in range(6):
            client.put(f"crowd{number}-{each}", 10 + each * 1000)
            client.put(f"crowd{number}-{each % 2}", 20 + each, status=204)

    return client


_DATED = (
    b'<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>'
    b"<Z:Win32LastModifiedTime>Tue, 01 Jan 2019 00:00:00 GMT</Z:Win32LastModifiedTime>"
    b"</D:prop></D:set></D:propertyupdate>"
)
_PATCHED = {"Content-Type": "application/x-sabredav-partialupdate", "X-Update-Range": "bytes=0-1"}


def content_before(name: str) -> bytes:
    held = BEFORE[name]
    assert isinstance(held, bytes)
    return held


def _to(name: str) -> dict[str, str]:
    return {"Destination": f"/{name}"}


def _tree(name: str) -> dict[str, Standing]:
    return {name + held.removeprefix("tree"): BEFORE[held] for held in BEFORE if held.startswith("tree")}


def _request(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{line} HTTP/1.1", *fields, "", ""))
    return b"Content-Type: application/http\r\n\r\n" + head.encode() + body
