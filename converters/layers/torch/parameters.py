"""Blobs as parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

__all__ = ["parameter"]


def parameter(array: np.ndarray) -> nn.Parameter:
    """A trainable float32 copy of a blob."""
    return nn.Parameter(torch.from_numpy(np.array(array, np.float32)))
