"""Drawn photographs to train on."""

from pathlib import Path

import cv2
import numpy as np
import torch


def photographs(count: int, size: int) -> list[np.ndarray]:
    """Smooth coloured pictures: blurred noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    return [
        cv2.normalize(cv2.GaussianBlur(n, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX) for n in noise
    ]


def sample(pool: np.ndarray, mean: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(((pool - mean) / 255).astype(np.float32))


def folder_of(tmp_path: Path, count: int = 10) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(photographs(count, 150)):
        cv2.imwrite(str(folder / f"{number:02}.png"), image)
    return folder
