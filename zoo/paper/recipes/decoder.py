"""The paper's decoder as fast training wants it: channels last, unpooling by comparison.

It computes what the definition does (tests/zoo/test_modern.py compares them); its weights go back
to Caffe's form through `blobs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from zoo.paper import architectures
from zoo.paper.recipes.relu import Relus
from zoo.paper.recipes.switches import Soft, soft_unpool, unpool

__all__ = ["Decoder"]

SHIFT = 0.5
"""Mean of a channel before its ReLU, in standard deviations, at the start."""
OUTPUT = 0.06
"""Standard deviation of the output at the start; that of photographs is about 0.25."""
LAYERS = ("deconv3_1", "deconv3_2", "deconv2_1", "deconv2_2", "deconv1_1", "deconv1_2")


class Decoder(nn.Module):
    """Switch maps of three levels (the first level first) to N×3×H×W."""

    def __init__(self, arch: str, seed: int = 0) -> None:
        super().__init__()
        self.relu = Relus()
        n1, n2, n3 = architectures.channels(arch)
        generator = torch.Generator().manual_seed(seed)
        self.bias4 = nn.Parameter(torch.ones(n3))
        sizes = ((n3, n3), (n3, n2), (n2, n2), (n2, n1), (n1, n1), (n1, 3))
        for name, (before, after) in zip(LAYERS, sizes, strict=True):
            layer = nn.Conv2d(before, after, 3, padding=1)
            weight = nn.init.orthogonal_(torch.empty(layer.weight.shape), generator=generator)
            layer.weight.data.copy_(weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            self.add_module(name, layer)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        switches: Sequence[torch.Tensor | Soft],
        masks: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Each level's positions, or with a way back to what chose them (`Soft`).

        `masks` are where the encoder's ReLUs passed something (see `bottleneck`).
        """
        return self._walk(switches, masks, calibrate=False)

    @torch.no_grad()
    def calibrate(
        self,
        switches: Sequence[torch.Tensor | Soft],
        masks: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Give every channel unit variance over this input, and let most of it pass the ReLU.

        Without it narrow decoders often begin with channels that never answer, and stay at the
        mean colour. The output begins close to nothing, which is the mean colour too.
        """
        self._walk(switches, masks, calibrate=True)

    def _walk(
        self,
        switches: Sequence[torch.Tensor | Soft],
        masks: Mapping[str, torch.Tensor] | None,
        calibrate: bool,
    ) -> torch.Tensor:
        count, height, width, _ = switches[-1].shape
        x = self.bias4.view(1, -1, 1, 1).expand(count, -1, height, width)
        for level in (3, 2, 1):
            known = switches[level - 1]
            x = soft_unpool(x, known) if isinstance(known, Soft) else unpool(x, known)
            for half in (1, 2):
                if masks is not None:
                    # What is reversed here is the encoder's other convolution of this level.
                    x = x * masks[f"conv{level}_{3 - half}"]
                name = f"deconv{level}_{half}"
                if calibrate:
                    self._fit(name, x)
                x = self.get_submodule(name)(x)
                if name != LAYERS[-1]:
                    x = self.relu(x)
        return x

    def _fit(self, name: str, x: torch.Tensor) -> None:
        layer = self.get_submodule(name)
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        deviation, average = torch.std_mean(layer(x), (0, 2, 3))
        deviation.clamp_(min=1e-6)
        if name == LAYERS[-1]:
            factor = OUTPUT / deviation.mean()
            layer.weight.mul_(factor)
            layer.bias.copy_(-average * factor)
        else:
            layer.weight.div_(deviation.view(-1, 1, 1, 1))
            layer.bias.copy_(SHIFT - average / deviation)

    @torch.no_grad()
    def load_blobs(self, stored: Mapping[str, Sequence[np.ndarray]], scale: float) -> None:
        """The inverse of `blobs`."""
        self.bias4.copy_(torch.from_numpy(stored["bias4"][1].ravel().copy()))
        for name in LAYERS:
            layer = self.get_submodule(name)
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            factor = np.float32(1 / scale if name == LAYERS[-1] else 1)
            weight = torch.from_numpy(stored[name][0] * factor)
            layer.weight.copy_(weight.transpose(0, 1).flip(2, 3))
            layer.bias.copy_(torch.from_numpy(stored[name][1].ravel() * factor))

    def blobs(self, scale: float) -> dict[str, list[np.ndarray]]:
        """Caffe's weights by layer; the output is in units of 1/`scale`.

        A deconvolution of stride 1 is the convolution with flipped filters, input channels first.
        """
        width = len(self.bias4)
        stored = {
            "bias4": [
                np.zeros((width, width, 1, 1), np.float32),
                self.bias4.detach().cpu().numpy().copy(),
            ]
        }
        for name in LAYERS:
            layer = self.get_submodule(name)
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            weight = layer.weight.detach().cpu().flip(2, 3).transpose(0, 1).contiguous().numpy()
            bias = layer.bias.detach().cpu().numpy()
            factor = np.float32(scale if name == LAYERS[-1] else 1)
            stored[name] = [weight * factor, bias * factor]
        return stored
