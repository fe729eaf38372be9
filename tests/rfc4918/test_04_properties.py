"""RFC 4918 §4: what a property keeps; §15: the properties of DAV:."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from tests.harness import Client
from tests.rfc4918.dav import D, X, lock, mkcol, outcomes, properties, propfind, proppatch, put, setting, status

LANG = "{http://www.w3.org/XML/1998/namespace}lang"


async def kept(client: Client, body: bytes, name: str, query: str) -> etree._Element:
    """Set a property by this PROPPATCH, and read it back after a COPY and a MOVE."""
    await put(client, "/a")
    answer = await client.request("PROPPATCH", "/a", body)
    assert set(outcomes(answer).values()) == {200}
    assert await status(client, "COPY", "/a", Destination="/b") == 201
    assert await status(client, "MOVE", "/b", Destination="/c") == 201
    return (await properties(client, "/c", query))[name]


def shape(element: etree._Element) -> object:
    """The information items that must be kept."""
    return (element.tag, dict(element.attrib), element.text or "", [(shape(c), c.tail or "") for c in element])


@pytest.mark.parametrize(
    "value",
    [
        "<x:a>text</x:a>",
        "<x:a/>",
        "<x:a>mixed <x:b>and</x:b> nested<x:c><x:d/>x</x:c> tail</x:a>",
        '<x:a one="1" x:two="&lt;&quot;&amp;"><y:b xmlns:y="urn:y" y:z="&#10;"/></x:a>',
        '<x:a><none xmlns="">1</none><other xmlns="urn:o"><inner/></other></x:a>',
        "<x:a>&lt;&amp;&gt; ü € 𝄞 \U0010fffd</x:a>",
        "<x:a>  white\n\tspace  </x:a>",
        "<x:a><![CDATA[<raw>&amp;]]></x:a>",
        '<x:a xml:space="preserve" xml:lang="de"> x </x:a>',
        '<a xmlns="urn:x"><b>default namespace</b></a>',
    ],
)
async def test_4_3_values_are_kept(client: Client, value: str) -> None:
    # §4.3: names, attributes, children and characters of a dead property's value MUST be preserved.
    sent = etree.fromstring(f'<r xmlns:x="urn:x">{value}</r>')[0]
    body = f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">{setting(value)}</D:propertyupdate>'.encode()
    got = await kept(client, body, f"{X}a", "<x:a/>")
    assert shape(got) == shape(sent)


@pytest.mark.parametrize("where", ["propertyupdate", "set", "prop"])
async def test_4_3_the_language_in_scope_is_kept(client: Client, where: str) -> None:
    # §4.3: "attributes named 'xml:lang' or any such attribute in scope" belong to the value.
    lang = {name: ' xml:lang="fr-CA"' if name == where else "" for name in ("propertyupdate", "set", "prop")}
    body = (
        f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x"{lang["propertyupdate"]}><D:set{lang["set"]}>'
        f"<D:prop{lang['prop']}><x:a>titre</x:a></D:prop></D:set></D:propertyupdate>"
    )
    got = await kept(client, body.encode(), f"{X}a", "<x:a/>")
    assert (got.text, got.get(LANG)) == ("titre", "fr-CA")


async def test_4_3_prefixes_are_kept(client: Client) -> None:
    # §4.3: "servers SHOULD preserve, for any Information Item in the value: [prefix]": values may hold qualified names.
    body = (
        b'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x" xmlns:t="urn:types"><D:set><D:prop>'
        b'<x:a><odd:b xmlns:odd="urn:o"/>t:integer</x:a></D:prop></D:set></D:propertyupdate>'
    )
    got = await kept(client, body, f"{X}a", "<x:a/>")
    assert got.nsmap["t"] == "urn:types"
    assert got[0].prefix == "odd"


async def test_4_4_names_are_of_a_namespace(client: Client) -> None:
    # §4.4: a property is named by namespace and local name; "urn:x" + "ya" is another than "urn:xy" + "a".
    await put(client, "/a")
    await proppatch(
        client, "/a", setting('<n:ya xmlns:n="urn:x">1</n:ya><n:a xmlns:n="urn:xy">2</n:a><a xmlns="">3</a>')
    )
    answer = await propfind(client, "/a", '<D:prop><ya xmlns="urn:x"/><a xmlns="urn:xy"/><a xmlns=""/><x:a/></D:prop>')
    assert outcomes(answer) == {"{urn:x}ya": 200, "{urn:xy}a": 200, "a": 200, f"{X}a": 404}


async def test_5_1_a_member_needs_its_collection(client: Client) -> None:
    # §5.1: a namespace is consistent if every URL's parent is a collection: what has members goes with them.
    await mkcol(client, "/c/")
    await put(client, "/c/a")
    assert await status(client, "MOVE", "/c/", Destination="/d/") == 201
    assert [await status(client, "GET", target) for target in ("/c/a", "/c/", "/d/a")] == [404, 404, 200]


async def test_5_2_a_collection_without_its_slash(client: Client) -> None:
    # §5.2: a server that answers for the name without a slash SHOULD tell the name with one in Content-Location.
    await mkcol(client, "/c/")
    answer = await propfind(client, "/c")
    assert [row.href for row in answer.rows] == ["/c/"]
    assert answer.headers["Content-Location"] == "/c/"
    await put(client, "/a")
    assert await status(client, "GET", "/a/") == 404


@pytest.mark.parametrize("target", ["/a", "/c/"])
async def test_15_values_of_live_properties(client: Client, target: str) -> None:
    # §15.1–§15.10: their formats, and that files have what GET says.
    await put(client, "/a", b"12345", Content_Type="text/x-special", Content_Language="de")
    await mkcol(client, "/c/")
    names = "creationdate getcontentlanguage getcontentlength getcontenttype getetag getlastmodified resourcetype"
    found = await properties(client, target, "".join(f"<D:{name}/>" for name in names.split()))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[f"{D}creationdate"].text or "")
    if target == "/c/":
        assert [child.tag for child in found[f"{D}resourcetype"]] == [f"{D}collection"]
        return
    headers = (await client.request("GET", "/a")).headers
    for name, field in (
        ("getcontentlanguage", "Content-Language"),
        ("getcontentlength", "Content-Length"),
        ("getcontenttype", "Content-Type"),
        ("getetag", "ETag"),
        ("getlastmodified", "Last-Modified"),
    ):
        assert found[f"{D}{name}"].text == headers[field], name
    assert len(found[f"{D}resourcetype"]) == 0


async def test_15_2_displayname(client: Client) -> None:
    # §15.2: "the DAV:displayname property value is stored with the resource"; absent until somebody sets it.
    await put(client, "/a")
    assert await properties(client, "/a", "<D:displayname/>") == {}
    await proppatch(client, "/a", setting('<D:displayname xml:lang="de">Größe</D:displayname>'))
    found = (await properties(client, "/a", "<D:displayname/>"))[f"{D}displayname"]
    assert (found.text, found.get(LANG)) == ("Größe", "de")


async def test_15_8_lockdiscovery_and_15_10_supportedlock_are_protected(client: Client) -> None:
    # §15.8, §15.10: protected; the locks that are there are listed, none listed means none.
    await put(client, "/a")
    await lock(client, "/a", "shared")
    await lock(client, "/a", "shared")
    found = await properties(client, "/a", "<D:lockdiscovery/>")
    assert len(found[f"{D}lockdiscovery"]) == 2
