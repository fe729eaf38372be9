"""RFC 4918 §9.1 PROPFIND and §9.2 PROPPATCH."""

from __future__ import annotations

import pytest
from tests.conftest import Serve
from tests.harness import Client
from tests.rfc4918.dav import (
    D,
    X,
    hrefs,
    mkcol,
    of_status,
    outcomes,
    properties,
    propfind,
    proppatch,
    put,
    removing,
    set_x,
    setting,
    x_of,
)

DEFINED = {
    f"{D}{name}" for name in ("creationdate", "getlastmodified", "lockdiscovery", "resourcetype", "supportedlock")
}
OF_FILES = {f"{D}{name}" for name in ("getcontentlength", "getcontenttype", "getetag")}


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        ("0", {"/c/"}),
        ("1", {"/c/", "/c/a", "/c/d/"}),
        ("infinity", {"/c/", "/c/a", "/c/d/", "/c/d/b"}),
        ("Infinity", {"/c/", "/c/a", "/c/d/", "/c/d/b"}),
    ],
)
async def test_9_1_a_response_for_each_member_to_the_depth(client: Client, depth: str, expected: set[str]) -> None:
    # §9.1: the multistatus "MUST include a 'response' XML element for each member URL of the collection, to whatever depth
    # was requested."
    await mkcol(client, "/c/", "/c/d/", "/beside/")
    await put(client, "/c/a")
    await put(client, "/c/d/b")
    assert await hrefs(client, "/c/", depth) == expected


async def test_9_1_without_depth_it_is_infinite(client: Client) -> None:
    # §9.1: "Servers SHOULD treat a request without a Depth header as if a 'Depth: infinity' header was included."
    await mkcol(client, "/c/", "/c/d/")
    assert {row.href for row in (await client.request("PROPFIND", "/")).rows} == {"/", "/c/", "/c/d/"}


async def test_9_1_no_body_is_allprop(client: Client) -> None:
    # §9.1: "An empty PROPFIND request body MUST be treated as if it were an 'allprop' request."
    await put(client, "/a")
    await set_x(client, "/a")
    empty, asked = await propfind(client, "/a"), await propfind(client, "/a", "<D:allprop/>")
    assert empty.body == asked.body


async def test_9_1_allprop(client: Client) -> None:
    # §9.1: values "for those properties defined in this specification (at a minimum) plus dead properties".
    await put(client, "/a")
    await mkcol(client, "/c/")
    await set_x(client, "/a")
    [row] = (await propfind(client, "/a", "<D:allprop/>")).rows
    assert set(of_status(row.element, 200)) == DEFINED | OF_FILES | {f"{X}a"}
    assert of_status(row.element, 404) == {}
    [row] = (await propfind(client, "/c/", "<D:allprop/>")).rows
    assert set(of_status(row.element, 200)) == DEFINED


async def test_9_1_include(client: Client) -> None:
    # §9.1: include asks for "additional live properties that may not have been returned otherwise".
    await put(client, "/a")
    inner = "<D:allprop/><D:include><D:current-user-principal/><x:none/></D:include>"
    [row] = (await propfind(client, "/a", inner)).rows
    assert set(of_status(row.element, 200)) == DEFINED | OF_FILES | {f"{D}current-user-principal"}
    assert set(of_status(row.element, 404)) == {f"{X}none"}


async def test_9_1_propname(client: Client) -> None:
    # §9.1: "a list of names of all the properties defined on the resource": no values.
    await put(client, "/a")
    await set_x(client, "/a")
    [row] = (await propfind(client, "/a", "<D:propname/>")).rows
    found = of_status(row.element, 200)
    assert set(found) >= DEFINED | OF_FILES | {f"{X}a"}
    assert all(element.text is None and len(element) == 0 for element in found.values())


async def test_9_1_a_missing_property_is_404(client: Client) -> None:
    # §9.1: a property that does not exist "MUST be noted with a 'response' XML element that contains a 404 (Not Found)
    # status value."
    await put(client, "/a")
    answer = await propfind(client, "/a", '<D:prop><x:none/><D:getetag/><none xmlns=""/></D:prop>')
    assert outcomes(answer) == {f"{X}none": 404, "none": 404, f"{D}getetag": 200}


async def test_9_1_a_property_shows_once(client: Client) -> None:
    # §9.1: "the property may only show up once in PROPFIND responses".
    await put(client, "/a")
    answer = await propfind(client, "/a", "<D:prop><D:getetag/><D:getetag/></D:prop>")
    assert len(list(answer.xml.iter(f"{D}getetag"))) == 1
    answer = await propfind(client, "/a", "<D:allprop/><D:include><D:getetag/></D:include>")
    assert len(list(answer.xml.iter(f"{D}getetag"))) == 1


@pytest.mark.parametrize("depth", ["0", "1", "infinity"])
async def test_9_1_a_missing_target_is_404(client: Client, depth: str) -> None:
    # §9.6: after a DELETE, "a subsequent GET/HEAD/PROPFIND request to the target Request-URI MUST return 404 (Not Found)".
    assert (await propfind(client, "/missing", Depth=depth)).status == 404


async def test_9_1_1_infinite_depth_can_be_forbidden(serve: Serve) -> None:
    # §9.1.1: "the server SHOULD use this error with the precondition code 'propfind-finite-depth' inside the error body."
    client = await serve(infinite_depth=False)
    answer = await propfind(client, "/", Depth="infinity")
    assert (answer.status, answer.error) == (403, "propfind-finite-depth")
    assert (await client.request("PROPFIND", "/")).status == 403
    assert (await propfind(client, "/", Depth="1")).status == 207


async def test_9_2_instructions_in_document_order(client: Client) -> None:
    # §9.2: "Servers MUST process PROPPATCH instructions in document order".
    await put(client, "/a")
    await proppatch(client, "/a", setting("<x:a>1</x:a>"), removing("<x:a/>"), setting("<x:a>2</x:a>"))
    assert await x_of(client, "/a") == "2"
    await proppatch(client, "/a", setting("<x:a>3</x:a>"), removing("<x:a/>"))
    assert await x_of(client, "/a") is None


@pytest.mark.parametrize("protected", ["getetag", "resourcetype", "lockdiscovery", "supportedlock", "getcontentlength"])
@pytest.mark.parametrize("first", [True, False])
async def test_9_2_all_or_nothing(client: Client, protected: str, first: bool) -> None:
    # §9.2: "Instructions MUST either all be executed or none executed."
    await put(client, "/a")
    await set_x(client, "/a")
    wrong = setting(f"<D:{protected}>no</D:{protected}>")
    right = [setting("<x:a>new</x:a>"), setting("<x:b/>"), removing("<x:a/>")]
    answer = await proppatch(client, "/a", *([wrong, *right] if first else [*right, wrong]))
    # §9.2.1: 403 with cannot-modify-protected-property; 424 for the others.
    assert outcomes(answer) == {f"{D}{protected}": 403, f"{X}a": 424, f"{X}b": 424}
    assert answer.xml.find(f".//{D}error/{D}cannot-modify-protected-property") is not None
    assert await x_of(client, "/a") == "kept"
    assert set(await properties(client, "/a", "<x:a/><x:b/>")) == {f"{X}a"}


async def test_9_2_the_answer_is_a_multistatus(client: Client) -> None:
    # §9.2: if a server attempts any change, "the response MUST be a Multi-Status response".
    await put(client, "/a")
    answer = await proppatch(client, "/a", setting("<x:a>1</x:a><x:b>2</x:b>"), removing("<x:never/>"))
    # §14.23: "Specifying the removal of a property that does not exist is not an error."
    assert outcomes(answer) == {f"{X}a": 200, f"{X}b": 200, f"{X}never": 200}
    assert [row.href for row in answer.rows] == ["/a"]


async def test_9_2_not_cached(client: Client) -> None:
    # §9.2: "Responses to this method MUST NOT be cached."
    await put(client, "/a")
    assert (await proppatch(client, "/a", setting("<x:a/>"))).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [None, b"", b'<D:propfind xmlns:D="DAV:"/>', b'<propertyupdate xmlns="urn:x"/>'])
async def test_9_2_the_body_must_be_a_propertyupdate(client: Client, body: bytes | None) -> None:
    # §9.2: "The request message body of a PROPPATCH method MUST contain the propertyupdate XML element."
    await put(client, "/a")
    assert (await client.request("PROPPATCH", "/a", body)).status in (400, 422)


async def test_9_2_arbitrary_dead_properties(client: Client) -> None:
    # §9.2: "DAV-compliant resources SHOULD support the setting of arbitrary dead properties." Of DAV: too.
    await mkcol(client, "/c/")
    values = setting('<none xmlns="">1</none>') + setting("<D:unheard-of>2</D:unheard-of>") + setting("<x:ü>3</x:ü>")
    assert set(outcomes(await proppatch(client, "/c/", values)).values()) == {200}
    found = await properties(client, "/c/", '<none xmlns=""/><D:unheard-of/><x:ü/>')
    assert [element.text for element in found.values()] == ["1", "2", "3"]


async def test_9_2_1_conflict_of_meaning(client: Client) -> None:
    # §9.2.1 names 409 for a value whose meaning is wrong; this server says 422, as for every wrong value.
    await put(client, "/a")
    answer = await proppatch(client, "/a", setting("<D:getcontenttype>no type</D:getcontenttype>"), setting("<x:a/>"))
    assert outcomes(answer) == {f"{D}getcontenttype": 422, f"{X}a": 424}


async def test_9_2_1_no_room(serve: Serve) -> None:
    # §9.2.1: "507 (Insufficient Storage): The server did not have sufficient space to record the property."
    client = await serve(max_properties_size=1000)
    await put(client, "/a")
    answer = await proppatch(client, "/a", setting(f"<x:a>{'x' * 2000}</x:a>"))
    assert outcomes(answer) == {f"{X}a": 507}


async def test_9_2_a_missing_target_is_404(client: Client) -> None:
    # §9.2: not a multistatus, for the request is refused as a whole.
    assert (await proppatch(client, "/missing", setting("<x:a/>"))).status == 404
