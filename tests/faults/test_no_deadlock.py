"""Very many tiny items from clients that send everything before they read a byte: reading never waits for writing."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from tests.cli.test_serve import served
from tests.harness import multipart
from tests.xml_documents import check_xml

#: Bytes that a client which does not read can be sent nevertheless: what its socket holds; the server's holds 4 MiB.
BUFFER = 64 * 1024


def body(items: int) -> bytes:
    part = b'Content-Disposition: form-data; name="f"; filename="%d/%d"\r\n\r\nx'
    return multipart([part % (number % 10, number) for number in range(items)], "b")


def check_report(document: bytes, items: int) -> None:
    root = check_xml(document)
    statuses = Counter(status.text for status in root.iter("{DAV:}status"))
    assert statuses == {"HTTP/1.1 201 Created": items}
    summary = root.find("{urn:partwise:batch}summary")
    assert summary is not None and (summary.get("stored"), summary.get("state")) == (str(items), "complete")


def send_all_then_read(port: int, data: bytes) -> bytes:
    with socket.socket() as client:
        client.settimeout(300)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        client.connect(("127.0.0.1", port))
        head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
        client.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")
        client.sendall(data)
        pieces = []
        while piece := client.recv(1 << 16):
            pieces.append(piece)
    return unchunked(b"".join(pieces).partition(b"\r\n\r\n")[2])


def unchunked(data: bytes) -> bytes:
    pieces, at = [], 0
    while (size := int(data[at : (end := data.index(b"\r\n", at))], 16)) > 0:
        pieces.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(pieces)


def send_with_requests(port: int, data: bytes) -> bytes:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = requests.post(f"http://127.0.0.1:{port}/", data=data, headers=kind, timeout=300)
    assert answer.status_code == 207
    return answer.content


# Reports of 8 and 20 MB: more than the kernel's buffers hold for somebody who does not read.
@pytest.mark.parametrize(("send", "items"), [(send_all_then_read, 40_000), (send_with_requests, 100_000)])
async def test_a_client_that_reads_late(folder: Path, send: Callable[[int, bytes], bytes], items: int) -> None:
    with served(str(folder), "--port", "0") as (process, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        document = await asyncio.to_thread(send, port, body(items))
        assert len(document) > 7_000_000
        check_report(document, items)
        peak = Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        assert int(peak) < 150 * 1024, "kB of peak memory"
    assert sum(1 for _ in folder.glob("[0-9]/*")) == items
