"""Dataclasses from trees: types, defaults, repeats, and errors that name the place."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import pytest

import prototxt
from prototxt import FormatError, UInt, decode, parse_text


class Colour(enum.Enum):
    RED = 0
    BLUE = 7


@dataclass
class Inner:
    x: int = 1
    y: int = 2


@dataclass
class Params:
    size: UInt = 3
    rate: float = 0.5
    on: bool = False
    label: str = ""
    colour: Colour = Colour.RED
    inner: Inner = field(default_factory=Inner)
    points: list[int] = field(default_factory=list)
    inners: list[Inner] = field(default_factory=list)
    maybe: int | None = None


def read(text: str) -> Params:
    return decode(parse_text(text, "n"), Params, name="p")


def test_defaults() -> None:
    assert decode(None, Params) == Params()


def test_values() -> None:
    text = (
        "size: 0x10 rate: 1e-3f on: true label: 'a' colour: BLUE points: 1 points: [2, 3] maybe: -4"
    )
    assert read(text) == Params(16, 1e-3, True, "a", Colour.BLUE, points=[1, 2, 3], maybe=-4)


def test_enum_by_number() -> None:
    assert read("colour: 7").colour is Colour.BLUE


def test_the_last_scalar_wins_and_messages_merge() -> None:
    found = read("size: 1 size: 2 inner { x: 5 } inner { y: 6 } inners { x: 1 } inners { x: 2 }")
    assert found.size == 2
    assert found.inner == Inner(5, 6)
    assert found.inners == [Inner(1), Inner(2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("siez: 1", "n:1:1: unknown field 'siez' in p; did you mean 'size'?"),
        ("zzz: 1", "n:1:1: unknown field 'zzz' in p"),
        ("size: -1", "n:1:1: size of p must not be negative, not -1"),
        ("size: 1.5", "n:1:1: size of p must be a whole number, not 1.5"),
        (
            "size: 2147483648",
            "n:1:1: size of p must fit 31 bits, as Caffe's layers keep it in an int, "
            "not 2147483648",
        ),
        ("rate: 'a'", 'n:1:1: rate of p must not be quoted: it is a float, not "a"'),
        ("on: maybe", "n:1:1: on of p must be true or false, not maybe"),
        ("label: abc", "n:1:1: label of p must be a quoted string, not abc"),
        ("colour: GREEN", "n:1:1: colour of p must be one of RED, BLUE, not GREEN"),
        ("inner: 1", "n:1:1: inner must be a message { ... }"),
        ("size { }", "n:1:1: size must be a value, not a message"),
        ("inner { z: 1 }", "n:1:9: unknown field 'z' in inner"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(text)
    assert str(caught.value) == message


def test_lenient_warns_and_goes_on() -> None:
    said: list[str] = []
    found = decode(
        parse_text("siez: 1 size: 9", "n"), Params, name="p", lenient=True, warn=said.append
    )
    assert found.size == 9
    assert said == ["n:1:1: unknown field 'siez' in p; did you mean 'size'?"]


def test_messages_within_a_solver_are_kept_as_they_stand():
    text = 'net_param { name: "n" layer { name: "a" } } test_state { stage: "x" } test_state {}'
    solver = prototxt.parse_solver(text)
    assert [field.name for field in solver.net_param.fields] == ["name", "layer"]
    assert [len(state.fields) for state in solver.test_state] == [1, 0]
