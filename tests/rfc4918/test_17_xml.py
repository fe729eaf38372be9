"""RFC 4918 §17 extensibility of XML, §14 elements, §20.6 entities."""

from __future__ import annotations

import pytest
from tests.harness import Client
from tests.rfc4918.dav import D, X, asking, hrefs, lockinfo, locks_of, mkcol, of_status, outcomes, put, setting, update

ODD = '<o:odd xmlns:o="urn:odd"><D:prop><D:allprop/></D:prop></o:odd><!-- comment --><?instruction?>'


def with_odd(body: bytes) -> bytes:
    """The document with unknown elements and attributes at the places where they may stand."""
    text = body.decode()
    for tag in ("D:propfind", "D:propertyupdate", "D:lockinfo", "D:set", "D:lockscope"):
        text = text.replace(f"<{tag}>", f'<{tag} odd="1" o:odd="2" xmlns:o="urn:odd">{ODD}')
        text = text.replace(f"<{tag} xmlns:D", f'<{tag} odd="1" xmlns:D')
        text = text.replace(f"</{tag}>", f"{ODD}</{tag}>")
    return text.encode()


async def test_17_unknown_elements_of_propfind_are_ignored(client: Client) -> None:
    # §17: elements and attributes that are not known are processed "as if they were not there".
    await put(client, "/a")
    plain = await client.request("PROPFIND", "/a", asking("<D:prop><D:getetag/></D:prop>"), Depth="0")
    odd = await client.request("PROPFIND", "/a", with_odd(asking("<D:prop><D:getetag/></D:prop>")), Depth="0")
    assert (odd.status, odd.body) == (207, plain.body)


async def test_17_unknown_elements_of_proppatch_are_ignored(client: Client) -> None:
    # §17
    await put(client, "/a")
    answer = await client.request("PROPPATCH", "/a", with_odd(update(setting("<x:a>1</x:a>"))))
    assert outcomes(answer) == {f"{X}a": 200}


async def test_17_unknown_elements_of_lock_are_ignored(client: Client) -> None:
    # §17
    await put(client, "/a")
    assert (await client.request("LOCK", "/a", with_odd(lockinfo()))).status == 200
    assert len(await locks_of(client, "/a")) == 1


async def test_17_order_of_elements_means_nothing(client: Client) -> None:
    # §14, §17: "the ordering of elements is irrelevant unless otherwise stated".
    await put(client, "/a")
    body = (
        b'<D:lockinfo xmlns:D="DAV:"><D:owner>me</D:owner><D:locktype><D:write/></D:locktype>'
        b"<D:lockscope><D:shared/></D:lockscope></D:lockinfo>"
    )
    assert (await client.request("LOCK", "/a", body)).status == 200


async def test_17_elements_are_known_by_their_namespace(client: Client) -> None:
    # §17, §14: element names are those of the namespace DAV:, whatever the prefix.
    await put(client, "/a")
    body = b'<f:propfind xmlns:f="DAV:" xmlns:D="urn:x"><f:prop><f:getetag/><D:getetag/></f:prop></f:propfind>'
    [row] = (await client.request("PROPFIND", "/a", body, Depth="0")).rows
    assert set(of_status(row.element, 200)) == {f"{D}getetag"}
    assert set(of_status(row.element, 404)) == {f"{X}getetag"}


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL"])
@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/"> %p;]>',
        "<!DOCTYPE x>",
    ],
)
async def test_20_6_entities(client: Client, method: str, doctype: str) -> None:
    # §20.6, §16: external entities need not be read; 403 with no-external-entities. §17: no validation against a DTD.
    await put(client, "/a")
    inner = {"PROPFIND": asking("<D:prop/>"), "PROPPATCH": update(setting("<x:a/>")), "LOCK": lockinfo()}
    document = inner.get(method, b'<D:mkcol xmlns:D="DAV:"><D:set><D:prop/></D:set></D:mkcol>')
    target = "/c/" if method == "MKCOL" else "/a"
    before = await hrefs(client, "/")
    answer = await client.request(method, target, doctype.encode() + document, Content_Type="application/xml")
    assert (answer.status, answer.error) == (403, "no-external-entities")
    assert await hrefs(client, "/") == before


async def test_14_readable_but_wrong_is_422(client: Client) -> None:
    # §14.20: a propfind holds one of prop, propname and allprop; well-formed XML that does not is understood, and wrong.
    await mkcol(client, "/c/")
    for inner in ("<x:other/>", "<D:propname/><D:allprop/>", "<D:prop/><D:include/>"):
        answer = await client.request("PROPFIND", "/c/", asking(inner), Depth="0")
        assert (answer.status, answer.error) == (422, "schema-invalid"), inner
