"""A convolution whose weights differ from place to place."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .parameters import parameter


class Local(nn.Module):
    """N×C×H×W to N×M×h×w, where `output_size` is h, w.

    The weight is M×1×CK²×hw, the bias 1×M×hw, K the `kernel_size`.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray | None,
        *,
        kernel_size: int,
        stride: int,
        pad: int,
        output_size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.weight = parameter(weight)
        self.bias = None if bias is None else parameter(bias)
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, pad={self.pad}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = F.unfold(x, self.kernel_size, padding=self.pad, stride=self.stride)
        y = torch.einsum("bkn,mkn->bmn", rows, self.weight[:, 0])
        if self.bias is not None:
            y = y + self.bias[0]
        return y.reshape(len(x), y.shape[1], *self.output_size)
