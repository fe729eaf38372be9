"""Which failure is told when several speak against one body: one table, the same for a PUT and for an item.

Each row is a reason with what makes it hold; two reasons at once are answered with the status of the earlier row.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from tests.conftest import Serve
from tests.harness import BOUNDARY, Client, form_part, mixed_part

#: reason, headers of the body, name of the target (None: a free one), status; in the order of docs/status-codes.md
REASONS: list[tuple[str, dict[str, str], str | None, int]] = [
    ("malformed header", {"Content_Digest": "sha-256=x"}, None, 400),
    ("collection there", {}, "collection", 405),
    ("parent missing", {}, "file/below", 409),
    ("lock token", {"If": "(<urn:x>)"}, None, 412),
    ("coding", {"Content_Encoding": "gzip"}, None, 415),
    ("type", {"Content_Type": "video/mp4"}, None, 415),
    ("size", {}, None, 413),
    ("condition", {"If_Match": '"other"'}, None, 412),
    ("contents", {"Content_Type": "application/json"}, None, 400),
]
#: Told by the gate, which stands in two places of the order; and both need the same thing of the target.
NOT_TOGETHER = {("collection there", "parent missing"), ("type", "contents")}
LARGE = b"{" * 2000
SMALL = b"{"

PAIRS = [pair for pair in combinations(REASONS, 2) if (pair[0][0], pair[1][0]) not in NOT_TOGETHER]


@pytest.fixture
async def client(serve: Serve) -> Client:
    found = await serve(max_item_size=1000, accept=("text/*", "application/json", "application/octet-stream"))
    (found.folder / "collection").mkdir()
    (found.folder / "file").write_bytes(b"x")
    return found


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{a[0]} before {b[0]}" for a, b in PAIRS])
async def test_the_earlier_reason_is_told(client: Client, first: Any, second: Any) -> None:
    name = first[2] or second[2] or "free"
    headers = {"Content_Type": "text/plain"} | second[1] | first[1]
    body = LARGE if "size" in (first[0], second[0]) else SMALL
    expected = first[3]
    put = await client.request("PUT", f"/{name}", body, **headers)
    assert put.status == expected
    part = mixed_part(name, body, Content_Length=str(len(body)), **headers)
    [row] = (await client.post("/", [part], "mixed")).rows
    assert (row.status, row.error) == (expected, put.error)


async def test_the_whole_request_comes_first(serve: Serve) -> None:
    """403, then malformed headers, then 404, 405, then If, then 415."""
    client = await serve(anonymous="read")
    assert (await client.post("/none", [], Overwrite="x")).status == 403
    client = await serve()
    (client.folder / "file").write_bytes(b"")
    form = f"multipart/form-data; boundary={BOUNDARY}"
    for target, headers, status in [
        ("/none", {"Overwrite": "x"}, 400),
        ("/none", {"If": "(<urn:x>)"}, 404),
        ("/file", {"If": "(<urn:x>)"}, 405),
        ("/", {"If": "(<urn:x>)", "Content_Type": "text/plain"}, 412),
        ("/", {"If_None_Match": "*", "Content_Type": "text/plain"}, 415),
        ("/", {"If_None_Match": "*"}, 412),
    ]:
        answer = await client.post(target, [form_part("a", b"1")], **({"Content_Type": form} | headers))
        assert answer.status == status, (target, headers)
