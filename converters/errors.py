"""Errors of converting a network.

ZooError (prototxt.errors)
└── ConversionError        the network cannot be built, or cannot be written as asked
    ├── UnsupportedLayers  layer types that nobody registered, all of them at once
    ├── NeedsShape         the files at hand do not say how large the input is
    └── MissingBlob        no layer of this phase writes a blob that one reads
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prototxt.errors import Argument, Position, Sentence, ZooError

if TYPE_CHECKING:
    from prototxt.net import LayerDefinition

__all__ = ["ConversionError", "MissingBlob", "NeedsShape", "UnsupportedLayers", "layer_error"]


class ConversionError(ZooError):
    """A network that cannot be built or written: what, where and what to do."""


def layer_error(layer: LayerDefinition, message: str, remedy: str | None = None) -> ConversionError:
    """A ConversionError that names a layer, its type and its place."""
    return ConversionError(message, subject=layer.subject, position=layer.position, remedy=remedy)


class UnsupportedLayers(ConversionError):
    """One or more layer types are unknown; `layers` holds (name, type, position) of each."""

    def __init__(self, layers: list[tuple[str, str, Position | None]]) -> None:
        self.layers = layers
        listed = ", ".join(
            f"{layer!r} ({kind})" + (f" at {position.line}:{position.column}" if position else "")
            for layer, kind, position in layers
        )
        plural = "s" if len({kind for _, kind, _ in layers}) > 1 else ""
        super().__init__(
            f"unknown layer type{plural}: {listed}",
            position=layers[0][2],
            remedy=Sentence(
                "`zoo layers` lists the known types; register others with ",
                Argument("plugins", "FILE.py"),
            ),
        )


class NeedsShape(ConversionError):
    """Nothing fixes the shape of the input blob named `blob`."""

    def __init__(
        self, blob: str, message: str, *, subject: str, position: Position | None = None
    ) -> None:
        self.blob = blob
        super().__init__(
            message,
            subject=subject,
            position=position,
            remedy=Sentence("give ", Argument("shapes", {blob: (1, 3, 224, 224)})),
        )


class MissingBlob(ConversionError):
    """A layer reads a blob that no layer of this phase writes; `blob` is its name."""

    blob = ""
