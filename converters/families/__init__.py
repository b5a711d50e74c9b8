"""Networks that are known by their structure, whatever their files are called and what feeds them.

What is known of a network: which one it is, what it is for, and the size of its images where its
definition states none. A family is a module here with a function `recognise`.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from prototxt.net import NetDefinition

__all__ = ["KnownNetwork", "recognise"]


@dataclass(frozen=True)
class KnownNetwork:
    """A network that `recognise` found."""

    arch: str
    """Which of the paper's it is, as ``8_8_8``; empty for one of another family."""
    task: str
    """``reconstruct`` or ``classify``."""
    size: int
    """Usual height and width of its images, pixels."""
    title: str
    """How a note names it: ``the paper's net8_8_8``."""
    name: str = ""
    """Which of its family it is, where that is not the paper's: ``16_32_32-rate-2``."""


def recognise(net: NetDefinition) -> KnownNetwork | None:
    """The known network that a definition is; None where it is none."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found: KnownNetwork | None = importlib.import_module(module.name).recognise(net)
        if found is not None:
            return found
    return None
