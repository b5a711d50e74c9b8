"""SSD's Permute, Normalize and PriorBox against oracles in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused

pytestmark = pytest.mark.oracle


def draw(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 4).astype(np.float32)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ((), (0, 1, 2, 3)),
        ((0, 2, 3, 1), (0, 2, 3, 1)),
        ((2,), (2, 0, 1, 3)),
        ((3, 1), (3, 1, 0, 2)),
    ],
)
def test_permute(given: tuple[int, ...], order: tuple[int, ...]) -> None:
    x = draw(0, 2, 3, 4, 5)
    y = np.empty([x.shape[i] for i in order], np.float32)
    for index in np.ndindex(*y.shape):
        source = [0] * 4
        for place, axis in zip(index, order, strict=True):
            source[axis] = place
        y[index] = x[tuple(source)]
    stated = "permute_param { " + " ".join(f"order: {i}" for i in given) + " }"
    agree(inputs(x=(1, 3, 8, 9)) + layer("Permute", "x", stated), {"x": x}, {"y": y})


@pytest.mark.parametrize(
    ("order", "match"),
    [("order: 4", "names an axis that its 4-D input"), ("order: 1 order: 1", "an axis twice")],
)
def test_permute_refuses(order: str, match: str) -> None:
    refused(inputs(x=(1, 3, 8, 9)) + layer("Permute", "x", f"permute_param {{ {order} }}"), match)


@pytest.mark.parametrize("across", [None, True, False])
@pytest.mark.parametrize("shared", [None, True, False])
@pytest.mark.parametrize("eps", [None, 0.5])
def test_normalize(across: bool | None, shared: bool | None, eps: float | None) -> None:
    x = draw(1, 2, 3, 4, 5)
    x[:, :, 0, 0] = 0  # divided by sqrt(eps) alone
    scale = draw(2, *(() if shared is not False else (3,)))
    y = np.empty(x.shape)
    for n, row, column in np.ndindex(2, 4, 5):
        part = (
            x[n].astype(np.float64) if across is not False else x[n, :, row, column].astype(float)
        )
        norm = np.sqrt((part**2).sum() + (eps or 1e-10))
        y[n, :, row, column] = x[n, :, row, column] / norm * scale
    fields = {"across_spatial": across, "channel_shared": shared, "eps": eps}
    stated = " ".join(f"{k}: {str(v).lower()}" for k, v in fields.items() if v is not None)
    text = inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", f"norm_param {{ {stated} }}")
    agree(text, {"x": x}, {"y": y.astype(np.float32)}, {"l": [scale]})


def test_normalize_starts_at_one_or_by_its_filler() -> None:
    text = inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", "norm_param { channel_shared: false }")
    assert build(text).nodes[0].blobs[0].tolist() == [1, 1, 1]
    stated = 'norm_param { scale_filler { type: "constant" value: 20 } }'
    assert build(inputs(x=(1, 3, 8, 9)) + layer("Normalize", "x", stated)).nodes[0].blobs[0] == 20


def priors(feature: tuple[int, int], image: tuple[int, int], **p: object) -> np.ndarray:
    """PriorBoxLayer::Forward_cpu, box by box."""
    ratios = [1.0]
    for ratio in p.get("aspect_ratio", ()):  # type: ignore[attr-defined]
        if not any(abs(ratio - r) < 1e-6 for r in ratios):
            ratios.append(ratio)
            if p.get("flip", True):
                ratios.append(1 / ratio)
    high, wide = p.get("img", image)  # type: ignore[misc]
    step_y, step_x = p.get("step", (high / feature[0], wide / feature[1]))  # type: ignore[misc]
    boxes = []
    for row in range(feature[0]):
        for column in range(feature[1]):
            x = (column + p.get("offset", 0.5)) * step_x  # type: ignore[operator]
            y = (row + p.get("offset", 0.5)) * step_y  # type: ignore[operator]
            for index, size in enumerate(p["min_size"]):  # type: ignore[arg-type]
                low = int(size)
                sizes = [(low, low)]
                if "max_size" in p:
                    sizes.append((np.sqrt(low * int(p["max_size"][index])),) * 2)  # type: ignore[index]
                sizes += [(low * np.sqrt(ratio), low / np.sqrt(ratio)) for ratio in ratios[1:]]
                for w, h in sizes:
                    boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
                    if p.get("denser"):  # TextBoxes++'s prior_box_layer.cpp
                        z = (row + 1.0) * step_y
                        boxes.append([x - w / 2, z - h / 2, x + w / 2, z + h / 2])
    corners = np.array(boxes) / [wide, high, wide, high]
    if p.get("clip"):
        corners = np.minimum(np.maximum(corners, 0), 1)
    variance = list(p.get("variance", [0.1]))  # type: ignore[call-overload]
    variances = np.resize(variance, corners.size)
    return np.stack([corners.ravel(), variances]).astype(np.float32)[None]


@pytest.mark.parametrize(
    ("stated", "p"),
    [
        ("min_size: 30", {"min_size": [30]}),
        (
            "min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 flip: true clip: false "
            "variance: .1 variance: .1 variance: .2 variance: .2 step: 8 offset: .5",
            {
                "min_size": [30],
                "max_size": [60],
                "aspect_ratio": [2, 3],
                "variance": [0.1, 0.1, 0.2, 0.2],
                "step": (8, 8),
            },
        ),
        # Fractions of sizes are lost; 1 and a ratio that is there already are left out.
        (
            "min_size: 35.84 min_size: 76.8 max_size: 76.8 max_size: 153.9 aspect_ratio: 2 "
            "aspect_ratio: .5 aspect_ratio: 1 clip: true variance: .3",
            {
                "min_size": [35.84, 76.8],
                "max_size": [76.8, 153.9],
                "aspect_ratio": [2, 0.5, 1],
                "clip": True,
                "variance": [0.3],
            },
        ),
        (
            "min_size: 20 aspect_ratio: 3 flip: false img_h: 300 img_w: 200 step_h: 16 step_w: 12 "
            "offset: .25",
            {
                "min_size": [20],
                "aspect_ratio": [3],
                "flip": False,
                "img": (300, 200),
                "step": (16, 12),
                "offset": 0.25,
            },
        ),
        ("min_size: 20 img_size: 512", {"min_size": [20], "img": (512, 512)}),
        (
            "min_size: 30 max_size: 60 aspect_ratio: 2 denser_prior_boxes: true step: 8",
            {
                "min_size": [30],
                "max_size": [60],
                "aspect_ratio": [2],
                "step": (8, 8),
                "denser": True,
            },
        ),
    ],
)
def test_prior_box(stated: str, p: dict[str, object]) -> None:
    text = inputs(f=(2, 4, 5, 7), x=(2, 3, 90, 120))
    text += layer("PriorBox", "f x", f"prior_box_param {{ {stated} }}")
    feeds = {"f": draw(3, 2, 4, 5, 7), "x": draw(4, 2, 3, 90, 120)}
    agree(text, feeds, {"y": priors((5, 7), (90, 120), **p)}, tolerance=1e-6)


def test_prior_box_follows_the_shape_that_is_given() -> None:
    text = inputs(x=(1, 3, 16, 16)) + layer(
        "Pooling", "x", "pooling_param { kernel_size: 2 stride: 2 }", "p"
    )
    text += layer("PriorBox", "p x", "prior_box_param { min_size: 4 }", name="prior")
    x = draw(5, 1, 3, 12, 20)
    agree(text, {"x": x}, {"y": priors((6, 10), (12, 20), min_size=[4])}, open_dims=False)


@pytest.mark.parametrize(
    ("stated", "match"),
    [
        ("", "min_size is missing or below 1"),
        ("min_size: .5", "min_size is missing or below 1"),
        ("min_size: 4 max_size: 4", "max_size must be above min_size"),
        ("min_size: 4 min_size: 5 max_size: 9", "1 max_size for 2 min_size"),
        ("min_size: 4 variance: 1 variance: 2", "one or four numbers above 0"),
        ("min_size: 4 aspect_ratio: 0", "aspect_ratio must be above 0"),
        ("min_size: 4 img_h: 3", "give img_size, or img_h and img_w"),
        ("min_size: 4 step: 3 step_h: 3 step_w: 3", "give step, or step_h and step_w"),
        ("min_size: 4 step: 0", "step must be above 0"),
    ],
)
def test_prior_box_refuses(stated: str, match: str) -> None:
    text = inputs(f=(2, 4, 5, 7), x=(2, 3, 90, 120))
    refused(text + layer("PriorBox", "f x", f"prior_box_param {{ {stated} }}"), match)
