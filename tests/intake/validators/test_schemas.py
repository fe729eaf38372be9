from pathlib import Path

import pytest

from partwise.intake.validators.schemas import load_schemas

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def write(folder: Path, **files: str) -> Path:
    for name, body in files.items():
        path = folder / (name.replace("__", "/") + ".xsd")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    return folder


def schema(body: str, namespace: str | None = "urn:t") -> str:
    target = f'targetNamespace="{namespace}" xmlns="{namespace}"' if namespace else ""
    return f"<xs:schema {XS} {target}>{body}</xs:schema>"


def element(name: str, kind: str = "xs:int") -> str:
    return f'<xs:element name="{name}" type="{kind}"/>'


TYPE = '<xs:simpleType name="small"><xs:restriction base="xs:int"><xs:maxInclusive value="9"/></xs:restriction></xs:simpleType>'


def test_roots_are_found_by_namespace_and_name(tmp_path: Path) -> None:
    found = load_schemas(
        write(
            tmp_path, a=schema(element("a") + element("b")), deep__c=schema(element("c"), None), d=schema(TYPE, "urn:d")
        )
    )
    assert set(found.by_root) == {("urn:t", "a"), ("urn:t", "b"), (None, "c")}
    assert found.covers("urn:t")
    assert found.covers(None)
    # A schema of types only has no say in what may be a root.
    assert not found.covers("urn:d")
    assert found.get("urn:t", "c") is None


def test_an_empty_folder_covers_nothing(tmp_path: Path) -> None:
    assert not load_schemas(tmp_path).covers(None)


def test_an_included_file_is_part_of_the_including_one(tmp_path: Path) -> None:
    # parts.xsd has no namespace of its own and could not stand alone: "small" lives in main.xsd.
    parts = schema(element("part", "small"), None)
    main = schema('<xs:include schemaLocation="parts.xsd"/>' + TYPE + element("main"))
    found = load_schemas(write(tmp_path, parts=parts, main=main))
    assert set(found.by_root) == {("urn:t", "main"), ("urn:t", "part")}


def test_an_import_within_the_folder(tmp_path: Path) -> None:
    main = (
        f'<xs:schema {XS} targetNamespace="urn:m" xmlns:t="urn:t">'
        '<xs:import namespace="urn:t" schemaLocation="types/t.xsd"/><xs:element name="m" type="t:small"/></xs:schema>'
    )
    found = load_schemas(write(tmp_path, main=main, types__t=schema(TYPE + element("t"))))
    assert set(found.by_root) == {("urn:m", "m"), ("urn:t", "t")}


def test_files_that_include_each_other(tmp_path: Path) -> None:
    one = schema('<xs:include schemaLocation="two.xsd"/>' + element("one"))
    two = schema('<xs:include schemaLocation="one.xsd"/>' + element("two"))
    found = load_schemas(write(tmp_path, one=one, two=two))
    assert set(found.by_root) == {("urn:t", "one"), ("urn:t", "two")}


def test_two_users_of_one_part(tmp_path: Path) -> None:
    include = '<xs:include schemaLocation="part.xsd"/>'
    found = load_schemas(
        write(
            tmp_path,
            one=schema(include + element("one")),
            two=schema(include + element("two")),
            part=schema(element("part")),
        )
    )
    assert set(found.by_root) == {("urn:t", "one"), ("urn:t", "two"), ("urn:t", "part")}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": schema(element("x")), "sub__b": schema(element("x"))}, ("a.xsd", "sub/b.xsd", "root element x")),
        ({"a": "<xs:schema"}, ("a.xsd", "cannot be read")),
        ({"a": "<other/>"}, ("a.xsd", "no XML schema")),
        ({"a": schema(element("x", "nowhere"))}, ("a.xsd", "cannot be used")),
        ({"a": schema('<xs:include schemaLocation="http://localhost/b.xsd"/>')}, ("a.xsd", "http://localhost/b.xsd")),
        ({"a": schema('<xs:import namespace="u" schemaLocation="ftp://h/b.xsd"/>')}, ("a.xsd", "ftp://h/b.xsd")),
        ({"a": schema('<xs:redefine schemaLocation="//h/b.xsd"/>')}, ("a.xsd", "//h/b.xsd")),
        ({"a": schema('<xs:include schemaLocation="../b.xsd"/>')}, ("a.xsd", "../b.xsd")),
        ({"a": schema('<xs:include schemaLocation="/etc/passwd"/>')}, ("a.xsd", "not in the folder")),
        ({"a": schema('<xs:include schemaLocation="b.xsd"/>')}, ("a.xsd", "b.xsd", "missing")),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(
    tmp_path: Path, files: dict[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError) as refused:
        load_schemas(write(tmp_path, **files))
    text = str(refused.value)
    assert all(word in text for word in words)
    assert str(tmp_path) not in text
    assert "\n" not in text
