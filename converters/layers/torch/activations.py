"""Functions of each number alone, of a tensor of any shape, that PyTorch has no module for."""

from __future__ import annotations

import torch
from torch import nn


class AbsVal(nn.Module):
    """The absolute value."""

    def extra_repr(self) -> str:
        return "abs(x)"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()


class BNLL(nn.Module):
    """log(1 + exp(x)).

    Not nn.Softplus: it takes the exponential of what lies below its threshold, and with the
    customary one gives x itself above 20.
    """

    def extra_repr(self) -> str:
        return "log(1 + exp(x))"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logaddexp(x, torch.zeros_like(x))


class Power(nn.Module):
    """(shift + scale x) ^ power."""

    def __init__(self, power: float, scale: float, shift: float) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def extra_repr(self) -> str:
        return f"({self.shift:g} + {self.scale:g} x) ^ {self.power:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.shift + self.scale * x) ** self.power


class Exp(nn.Module):
    """exp(log_base (shift + scale x))."""

    def __init__(self, log_base: float, scale: float, shift: float) -> None:
        super().__init__()
        self.log_base, self.scale, self.shift = log_base, scale, shift

    def extra_repr(self) -> str:
        return f"exp({self.log_base:g} ({self.shift:g} + {self.scale:g} x))"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.log_base * (self.shift + self.scale * x)).exp()


class Log(nn.Module):
    """log(shift + scale x) / log_base."""

    def __init__(self, log_base: float, scale: float, shift: float) -> None:
        super().__init__()
        self.log_base, self.scale, self.shift = log_base, scale, shift

    def extra_repr(self) -> str:
        return f"log({self.shift:g} + {self.scale:g} x) / {self.log_base:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.shift + self.scale * x).log() / self.log_base


class Threshold(nn.Module):
    """1 above the threshold, else 0."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def extra_repr(self) -> str:
        return f"x > {self.threshold:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > self.threshold).to(x.dtype)


class Clip(nn.Module):
    """Kept between `low` and `high`."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def extra_repr(self) -> str:
        return f"min={self.low:g}, max={self.high:g}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(self.low, self.high)


class Swish(nn.Module):
    """x / (1 + exp(-beta x))."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def extra_repr(self) -> str:
        return f"x sigmoid({self.beta:g} x)"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.beta * x).sigmoid()
