"""The text format: what protobuf accepts is read, the rest is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototxt import Field, FormatError, Message, Scalar, format_text, parse_text, read_text


def values(text: str) -> list[tuple[str, str]]:
    found = []
    for field in parse_text(text).fields:
        assert isinstance(field.value, Scalar)
        found.append((field.name, field.value.text))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1 b: 2", [("a", "1"), ("b", "2")]),
        ("a: 1; b: 2, c: 3", [("a", "1"), ("b", "2"), ("c", "3")]),
        ("a: -1 b: - 2.5e-3", [("a", "-1"), ("b", "-2.5e-3")]),
        ("a: 0x1F b: 017 c: 1.f d: .5", [("a", "0x1F"), ("b", "017"), ("c", "1.f"), ("d", ".5")]),
        ("a: inf b: -nan c: MAX", [("a", "inf"), ("b", "-nan"), ("c", "MAX")]),
        ("a: 'x' \"y\" # then\n 'z'", [("a", "xyz")]),
        (r"a: '\x41\102\n\'\u00e9'", [("a", "AB\n'é")]),
        ("a: [1, 2,3]", [("a", "1"), ("a", "2"), ("a", "3")]),
        ("# nothing\n\ufeff a:1 # more", [("a", "1")]),
        ("[ext.of/fork]: 1", [("[ext.of/fork]", "1")]),
    ],
)
def test_scalars(text: str, expected: list[tuple[str, str]]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize("text", ["m { a: 1 }", "m: { a: 1 }", "m < a: 1 >", "m: < a: 1; >,"])
def test_messages(text: str) -> None:
    (field,) = parse_text(text).fields
    assert isinstance(field.value, Message)
    assert [f.name for f in field.value.fields] == ["a"]


def test_every_field_knows_its_place() -> None:
    tree = parse_text("a: 1\n  m {\n\tb: 2 }", "net.prototxt")
    inner = tree.fields[1].value
    assert isinstance(inner, Message)
    assert str(tree.fields[1].position) == "net.prototxt:2:3"
    assert str(inner.fields[0].position) == "net.prototxt:3:2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1 }", "n:1:6: expected a field's name, found '}'"),
        ("m { a: # what?\n b: 2 }", "n:1:5: 'a' has no value"),
        ("m {\n a: 1", "n:2:6: expected '}' to close the '{' of line 1, found the end of the file"),
        ("m < a: 1 }", "n:1:10: expected a field's name, found '}'"),
        ("a 1", "n:1:3: expected ':' or '{' after 'a', found '1'"),
        ("a: 'x", "n:1:4: string without an end"),
        ("a: $", "n:1:4: unexpected character '$'"),
        (r"a: '\q'", "n:1:5: unknown escape '\\q'"),
        ("a: 12px", "n:1:4: malformed number '12px'"),
        ("a:", "n:1:3: expected a value, found the end of the file"),
        ("a: [1 2]", "n:1:7: expected ',' or ']', found '2'"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_text(text, "n")
    assert str(caught.value) == message


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(FormatError, match="nested more than 100 deep"):
        parse_text("m{" * 10_000)


names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.text(max_size=20)
    .filter(lambda t: t.isprintable() or "\n" in t)
    .map(lambda t: Scalar(t.encode("utf-8", "replace").decode(), "string")),
    st.integers(-(2**63), 2**63).map(lambda n: Scalar(str(n), "number")),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: Scalar(repr(x), "number")),
    names.map(lambda n: Scalar(n, "identifier")),
)
trees = st.recursive(
    st.builds(Message, st.lists(st.builds(Field, names, scalars), max_size=4)),
    lambda inner: st.builds(
        Message, st.lists(st.builds(Field, names, st.one_of(scalars, inner)), max_size=4)
    ),
    max_leaves=12,
)


@given(trees)
def test_what_is_written_is_read_back(tree: Message) -> None:
    assert parse_text(format_text(tree)) == tree


@settings(max_examples=300)
@given(st.text(alphabet="ab{}<>[]:;,\"'#\\ \n0x1.-e$\x00é", max_size=60))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        parse_text(text)
    except FormatError as error:
        assert "\n" not in str(error)


def test_only_ordinary_files_of_a_bounded_length_are_parsed(tmp_path, monkeypatch):
    with pytest.raises(FormatError, match="/dev/zero: is no ordinary file; name a file"):
        read_text("/dev/zero")
    monkeypatch.setattr("prototxt.text.LONGEST", 4)
    (tmp_path / "short").write_text("a: 1")
    (tmp_path / "long").write_text("a: 10")
    assert read_text(tmp_path / "short").last("a").value.text == "1"
    with pytest.raises(FormatError, match="long: 5 bytes; at most 4 are read"):
        read_text(tmp_path / "long")
