"""The networks `A-rate-N` as training wants them: switches as ones among zeros, with a way back.

They compute what their definition does (`converters.families.rate`; the tests compare them). Their
weights go back to Caffe's form through `RateNetwork.blobs`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from converters.families.rate import BLOCKS, PERIOD, WIDTH
from runtime.switch_predictor import AROUND, STEPS, Scores

__all__ = ["Coded", "RateNetwork", "one_of_four"]

CONTRAST = 4.0
"""What the image is multiplied by before the first convolution, so that it varies by about 1."""
PATTERN = 0.1
"""Standard deviation of the pattern at the start; pixels are in [0,1]."""
BRANCH = 0.3
"""What the second convolution of a residual block is multiplied by at the start."""
OUTPUT = 0.2
"""The same of the last deconvolution."""
MOST_SCORE = 127
"""Of a known place; int8."""


class Coded(NamedTuple):
    """What a forward pass gives."""

    images: torch.Tensor
    """N×3×H×W, as rebuilt."""
    bits: torch.Tensor
    """N×H/8×W/8: what the switches of each window cost."""


class RateNetwork(nn.Module):
    """Encoder, decoder and entropy model, for pixels in [0,1] minus the mean."""

    def __init__(
        self, widths: tuple[int, int, int], seed: int = 0, temperature: float = 1.0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.widths, self.temperature = widths, temperature
        codes = 4 * widths[2]

        def convolution(name: str, before: int, after: int, gain: float = 1.0) -> None:
            layer = nn.Conv2d(before, after, 3, padding=1)
            nn.init.orthogonal_(layer.weight, gain * math.sqrt(2), generator)
            self.begin(name, layer)

        def up(name: str, before: int, after: int, gain: float = 1.0) -> None:
            layer = nn.ConvTranspose2d(before, after, 4, 2, 1)
            nn.init.normal_(layer.weight, 0, gain * math.sqrt(0.5 / before), generator)
            self.begin(name, layer)

        def block(name: str, width: int) -> None:
            convolution(f"{name}a", width, width)
            convolution(f"{name}b", width, width, BRANCH)

        drawn = torch.randn(1, 3, PERIOD, PERIOD, generator=generator)
        self.pattern = nn.Parameter(PATTERN * drawn)
        before = 3
        for level, width in enumerate(widths, 1):
            convolution(f"conv{level}_1", before, width)
            convolution(f"conv{level}_2", width, width)
            before = width
        convolution("gather", codes, WIDTH)
        for number in range(1, BLOCKS + 1):
            block(f"block3_{number}", WIDTH)
        for level, width in ((2, WIDTH // 2), (1, WIDTH // 4)):
            up(f"up{level}", 2 * width, width)
            block(f"block{level}_1", width)
        up("image", WIDTH // 4, 3, OUTPUT)
        self.entropy = EntropyModel(widths[2])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def begin(self, name: str, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        """Take a layer of that name, its biases 0."""
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        self.add_module(name, layer)

    def layer(self, name: str) -> nn.Module:
        """A convolution or deconvolution, by its name in the definition."""
        return self.get_submodule(name)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """N×3×H×W -> the four values of each window, N×C×4×H/8×W/8 float32."""
        tiles = (1, 1, images.shape[2] // PERIOD, images.shape[3] // PERIOD)
        x = CONTRAST * (images + self.pattern.repeat(tiles))
        for level in (1, 2, 3):
            x = self.layer(f"conv{level}_2")(F.relu(self.layer(f"conv{level}_1")(x)))
            if level < 3:
                x = F.max_pool2d(F.relu(x), 2)
        count, channels, height, width = x.shape
        windows = x.float().reshape(count, channels, height // 2, 2, width // 2, 2)
        return windows.permute(0, 1, 3, 5, 2, 4).reshape(
            count, channels, 4, height // 2, width // 2
        )

    def decode(self, switches: torch.Tensor) -> torch.Tensor:
        """N×4C×h×w, one of four numbers 1 and the others 0 -> N×3×8h×8w."""
        x = F.relu(self.layer("gather")(switches))
        for number in range(1, BLOCKS + 1):
            x = self.block(f"block3_{number}", x)
        for level in (2, 1):
            x = F.relu(self.layer(f"up{level}")(F.relu(x)))
            x = self.block(f"block{level}_1", x)
        found: torch.Tensor = self.layer("image")(F.relu(x))
        return found

    def block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A residual block."""
        found: torch.Tensor = x + self.layer(f"{name}b")(F.relu(self.layer(f"{name}a")(x)))
        return found

    def forward(self, images: torch.Tensor) -> Coded:
        """Encode and decode."""
        told, coded = self.code(self.encode(images))
        return Coded(self.decode(told), self.entropy(coded))

    def code(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """N×C×4×h×w values -> what the decoder is told and what is coded, N×4C×h×w: the same."""
        switches = one_of_four(values, self.temperature)
        return switches, switches

    def blobs(self, scale: float = 255) -> dict[str, list[np.ndarray]]:
        """Caffe's weights by layer, for pixels of 0..`scale` minus the mean."""
        codes = self.widths[2]
        found = {
            "one": [np.zeros((1, 3, PERIOD, PERIOD), np.float32), np.ones(1, np.float32)],
            "pattern": [array(self.pattern) * np.float32(scale)],
            "bias4": [np.zeros((codes, codes, 1, 1), np.float32), np.ones(codes, np.float32)],
        }
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.bias is not None
                found[name] = [array(layer.weight), array(layer.bias)]
        found["conv1_1"][0] = found["conv1_1"][0] * np.float32(CONTRAST / scale)
        found["image"] = [blob * np.float32(scale) for blob in found["image"]]
        # The definition unpools to twice the sides: a window's four numbers lie beside each other.
        gather = found["gather"][0].reshape(WIDTH, codes, 2, 2, 3, 3)
        found["gather"][0] = np.ascontiguousarray(
            gather.transpose(0, 1, 4, 2, 5, 3).reshape(WIDTH, codes, 6, 6)
        )
        return found

    @torch.no_grad()
    def load_blobs(self, stored: Mapping[str, Sequence[np.ndarray]], scale: float = 255) -> None:
        """The inverse of `blobs`; the entropy model stays as it is."""
        codes = self.widths[2]
        self.pattern.copy_(torch.from_numpy(stored["pattern"][0] / np.float32(scale)))
        for name, layer in self.named_children():
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                continue
            assert layer.bias is not None
            weight, bias = (np.asarray(blob) for blob in stored[name])
            if name == "conv1_1":
                weight = weight * np.float32(scale / CONTRAST)
            elif name == "image":
                weight, bias = weight / np.float32(scale), bias / np.float32(scale)
            elif name == "gather":
                parts = weight.reshape(WIDTH, codes, 3, 2, 3, 2).transpose(0, 1, 3, 5, 2, 4)
                weight = parts.reshape(WIDTH, 4 * codes, 3, 3)
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias).ravel()))


class EntropyModel(nn.Module):
    """How likely each switch is by those around it: `runtime.switch_predictor`, as it learns."""

    before: torch.Tensor
    earlier: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, numbers = channels, 4 * channels
        self.around = nn.Parameter(torch.zeros(numbers, numbers, 2, 3))
        self.within = nn.Parameter(torch.zeros(numbers, numbers, 1, 1))
        self.own = nn.Parameter(torch.zeros(numbers))
        known = torch.zeros(2, 3)
        for row, column in AROUND:
            known[1 + row, 1 + column] = 1
        channel = torch.arange(numbers) // 4
        self.register_buffer("before", known, persistent=False)
        earlier = (channel[None, :] < channel[:, None]).float()[:, :, None, None]
        self.register_buffer("earlier", earlier, persistent=False)

    def scores(self, switches: torch.Tensor) -> torch.Tensor:
        """N×4C×h×w -> what each place scores, in the units of a logarithm."""
        padded = F.pad(switches, (1, 1, 1, 0))
        outer = F.conv2d(padded, self.around * self.before, self.own)
        return outer + F.conv2d(switches, self.within * self.earlier)

    def forward(self, switches: torch.Tensor) -> torch.Tensor:
        """N×4C×h×w -> the bits of each window, N×h×w."""
        count, _, height, width = switches.shape
        shape = (count, self.channels, 4, height, width)
        likely = F.log_softmax(self.scores(switches).float().view(shape), 2)
        return -(switches.float().view(shape) * likely).sum((1, 2)) / math.log(2)

    def quantised(self) -> Scores:
        """In whole numbers, as a model's file holds them."""
        steps = STEPS / math.log(2)
        own = np.rint(array(self.own) * steps).clip(-(2**15), 2**15 - 1).astype(np.int16)
        around = array(self.around * self.before)
        inner = array(self.within * self.earlier)[:, :, 0, 0]
        parts = [around[:, :, 1 + row, 1 + column].T for row, column in AROUND] + [inner.T]
        known = np.rint(np.stack(parts) * steps).clip(-MOST_SCORE, MOST_SCORE)
        return Scores(own, known.astype(np.int8))


def one_of_four(values: torch.Tensor, temperature: float) -> torch.Tensor:
    """N×C×4×h×w values -> N×4C×h×w: 1 at the greatest (the first of equals), 0 elsewhere.

    On the way back it is a softmax: the straight-through estimator.
    """
    count, channels, _, height, width = values.shape
    chances = torch.softmax(values / temperature, 2)
    best = values.argmax(2, keepdim=True)
    hard = torch.zeros_like(values).scatter_(2, best, 1)
    found = hard + chances - chances.detach()
    return found.reshape(count, 4 * channels, height, width)


def array(tensor: torch.Tensor) -> np.ndarray:
    """As float32 in memory of its own."""
    found: np.ndarray = tensor.detach().float().cpu().contiguous().numpy().copy()
    return found
