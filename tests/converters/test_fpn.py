"""Proposals of feature pyramids and the lists of regions, against their source in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.fpn import propose, share_out

pytestmark = pytest.mark.oracle

BOTTOMS = "info " + " ".join(f"{name}{n}" for name in "bs" for n in range(5))


def python(module: str, name: str, param: str = "") -> str:
    said = f' param_str: "{param}"' if param else ""
    return f'python_param {{ module: "{module}" layer: "{name}"{said} }}'


PROPOSAL = ("rpn.proposal_layer", "ProposalLayer/11".partition("/")[0])
"""The class that this fork, too, has under that name; told by its bottoms."""


def pyramid(size: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    feeds = {"info": np.array([[*size, 1.0]], np.float32)}
    cells = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32, 64)]
    for n, plane in enumerate(cells):
        feeds[f"b{n}"] = (rng.normal(size=(1, 24, *plane)) * 0.3).astype(np.float32)
    for n, plane in enumerate(cells):
        feeds[f"s{n}"] = rng.uniform(size=(1, 12, *plane)).astype(np.float32)
    return feeds


@pytest.mark.slow
@pytest.mark.parametrize("strides", [[4, 8, 16, 32, 64], [16, 64]])
def test_pyramid_proposals(strides: list[int]) -> None:
    """Of a map only the cells within the image are read."""
    feeds = pyramid((100, 140))
    shapes = {k: v.shape for k, v in pyramid((64, 64)).items()}
    param = f"'feat_stride': {','.join(map(str, strides))}"
    text = inputs(**shapes) + layer("Python", BOTTOMS, python(*PROPOSAL, param))
    maps = list(feeds.values())
    y = propose(maps[0], maps[1:6], maps[6:], strides)
    own = {
        k: (*v.shape[:2], *(f"{k}_{axis}" for axis in "hw"[: v.ndim - 2])) for k, v in feeds.items()
    }
    assert 10 < len(y) < 1000
    agree(text, feeds, {"y": y}, shapes=own, tolerance=2e-5)


def test_pyramid_proposals_refused() -> None:
    shapes = {k: v.shape for k, v in pyramid((64, 64)).items()}

    def text(param: str, **other: tuple[int, ...]) -> str:
        return inputs(**(shapes | other)) + layer("Python", BOTTOMS, python(*PROPOSAL, param))

    refused(text("'feat_stride': 5"), "feat_stride of param_str must name some of 4,8,16,32,64")
    fine = "'feat_stride': 4,8,16,32,64"
    refused(text(fine, b1=(1, 12, 8, 8)), "6 anchors need maps of 24 offsets, not 1x12x8x8")
    refused(text(fine, s0=(2, 12, 16, 16)), "takes one image at a time, not 2", open_dims=False)
    refused(text(fine, info=(1, 4)), "im_info has 3 numbers, not 1x4")


LISTS = "y y2 y3 y4 y5"


@pytest.mark.parametrize(
    ("module", "name", "rows"),
    [
        ("rpn.as_rois", "As_roisLayer", 1000),
        ("rpn.as_rois_mrcnn", "As_rois_MergeRcnnLayer", None),
    ],
)
@pytest.mark.parametrize("sides", [[30, 112, 224, 448, 900, 500], [5, 60]])
def test_shared_out(module: str, name: str, rows: int | None, sides: list[int]) -> None:
    """By the square root of the area; sides of 112, 224 and 448 belong to the greater level."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, 50, (len(sides), 2)).astype(np.float32)
    regions = np.concatenate([np.zeros((len(sides), 1)), low, low], 1)
    regions[:, 3:] += np.array(sides)[:, None]
    regions = np.concatenate([regions, [[0, 5, 5, 2, 9]]]).astype(np.float32)
    text = inputs(r=(1, 5)) + layer("Python", "r", python(module, name), LISTS)
    expected = dict(zip(LISTS.split(), share_out(regions, rows), strict=True))
    agree(text, {"r": regions}, expected, shapes={"r": ("count", 5)})


def test_shared_out_refused() -> None:
    text = inputs(r=(1, 4)) + layer("Python", "r", python("rpn.as_rois", "As_roisLayer"), LISTS)
    refused(text, "needs Rx5 regions, not ")


def test_sampler_is_cut() -> None:
    """The lists that the sampler gives are inputs."""
    params = python("rpn.proposal_target_layer", "ProposalTargetLayer", "'num_classes': 21")
    text = inputs(x=(1, 3, 8, 8), r=(1, 5), gt=(1, 5))
    text += layer("Python", "r gt x", params, "l2 l3 l4 l5 labels")
    pool = "roi_pooling_param { pooled_w: 1 pooled_h: 1 }"
    text += layer("ROIPooling", "x l3", pool, "y", "pool")
    graph = build(text)
    assert [v.name for v in graph.inputs] == ["x", "l3"]
