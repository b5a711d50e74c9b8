"""The permutohedral lattice of CRF as RNN (modified_permutohedral.cpp) in ONNX's operators.

A point of d features is lifted to d+1 coordinates and lies in a simplex of d+1 lattice points, one
of each remainder r = 0..d. The fork keeps the points in a hash table; here each is one int64, and
sorting finds which are the same and which are neighbours. Float32 throughout, in the fork's order
of operations, so that each point falls into the very simplex that it falls into there.

All coordinates of a point of remainder r are (d+1) t + r. The first, u0, and the differences
uk = tk - t0 (0 < k < d) tell it, and are linear in its coordinates: a neighbour is a constant away.
They are the digits of the int64, each with room for a neighbour's, and the image's number is the
highest. All possible digits must be fewer than 2^63: at 500x500 with CRF as RNN's thetas they are
about 10^9. The fork has 16 bits a coordinate, which small thetas overflow long before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .detection import count_up
from .rcnn import FLOAT, INT64

if TYPE_CHECKING:
    from ..onnx_builder import OnnxBuilder

LANES = 4
"""Points that the fork reads at once: the last are filled up, and count as points of zeros."""


@dataclass
class Lattice:
    """Tensors of one lattice; M is how many points it has, P how many lie in it of each image.

    Index M stands for a point that is not there: its values are 0.
    """

    index: str
    """N×(d+1)×P: the lattice points around each point."""
    shares: str
    """N×(d+1)×P: what each has of it, summing up to 1 (barycentric coordinates)."""
    rows: str
    """M+1."""
    neighbours: list[tuple[str, str]]
    """For each of d+1 directions, of every lattice point the next and the last, M+1 each."""


def scales(features: int) -> list[np.float32]:
    """By what each feature is multiplied so that the blur has a standard deviation of 1."""
    deviation = np.float32(np.sqrt(2 / 3) * (features + 1))
    return [
        np.float32(1 / np.sqrt((i + 2) * (i + 1)) * np.float64(deviation)) for i in range(features)
    ]


def lattice(b: OnnxBuilder, features: list[str], images: str, points: str) -> Lattice:
    """The lattice of `features`, each N×1×P or 1×1×P, the last N×1×P; N and P as 1-D tensors.

    Images share no lattice points.
    """
    last = b.arithmetic("Sub", points, b.ints(-LANES + 1))
    last = b.arithmetic("Mul", b.arithmetic("Div", last, b.ints(LANES)), b.ints(LANES))
    pads = b.join(b.ints(0, 0, 0, 0, 0), b.arithmetic("Sub", last, points))
    filled = [b.op("Pad", f, pads) for f in features]
    size = len(features) + 1
    corner, rank, inside = simplex(b, filled)
    shares = barycentric(b, rank, inside, size)
    packed, shifts = pack(b, corner, rank, images, size)
    index, keys, count = numbered(b, packed)
    index = b.op("Reshape", index, b.join(images, b.ints(size), last))
    return Lattice(
        b.op("Slice", index, b.ints(0), points, b.ints(2)),
        b.op("Slice", shares, b.ints(0), points, b.ints(2)),
        b.op("Add", count, b.ints(1)),
        neighbours(b, keys, count, shifts, size),
    )


def simplex(b: OnnxBuilder, features: list[str]) -> tuple[str, str, str]:
    """The simplex around each point, N×(d+1)×P each.

    Its point of remainder 0 in steps of d+1, the rank of each coordinate by its distance from that
    point, and these distances in steps of d+1.
    """
    size = len(features) + 1
    lifted: list[str] = []
    total = ""
    for j, scale in reversed(list(enumerate(scales(size - 1), 1))):
        part = b.op("Mul", features[j - 1], scale)
        times = b.op("Mul", part, np.float32(j))
        lifted.insert(0, b.op("Sub", total, times) if total else b.op("Neg", times))
        total = b.op("Add", total, part) if total else part
    whole = b.op("Concat", total, *lifted, axis=1)
    steps, step = np.float32(size), b.const(np.float32(1) / np.float32(size))
    nearest = b.op("Round", b.op("Mul", whole, step))
    excess = b.op("ReduceSum", nearest, b.ints(1))
    far = b.op("Sub", whole, b.op("Mul", nearest, steps))
    # Ranks by falling distance; of equal ones the first is first.
    own, other = b.op("Unsqueeze", far, b.ints(2)), b.op("Unsqueeze", far, b.ints(1))
    first = np.tril(np.ones((size, size), bool), -1)[None, :, :, None]
    tied = b.op("And", b.op("Equal", own, other), b.const(first))
    ahead = b.op("Cast", b.op("Or", b.op("Less", own, other), tied), to=FLOAT)
    rank = b.op("Add", b.op("ReduceSum", ahead, b.ints(2), keepdims=0), excess)
    # Rounding may have left the plane in which coordinates sum up to 0: go back.
    below = b.op("Cast", b.op("Less", rank, np.float32(0)), to=FLOAT)
    above = b.op("Cast", b.op("GreaterOrEqual", rank, steps), to=FLOAT)
    back = b.op("Sub", below, above)
    rank = b.op("Add", rank, b.op("Mul", back, steps))
    nearest = b.op("Add", nearest, back)
    inside = b.op("Mul", b.op("Sub", whole, b.op("Mul", nearest, steps)), step)
    return b.op("Cast", nearest, to=INT64), b.op("Cast", rank, to=INT64), inside


def barycentric(b: OnnxBuilder, rank: str, inside: str, size: int) -> str:
    """The share of the point of each remainder: distances of neighbouring ranks, subtracted."""
    ranked = b.op("ScatterElements", inside, rank, inside, axis=1)
    rising = b.op("Gather", ranked, b.ints(*reversed(range(size))), axis=1)
    greatest = b.op("Gather", ranked, b.ints(0), axis=1)
    lower = b.op("Gather", ranked, b.ints(*reversed(range(1, size))), axis=1)
    lower = b.op("Concat", b.op("Sub", greatest, np.float32(1)), lower, axis=1)
    return b.op("Sub", rising, lower)


def pack(b: OnnxBuilder, corner: str, rank: str, images: str, size: int) -> tuple[str, str]:
    """Every lattice point as one number, N×(d+1)×P, and what d+1 neighbours are away, d+1."""
    d = size - 1
    parts = [b.op("Gather", corner, b.ints(k), axis=1) for k in range(d)]
    digits = [parts[0], *(b.op("Sub", part, parts[0]) for part in parts[1:])]
    radix = [b.ints(1)]
    for k, digit in enumerate(digits):
        greatest, least = (b.op(f"Reduce{end}", digit, keepdims=0) for end in ("Max", "Min"))
        span = b.op("Sub", greatest, least)
        # Of the points of a simplex and their neighbours, on either side.
        span = b.op("Add", span, b.ints(4 if k == 0 else 5))
        span = span if k else b.op("Mul", span, b.ints(size))
        radix.append(b.op("Mul", radix[-1], span))
    others = [b.op("Concat", *radix[1:d], axis=0)] if d > 1 else []
    sum_of_others = b.op("ReduceSum", others[0], b.ints(0))
    own = b.op("Sub", b.ints(size), sum_of_others)
    places = b.op("Unsqueeze", b.op("Concat", own, *others, axis=0), b.ints(1))  # d×1
    base = b.op("Mul", b.op("Slice", corner, b.ints(0), b.ints(d), b.ints(1)), places)
    base = b.op("ReduceSum", base, b.ints(1))
    number = b.op("Reshape", count_up(b, images, 1), b.ints(-1, 1, 1))
    base = b.op("Add", base, b.op("Mul", number, radix[d]))
    # The point of remainder r is a step lower in the r coordinates of the greatest rank.
    stepped = b.op("Unsqueeze", b.op("Slice", rank, b.ints(0), b.ints(d), b.ints(1)), b.ints(1))
    bounds = b.const((d - np.arange(size)).reshape(1, -1, 1, 1).astype(np.int64))
    stepped = b.op("Cast", b.op("Greater", stepped, bounds), to=INT64)
    stepped = b.op("ReduceSum", b.op("Mul", stepped, places), b.ints(2), keepdims=0)
    remainders = b.const(np.arange(size).reshape(1, -1, 1).astype(np.int64))
    packed = b.op("Add", b.op("Sub", base, stepped), remainders)
    first = b.op("Sub", b.ints(d), sum_of_others)
    middle = [b.op("Sub", part, b.ints(1)) for part in others]
    return packed, b.op("Concat", first, *middle, b.ints(-1), axis=0)


def numbered(b: OnnxBuilder, packed: str) -> tuple[str, str, str]:
    """For each packed number which of the different ones it is; these, rising; how many, M.

    By a sort: Unique of ONNX Runtime takes ten times as long.
    """
    flat = b.op("Reshape", packed, b.ints(-1))
    rising, places = names(b, "rising", "places")
    b.op("TopK", flat, b.op("Shape", flat), largest=0, out=[rising, places])
    new = b.op("Not", b.op("Equal", *pairs(b, rising, 0)))
    new = b.op("Concat", b.const(np.array([True])), new, axis=0)
    which = b.op("CumSum", b.op("Cast", new, to=INT64), b.const(np.array(0, np.int64)))
    index = b.op("ScatterElements", places, places, b.op("Sub", which, b.ints(1)))
    keys = b.op("Compress", rising, new, axis=0)
    return index, keys, b.op("Shape", keys)


def neighbours(
    b: OnnxBuilder, keys: str, count: str, shifts: str, size: int
) -> list[tuple[str, str]]:
    """`Lattice.neighbours`: those keys that are also another key and a shift.

    Both stand side by side once sorted together.
    """
    rows = b.join(b.ints(size), count)
    moved = b.op("Add", keys, b.op("Unsqueeze", shifts, b.ints(1)))
    both = b.op("Concat", b.op("Expand", keys, rows), moved, axis=1)
    rising, places = names(b, "rising", "places")
    b.op("TopK", both, b.op("Mul", count, b.ints(2)), axis=1, largest=0, out=[rising, places])
    same = b.op("Equal", *pairs(b, rising, 1))
    found = pairs(b, places, 1)
    own = b.op("Where", same, b.op("Min", *found), count)
    shifted = b.op("Where", same, b.op("Sub", b.op("Max", *found), count), count)
    none = b.op("Expand", count, b.join(b.ints(size), b.op("Add", count, b.ints(1))))
    tables = []
    for at, value in ((shifted, own), (own, shifted)):
        table = b.op("ScatterElements", none, at, value, axis=1)
        columns = names(b, *["neighbours"] * size)
        b.op("Split", table, axis=0, num_outputs=size, out=columns)
        tables.append([b.op("Reshape", column, b.ints(-1)) for column in columns])
    return list(zip(*tables, strict=True))


def pairs(b: OnnxBuilder, tensor: str, axis: int) -> tuple[str, str]:
    """All but the last along an axis, and all but the first."""
    end = b.ints(np.iinfo(np.int64).max)
    before = b.op("Slice", tensor, b.ints(0), b.ints(-1), b.ints(axis))
    return before, b.op("Slice", tensor, b.ints(1), end, b.ints(axis))


def names(b: OnnxBuilder, *wishes: str) -> list[str]:
    """Free names of tensors called so."""
    return [b.fresh(f"lattice/{wish}") for wish in wishes]


def gaussian(b: OnnxBuilder, lattice: Lattice, x: str, rows: str) -> str:
    """R×N×P filtered within each image, where R is `rows`: splat, blur by direction, slice.

    The sums are ScatterElements', since those of ONNX Runtime's ScatterND are lost where two of its
    threads add to one place.
    """
    size = len(lattice.neighbours)
    spread = b.op("Mul", b.op("Unsqueeze", x, b.ints(2)), lattice.shares)
    spread = b.op("Reshape", spread, b.join(rows, b.ints(-1)))
    index = b.op("Reshape", lattice.index, b.ints(1, -1))
    index = b.op("Expand", index, b.op("Shape", spread))
    zeros = b.full(b.join(rows, lattice.rows))
    values = b.op("ScatterElements", zeros, index, spread, axis=1, reduction="add")
    values = b.op("Transpose", values, perm=[1, 0])  # whole rows are gathered faster
    half = b.const(np.float32(0.5))
    for both in lattice.neighbours:
        around = b.op("Add", *(b.op("Gather", values, side) for side in both))
        values = b.op("Add", values, b.op("Mul", around, half))
    scale = np.float32(1) / (np.float32(1) + np.float32(2.0 ** (1 - size)))
    shares = b.op("Unsqueeze", b.op("Mul", lattice.shares, scale), b.ints(3))
    found = b.op("Mul", b.op("Gather", values, lattice.index), shares)  # N×(d+1)×P×R
    found = b.op("ReduceSum", found, b.ints(1), keepdims=0)
    return b.op("Transpose", found, perm=[2, 0, 1])
