"""Protocol buffers' text format as a tree with a place for every field.

There is no schema here: every Caffe fork has its own, and a fixed one would refuse their files.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import Argument, FormatError, Position, Sentence

__all__ = ["Field", "Message", "Scalar", "format_text", "parse_text", "read_text"]

MAX_DEPTH = 100
"""Protocol buffers' own limit for nested messages."""

TOKEN = re.compile(
    r"""
    (?P<blank>(?:[\s\ufeff]+|\#[^\n]*)+)
  | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?)
  | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
  | (?P<punctuation>[{}<>\[\]:;,\-./])
  | (?P<bad>.)
    """,
    re.VERBOSE,
)

ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})|u(?P<u4>[0-9a-fA-F]{4})"
    r"|U(?P<u8>[0-9a-fA-F]{8})|(?P<simple>.))"
)
SIMPLE = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip


@dataclass(slots=True)
class Scalar:
    """A value that is no message: `text` as written, of a string what it stands for."""

    text: str
    kind: str
    """``string``, ``number`` or ``identifier`` (true, MAX, inf)."""


@dataclass(slots=True)
class Message:
    """Fields in the order in which they stand."""

    fields: list[Field] = field(default_factory=list)
    position: Position | None = field(default=None, compare=False)

    def all(self, name: str) -> list[Field]:
        """Every field of that name."""
        return [f for f in self.fields if f.name == name]

    def last(self, name: str) -> Field | None:
        """The last field of that name, which counts where a field is not repeated."""
        for found in reversed(self.fields):
            if found.name == name:
                return found
        return None

    def add(
        self,
        name: str,
        value: Message | Scalar | str | int | float | bool,
        position: Position | None = None,
    ) -> Field:
        """Append a field; Python values become scalars (text becomes a quoted string)."""
        if isinstance(value, bool):
            value = Scalar("true" if value else "false", "identifier")
        elif isinstance(value, (int, float)):
            value = Scalar(repr(value), "number")
        elif isinstance(value, str):
            value = Scalar(value, "string")
        self.fields.append(Field(name, value, position))
        return self.fields[-1]


@dataclass(slots=True)
class Field:
    """One `name: value` or `name { ... }`."""

    name: str
    value: Message | Scalar
    position: Position | None = field(default=None, compare=False)


@dataclass(slots=True)
class Token:
    kind: str
    text: str
    offset: int


CONTROL = re.compile(rb"[^\t-\r -\xff]")
"""What no text has, whatever its encoding."""

LONGEST = 16 << 20
"""Bytes of the longest text that is parsed, which takes fifty times as much memory."""


def read_text(path: str | Path) -> Message:
    """Parse a text file; FormatError for one that is missing, no file or no text."""
    from .files import read_bytes  # which loads numpy

    data = read_bytes(path, largest=LONGEST)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FormatError(
                "it is UTF-16, which Caffe does not read", subject=path, remedy="save it as UTF-8"
            ) from None
        if CONTROL.search(data[:4096]):
            raise FormatError(
                "not a text file",
                subject=path,
                remedy=Sentence("is it a .caffemodel? pass that as ", Argument("weights")),
            ) from None
        # Old comments are often in some other encoding; they are only comments.
        text = data.decode("latin-1")
    return parse_text(text, str(path))


def parse_text(text: str, path: str = "<text>") -> Message:
    """Parse protobuf text format; FormatError names line and column."""
    return Parser(text, path).message(None, 0)


class Parser:
    """Recursive descent over one pass of tokens."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.starts = [0]
        for match in re.finditer("\n", text):
            self.starts.append(match.end())
        self.tokens = self.scan()
        self.next: Token | None = None
        self.advance()

    def scan(self) -> Iterator[Token]:
        for match in TOKEN.finditer(self.text):
            kind = match.lastgroup or ""
            if kind == "blank":
                continue
            if kind == "bad":
                shown = match.group()
                if shown in "\"'":
                    raise self.error("string without an end", match.start())
                raise self.error(f"unexpected character {shown!r}", match.start())
            yield Token(kind, match.group(), match.start())

    def advance(self) -> Token | None:
        token, self.next = self.next, next(self.tokens, None)
        return token

    def position(self, offset: int) -> Position:
        import bisect

        line = bisect.bisect_right(self.starts, offset)
        return Position(self.path, line, offset - self.starts[line - 1] + 1)

    def error(self, message: str, offset: int | None = None) -> FormatError:
        if offset is None:
            offset = self.next.offset if self.next else len(self.text)
        return FormatError(message, position=self.position(offset))

    def peek(self, text: str) -> bool:
        return self.next is not None and self.next.kind == "punctuation" and self.next.text == text

    def take(self, *texts: str) -> str | None:
        for text in texts:
            if self.peek(text):
                self.advance()
                return text
        return None

    def expected(self, what: str) -> FormatError:
        found = repr(self.next.text) if self.next else "the end of the file"
        return self.error(f"expected {what}, found {found}")

    def message(self, opening: Token | None, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep", opening.offset if opening else 0)
        closing = None if opening is None else "}" if opening.text == "{" else ">"
        result = Message(position=self.position(opening.offset) if opening else None)
        while True:
            if self.next is None:
                if opening is None:
                    return result
                place = self.position(opening.offset)
                raise self.error(
                    f"expected {closing!r} to close the {opening.text!r} of line {place.line}, "
                    "found the end of the file"
                )
            if closing is not None and self.take(closing):
                return result
            self.field(result, depth)

    def field(self, into: Message, depth: int) -> None:
        start = self.next
        assert start is not None
        name = self.name()
        position = self.position(start.offset)
        colon = self.take(":")
        if self.peek("{") or self.peek("<"):
            into.fields.append(Field(name, self.nested(depth), position))
        elif not colon:
            error = self.expected(f"':' or '{{' after {name!r}")
            if self.peek("}"):  # dim: {height}
                remedy = f"if {{{name}}} is a template's placeholder, fill it in"
                raise FormatError(error.message, position=error.position, remedy=remedy)
            raise error
        elif self.take("["):
            while not self.take("]"):
                value = self.nested(depth) if self.peek("{") or self.peek("<") else self.scalar()
                into.fields.append(Field(name, value, position))
                if not self.take(",") and not self.peek("]"):
                    raise self.expected("',' or ']'")
        else:
            value = self.scalar()
            if value.kind == "identifier" and self.peek(":"):  # source: batch_size: 64
                raise FormatError(f"{name!r} has no value", position=position)
            into.fields.append(Field(name, value, position))
        self.take(";", ",")

    def nested(self, depth: int) -> Message:
        opening = self.advance()
        return self.message(opening, depth + 1)

    def name(self) -> str:
        if self.take("["):
            parts = []
            while not self.take("]"):
                token = self.advance()
                if token is None or (token.kind != "identifier" and token.text not in "./"):
                    raise self.expected("']' after an extension's name")
                parts.append(token.text)
            return f"[{''.join(parts)}]"
        if self.next is None or self.next.kind != "identifier":
            raise self.expected("a field's name")
        token = self.advance()
        assert token is not None
        return sys.intern(token.text)

    def scalar(self) -> Scalar:
        sign = "-" if self.take("-") else ""
        if self.next is None:
            raise self.expected("a value")
        kind = self.next.kind
        if kind == "string" and not sign:
            return Scalar(self.strings(), "string")
        if kind == "number" or (kind == "identifier" and sign):
            token = self.advance()
            assert token is not None
            if (
                self.next is not None
                and self.next.kind == "identifier"
                and (self.next.offset == token.offset + len(token.text))
            ):
                raise self.error(f"malformed number {token.text + self.next.text!r}", token.offset)
            return Scalar(sign + token.text, "number")
        if kind == "identifier":
            token = self.advance()
            assert token is not None
            return Scalar(sys.intern(token.text), "identifier")
        raise self.expected("a value")

    def strings(self) -> str:
        parts = []
        while self.next is not None and self.next.kind == "string":
            token = self.advance()
            assert token is not None
            parts.append(self.unescape(token))
        return "".join(parts)

    def unescape(self, token: Token) -> str:
        body = token.text[1:-1]
        if "\\" not in body:
            return body
        # Octal and hex escapes are bytes, so the string is put together as UTF-8.
        out, end = bytearray(), 0
        for match in ESCAPE.finditer(body):
            out += body[end : match.start()].encode("utf-8", "surrogatepass")
            end = match.end()
            groups = match.groupdict()
            if groups["octal"] is not None:
                out.append(int(groups["octal"], 8) & 0xFF)
            elif groups["hex"] is not None:
                out.append(int(groups["hex"], 16))
            elif groups["u4"] is not None or groups["u8"] is not None:
                code = int(groups["u4"] or groups["u8"], 16)
                if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                    raise self.error("escape of no character", token.offset + 1 + match.start())
                out += chr(code).encode()
            elif groups["simple"] in SIMPLE:
                out += SIMPLE[groups["simple"]].encode()
            else:
                raise self.error(
                    f"unknown escape '\\{groups['simple']}'", token.offset + 1 + match.start()
                )
        out += body[end:].encode("utf-8", "surrogatepass")
        return out.decode("utf-8", "replace")


def format_text(message: Message, indent: int = 0) -> str:
    """Write a tree so that Caffe reads it back: one field a line, two spaces a level."""
    lines: list[str] = []
    pad = "  " * indent
    for item in message.fields:
        if isinstance(item.value, Message):
            lines.append(f"{pad}{item.name} {{")
            inner = format_text(item.value, indent + 1)
            if inner:
                lines.append(inner.rstrip("\n"))
            lines.append(f"{pad}}}")
        elif item.value.kind == "string":
            lines.append(f"{pad}{item.name}: {quote(item.value.text)}")
        else:
            lines.append(f"{pad}{item.name}: {item.value.text}")
    return "\n".join(lines) + ("\n" if lines else "")


def quote(text: str) -> str:
    """A double-quoted string; what is not printable ASCII is written as octal UTF-8 bytes."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif " " <= char <= "~":
            out.append(char)
        else:
            out.extend(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))
    return f'"{"".join(out)}"'
