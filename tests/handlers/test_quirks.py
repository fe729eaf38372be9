"""What clients send that no RFC foresees, in their own bytes: it is taken for what it means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.captures import DAV, chunked, lockinfo, send, stated, token, value
from tests.conftest import Serve
from tests.harness import Client, form_part

WIN32 = "{urn:schemas-microsoft-com:}"

# -- Windows: the Mini-Redirector behind mapped network drives

WINDOWS = "Connection: Keep-Alive\nUser-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045\ntranslate: f\nHost: {host}"


@pytest.mark.parametrize("target", ["/", "/file.txt", "/no%20such/place"])
async def test_windows_asks_any_path_for_its_options(client: Client, target: str) -> None:
    (client.folder / "file.txt").write_bytes(b"")
    answer = await send(client, f"OPTIONS {target} HTTP/1.1\n{WINDOWS}")
    assert answer.status == 200
    assert answer.headers["MS-Author-Via"] == "DAV"
    assert answer.headers["DAV"].startswith("1, 2, 3")


@pytest.mark.parametrize("target", ["/", "/dav", "/dav/"])
async def test_windows_asks_the_root_of_the_server_whatever_is_mounted(serve: Serve, target: str) -> None:
    client = await serve(prefix="/dav/files")
    answer = await send(client, f"OPTIONS {target} HTTP/1.1\n{WINDOWS}")
    assert answer.status == 200
    assert answer.headers["MS-Author-Via"] == "DAV"


@pytest.mark.parametrize("target", ["/da", "/other", "/dav/file", "/dav/files2"])
async def test_what_lies_beside_the_prefix_is_not_ours(serve: Serve, target: str) -> None:
    client = await serve(prefix="/dav/files")
    assert (await send(client, f"OPTIONS {target} HTTP/1.1\n{WINDOWS}")).status == 404


async def test_what_lies_above_the_prefix_has_options_only(serve: Serve) -> None:
    client = await serve(prefix="/dav/files")
    assert (await send(client, f"PROPFIND /dav HTTP/1.1\nDepth: 0\nContent-Length: 0\n{WINDOWS}")).status == 404
    assert (await send(client, f"PUT /dav HTTP/1.1\nContent-Length: 0\n{WINDOWS}")).status == 404


async def test_windows_lists_with_an_empty_body_and_without_the_slash(client: Client) -> None:
    (client.folder / "folder").mkdir()
    (client.folder / "folder" / "file.txt").write_bytes(b"12345")
    answer = await send(client, f"PROPFIND /folder HTTP/1.1\nDepth: 1\nContent-Length: 0\n{WINDOWS}")
    assert answer.status == 207
    assert [row.href for row in answer.rows] == ["/folder/", "/folder/file.txt"]
    folder, file = (row.element for row in answer.rows)
    assert folder.find(f".//{DAV}resourcetype/{DAV}collection") is not None
    assert folder.find(f".//{DAV}getcontentlength") is None
    assert file.findtext(f".//{DAV}getcontentlength") == "5"
    created = file.findtext(f".//{DAV}creationdate") or ""
    assert len(created) == len("2026-01-31T12:00:00Z")
    assert created.endswith("Z")
    assert (file.findtext(f".//{DAV}getlastmodified") or "").endswith(" GMT")


async def test_windows_asks_for_properties_that_only_its_own_server_has(client: Client) -> None:
    names = ("isreadonly", "ishidden", "iscollection", "isroot", "lastaccessed", "getcontentclass")
    asked = "".join(f"<D:{name}/>" for name in names)
    body = f'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>{asked}</D:prop></D:propfind>'.encode()
    answer = await send(client, f"PROPFIND / HTTP/1.1\nDepth: 0\nContent-Length: {{length}}\n{WINDOWS}", body)
    assert answer.status == 207
    assert stated(answer) == {DAV + name: 404 for name in names}


async def test_windows_copies_a_file(client: Client) -> None:
    """PUT of nothing, LOCK, PROPPATCH and PUT under the lock, PROPPATCH of its times, UNLOCK."""
    assert (await send(client, f"PROPFIND /new.txt HTTP/1.1\nDepth: 0\nContent-Length: 0\n{WINDOWS}")).status == 404
    assert (await send(client, f"PUT /new.txt HTTP/1.1\nContent-Length: 0\n{WINDOWS}")).status == 201
    owner = "<D:owner><D:href>DOMAIN\\user</D:href></D:owner>"
    answer = await send(
        client,
        "LOCK /new.txt HTTP/1.1\nCache-Control: no-cache\nPragma: no-cache\n"
        f'Content-Type: text/xml; charset="utf-8"\nTimeout: Second-3600\nContent-Length: {{length}}\n{WINDOWS}',
        lockinfo(owner),
    )
    assert answer.status == 200
    assert value(answer, f"{DAV}owner/{DAV}href") == "DOMAIN\\user"
    assert value(answer, f"{DAV}timeout") in ("Second-3600", "Second-3599")
    held = f"If: (<{token(answer)}>)"

    times = {
        "Win32CreationTime": "Wed, 04 Nov 2020 13:25:51 GMT",
        "Win32LastAccessTime": "Sat, 05 Dec 2020 21:16:12 GMT",
        "Win32LastModifiedTime": "Wed, 04 Nov 2020 13:25:51 GMT",
        "Win32FileAttributes": "00000020",
    }
    inner = "".join(f"<Z:{name}>{text}</Z:{name}>" for name, text in times.items())
    update = (
        '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
        f"<D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>"
    ).encode()
    proppatch = (
        f'PROPPATCH /new.txt HTTP/1.1\nContent-Type: text/xml; charset="utf-8"\nContent-Length: {{length}}\n{WINDOWS}'
    )
    assert (await send(client, proppatch, update)).status == 423
    answer = await send(client, f"{proppatch}\n{held}", update)
    assert answer.status == 207
    assert stated(answer) == {WIN32 + name: 200 for name in times}

    put = f"PUT /new.txt HTTP/1.1\nContent-Length: {{length}}\n{WINDOWS}"
    assert (await send(client, put, b"contents")).status == 423
    assert (await send(client, f"{put}\n{held}", b"contents")).status == 204
    # The time of the file is that of the last write, until Windows sets it.
    assert (await send(client, f"{proppatch}\n{held}", update)).status == 207
    assert (client.folder / "new.txt").stat().st_mtime == 1604496351

    # It keeps its lock alive by a LOCK without a body.
    refresh = f"LOCK /new.txt HTTP/1.1\n{held}\nTimeout: Second-3600\nContent-Length: 0\n{WINDOWS}"
    assert (await send(client, refresh)).status == 200
    unlock = f"UNLOCK /new.txt HTTP/1.1\nLock-Token: <{held[6:-2]}>\nContent-Length: 0\n{WINDOWS}"
    assert (await send(client, unlock)).status == 204

    answer = await send(client, f"PROPFIND /new.txt HTTP/1.1\nDepth: 0\nContent-Length: 0\n{WINDOWS}")
    for name, text in times.items():
        assert value(answer, WIN32 + name) == text
    assert value(answer, f"{DAV}getlastmodified") == times["Win32LastModifiedTime"]
    assert (client.folder / "new.txt").read_bytes() == b"contents"


@pytest.mark.parametrize(
    "owner", ["", "<D:owner/>", "<D:owner>DOMAIN\\user</D:owner>", "<D:owner>Jörg &amp; Söhne</D:owner>"]
)
async def test_windows_and_office_lock_for_odd_owners(client: Client, owner: str) -> None:
    answer = await send(
        client,
        f"LOCK /new.txt HTTP/1.1\nContent-Length: {{length}}\nTimeout: Second-180\n{WINDOWS}",
        lockinfo(owner, "\r\n"),
    )
    assert answer.status == 201
    assert (answer.xml.find(f".//{DAV}owner") is not None) == bool(owner)


async def test_windows_does_not_escape_every_character(client: Client) -> None:
    answer = await send(client, f"PUT /a{{b}}[c]^d`e'f(g)&h.txt HTTP/1.1\nContent-Length: {{length}}\n{WINDOWS}", b"x")
    assert answer.status == 201
    assert (client.folder / "a{b}[c]^d`e'f(g)&h.txt").exists()


async def test_translate_f_is_not_needed_and_does_no_harm(client: Client) -> None:
    (client.folder / "page.php").write_bytes(b"<?php")
    assert (await send(client, f"GET /page.php HTTP/1.1\n{WINDOWS}")).body == b"<?php"
    assert (await send(client, "GET /page.php HTTP/1.1\nHost: {host}")).body == b"<?php"


async def test_windows_is_asked_for_credentials_only_after_options(serve: Serve, tmp_path: Path) -> None:
    """It decides by an OPTIONS without credentials whether this is a WebDAV server at all."""
    users = tmp_path / "users"
    users.write_text("alice:$2y$04$uJbFIkPD7XJFU4EZsz5RFOkbLFJBtWsWwCHpkvhSrVMSBFMDpNFcm\n")
    client = await serve(htpasswd=users)
    assert (await send(client, f"OPTIONS / HTTP/1.1\n{WINDOWS}")).headers["MS-Author-Via"] == "DAV"
    answer = await send(client, f"PROPFIND / HTTP/1.1\nDepth: 0\nContent-Length: 0\n{WINDOWS}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


# -- Microsoft Office

OFFICE = (
    "User-Agent: Microsoft Office Word 2014\nX-Office-Major-Version: 16\n"
    "X-MSGETWEBURL: t\nX-IDCRL_ACCEPTED: t\nHost: {host}"
)


async def test_office_saves_under_a_lock_that_it_names_by_the_whole_url(client: Client) -> None:
    (client.folder / "report.docx").write_bytes(b"old")
    answer = await send(
        client,
        (
            "LOCK /report.docx HTTP/1.1\nContent-Type: text/xml\nDepth: 0\nTimeout: Second-3600\n"
            f"Content-Length: {{length}}\n{OFFICE}"
        ),
        lockinfo("<D:owner><D:href>DOMAIN\\user</D:href></D:owner>"),
    )
    assert answer.status == 200
    condition = f"If: <http://127.0.0.1:{client.port}/report.docx> (<{token(answer)}>)"
    assert (
        await send(
            client, f"LOCK /report.docx HTTP/1.1\n{condition}\nTimeout: Second-3600\nContent-Length: 0\n{OFFICE}"
        )
    ).status == 200
    head = await client.request("HEAD", "/report.docx", User_Agent="Microsoft Office Existence Discovery")
    assert head.headers["Content-Length"] == "3"
    assert (
        await send(client, f"PUT /report.docx HTTP/1.1\n{condition}\nContent-Length: {{length}}\n{OFFICE}", b"new")
    ).status == 204
    unlock = f"UNLOCK /report.docx HTTP/1.1\nLock-Token: <{token(answer)}>\nContent-Length: 0\n{OFFICE}"
    assert (await send(client, unlock)).status == 204
    assert (client.folder / "report.docx").read_bytes() == b"new"


# -- macOS: the Finder

FINDER = "Host: {host}\nUser-Agent: WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (arm64)\nAccept: */*"
FINDER_OWNER = "<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n"


async def test_finder_copies_a_file(client: Client) -> None:
    """PUT of nothing, LOCK, a chunked PUT that tells its length in a field of its own, UNLOCK."""
    assert (await send(client, f"PUT /film.mov HTTP/1.1\n{FINDER}\nContent-Length: 0")).status == 201
    answer = await send(
        client,
        (
            f"LOCK /film.mov HTTP/1.1\n{FINDER}\nDepth: 0\nTimeout: Second-600\n"
            f'Content-Type: text/xml; charset="utf-8"\nContent-Length: {{length}}'
        ),
        lockinfo(FINDER_OWNER, "\n"),
    )
    assert answer.status == 200
    put = (
        f"PUT /film.mov HTTP/1.1\n{FINDER}\nIf: (<{token(answer)}>)\n"
        "Transfer-Encoding: chunked\nX-Expected-Entity-Length: 10"
    )
    assert (await send(client, put, chunked(b"01234", b"56789"))).status == 204
    assert (client.folder / "film.mov").read_bytes() == b"0123456789"
    assert (
        await send(client, f"UNLOCK /film.mov HTTP/1.1\n{FINDER}\nLock-Token: <{token(answer)}>\nContent-Length: 0")
    ).status == 204


async def test_finder_locks_a_name_before_it_puts_it(client: Client) -> None:
    answer = await send(
        client,
        f"LOCK /new.txt HTTP/1.1\n{FINDER}\nDepth: 0\nTimeout: Second-600\nContent-Length: {{length}}",
        lockinfo(FINDER_OWNER, "\n"),
    )
    assert answer.status == 201
    assert (client.folder / "new.txt").read_bytes() == b""


@pytest.mark.parametrize(
    ("announced", "body", "status"),
    [
        ("10", chunked(b"01234"), 400),
        ("10", chunked(), 400),
        ("5", chunked(b"0123456789"), 204),
        ("0", chunked(), 204),
        ("ten", chunked(b"01234"), 204),
        ("-1", chunked(b"01234"), 204),
        ("9" * 40, chunked(b"01234"), 204),
    ],
)
async def test_a_finder_upload_that_ends_short_is_not_stored(
    client: Client, announced: str, body: bytes, status: int
) -> None:
    (client.folder / "film.mov").write_bytes(b"the whole of it")
    put = f"PUT /film.mov HTTP/1.1\n{FINDER}\nTransfer-Encoding: chunked\nX-Expected-Entity-Length: {announced}"
    answer = await send(client, put, body)
    assert answer.status == status
    if status == 400:
        assert answer.error == "length-mismatch"
        assert (client.folder / "film.mov").read_bytes() == b"the whole of it"


async def test_the_length_of_http_counts_more_than_the_finders(client: Client) -> None:
    put = f"PUT /film.mov HTTP/1.1\n{FINDER}\nContent-Length: {{length}}\nX-Expected-Entity-Length: 10"
    assert (await send(client, put, b"01234")).status == 201


@pytest.mark.parametrize(("limits", "announced", "status"), [({"max_item_size": 100}, 101, 413), ({}, 10**17, 507)])
async def test_what_the_finder_announces_as_too_large_is_refused_at_once(
    serve: Serve, limits: dict[str, int], announced: int, status: int
) -> None:
    client = await serve(**limits)
    put = f"PUT /film.mov HTTP/1.1\n{FINDER}\nTransfer-Encoding: chunked\nX-Expected-Entity-Length: {announced}"
    # No byte of the body is sent.
    assert (await send(client, put)).status == status
    assert not (client.folder / "film.mov").exists()


APPLE = ["._film.mov", ".DS_Store", "._.DS_Store"]


@pytest.mark.parametrize("name", APPLE)
async def test_finder_files_are_kept_unless_they_are_refused(client: Client, name: str) -> None:
    put = f"PUT /{name} HTTP/1.1\n{FINDER}\nTransfer-Encoding: chunked\nX-Expected-Entity-Length: 4"
    assert (await send(client, put, chunked(b"\0\5\x16\7"))).status == 201
    assert (await send(client, f"GET /{name} HTTP/1.1\n{FINDER}")).body == b"\0\5\x16\7"


@pytest.mark.parametrize("name", APPLE)
async def test_finder_files_can_be_refused_by_every_way_in(serve: Serve, name: str) -> None:
    client = await serve(apple_files="refuse")
    (client.folder / "film.mov").write_bytes(b"film")
    destination = f"Destination: http://{{host}}/{name}"
    for head, body in [
        (f"PUT /{name} HTTP/1.1\n{FINDER}\nContent-Length: {{length}}", b"data"),
        (f"PUT /{name} HTTP/1.1\n{FINDER}\nTransfer-Encoding: chunked\nX-Expected-Entity-Length: 4", chunked(b"data")),
        (f"MKCOL /{name} HTTP/1.1\n{FINDER}\nContent-Length: 0", b""),
        (f"LOCK /{name} HTTP/1.1\n{FINDER}\nDepth: 0\nContent-Length: {{length}}", lockinfo()),
        (f"COPY /film.mov HTTP/1.1\n{FINDER}\n{destination}\nContent-Length: 0", b""),
        (f"MOVE /film.mov HTTP/1.1\n{FINDER}\n{destination}\nContent-Length: 0", b""),
    ]:
        answer = await send(client, head, body)
        assert answer.status == 403, head
        assert answer.error == "forbidden-name"
    answer = await client.post(
        "/", [form_part("film 2.mov", b"film"), form_part(name, b"data"), form_part(f"in/{name}", b"")]
    )
    assert answer.statuses == [201, 403, 403]
    assert sorted(set(os.listdir(client.folder)) - {".partwise"}) == ["film 2.mov", "film.mov"]


async def test_finder_files_that_are_there_can_be_seen_and_deleted_where_they_are_refused(serve: Serve) -> None:
    client = await serve(apple_files="refuse")
    for name in APPLE:
        (client.folder / name).write_bytes(b"data")
    answer = await send(client, f"PROPFIND / HTTP/1.1\n{FINDER}\nDepth: 1\nContent-Length: 0")
    assert {row.href for row in answer.rows} == {"/", *(f"/{name}" for name in APPLE)}
    for name in APPLE:
        assert (await send(client, f"DELETE /{name} HTTP/1.1\n{FINDER}")).status == 204


@pytest.mark.parametrize("name", [".hidden", "_.x", ".ds", "x._y", "DS_Store"])
async def test_other_names_are_not_taken_for_finder_files(serve: Serve, name: str) -> None:
    client = await serve(apple_files="refuse")
    assert (await send(client, f"PUT /{name} HTTP/1.1\n{FINDER}\nContent-Length: 0")).status == 201


async def test_finder_looks_for_files_that_are_not_there(client: Client) -> None:
    body = (
        b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n'
        b"<D:quotaused/>\n<D:quota/>\n<D:resourcetype/>\n</D:prop>\n</D:propfind>\n"
    )
    propfind = f"PROPFIND %s HTTP/1.1\n{FINDER}\nDepth: 0\nContent-Type: text/xml\nContent-Length: {{length}}"
    assert (await send(client, propfind % "/._.", body)).status == 404
    answer = await send(client, propfind % "/", body)
    assert answer.status == 207
    assert stated(answer)[f"{DAV}quota"] == 404


# -- npm's webdav

NPM = "Host: {host}\nAccept: text/plain,application/xml\nTimeout: Infinite, Second-4100000000\nUser-Agent: node-fetch"
NPM_INFO = (
    b'<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
    b"<owner><href>urn:us</href></owner></lockinfo>"
)


async def test_npm_webdav_sends_tokens_without_brackets(serve: Serve) -> None:
    client = await serve(max_lock_timeout=7200.0)
    (client.folder / "a.txt").write_bytes(b"")
    lock = f"LOCK /a.txt HTTP/1.1\n{NPM}\nContent-Length: {{length}}"
    answer = await send(client, lock, NPM_INFO)
    assert answer.status == 200
    held = value(answer, f"{DAV}locktoken/{DAV}href") or ""
    # "Infinite" is the most that there is.
    assert value(answer, f"{DAV}timeout") in ("Second-7200", "Second-7199")
    assert (await send(client, lock, NPM_INFO)).status == 423

    refreshed = await send(client, f"{lock}\nIf: {held}", NPM_INFO)
    assert refreshed.status == 200
    assert value(refreshed, f"{DAV}locktoken/{DAV}href") == held
    assert "Lock-Token" not in refreshed.headers

    unlock = f"UNLOCK /a.txt HTTP/1.1\n{NPM}\nLock-Token: {held}"
    assert (await send(client, unlock)).status == 204
    assert (await send(client, unlock)).status == 409
    # Nothing is left to be refreshed, and nothing else is locked instead.
    gone = await send(client, f"{lock}\nIf: {held}", NPM_INFO)
    assert gone.status == 412
    assert gone.error == "lock-token-matches-request-uri"
    assert (await client.request("PUT", "/a.txt", b"free")).status == 204


async def test_a_lock_with_a_body_and_a_proper_if_is_a_new_lock(client: Client) -> None:
    """RFC 4918 §9.10: only the bare token, which no RFC knows, makes a refresh of it."""
    (client.folder / "a.txt").write_bytes(b"")
    lock = f"LOCK /a.txt HTTP/1.1\n{NPM}\nContent-Length: {{length}}"
    shared = NPM_INFO.replace(b"exclusive", b"shared")
    first = await send(client, lock, shared)
    second = await send(client, f"{lock}\nIf: (<{token(first)}>)", shared)
    assert second.status == 200
    assert token(second) != token(first)
    assert (await send(client, f"{lock}\nIf: (<{token(first)}>)", NPM_INFO)).status == 423


# -- webdavclient3

REQUESTS = (
    "Host: {host}\nUser-Agent: python-requests/2.32.5\nAccept-Encoding: gzip, deflate\n"
    "Accept: */*\nConnection: keep-alive"
)


async def test_webdavclient3_copies_the_whole_tree_with_depth_1(client: Client) -> None:
    (client.folder / "a" / "b").mkdir(parents=True)
    (client.folder / "a" / "b" / "deep").write_bytes(b"deep")
    copy = "COPY /a/ HTTP/1.1\n%s\nDestination: /copy\nDepth: 1\nContent-Length: 0"
    assert (await send(client, copy % REQUESTS)).status == 201
    assert (client.folder / "copy" / "b" / "deep").read_bytes() == b"deep"
    # From anybody else it is a mistake that would leave things out.
    assert (await send(client, (copy % "Host: {host}").replace("/copy", "/other"))).status == 400


async def test_webdavclient3_sets_properties_with_depth_1(client: Client) -> None:
    (client.folder / "a").mkdir()
    body = (
        b'<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><c xmlns="urn:x">v</c>'
        b"</prop></set></propertyupdate>"
    )
    head = (
        f"PROPPATCH /a HTTP/1.1\n{REQUESTS}\nAccept: */*\n"
        f"Content-Type: application/x-www-form-urlencoded\nDepth: 1\nContent-Length: {{length}}"
    )
    assert stated(await send(client, head, body)) == {"{urn:x}c": 200}


# -- Joplin

JOPLIN = "Host: {host}\nUser-Agent: Joplin/1.0\nIf-None-Match: JoplinIgnore-48213\nAccept: */*"


async def test_joplin_makes_every_etag_not_match(client: Client) -> None:
    for head, body, status in [
        (f"MKCOL /notes/ HTTP/1.1\n{JOPLIN}\nContent-Length: 0", b"", 201),
        (f"PUT /notes/1.md HTTP/1.1\n{JOPLIN}\nContent-Type: text/plain\nContent-Length: {{length}}", b"one", 201),
        (f"PUT /notes/1.md HTTP/1.1\n{JOPLIN}\nContent-Type: text/plain\nContent-Length: {{length}}", b"two", 204),
        (f"PROPFIND /notes/ HTTP/1.1\n{JOPLIN}\nDepth: 1\nContent-Type: text/xml\nContent-Length: 0", b"", 207),
        (
            (
                f"MOVE /notes/1.md HTTP/1.1\n{JOPLIN}\nDestination: http://{{host}}/notes/2.md\n"
                "Overwrite: F\nContent-Length: 0"
            ),
            b"",
            201,
        ),
        (f"DELETE /notes/2.md HTTP/1.1\n{JOPLIN}", b"", 204),
    ]:
        assert (await send(client, head, body)).status == status, head


@pytest.mark.parametrize("field", ["JoplinIgnore-", "JoplinIgnore-x", "joplin", "abc", '"abc', "JoplinIgnore-1, x"])
async def test_other_bad_conditions_are_still_refused(client: Client, field: str) -> None:
    answer = await send(client, f"PUT /1.md HTTP/1.1\nHost: {{host}}\nIf-None-Match: {field}\nContent-Length: 0")
    assert answer.status == 400


async def test_webdavclient3_sends_its_token_with_every_request(client: Client) -> None:
    """Also with a HEAD of the parent, which the lock does not cover; other clients get their 412."""
    await client.request("MKCOL", "/c")
    token = (await client.request("LOCK", "/c/a", _LOCKINFO)).headers["Lock-Token"]
    told = {"If": f"({token})"}
    for method in ("HEAD", "GET", "PROPFIND"):
        assert (await client.request(method, "/c/", **told)).status == 412
        assert (await client.request(method, "/c/", User_Agent="python-requests/2.32.3", **told)).status in (200, 207)
    assert (await client.request("PUT", "/c/b", b"x", User_Agent="python-requests/2.32.3", **told)).status == 412


_LOCKINFO = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
