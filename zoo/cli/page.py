"""What the pages of the `zoo` command are made of.

Commands in sections, and how a wrong line is answered. A command's file is loaded when the command
is wanted, so that `zoo --help` loads none.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import sys
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from zoo.cli.failures import USAGE, guarded

__all__ = ["Command", "Entry", "Page"]

# What typer raises for a wrong command line; it has no public name.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Entry(NamedTuple):
    """A command as its page lists it."""

    name: str
    home: str
    """``MODULE`` or ``MODULE:FUNCTION`` below `zoo.cli`; a name that is left out is the module's.
    A `typer.Typer` there is a page of its own."""
    summary: str
    """One sentence that fits a line of 80 columns."""

    def load(self, page: str = "") -> Any:
        """The command, made of its function, whose errors become one line."""
        module, _, name = self.home.partition(":")
        found = getattr(importlib.import_module(f"zoo.cli.{module}"), name or module)
        if isinstance(found, typer.Typer):
            made = typer.main.get_command(found)
        else:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(self.name, cls=Command)(guarded(found, f"{page} {self.name}".strip()))
            made = typer.main.get_command(app)
        made.short_help = self.summary
        return made


class _Light:
    """A command, or a page, whose parameters are `_Plain`."""

    def get_help_option(self, ctx: Any) -> Any:
        found = super().get_help_option(ctx)  # type: ignore[misc]
        return vars(self).setdefault("plain_help", _plain(found))

    def get_params(self, ctx: Any) -> list[Any]:
        command: Any = self
        command.params[:] = map(_plain, command.params)
        return super().get_params(ctx)  # type: ignore[misc,no-any-return]


class Page(_Light, TyperGroup):
    """A group of commands, by sections; `sections` is what a page is."""

    sections: ClassVar[tuple[tuple[str, tuple[Entry, ...]], ...]] = ()
    path: ClassVar[str] = ""
    """What stands between ``zoo`` and its commands."""

    @classmethod
    def entries(cls) -> dict[str, Entry]:
        """All commands by name, in the order of the page."""
        return {entry.name: entry for _, group in cls.sections for entry in group}

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the page."""
        return list(self.entries())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        entry = self.entries().get(cmd_name)
        if entry is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = entry.load(self.path)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """typer's, but for names that are unknown."""
        name, known = args[0], self.entries()
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no such command {name!r}{_meant(_nearest(name, known))}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Alone it explains itself."""
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        with _known_place(ctx):
            return super().parse_args(ctx, args)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The page's text and its commands; the options come last."""
        super().format_help_text(ctx, formatter)
        width = max(map(len, self.entries()), default=0)
        for title, group in self.sections:
            with formatter.section(title):
                formatter.write_dl([(entry.name.ljust(width), entry.summary) for entry in group])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """They stand above the options."""

    def main(self, *args: Any, **more: Any) -> Any:
        """Run a command line; wrong usage is one line and status 2."""
        if not more.pop("standalone_mode", True):
            return super().main(*args, **more, standalone_mode=False)  # type: ignore[misc]
        try:
            status = super().main(*args, **more, standalone_mode=False)  # type: ignore[misc]
        except _UsageError as error:
            from zoo.cli import console

            console.error(_complaint(error))
            sys.exit(USAGE)
        except typer.Abort:
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)


class Command(_Light, TyperCommand):
    """A command that takes plain values as they are and says what else it was given may be."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """typer's, but for arguments that are too many."""
        ctx.allow_extra_args = True
        with _known_place(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            from zoo.cli.mistakes import hint_for

            hint = hint_for(rest[0], [name for param in self.params for name in param.opts])
            message = f"unexpected argument {rest[0]!r}{_meant([hint] if hint else [])}"
            ctx.fail(message)
        return rest


class _Plain:
    """A parameter whose plain values are not checked by pydantic.

    Typer would load pydantic for it, which takes a third as long as numpy and onnx together.
    """

    def process_value(self, ctx: Any, value: Any) -> Any:
        param: Any = self
        many = param.multiple or param.nargs == -1
        made = self._plain_value(ctx, value, many)
        if made is None and (value not in (None, ()) or param.required):
            return super().process_value(ctx, value)  # type: ignore[misc]
        made = () if made is None and many else made
        return made if param.callback is None else param.callback(ctx, param, made)

    def _plain_value(self, ctx: Any, value: Any, many: bool) -> Any:
        """The value, or None where typer shall say."""
        param: Any = self
        descriptor = getattr(param, "type_descriptor", None)  # typer before 0.29 has none
        if descriptor is None or value in (None, ()):
            return None
        source = ctx.get_parameter_source(param.name)
        if source is not None and source.name == "DEFAULT":
            return value
        kind = descriptor.annotation
        if typing.get_origin(kind) is list:
            (kind,) = typing.get_args(kind)
        texts = list(value) if many else [value]
        if not all(isinstance(text, str) for text in texts):
            return None
        try:
            made = [_made(kind, text) for text in texts]
        except ValueError:
            return None
        return made if many else made[0]


def _made(kind: Any, text: str) -> Any:
    """A text as what an annotation asks for; ValueError where that is not plain."""
    if kind in (str, Path):
        return kind(text)
    if isinstance(kind, enum.EnumType):
        return kind(text)
    raise ValueError(text)


class _PlainOption(_Plain, TyperOption):
    pass


class _PlainArgument(_Plain, TyperArgument):
    pass


def _plain(param: Any) -> Any:
    """The parameter with `_Plain` in front of its class."""
    kinds: dict[Any, Any] = {TyperOption: _PlainOption, TyperArgument: _PlainArgument}
    kind = kinds.get(type(param))
    if kind is None:
        return param
    made = kind.__new__(kind)
    vars(made).update(vars(param))
    return made


@contextlib.contextmanager
def _known_place(ctx: Any) -> Iterator[None]:
    """An error that typer raises without saying in which command is told it."""
    try:
        yield
    except _UsageError as error:
        if getattr(error, "ctx", None) is None:
            error.ctx = ctx  # type: ignore[attr-defined]
        raise


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, list(known))


def _meant(names: Iterable[str]) -> str:
    text = " or ".join(names)
    return f"; did you mean {text}?" if text else ""


def _complaint(error: Any) -> str:
    """What is wrong with a command line, in one line."""
    path = error.ctx.command_path if error.ctx is not None else "zoo"
    option = getattr(error, "option_name", None)
    near = getattr(error, "possibilities", None)
    if near is not None or type(error).__name__ == "NoSuchOption":
        text = f"no such option {option}{_meant(near or ())}"
    else:
        text = " ".join(error.format_message().split()).rstrip(".")
        text = text.replace("Value error, ", "", 1)  # pydantic's
        text = text[:1].lower() + text[1:]
    if "; did you mean " not in text:
        text += f"; see `{path} --help`"
    return f"{path}: {text}"
