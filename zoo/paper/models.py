"""Models that the commands of the paper run: found by arch in a hub, opened, ready for images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prototxt.errors import Argument, Sentence, UsageError, ZooError
from zoo.paper import architectures
from zoo.prediction.models import located

if TYPE_CHECKING:
    from prototxt.preprocessing import Preprocessing, Size
    from runtime import Model
    from zoo.hub.places import HubAddress

__all__ = ["BEST", "ImageModel", "find_model", "open_model"]

BEST = "48_96_192"
"""The network of the paper that rebuilds best."""


def find_model(
    model: Path | None,
    arch: str | None,
    *,
    default: str | None = None,
    pretrained: bool = False,
    hub: HubAddress = None,
    offline: bool = False,
) -> tuple[Path, str | None]:
    """The path of the model, and the arch alone (`16_16_16` of `16_16_16-learned@1.0`).

    There is none of a network that is not the paper's, as `16_32_32-rate-2`.

    It is the file `model`, else what the hub (by default the one that ZOO_HUB names, else the
    embedded one) has for `arch`, else for `default`; `pretrained` asks for the encoder that was
    pretrained. UsageError where nothing is given, HubError where the hub has no such model.
    """
    arch = arch if arch or model else default
    base = (arch or "").partition("@")[0]
    name = architectures.arch_of(base) if base and not architectures.has_rate(base) else None
    if model is not None:
        return model, name
    if arch is None:
        raise UsageError(
            Sentence("neither ", Argument("arch"), " nor ", Argument("model"), " is given")
        )
    instead = Sentence("give one with ", Argument("model"), " M.onnx")
    return located(arch, instead, hub, offline, "pretrained" if pretrained else None), name


@dataclass(frozen=True)
class ImageModel:
    """A model that takes images, and how it is fed them."""

    model: Model
    how: Preprocessing
    plane: Size
    """Height and width that images are resized to."""
    notes: tuple[str, ...]
    """What a person should know of it."""

    @property
    def arch(self) -> str | None:
        """As the model states it."""
        return self.model.metadata.get("zoo.arch")

    @property
    def mean(self) -> np.ndarray:
        """What is subtracted, C×1×1 or C×H×W."""
        from runtime.feeding import channels_of

        return self.how.mean_values(channels_of(self.model))


def open_model(
    path: Path, provider: str = "auto", mean: str | None = None, size: Size | None = None
) -> ImageModel:
    """Load a model; `mean` and `size` (height, width) go before what its metadata state.

    ZooError where it takes something else than one image, or states an arch that is none.
    """
    import runtime
    from converters.metadata import untrained
    from runtime.feeding import channels_of

    model = runtime.load(path, provider)
    arch = model.metadata.get("zoo.arch")
    try:
        architectures.channels(arch or BEST)
    except UsageError as error:  # nobody's usage is wrong
        raise ZooError(f"its zoo.arch: {error}", subject=path) from None
    fixed = runtime.fixed_size(model)
    how, plane, resolved = runtime.resolve(
        model.metadata, mean=mean, size=size, fixed=fixed, channels=channels_of(model)
    )
    said = (*resolved, model.note, untrained(model.metadata))
    return ImageModel(model, how, plane, tuple(note for note in said if note))
