"""Random encoders for the paper's networks: which draw, at which thresholds.

An encoder that stays as it was drawn is a code book. With biases of zero, as the authors drew
theirs, a channel's switch tells where its filter answers most. With biases below zero the ReLU
leaves many windows without any answer; all four values then tie at 0 and the first one wins, so
that the switch also tells that the answer was below the threshold. Thresholds that differ from
channel to channel make a coarse scale of brightness and contrast, which switches alone lack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from zoo.paper import architectures
from zoo.paper.recipes.switches import pool_switches

__all__ = ["LAYERS", "Encoder", "draw"]

LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2")
FIRST_QUANTILE = 0.05
"""Share of a level's first convolution that its thresholds silence."""
QUANTILES = (0.4, 0.97)
"""The same of the second convolutions, evenly spread over the channels from least to most."""


class Encoder(nn.Module):
    """The paper's encoder, for pixels in [0,1] minus the mean: N×3×H×W to three switch maps."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        before = 3
        for level, width in enumerate(architectures.channels(arch), 1):
            for half in (1, 2):
                self.add_module(f"conv{level}_{half}", nn.Conv2d(before, width, 3, padding=1))
                before = width
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Positions 0..3 of the maxima, uint8, N×H/2×W/2×C for the first level and so on."""
        return self.bottleneck(x)[0]

    def bottleneck(self, x: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """The switches, and of each convolution where its ReLU passes something (N×C×H×W)."""
        found, masks = [], {}
        for level in (1, 2, 3):
            for half in (1, 2):
                name = f"conv{level}_{half}"
                x = F.relu_(self.get_submodule(name)(x))
                masks[name] = x > 0
            x, positions = pool_switches(x)
            found.append(positions)
        return found, masks

    def load_blobs(self, stored: Mapping[str, Sequence[np.ndarray]], scale: float) -> None:
        """Take Caffe's weights, of a network for images in units of 1/`scale`."""
        for name in LAYERS:
            layer = self.get_submodule(name)
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            factor = scale if name == LAYERS[0] else 1
            layer.weight.data.copy_(torch.from_numpy(stored[name][0] * np.float32(factor)))
            layer.bias.data.copy_(torch.from_numpy(stored[name][1].ravel().copy()))


@torch.no_grad()
def draw(arch: str, seed: int, sample: torch.Tensor) -> Encoder:
    """Orthogonal filters of unit response, thresholds set by quantiles over `sample` (N×3×H×W)."""
    generator = torch.Generator().manual_seed(seed)
    encoder = Encoder(arch)
    x = sample.contiguous(memory_format=torch.channels_last)
    for name in LAYERS:
        layer = encoder.get_submodule(name)
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        weight = nn.init.orthogonal_(torch.empty(layer.weight.shape), generator=generator)
        width = layer.out_channels
        if name == LAYERS[0]:
            # Every filter sees brightness, some upside down.
            signs = torch.randn(width, 1, 1, 1, generator=generator).sign()
            weight += weight.std() * signs
        layer.weight.copy_(weight)
        layer.bias.zero_()
        quantiles = torch.full((width,), FIRST_QUANTILE)
        if name.endswith("2"):
            spaced = torch.linspace(*QUANTILES, width)
            quantiles = spaced[torch.randperm(width, generator=generator)]
        response = layer(x).transpose(0, 1).flatten(1)
        scale = response.std(1)
        layer.weight.div_(scale.view(-1, 1, 1, 1))
        response = response[:, :: max(1, response.shape[1] // 50_000)] / scale[:, None]
        ordered = response.sort(1).values
        places = (quantiles * (ordered.shape[1] - 1)).long()
        layer.bias.copy_(-ordered.gather(1, places[:, None])[:, 0])
        x = F.relu_(layer(x))
        if name.endswith("2"):
            x = F.max_pool2d(x, 2)
    return encoder
