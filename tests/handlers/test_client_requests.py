"""What ordinary clients send, in their own bytes: nothing of it may fail, and what they rely on must be there."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from lxml import etree
from tests.captures import DAV, chunked, lockinfo, send, stated, token, value
from tests.harness import Client, read_response

# -- rclone

RCLONE = "Host: {host}\nUser-Agent: rclone/v1.68.2\nReferer: http://{host}/\nAccept-Encoding: gzip"


async def test_rclone_reads_times_and_checksums_as_from_a_nextcloud(client: Client) -> None:
    data = b"alpha\n"
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    put = (
        f"PUT /a.txt HTTP/1.1\n{RCLONE}\nContent-Length: {{length}}\n"
        f"Content-Type: text/plain; charset=utf-8\nOc-Checksum: SHA1:{sha1}\n"
        "X-Oc-Mtime: 1700000000"
    )
    answer = await send(client, put, data)
    assert answer.status == 201
    assert answer.headers["X-OC-Mtime"] == "accepted"
    assert (client.folder / "a.txt").stat().st_mtime == 1700000000

    asked = (
        b'<?xml version="1.0"?>\n'
        b'<d:propfind  xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">\n'
        b" <d:prop>\n  <d:displayname />\n  <d:getlastmodified />\n  <d:getcontentlength />\n  <d:resourcetype />\n"
        b"  <d:getcontenttype />\n  <oc:checksums />\n  <oc:permissions />\n </d:prop>\n</d:propfind>\n"
    )
    answer = await send(client, f"PROPFIND /a.txt HTTP/1.1\n{RCLONE}\nDepth: 0\nContent-Length: {{length}}", asked)
    first = answer.xml.find(f"{DAV}response/{DAV}propstat")
    assert first is not None
    # It looks at the first status only, and finds checksums by their local names.
    assert first.findtext(f"{DAV}status") == "HTTP/1.1 200 OK"
    names = [etree.QName(element).localname for element in first.iter()]
    assert "checksums" in names
    found = first.xpath("*[local-name()='prop']/*[local-name()='checksums']/*[local-name()='checksum']/text()")
    assert found == [f"SHA1:{sha1}"]
    assert value(answer, f"{DAV}getlastmodified") == "Tue, 14 Nov 2023 22:13:20 GMT"

    assert (await send(client, put.replace("/a.txt", "/b.txt"), b"other\n")).status == 400
    assert not (client.folder / "b.txt").exists()


async def test_rclone_sets_a_time_later_and_asks_for_the_checksum(client: Client) -> None:
    (client.folder / "a.txt").write_bytes(b"alpha\n")
    body = (
        b'<?xml version="1.0" encoding="utf-8"?>\n<D:propertyupdate xmlns:D="DAV:">\n <D:set>\n'
        b'  <D:prop>\n    <lastmodified xmlns="DAV:">1700000000</lastmodified>\n  </D:prop>\n '
        b"</D:set>\n</D:propertyupdate>\n"
    )
    answer = await send(client, f"PROPPATCH /a.txt HTTP/1.1\n{RCLONE}\nContent-Length: {{length}}", body)
    assert answer.status == 207
    assert set(stated(answer).values()) == {200}
    assert (client.folder / "a.txt").stat().st_mtime == 1700000000
    answer = await send(client, f"PATCH /a.txt HTTP/1.1\n{RCLONE}\nX-Recalculate-Hash: sha1\nContent-Length: 0")
    assert answer.status == 204
    assert (
        answer.headers["OC-Checksum"]
        == f"SHA1:{hashlib.sha1(b'alpha' + bytes([10]), usedforsecurity=False).hexdigest()}"
    )


# -- git, davfs2 and cadaver (neon), gvfs, KIO

GIT_OWNER = "<D:owner>\n<D:href>mailto:alice@example.org</D:href>\n</D:owner>\n"


async def test_git_pushes_an_object(client: Client) -> None:
    git = "Host: {host}\nUser-Agent: git/2.39.5\nAccept: */*"
    (client.folder / "p.git" / "info").mkdir(parents=True)
    (client.folder / "p.git" / "info" / "refs").write_bytes(b"")
    asked = (
        b'<?xml version="1.0" encoding="utf-8" ?>\n<D:propfind xmlns:D="DAV:">\n'
        b'<D:prop xmlns:R="/">\n<D:supportedlock/>\n</D:prop>\n</D:propfind>'
    )
    answer = await send(
        client, f"PROPFIND /p.git/ HTTP/1.1\n{git}\nDepth: 0\nContent-Type: text/xml\nContent-Length: {{length}}", asked
    )
    assert answer.xml.find(f".//{DAV}lockentry/{DAV}lockscope/{DAV}exclusive") is not None
    lock = (
        f"LOCK /p.git/info/refs HTTP/1.1\n{git}\nTimeout: Second-600\nContent-Type: text/xml\n"
        f"Content-Length: {{length}}"
    )
    answer = await send(client, lock, lockinfo(GIT_OWNER, "\n"))
    assert answer.status == 200
    held = f"If: (<{token(answer)}>)"
    assert value(answer, f"{DAV}activelock/{DAV}timeout") in ("Second-600", "Second-599")
    # The second lock must fail, or two pushes would mix.
    assert (await send(client, lock, lockinfo(GIT_OWNER, "\n"))).status == 423
    assert (await send(client, f"MKCOL /p.git/objects/ HTTP/1.1\n{git}\nContent-Length: 0")).status == 201
    name = "/p.git/objects/0123_" + token(answer).rpartition(":")[2]
    assert (await send(client, f"PUT {name} HTTP/1.1\n{git}\nContent-Length: {{length}}", b"object")).status == 201
    move = (
        f"MOVE {name} HTTP/1.1\n{git}\nDestination: http://{{host}}/p.git/objects/0123\nOverwrite: T\nContent-Length: 0"
    )
    assert (await send(client, move)).status == 201
    put = f"PUT /p.git/info/refs HTTP/1.1\n{git}\n{held}\nContent-Length: {{length}}"
    assert (await send(client, put, b"refs")).status == 204
    refresh = f"LOCK /p.git/info/refs HTTP/1.1\n{git}\n{held}\nTimeout: Second-600\nContent-Length: 0"
    assert (await send(client, refresh)).status == 200
    unlock = f"UNLOCK /p.git/info/refs HTTP/1.1\n{git}\nLock-Token: <{held[6:-2]}>\nContent-Length: 0"
    assert (await send(client, unlock)).status == 204


@pytest.mark.parametrize("agent", ["davfs2/1.6.1 neon/0.32.2", "cadaver/0.24 neon/0.32.5"])
async def test_neon_locks_a_new_name_and_names_it_by_its_url(client: Client, agent: str) -> None:
    neon = f"Host: {{host}}\nUser-Agent: {agent}\nConnection: TE\nTE: trailers"
    lock = (
        f"LOCK /new.txt HTTP/1.1\n{neon}\nDepth: 0\nTimeout: Second-1800\n"
        f"Content-Type: application/xml\nContent-Length: {{length}}"
    )
    answer = await send(client, lock, lockinfo("<D:owner>alice</D:owner>"))
    assert answer.status == 201
    condition = f"If: <http://127.0.0.1:{client.port}/new.txt> (<{token(answer)}>)"
    assert (
        await send(client, f"PUT /new.txt HTTP/1.1\n{neon}\n{condition}\nContent-Length: {{length}}", b"x")
    ).status == 204
    refresh = f"LOCK /new.txt HTTP/1.1\n{neon}\n{condition}\nTimeout: Infinite\nContent-Length: 0"
    assert (await send(client, refresh)).status == 200
    assert (await send(client, f"UNLOCK /new.txt HTTP/1.1\n{neon}\nLock-Token: <{token(answer)}>")).status == 204


async def test_davfs2_makes_a_file_executable(client: Client) -> None:
    (client.folder / "run").write_bytes(b"")
    body = (
        b'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:"><D:set>'
        b'<D:prop><executable xmlns="http://apache.org/dav/props/">T</executable></D:prop>'
        b"</D:set></D:propertyupdate>"
    )
    head = (
        "PROPPATCH /run HTTP/1.1\nHost: {host}\nUser-Agent: davfs2/1.6.1 neon/0.32.2\n"
        "Content-Type: application/xml\nContent-Length: {length}"
    )
    assert stated(await send(client, head, body)) == {"{http://apache.org/dav/props/}executable": 200}


async def test_gvfs_lists_and_replaces_by_etag(client: Client) -> None:
    gvfs = "Host: {host}\nUser-Agent: gvfs/1.50.3\nAccept-Encoding: gzip, deflate, br\nAccept-Language: en-US, en;q=0.9"
    (client.folder / "a.txt").write_bytes(b"old")
    body = (
        b'<?xml version="1.0" encoding="utf-8" ?>\n <D:propfind xmlns:D="DAV:">\n<D:prop>\n'
        b"<D:creationdate/>\n<D:displayname/>\n<D:getcontentlength/>\n<D:getcontenttype/>\n"
        b"<D:getetag/>\n<D:getlastmodified/>\n<D:resourcetype/>\n</D:prop>\n</D:propfind>"
    )
    answer = await send(
        client,
        f"PROPFIND / HTTP/1.1\n{gvfs}\nDepth: 1\nContent-Type: application/xml\nContent-Length: {{length}}",
        body,
    )
    assert [row.href for row in answer.rows] == ["/", "/a.txt"]
    assert "Content-Encoding" not in answer.headers
    etag = answer.rows[1].element.findtext(f".//{DAV}getetag")
    put = f"PUT /a.txt HTTP/1.1\n{gvfs}\nIf-Match: {etag}\nContent-Length: {{length}}"
    assert (await send(client, put, b"new")).status == 204
    assert (await send(client, put, b"newer")).status == 412


async def test_kio_lists_moves_and_copies(client: Client) -> None:
    kio = (
        "Host: {host}\nConnection: keep-alive\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) KHTML/5.103.0 (like Gecko) Konqueror/5 KIO/5.103\n"
        "Accept: text/html, text/*;q=0.9, image/jpeg;q=0.9, image/png;q=0.9, image/*;q=0.9, */*;q=0.8\n"
        "Accept-Encoding: gzip, deflate, x-gzip, x-deflate\nAccept-Charset: utf-8,*;q=0.5\n"
        "Accept-Language: en-US,en;q=0.9"
    )
    (client.folder / "a").mkdir()
    names = (
        "creationdate",
        "getcontentlength",
        "displayname",
        "source",
        "getcontentlanguage",
        "getcontenttype",
        "getlastmodified",
        "getetag",
        "supportedlock",
        "lockdiscovery",
        "resourcetype",
    )
    asked = "".join(f"<D:{name}/>" for name in names)
    body = (
        f'<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:"><D:prop>{asked}</D:prop></D:propfind>'
    ).encode()
    answer = await send(
        client,
        f"PROPFIND /a HTTP/1.1\n{kio}\nDepth: 0\nContent-Type: text/xml; charset=utf-8\nContent-Length: {{length}}",
        body,
    )
    assert answer.status == 207
    assert stated(answer)[f"{DAV}source"] == 404
    for verb, source, target in (("COPY", "/a", "/b"), ("MOVE", "/b", "/c")):
        head = (
            f"{verb} {source} HTTP/1.1\n{kio}\nDestination: http://{{host}}{target}\nOverwrite: F\n"
            "Depth: infinity\nContent-Length: 0"
        )
        assert (await send(client, head)).status == 201
    assert (client.folder / "c").is_dir()


# -- Zotero, KeePass, KeeWeb, Cyberduck, Total Commander, restic through rclone, curl


async def test_zotero_verifies_a_server(client: Client) -> None:
    zotero = (
        "Host: {host}\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Zotero/7.0\nAccept: */*"
    )
    (client.folder / "zotero").mkdir()
    answer = await send(client, f"OPTIONS /zotero/ HTTP/1.1\n{zotero}")
    assert answer.status == 200
    assert "DAV" in answer.headers
    body = b"<propfind xmlns='DAV:'><prop><getcontentlength/></prop></propfind>"
    propfind = (
        f"PROPFIND /zotero/ HTTP/1.1\n{zotero}\nDepth: 0\n"
        f"Content-Type: text/xml; charset=utf-8\nContent-Length: {{length}}"
    )
    assert (await send(client, propfind, body)).status == 207
    assert (await send(client, f"GET /zotero/nonexistent.prop HTTP/1.1\n{zotero}")).status == 404
    put = f"PUT /zotero/zotero-test-file.prop HTTP/1.1\n{zotero}\nContent-Type: text/plain\nContent-Length: {{length}}"
    assert (await send(client, put, b" ")).status == 201
    assert (await send(client, f"GET /zotero/zotero-test-file.prop HTTP/1.1\n{zotero}")).body == b" "
    assert (await send(client, f"DELETE /zotero/zotero-test-file.prop HTTP/1.1\n{zotero}")).status == 204


async def test_zotero_stores_the_properties_of_an_attachment(client: Client) -> None:
    """Its ``.prop`` file is XML, declared as such, so it is judged as XML."""
    body = (
        b'<properties version="1"><mtime>1700000000000</mtime>'
        b"<hash>5d41402abc4b2a76b9719d911017c592</hash></properties>"
    )
    head = "PUT /ABCD2345.prop HTTP/1.1\nHost: {host}\nContent-Type: text/xml\nContent-Length: {length}"
    assert (await send(client, head, body)).status == 201


@pytest.mark.parametrize("destination", ["http://{host}/vault.kdbx", "/vault.kdbx"])
async def test_keepass_writes_beside_and_moves_over(client: Client, destination: str) -> None:
    keepass = "Host: {host}\nUser-Agent: KeePass"
    (client.folder / "vault.kdbx").write_bytes(b"old")
    put = f"PUT /vault.kdbx.tmp HTTP/1.1\n{keepass}\nExpect: 100-continue\nContent-Length: {{length}}"
    assert (await send(client, put, b"new")).status == 201
    move = f"MOVE /vault.kdbx.tmp HTTP/1.1\n{keepass}\nDestination: {destination}\nOverwrite: T\nContent-Length: 0"
    assert (await send(client, move)).status == 204
    assert (client.folder / "vault.kdbx").read_bytes() == b"new"


async def test_cyberduck_uploads_with_expect_and_lists_all_properties(client: Client) -> None:
    duck = "Host: {host}\nUser-Agent: Cyberduck/9.0.0.41777 (Mac OS X/14.4) (aarch64)\nAccept-Encoding: gzip,deflate"
    put = (
        f"PUT /a%20b.bin HTTP/1.1\n{duck}\nContent-Type: application/octet-stream\n"
        f"Expect: 100-continue\nContent-Length: {{length}}"
    )
    assert (await send(client, put, b"data")).status == 201
    body = (
        b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
    )
    answer = await send(
        client,
        f"PROPFIND / HTTP/1.1\n{duck}\nDepth: 1\nContent-Type: text/xml; charset=UTF-8\nContent-Length: {{length}}",
        body,
    )
    assert [row.href for row in answer.rows] == ["/", "/a%20b.bin"]
    head = f"HEAD / HTTP/1.1\n{duck}"
    filled = head.replace("{host}", f"127.0.0.1:{client.port}").replace("\n", "\r\n").encode() + b"\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(filled)
    assert b" 200 OK\r\n" in await reader.readline()
    writer.close()


async def test_total_commander_asks_for_properties_of_an_old_draft(client: Client) -> None:
    body = (
        b'<?xml version="1.0" encoding="utf-8" ?>\r\n<a:propfind xmlns:a="DAV:"><a:prop>'
        b"<a:displayname/><a:getcontentlength/><a:getlastmodified/><a:resourcetype/>"
        b"<a:iscollection/></a:prop></a:propfind>"
    )
    head = (
        "PROPFIND / HTTP/1.1\nHost: {host}\nUser-Agent: Total Commander WebDAV-Plugin\n"
        "Depth: 1\nTranslate: f\nBrief: t\nContent-Type: text/xml\nContent-Length: {length}"
    )
    answer = await send(client, head, body)
    assert answer.status == 207
    # Brief: what is not there is not told (RFC 8144 §2.1).
    assert f"{DAV}iscollection" not in stated(answer)


async def test_restic_through_rclone_reads_a_range(client: Client) -> None:
    (client.folder / "pack").write_bytes(bytes(range(100)))
    answer = await send(client, f"GET /pack HTTP/1.1\n{RCLONE}\nRange: bytes=10-19")
    assert (answer.status, answer.body) == (206, bytes(range(10, 20)))


async def test_curl_uploads_from_a_pipe(client: Client) -> None:
    """``curl -T - URL``: chunked, and it waits to be asked for the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = (
        f"PUT /piped HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nUser-Agent: curl/7.88.1\r\n"
        "Accept: */*\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert await reader.readline() == b"\r\n"
    writer.write(chunked(b"from a ", b"pipe"))
    assert (await read_response(reader)).status == 201
    writer.close()
    assert (client.folder / "piped").read_bytes() == b"from a pipe"


async def test_nobody_is_sent_compressed_bytes(client: Client) -> None:
    (client.folder / "a.txt").write_bytes(b"a" * 10_000)
    for head in ("GET /a.txt HTTP/1.1", "GET / HTTP/1.1", "PROPFIND / HTTP/1.1\nDepth: 1\nContent-Length: 0"):
        answer = await send(client, f"{head}\nHost: {{host}}\nAccept-Encoding: gzip, deflate, br, zstd")
        assert "Content-Encoding" not in answer.headers
        assert "Content-Encoding" not in answer.headers.get("Vary", "")
