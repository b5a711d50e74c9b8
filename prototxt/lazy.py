"""Packages whose names are looked up at first use, so that importing one loads little."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["looked_up"]


def looked_up(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__`` (PEP 562).

    Args:
        package: its ``__name__``.
        homes: module of the package -> the names that stand in it, with blanks between.
    """

    def get(name: str) -> Any:
        for module, names in homes.items():
            if name in names.split():
                return getattr(importlib.import_module(f"{package}.{module}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
