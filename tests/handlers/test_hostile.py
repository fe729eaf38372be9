"""Requests that mean harm: bounded answers, nothing leaked, neighbours not concerned."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.conftest import Serve
from tests.handlers.test_post import files
from tests.harness import Client, form_part


async def test_a_very_deep_name_concerns_nobody_else(client: Client) -> None:
    answer = await client.post("/", [form_part("a", b"1"), form_part("a/" * 1400 + "x", b"2"), form_part("b", b"3")])
    assert [(row.status, row.error) for row in answer.rows] == [(201, None), (403, "forbidden-name"), (201, None)]
    for method in ("PUT", "MKCOL"):
        assert (await client.request(method, "/a" * 1400)).status == 403
    for method in ("GET", "DELETE", "PROPFIND"):
        assert (await client.request(method, "/a" * 1400)).status == 404


async def test_a_fault_of_the_server_is_one_item_s_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from partwise.storage.local import staging

    create = staging.Staging.create
    calls = iter(range(100))

    def sometimes(self: staging.Staging) -> tuple[int, str | None]:
        if next(calls) == 1:
            raise OSError(24, "Too many open files")
        return create(self)

    monkeypatch.setattr(staging.Staging, "create", sometimes)
    answer = await client.post("/", [form_part(name, b"1") for name in "abc"])
    assert [(row.status, row.error) for row in answer.rows] == [(201, None), (503, "try-again"), (201, None)]
    assert answer.summary["state"] == "complete"
    assert set(files(client.folder)) == {"a", "c"}


async def test_a_propfind_cannot_be_made_to_shout(client: Client) -> None:
    many = "".join(f"<n:a{number}/>" for number in range(300))
    for namespace, names in [("urn:x", many), ("u" * 20_000, "<n:a/><n:b/>")]:
        body = f'<propfind xmlns="DAV:" xmlns:n="{namespace}"><prop>{names}</prop></propfind>'
        answer = await client.request("PROPFIND", "/", body.encode(), Depth="1")
        assert (answer.status, answer.error) == (413, "too-large")


async def test_head_of_a_deep_collection_leaks_nothing(client: Client) -> None:
    path = "/".join(["d" * 40] * 60)
    (client.folder / path).mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        assert (await client.request("HEAD", f"/{path}/")).status == 200
    assert len(os.listdir("/proc/self/fd")) <= before + 3


BROWSER = {"User_Agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0", "Accept_Language": "en"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:8080"} | BROWSER, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"} | BROWSER, 403),
        ({"Host": "evil.example"}, 200),  # a program that names its target oddly
        ({"Host": "localhost:1"} | BROWSER, 200),
        ({"Host": "[::1]:8080"} | BROWSER, 200),
        ({"Host": "127.0.0.7"} | BROWSER, 200),
    ],
)
async def test_dns_rebinding(client: Client, headers: dict[str, str], status: int) -> None:
    assert (await client.request("GET", "/", **headers)).status == status


async def test_a_public_name_is_welcome(serve: Serve) -> None:
    client = await serve(public_url="https://files.example.org/")
    assert (await client.request("GET", "/", Host="files.example.org", **BROWSER)).status == 200
    client = await serve(anonymous="write")
    assert (await client.request("GET", "/", Host="anything.example", **BROWSER)).status == 200


async def test_an_upload_that_is_thrown_out_late_writes_into_nobody_s_file(client: Client) -> None:
    """The report of an upload that failed is closed while its items are still on their way to the disk."""
    from partwise.batch.report import Report

    report = Report(os.fspath(client.folder / "r"), "b")
    number = report._descriptor
    report.close()
    other = os.open(client.folder / "other", os.O_CREAT | os.O_RDWR)
    os.dup2(other, number)  # the number is used again, as it may be by the next upload
    from tests.batch.test_report import row

    report.settle([row(1)])
    for descriptor in {other, number}:
        os.close(descriptor)
    assert (client.folder / "other").read_bytes() == b""


async def test_many_connections_that_say_nothing(client: Client) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(100)]
    assert (await client.request("PUT", "/a", b"1")).status == 201
    for _, writer in silent:
        writer.close()
