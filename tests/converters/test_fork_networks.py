"""Small networks as the forks put their layers together: every path gives the same numbers.

Each layer has its own oracle elsewhere; here it is the joints that are tested: dimensions that stay
open from end to end, constants, folding, shapes that only the run tells.
"""

from __future__ import annotations

import numpy as np
import pytest

import converters
from converters.graph import Graph
from tests.converters.checker import bind, close, run_onnx, run_torch
from tests.converters.forks import build, inputs, layer


def conv(bottom: str, top: str, count: int, kernel: int = 3, more: str = "") -> str:
    params = f"num_output: {count} kernel_size: {kernel} pad: {kernel // 2} {more} "
    filler = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -.2 max: .2 }'
    return layer("Convolution", bottom, f"convolution_param {{ {params}{filler} }}", top, top)


def pool(bottom: str, tops: str) -> str:
    name = tops.split()[0]
    return layer("Pooling", bottom, "pooling_param { kernel_size: 2 stride: 2 }", tops, name)


def relu(blob: str) -> str:
    return layer("ReLU", blob, tops=blob, name=f"relu_{blob}")


def ssd() -> str:
    text = inputs(x=(1, 3, 32, 48)) + conv("x", "c1", 6, 3, "stride: 4") + relu("c1")
    norm = "norm_param { across_spatial: false channel_shared: false scale_filler { value: 5 } }"
    text += layer("Normalize", "c1", norm, "n1", "n1") + pool("c1", "p1") + conv("p1", "c2", 5)
    for source, size in (("n1", 8), ("c2", 16)):
        for what, count in (("loc", 4 * 3), ("conf", 4 * 4)):
            name = f"{source}_{what}"
            text += conv(source, name, count)
            order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
            text += layer("Permute", name, order, f"{name}_p", f"{name}_p")
            text += layer("Flatten", f"{name}_p", "", f"{name}_f", f"{name}_f")
        boxes = f"min_size: {size} max_size: {size * 2} aspect_ratio: 2 flip: false clip: true"
        boxes = f"prior_box_param {{ {boxes} variance: .1 variance: .1 variance: .2 variance: .2 }}"
        text += layer("PriorBox", f"{source} x", boxes, f"{source}_prior", f"{source}_prior")
    text = text.replace("num_output: 16", "num_output: 12")
    for what, axis in (("loc", 1), ("conf", 1), ("prior", 2)):
        suffix = "" if what == "prior" else "_f"
        both = f"n1_{what}{suffix} c2_{what}{suffix}"
        text += layer("Concat", both, f"concat_param {{ axis: {axis} }}", what, what)
    text += layer("Reshape", "conf", "reshape_param { shape { dim: 0 dim: -1 dim: 4 } }", "r", "r")
    text += layer("Softmax", "r", "softmax_param { axis: 2 }", "s", "s")
    text += layer("Flatten", "s", "", "scores", "scores")
    out = "num_classes: 4 code_type: CENTER_SIZE keep_top_k: 20 confidence_threshold: .2 "
    out += "nms_param { nms_threshold: .4 top_k: 30 }"
    text += layer("DetectionOutput", "loc scores prior", f"detection_output_param {{ {out} }}", "y")
    return text


def faster_rcnn() -> str:
    text = (
        inputs(x=(1, 3, 64, 64), im_info=(1, 3))
        + conv("x", "c1", 8)
        + relu("c1")
        + pool("c1", "p1")
    )
    text += conv("p1", "c2", 8) + relu("c2") + pool("c2", "p2") + conv("p2", "rpn", 6) + relu("rpn")
    text += conv("rpn", "score", 12, 1) + conv("rpn", "offset", 24, 1)
    for bottom, top, count in (("score", "pair", 2), ("prob", "back", 12)):
        shape = f"reshape_param {{ shape {{ dim: 0 dim: {count} dim: -1 dim: 0 }} }}"
        text += layer("Reshape", bottom, shape, top, top)
        if top == "pair":
            text += layer("Softmax", "pair", "", "prob", "prob")
    module = 'module: "rpn.proposal_layer" layer: "ProposalLayer"'
    param = f"python_param {{ {module} param_str: \"'feat_stride': 4\\n'scales': [1, 2]\" }}"
    text += layer("Python", "back offset im_info", param, "rois", "proposal")
    roi = "roi_pooling_param { pooled_h: 3 pooled_w: 3 spatial_scale: .25 }"
    text += layer("ROIPooling", "p2 rois", roi, "roi", "roi")
    fc = 'inner_product_param { num_output: 5 weight_filler { type: "xavier" } }'
    text += layer("InnerProduct", "roi", fc, "fc", "fc") + layer("Softmax", "fc", "", "cls", "cls")
    text += conv("p2", "maps", 2 * 9, 1)
    psroi = "psroi_pooling_param { spatial_scale: .25 output_dim: 2 group_size: 3 }"
    text += layer("PSROIPooling", "maps rois", psroi, "ps", "ps")
    ave = "pooling_param { pool: AVE kernel_size: 3 stride: 3 }"
    text += layer("Pooling", "ps", ave, "vote", "vote")
    return text + layer(
        "Reshape", "vote", "reshape_param { shape { dim: -1 dim: 2 } }", "box", "box"
    )


def segnet() -> str:
    text = inputs(x=(1, 3, 18, 26)) + conv("x", "c1", 6)
    affine = "bn_mode: INFERENCE scale_filler { value: 1.5 } shift_filler { value: .1 }"
    text += layer("BN", "c1", f"bn_param {{ {affine} }}", "c1", "bn1") + relu("c1")
    text += pool("c1", "p1 m1") + conv("p1", "c2", 7) + relu("c2") + pool("c2", "p2 m2")
    text += layer(
        "Upsample", "p2 m2", "upsample_param { upsample_h: 9 upsample_w: 13 }", "u2", "u2"
    )
    text += conv("u2", "d2", 6)
    learn = "scale_filler { value: 1 } shift_filler { value: 0 }"
    text += layer("BN", "d2", f"bn_param {{ {learn} }}", "d2", "bn2")
    text += layer("Upsample", "d2 m1", "upsample_param { scale: 2 }", "u1", "u1") + conv(
        "u1", "d1", 4
    )
    return text + layer("Softmax", "d1", "", "y", "y")


def mobile() -> str:
    text = inputs(x=(2, 4, 12, 16)) + conv("x", "c1", 8)
    depth = 'num_output: 8 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "xavier" }'
    depth = f"convolution_param {{ {depth} }}"
    text += layer("ConvolutionDepthwise", "c1", depth, "dw", "dw")
    text += layer("BN", "dw", "bn_param { slope_filler { value: 2 } frozen: true }", "dw", "bn")
    text += layer("ReLU6", "dw", tops="dw", name="r6") + conv("dw", "c2", 8, 1, "group: 2")
    text += layer("ShuffleChannel", "c2", "shuffle_channel_param { group: 2 }", "sh", "sh")
    text += layer("Pooling", "sh", "pooling_param { pool: AVE global_pooling: true }", "gap", "gap")
    text += conv("gap", "gate", 8, 1) + layer("Sigmoid", "gate", tops="gate", name="sigmoid")
    return text + layer("Axpy", "gate sh dw", "", "y", "axpy")


def pspnet() -> str:
    text = inputs(x=(1, 3, 17, 25)) + conv("x", "c1", 6, 3, "stride: 2") + relu("c1")
    text += pool("c1", "p1") + conv("p1", "c2", 4, 1)
    text += layer("Interp", "c2", "interp_param { height: 9 width: 13 }", "i2", "i2")
    text += layer("Concat", "c1 i2", "", "cat", "cat") + conv("cat", "c3", 5)
    return text + layer("Interp", "c3", "interp_param { zoom_factor: 2 }", "y", "y")


def yolo() -> str:
    text = inputs(x=(1, 3, 16, 24)) + conv("x", "c1", 8) + pool("c1", "p1") + conv("p1", "c2", 6)
    text += layer("Upsample", "c2", "upsample_param { scale: 2 }", "up", "up")
    text += layer("Concat", "up c1", "", "cat", "cat") + conv("cat", "big", 5)
    text += layer("Reorg", "c1", "reorg_param { stride: 2 }", "reorg", "reorg")
    return text + layer("Concat", "reorg c2", "", "pass", "pass") + conv("pass", "small", 5)


NETWORKS = {
    "ssd": (ssd, {"x": (2, 3, 32, 48)}, None),
    "faster_rcnn": (faster_rcnn, {"x": (1, 3, 48, 80), "im_info": (1, 3)}, ["rois", "cls", "box"]),
    "segnet": (segnet, {"x": (2, 3, 18, 26)}, None),
    "mobile": (mobile, {"x": (3, 4, 10, 18)}, None),
    "pspnet": (pspnet, {"x": (2, 3, 17, 25)}, None),
    "yolo": (yolo, {"x": (2, 3, 16, 24)}, None),
}


def run(name: str) -> tuple[Graph, dict[str, np.ndarray]]:
    text, shapes, outputs = NETWORKS[name]
    rng = np.random.default_rng(11)
    feeds = {blob: rng.normal(size=shape).astype(np.float32) for blob, shape in shapes.items()}
    if "im_info" in feeds:
        feeds["im_info"][:] = [48, 80, 1.2]
    return build(text(), outputs=outputs, seed=5), feeds


@pytest.mark.parametrize("name", NETWORKS)
def test_every_path_agrees(name: str) -> None:
    graph, feeds = run(name)
    own = {v.name: feeds[v.name] for v in graph.inputs}
    expected = run_torch(graph, own)
    for variant in (graph, converters.fold(graph)):
        for target in converters.FORMS:
            found = run_onnx(converters.to_onnx(variant, target=target), own)
            sizes: dict[str, int] = {}
            for value in graph.inputs:
                bind(sizes, value.shape, own[value.name].shape)
            for value, got, wanted in zip(graph.outputs, found, expected, strict=True):
                assert got.shape == wanted.shape, value.name
                bind(sizes, value.shape, got.shape)
                if value.dtype == "int64":
                    assert np.array_equal(got, wanted)
                else:
                    close(value.name, got, wanted)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ssd", [(1, 1, "l_rows", 7)]),
        ("faster_rcnn", [("proposal_rois", 5), ("proposal_rois", 5), ("proposal_rois", 2)]),
        (
            "segnet",
            [
                ("batch", 4, "height", "width"),
                *[
                    ("batch", c, f"ceil(height/{s})", f"ceil(width/{s})")
                    for c, s in ((6, 2), (7, 4))
                ],
            ],
        ),
        ("mobile", [("batch", 8, "floor((height-1)/2)+1", "floor((width-1)/2)+1")]),
    ],
)
def test_what_stays_open(name: str, shapes: list[tuple[int | str, ...]]) -> None:
    graph, _ = run(name)
    assert [v.shape for v in graph.outputs] == shapes


def test_something_is_found() -> None:
    """The detectors' cases are worth their while: several rows, not all that could be."""
    graph, feeds = run("ssd")
    (rows,) = run_onnx(converters.to_onnx(graph), feeds)
    assert set(rows[0, 0, :, 0]) == {0, 1} and 4 < rows.shape[2] <= 40
    assert len(set(rows[0, 0, :, 1])) > 1
    graph, feeds = run("faster_rcnn")
    rois, *_ = run_onnx(converters.to_onnx(graph), feeds)
    assert 20 < len(rois) < 300
