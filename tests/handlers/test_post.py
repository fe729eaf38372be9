"""POST of a batch over a real socket: one row per item, judged one by one."""

from __future__ import annotations

from tests.harness import Client, form_part, mixed_part


async def test_each_item_has_its_own_status(client: Client) -> None:
    answer = await client.post(
        "/",
        [
            form_part("a.txt", b"alpha", Content_Type="text/plain"),
            form_part("b.xml", b"<a><b></a>", Content_Type="application/xml"),
            form_part("../c.txt", b"c"),
            form_part("a.txt", b"again"),
            form_part("d/e.txt", b"deep"),
        ],
    )
    assert answer.status == 207
    assert [(row.status, row.error) for row in answer.rows] == [
        (201, None),
        (400, "not-well-formed"),
        (403, "forbidden-name"),
        (409, "duplicate"),
        (201, None),
    ]
    assert answer.summary["state"] == "complete"
    assert (client.folder / "a.txt").read_bytes() == b"alpha"
    assert (client.folder / "d" / "e.txt").read_bytes() == b"deep"
    assert not (client.folder / "b.xml").exists()


async def test_mixed(client: Client) -> None:
    answer = await client.post("/", [mixed_part("a%20b.txt", b"alpha", Content_Length="5")], "mixed")
    assert [row.href for row in answer.rows] == ["/a%20b.txt"]
    assert (client.folder / "a b.txt").read_bytes() == b"alpha"
