"""CRF as RNN's mean-field layer and its permutohedral lattice, point by point.

Written from multi_stage_meanfield.cpp, meanfield_iteration.cpp and modified_permutohedral.cpp as
x86-64 builds it, with SSE (torrvision/caffe, commit d779ee3). A dictionary is the hash table.
Features, coordinates and barycentric coordinates are float32 as there; values are float64. That
file, compiled, filters as `Lattice.compute` does, either way, to 3e-7 of the greatest value.
"""

from __future__ import annotations

import numpy as np

F = np.float32


class Lattice:
    """A lattice of P points of d features, float32 P×d."""

    def __init__(self, features: np.ndarray) -> None:
        points, d = features.shape
        self.d, self.table = d, {}
        deviation = F(np.sqrt(2 / 3) * (d + 1))
        self.scale = [F(1 / np.sqrt((i + 2) * (i + 1)) * float(deviation)) for i in range(d)]
        self.offsets: list[list[int]] = []
        self.weights: list[list[np.float32]] = []
        # Four points at a time: what is missing of the last four is zeros, and has vertices too.
        for k in range(-(-points // 4) * 4):
            self.add(features[k] if k < points else np.zeros(d, F))
        self.offsets, self.weights = self.offsets[:points], self.weights[:points]
        keys = list(self.table)
        self.size = len(keys)
        self.neighbours = []
        for j in range(d + 1):
            for sign in (1, -1):
                row = []
                for key in keys:
                    moved = [c - sign for c in key]
                    if j < d:
                        moved[j] = key[j] + sign * d
                    row.append(self.table.get(tuple(moved), -1))
                self.neighbours.append(row)

    def add(self, feature: np.ndarray) -> None:
        d = self.d
        elevated = [F(0)] * (d + 1)
        total = F(0)
        for j in range(d, 0, -1):
            part = F(feature[j - 1] * self.scale[j - 1])
            elevated[j] = F(total - F(F(j) * part))
            total = F(total + part)
        elevated[0] = total
        down, excess = F(1) / F(d + 1), 0
        origin = []
        for value in elevated:
            nearest = int(np.rint(F(down * value)))
            origin.append(nearest * (d + 1))
            excess += nearest
        rank = [0] * (d + 1)
        for i in range(d):
            for j in range(i + 1, d + 1):
                if F(elevated[i] - F(origin[i])) < F(elevated[j] - F(origin[j])):
                    rank[i] += 1
                else:
                    rank[j] += 1
        for i in range(d + 1):
            rank[i] += excess
            if rank[i] < 0:
                rank[i] += d + 1
                origin[i] += d + 1
            elif rank[i] > d:
                rank[i] -= d + 1
                origin[i] -= d + 1
        weights = [F(0)] * (d + 2)
        for i in range(d + 1):
            share = F(F(elevated[i] - F(origin[i])) * down)
            weights[d - rank[i]] = F(weights[d - rank[i]] + share)
            weights[d - rank[i] + 1] = F(weights[d - rank[i] + 1] - share)
        weights[0] = F(weights[0] + F(F(1) + weights[d + 1]))
        offsets = []
        for remainder in range(d + 1):
            key = tuple(
                origin[i] + (remainder if rank[i] <= d - remainder else remainder - (d + 1))
                for i in range(d)
            )
            offsets.append(self.table.setdefault(key, len(self.table)))
        self.offsets.append(offsets)
        self.weights.append(weights[: d + 1])

    def compute(self, values: np.ndarray, reverse: bool = False) -> np.ndarray:
        """C×P filtered, float64."""
        d, (channels, points) = self.d, values.shape
        old = np.zeros((self.size + 1, channels))  # the last, at -1, is of no lattice point
        for i in range(points):
            for o, w in zip(self.offsets[i], self.weights[i], strict=True):
                old[o] += float(w) * values[:, i]
        for j in reversed(range(d + 1)) if reverse else range(d + 1):
            new = np.zeros_like(old)
            for i in range(self.size):
                n1, n2 = self.neighbours[2 * j][i], self.neighbours[2 * j + 1][i]
                new[i] = old[i] + 0.5 * (old[n1] + old[n2])
            old = new
        alpha = 1 / (1 + 2.0**-d)
        result = np.zeros((channels, points))
        for i in range(points):
            for o, w in zip(self.offsets[i], self.weights[i], strict=True):
                result[:, i] += float(w) * alpha * old[o]
        return result


def places(height: int, width: int, theta: float) -> np.ndarray:
    pixels = [(p % width, p // width) for p in range(height * width)]
    return np.array([[F(F(x) / F(theta)), F(F(y) / F(theta))] for x, y in pixels], F)


def lattices(image: np.ndarray, thetas: tuple[float, float, float]) -> tuple[Lattice, Lattice]:
    """Of places; of places and colours, of one image 3×H×W."""
    alpha, beta, gamma = thetas
    colours = (image[:3].reshape(3, -1) / F(beta)).T
    both = np.concatenate([places(*image.shape[1:], alpha), colours], 1)
    return Lattice(places(*image.shape[1:], gamma)), Lattice(both)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def meanfield(
    unary: np.ndarray,
    start: np.ndarray,
    image: np.ndarray,
    blobs: list[np.ndarray],
    thetas: tuple[float, float, float],
    iterations: int,
) -> np.ndarray:
    """The layer's top, of bottoms N×C×H×W (float32 image; float64 or float32 others)."""
    result = np.zeros(unary.shape)
    spatial, bilateral, compatibility = (blob.reshape(blob.shape[-2:]) for blob in blobs)
    for n in range(unary.shape[0]):
        channels = unary.shape[1]
        terms = unary[n].reshape(channels, -1).astype(np.float64)
        current = start[n].reshape(channels, -1).astype(np.float64)
        filters = lattices(image[n], thetas)
        ones = np.ones((1, terms.shape[1]))
        norms = [1 / (one.compute(ones) + 1e-20) for one in filters]
        for _ in range(iterations):
            chances = softmax(current)
            near, alike = (f.compute(chances) * s for f, s in zip(filters, norms, strict=True))
            messages = spatial.astype(float) @ near + bilateral.astype(float) @ alike
            current = terms - compatibility.astype(float) @ messages
        result[n] = current.reshape(unary.shape[1:])
    return result
