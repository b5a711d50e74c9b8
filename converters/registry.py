"""The table of all layer types that are known.

The families are the modules of `converters/layers/`; each registers its types when it is loaded,
as a user's plugin does.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prototxt.errors import Argument, Sentence

from .errors import ConversionError
from .layer_type import LayerType

__all__ = [
    "LayerInfo",
    "families",
    "find",
    "layer_types",
    "load_plugin",
    "register",
]


@dataclass(frozen=True)
class LayerInfo:
    """A row of `zoo layers`."""

    type: str
    family: str
    fork: str
    onnx: bool
    torch: bool
    note: str
    reversible: bool = False


T = TypeVar("T", bound=builtins.type[LayerType[Any]])

_types: dict[str, LayerType[Any]] = {}


def register(*names: str, message: str | None = None) -> Callable[[T], T]:
    """Register a `LayerType` class under its Caffe names, as a decorator.

    Args:
        names: Caffe's names of the type; of a Python layer ``Python:module.Class``.
        message: the name of its parameter message, as ``convolution_param``.

    Raises:
        ConversionError: a name that is taken.
    """

    def decorate(cls: T) -> T:
        for name in names:
            if name in _types:
                taken = builtins.type(_types[name])
                raise ConversionError(
                    f"layer type {name!r} is registered already, "
                    f"by {taken.__module__}.{taken.__qualname__}"
                )
            instance = cls()
            instance.type = name  # type: ignore[misc]
            instance.message = message  # type: ignore[misc]
            _types[name] = instance
        return cls

    return decorate


def families() -> list[str]:
    """The modules of `converters/layers/`; its packages and PyTorch's modules are none."""
    folder = Path(__file__).with_name("layers")
    return [module.name for module in pkgutil.iter_modules([str(folder)]) if not module.ispkg]


@functools.cache
def _load_families() -> None:
    for family in families():
        importlib.import_module(f"converters.layers.{family}")


def find(name: str) -> LayerType[Any] | None:
    """The layer type of that Caffe name, or None."""
    _load_families()
    return _types.get(name)


def layer_types() -> list[LayerInfo]:
    """Every registered layer type, by name: the table of truth behind `zoo layers`."""
    _load_families()
    rows = []
    for name, kind in sorted(_types.items(), key=lambda item: item[0].lower()):
        cls = type(kind)
        rows.append(
            LayerInfo(
                name,
                cls.__module__.rpartition(".")[2],
                kind.fork,
                cls.onnx is not LayerType.onnx or kind.is_input,
                cls.torch is not LayerType.torch or kind.is_input,
                (cls.__doc__ or "").partition("\n")[0].rstrip("."),
                kind.reversible,
            )
        )
    return rows


_plugins: dict[Path, tuple[bytes, list[str]]] = {}
"""What each plugin file held when it was run, and the types that it registered."""


def load_plugin(path: str | Path) -> None:
    """Run a user's Python file, which registers layer types of its own.

    A file that was run already is not run again; one that has changed since is, and its types take
    the places of those that it registered before.

    Raises:
        ConversionError: no such file, an error in it, or a type that is registered already.
    """
    path = Path(path)
    name, count = f"zoo_plugin_{path.stem}", 1
    while getattr(sys.modules.get(name), "__file__", str(path)) != str(path):
        count += 1  # another file of this stem
        name = f"zoo_plugin_{path.stem}_{count}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConversionError(
            "not a Python file",
            subject=path,
            remedy=Sentence(Argument("plugins"), " takes FILE.py"),
        )
    _load_families()  # whatever is registered from here on is the plugin's
    content = path.read_bytes()
    before, types = _plugins.pop(path.resolve(), (b"", []))
    if before == content and types and all(one in _types for one in types):
        _plugins[path.resolve()] = before, types
        return
    for one in types:
        _types.pop(one, None)
    known = set(_types)
    module = importlib.util.module_from_spec(spec)
    # dataclasses looks its classes' module up there, and pickle too.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        for one in set(_types) - known:
            del _types[one]
        if isinstance(error, ConversionError):
            raise
        raise ConversionError(f"the plugin failed: {error!r}", subject=path) from error
    _plugins[path.resolve()] = content, sorted(set(_types) - known)
