"""How a model's inputs and outputs differ from the blobs of the definition: names, and N×H×W×C.

What `zoo convert` was asked for stands in two properties of the model, as JSON:

zoo.names   {"inputs": {BLOB: NAME}, "outputs": {BLOB: NAME}}, of those that have another name
zoo.nhwc    [NAME, ...]: the inputs and outputs that are N×H×W×C, by their names in the model
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import FormatError

__all__ = ["Borders"]

NAMES, NHWC = "zoo.names", "zoo.nhwc"


@dataclass(frozen=True)
class Borders:
    """The names that inputs and outputs have, by blob, and which of them are N×H×W×C."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    nhwc: tuple[str, ...] = ()
    """Names in the model."""

    def planes(self, name: str, shape: tuple[int | str, ...], dtype: str) -> tuple[int | str, ...]:
        """The shape of an input or output of the model, as N×C×H×W of one that is N×H×W×C.

        Those are the ones named, and images of uint8.
        """
        if len(shape) != 4 or (dtype != "uint8" and name not in self.nhwc):
            return shape
        batch, height, width, channels = shape
        return batch, channels, height, width

    def to_metadata(self) -> dict[str, str]:
        """The properties; those that would be empty are left out."""
        sides = {"inputs": dict(self.inputs), "outputs": dict(self.outputs)}
        names = {side: renamed for side, renamed in sides.items() if renamed}
        found = {NAMES: json.dumps(names)} if names else {}
        return {**found, NHWC: json.dumps(list(self.nhwc))} if self.nhwc else found

    @classmethod
    def from_metadata(cls, properties: Mapping[str, str]) -> Borders:
        """What a model's properties say; FormatError where they are not `to_metadata`'s."""
        names = read(properties, NAMES, dict)
        nhwc = read(properties, NHWC, list)
        sides = [names.get(side, {}) for side in ("inputs", "outputs")]
        texts = [
            *nhwc,
            *(text for side in sides if isinstance(side, dict) for text in side.values()),
        ]
        if not all(isinstance(side, dict) for side in sides) or not all(
            isinstance(text, str) for text in texts
        ):
            raise FormatError(f"its {NAMES} or {NHWC} is not what a conversion writes")
        return cls(sides[0], sides[1], tuple(nhwc))


def read(properties: Mapping[str, str], key: str, kind: type) -> Any:
    """The JSON of a property, which is of that type; an empty one where there is none."""
    try:
        found = json.loads(properties[key]) if key in properties else kind()
    except ValueError:
        found = None
    if not isinstance(found, kind):
        raise FormatError(f"its {key} is not what a conversion writes")
    return found
