"""Other image formats, as the judge of switches asks them: files of a size, curves, Bjøntegaard."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["FORMATS", "Format", "Ladder", "Measured", "Way", "bjontegaard"]

SMALLEST = 161
"""Pixels a side that MS-SSIM's five scales take."""
FURTHER = 3
"""Settings that are looked at beyond the one that halving finds."""
FEWEST = 4
"""Points that a curve has at least, as Bjøntegaard's comparison takes them."""


@dataclass(frozen=True)
class Way:
    """One way to write a format: Pillow's options, and the settings that are tried, worst first."""

    options: dict[str, Any]
    settings: Sequence[float]
    setting: Callable[[float], dict[str, Any]] = lambda quality: {"quality": int(quality)}
    """Pillow's option for one of them."""


@dataclass(frozen=True)
class Format:
    """A format's name, the ways to write it, and the settings of the first that its curve shows."""

    name: str
    ways: tuple[Way, ...]
    curve: Sequence[float]


def _decibels(quality: float) -> dict[str, Any]:
    return {"quality_mode": "dB", "quality_layers": [quality]}


FORMATS = {
    "jpeg": Format(
        "JPEG",
        tuple(
            Way({"optimize": True, "subsampling": colours, "progressive": scans}, range(1, 101))
            for scans in (True, False)
            for colours in ("4:2:0", "4:4:4")
        ),
        (1, 3, 5, 8, 12, 18, 25, 35, 50, 65, 80, 90, 95),
    ),
    "jpeg2000": Format(
        "JPEG 2000",
        (Way({"irreversible": True, "mct": 1, "no_jp2": True}, range(16, 61), _decibels),),
        range(24, 47, 2),
    ),
    "webp": Format(
        "WebP",
        (Way({"method": 6}, range(101)), Way({"lossless": True}, (100,))),
        (0, 2, 5, 10, 20, 35, 50, 65, 80, 90, 95),
    ),
    "avif": Format(
        "AVIF",
        (Way({}, range(0, 101, 4)),),
        (0, 4, 8, 16, 24, 36, 48, 60, 72, 84, 92),
    ),
}


@dataclass
class Measured:
    """Pictures of one way to code, against their originals, both as 8-bit pixels."""

    bits: float = 0
    values: int = 0
    squares: float = 0
    ssim: list[float] = field(default_factory=list)
    ms_ssim: list[float] = field(default_factory=list)
    """Of the images that are large enough for it."""

    def add(self, original: np.ndarray, picture: np.ndarray, size: int) -> None:
        """One image, H×W×3 uint8 both, and the bytes that it took."""
        import runtime

        measure = runtime.RMSE()
        measure.add(picture[None], original[None])
        self.bits += 8 * size
        self.values += original.size
        self.squares += measure.total
        self.ssim.append(runtime.ssim(original, picture))
        if min(original.shape[:2]) >= SMALLEST:
            self.ms_ssim.append(_ms_ssim(original, picture))

    def result(self) -> dict[str, Any]:
        """Bits per pixel and channel, RMSE over all pixels, its PSNR, mean SSIM and MS-SSIM.

        The PSNR is None where there is no error at all, MS-SSIM where an image is too small for it,
        all where there was no image.
        """
        import runtime

        if not self.values:
            return {"images": 0} | dict.fromkeys(("bits", "rmse", "psnr", "ssim", "ms_ssim"))
        rmse = math.sqrt(self.squares / self.values)
        whole = len(self.ms_ssim) == len(self.ssim)
        return {
            "images": len(self.ssim),
            "bits": self.bits / self.values,
            "rmse": rmse,
            "psnr": runtime.psnr(rmse) if rmse else None,
            "ssim": float(np.mean(self.ssim)),
            "ms_ssim": float(np.mean(self.ms_ssim)) if whole else None,
        }


def _ms_ssim(original: np.ndarray, picture: np.ndarray) -> float:
    """Wang et al.'s (2003), five scales, the mean over the channels."""
    import torch
    from pytorch_msssim import ms_ssim

    a, b = (
        torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] for x in (original, picture)
    )
    return float(ms_ssim(a, b, data_range=255))


class Ladder:
    """An image in one format at every setting: made once, asked for each network."""

    def __init__(self, image: np.ndarray, kind: str) -> None:
        from PIL import Image

        self.kind, self._original = kind, image
        self._image = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
        self._sizes: dict[tuple[int, float], int] = {}

    def best(self, most: int) -> tuple[int, np.ndarray] | None:
        """Size and picture of the best file of at most so many bytes; None where none fits.

        In each way that FORMATS lists it is the last setting that fits, and among the ways the one
        with the least squared error.
        """
        found = []
        for way in range(len(FORMATS[self.kind].ways)):
            setting = self.highest(way, most)
            if setting is not None:
                picture = self.decoded(way, setting)
                error = float(np.square(picture.astype(np.float64) - self._original).sum())
                found.append((error, way, setting, picture))
        if not found:
            return None
        _, way, setting, picture = min(found, key=lambda each: each[:3])
        return self.size(way, setting), picture

    def highest(self, way: int, most: int) -> float | None:
        """The last setting of a way whose whole file has at most so many bytes.

        Found by halving, and by looking `FURTHER` on from there: sizes may shrink a little where
        quality grows.
        """
        settings = FORMATS[self.kind].ways[way].settings
        first = bisect.bisect_right(settings, most, key=lambda each: self.size(way, each))
        near = range(max(0, first - 1), min(len(settings), first + FURTHER))
        fitting = [settings[n] for n in near if self.size(way, settings[n]) <= most]
        return fitting[-1] if fitting else None

    def size(self, way: int, setting: float) -> int:
        """Bytes of the whole file."""
        if (way, setting) not in self._sizes:
            self.encoded(way, setting)
        return self._sizes[way, setting]

    def encoded(self, way: int, setting: float) -> bytes:
        """The whole file."""
        how, file = FORMATS[self.kind].ways[way], io.BytesIO()
        self._image.save(file, self.kind, **how.options, **how.setting(setting))
        self._sizes[way, setting] = len(file.getvalue())
        return file.getvalue()

    def decoded(self, way: int, setting: float) -> np.ndarray:
        """The picture that it holds, H×W×3 uint8 BGR."""
        from PIL import Image

        with Image.open(io.BytesIO(self.encoded(way, setting))) as found:
            return np.asarray(found.convert("RGB"))[..., ::-1]

    def add_curve(self, curve: dict[float, Measured]) -> None:
        """Measure this image at the settings of the format's curve."""
        for setting in FORMATS[self.kind].curve:
            measured = curve.setdefault(setting, Measured())
            measured.add(self._original, self.decoded(0, setting), self.size(0, setting))


def bjontegaard(
    anchor: Iterable[Mapping[str, Any]], tested: Iterable[Mapping[str, Any]]
) -> dict[str, float] | None:
    """How much `tested` differs from the anchor, by Bjøntegaard's integrals (Akima's form).

    Both are results of `Measured`. `rate` is the difference in bits at equal PSNR, in percent,
    over the PSNRs that both reach; `psnr` that in dB at equal bits. None where a curve has fewer
    than four points or they have no PSNR, or no bits, in common.
    """
    curves = []
    for points in (anchor, tested):
        kept = sorted(
            (p["bits"], p["psnr"]) for p in points if p["images"] and p["psnr"] is not None
        )
        rising = [p for n, p in enumerate(kept) if all(p[1] > q[1] for q in kept[:n])]
        if len(rising) < FEWEST:
            return None
        curves.append(np.array(rising, np.float64).T)
    (rate_a, psnr_a), (rate_b, psnr_b) = curves
    for a, b in ((rate_a, rate_b), (psnr_a, psnr_b)):
        if min(a[-1], b[-1]) <= max(a[0], b[0]):
            return None
    import bjontegaard as bd

    how: dict[str, Any] = {"method": "akima", "min_overlap": 0, "require_matching_points": False}
    return {
        "rate": float(bd.bd_rate(rate_a, psnr_a, rate_b, psnr_b, **how)),
        "psnr": float(bd.bd_psnr(rate_a, psnr_a, rate_b, psnr_b, **how)),
    }
