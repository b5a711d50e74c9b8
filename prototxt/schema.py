"""Fill dataclasses from a text tree: names, types and defaults are the dataclass's own."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_origin

from .errors import FormatError
from .text import Field, Message, Scalar
from .unknown import UnknownField, UnknownFields

__all__ = ["UInt", "decode"]

UInt = Annotated[int, "uint32"]
"""An integer that must not be negative."""

T = TypeVar("T")
Warn = Callable[[str], None]


def decode(
    message: Message | None,
    cls: type[T],
    *,
    name: str | None = None,
    lenient: bool = False,
    warn: Warn | None = None,
) -> T:
    """An instance of the dataclass `cls` with the message's fields; all defaults without one.

    Knows int, `UInt`, float, bool, str, enums (by name or number), nested dataclasses, `X | None`
    and lists of these (repeated fields). As in protobuf the last of repeated scalars wins and
    repeated messages merge. Unknown fields, those of messages within included, raise one
    UnknownFields with the nearest known names, or are handed to `warn` where `lenient`.
    """
    found: list[UnknownField] = []
    decoded = filled(message, cls, name or cls.__name__, found)
    if found and not lenient:
        raise UnknownFields(found)
    for field in found:
        if warn:
            warn(UnknownFields([field]).sentence)
    return decoded


def filled(message: Message | None, cls: type[T], label: str, found: list[UnknownField]) -> T:
    """`decode`, which adds to `found` what it does not know."""
    hints = hints_of(typing.cast(typing.Hashable, cls))
    values: dict[str, Any] = {}
    groups: dict[str, list[Field]] = {}
    for field in message.fields if message else []:
        if field.name in hints:
            groups.setdefault(field.name, []).append(field)
            continue
        found.append(UnknownField.among(hints, field.name, field.position, place=label))
    for key, fields in groups.items():
        hint = hints[key]
        if get_origin(hint) is list:
            (item,) = get_args(hint)
            values[key] = [one(f, item, label, found) for f in fields]
        elif dataclasses.is_dataclass(bare(hint)):
            values[key] = one(merged(fields), hint, label, found)
        else:
            values[key] = one(fields[-1], hint, label, found)
    return cls(**values)


@functools.cache
def hints_of(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def bare(hint: Any) -> Any:
    """`X` of `X | None` and of Annotated."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    return hint


def merged(fields: list[Field]) -> Field:
    if len(fields) == 1 or not all(isinstance(f.value, Message) for f in fields):
        return fields[-1]
    inner = [g for f in fields if isinstance(f.value, Message) for g in f.value.fields]
    return Field(fields[0].name, Message(inner, fields[0].position), fields[0].position)


def one(field: Field, hint: Any, label: str, found: list[UnknownField]) -> Any:
    hint = bare(hint)
    value = field.value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Message):
            raise FormatError(f"{field.name} must be a message {{ ... }}", position=field.position)
        if hint is Message:  # left as it stands
            return value
        return filled(value, typing.cast(type, hint), field.name, found)
    if isinstance(value, Message):
        raise FormatError(f"{field.name} must be a value, not a message", position=field.position)
    unsigned = get_origin(hint) is Annotated
    if unsigned:
        hint = get_args(hint)[0]
    try:
        return scalar(value, hint, unsigned)
    except ValueError as error:
        raise FormatError(
            f"{field.name} of {label} {error}, not {shown(value)}", position=field.position
        ) from None


def shown(value: Scalar) -> str:
    text = value.text if len(value.text) <= 40 else value.text[:37] + "..."
    return f'"{text}"' if value.kind == "string" else text


def scalar(value: Scalar, hint: Any, unsigned: bool) -> Any:
    """The Python value; ValueError says what it must be."""
    text, kind = value.text, value.kind
    if hint is str:
        if kind != "string":
            raise ValueError("must be a quoted string")
        return text
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return member(value, hint)
    if kind == "string":
        raise ValueError("must not be quoted: it is a " + getattr(hint, "__name__", "value"))
    if hint is bool:
        known = {"true": True, "True": True, "t": True, "1": True}
        known |= {"false": False, "False": False, "f": False, "0": False}
        if text not in known:
            raise ValueError("must be true or false")
        return known[text]
    if hint is int:
        return integer(text, unsigned)
    if hint is float:
        return real(text)
    raise TypeError(f"the schema has a type that is not known: {hint}")


def member(value: Scalar, hint: type[enum.Enum]) -> enum.Enum:
    if value.kind == "identifier" and value.text in hint.__members__:
        return hint[value.text]
    if value.kind == "number":
        for candidate in hint:
            if str(candidate.value) == value.text:
                return candidate
    raise ValueError(f"must be one of {', '.join(hint.__members__)}")


def integer(text: str, unsigned: bool) -> int:
    try:
        digits = text.lstrip("-")
        octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
        number = int(text, 8) if octal else int(text, 0)
    except ValueError:
        raise ValueError("must be a whole number") from None
    if unsigned and number < 0:
        raise ValueError("must not be negative")
    if not -(2**63) <= number < 2**63:
        raise ValueError("must fit 64 bits")
    if unsigned and number >= 2**31:
        raise ValueError("must fit 31 bits, as Caffe's layers keep it in an int")
    return number


def real(text: str) -> float:
    clean = text.lower()
    if not clean.startswith(("0x", "-0x")):
        clean = clean.removesuffix("f") if clean.lstrip("-") not in ("inf", "inff") else clean
        try:
            return float(clean)
        except ValueError:
            raise ValueError("must be a number") from None
    return float(int(clean, 16))
