"""Layers over frames (C3D), and what reads films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
from tests.converters.forks import agree, build, inputs, layer, refused
from tests.converters.oracles.video import convolve, deconvolve, pool
from tests.prototxt.test_binary import field

pytestmark = pytest.mark.oracle


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("message", ["convolution3d_param", "convolution_param"])
@pytest.mark.parametrize(
    ("fields", "kernel", "pad", "stride"),
    [
        ("kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1", (3, 3, 3), (1, 1, 1), (1, 1, 1)),
        ("kernel_size: 3 kernel_depth: 2 stride: 2", (2, 3, 3), (0, 0, 0), (1, 2, 2)),
        (
            "kernel_size: 1 kernel_depth: 3 temporal_stride: 2 temporal_pad: 2 filter_group: 2",
            (3, 1, 1),
            (2, 0, 0),
            (2, 1, 1),
        ),
    ],
)
def test_convolution(
    message: str,
    fields: str,
    kernel: tuple[int, int, int],
    pad: tuple[int, int, int],
    stride: tuple[int, int, int],
) -> None:
    x, w, bias = normal(2, 2, 5, 6, 7), normal(4, 2, *kernel, seed=1), normal(4, seed=2)
    text = inputs(x=(1, 2, 5, 6, 7)) + layer(
        "Convolution3D", "x", f"{message} {{ num_output: 4 {fields} }}"
    )
    expected = convolve(x, w, bias, pad, stride)
    agree(text, {"x": x}, {"y": expected}, {"l": [w, bias.reshape(1, 1, 1, 1, 4)]})


@pytest.mark.parametrize(
    ("fields", "kernel", "pad", "stride"),
    [
        (
            "kernel_size: 4 kernel_depth: 4 pad: 1 temporal_pad: 1 stride: 2 temporal_stride: 2",
            (4, 4, 4),
            (1, 1, 1),
            (2, 2, 2),
        ),
        ("kernel_size: 3 kernel_depth: 2 temporal_stride: 2", (2, 3, 3), (0, 0, 0), (2, 1, 1)),
    ],
)
def test_deconvolution(
    fields: str,
    kernel: tuple[int, int, int],
    pad: tuple[int, int, int],
    stride: tuple[int, int, int],
) -> None:
    x, w, bias = normal(2, 3, 3, 4, 2), normal(3, 2, *kernel, seed=1), normal(2, seed=2)
    text = inputs(x=(1, 3, 3, 4, 2)) + layer(
        "Deconvolution3D", "x", f"convolution_param {{ num_output: 2 {fields} }}"
    )
    agree(text, {"x": x}, {"y": deconvolve(x, w, bias, pad, stride)}, {"l": [w, bias]})


@pytest.mark.parametrize("message", ["pooling3d_param", "pooling_param"])
@pytest.mark.parametrize(
    ("fields", "kernel", "stride", "pad"),
    [
        ("kernel_size: 2 kernel_depth: 1 stride: 2", (1, 2, 2), (1, 2, 2), 0),
        (
            "kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2",
            (2, 2, 2),
            (2, 2, 2),
            0,
        ),
        ("kernel_size: 3 kernel_depth: 3 stride: 2", (3, 3, 3), (1, 2, 2), 0),
        ("pool: AVE kernel_size: 3 kernel_depth: 2 stride: 2", (2, 3, 3), (1, 2, 2), 0),
        ("pool: AVE kernel_size: 3 kernel_depth: 2 stride: 3 pad: 2", (2, 3, 3), (1, 3, 3), 2),
        ("pool: AVE kernel_size: 2 kernel_depth: 5", (5, 2, 2), (1, 1, 1), 0),
        (
            "kernel_size: 1 kernel_depth: 1 stride: 3 temporal_stride: 3",
            (1, 1, 1),
            (3, 3, 3),
            0,
        ),
    ],
)
def test_pooling(
    message: str,
    fields: str,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    pad: int,
) -> None:
    x = normal(2, 2, 5, 7, 6)
    text = inputs(x=(1, 2, 5, 7, 6)) + layer("Pooling3D", "x", f"{message} {{ {fields} }}")
    expected = pool(x, kernel, stride, (0, pad, pad), "AVE" in fields)
    agree(text, {"x": x}, {"y": expected})


C3D = """
layers { name: "data" type: VIDEO_DATA top: "data" top: "label" image_data_param {
  source: "list.txt" use_image: true batch_size: 50 crop_size: 6 new_height: 8 new_width: 9
  new_length: 4 show_data: 0 } }
layers { name: "conv" type: CONVOLUTION3D bottom: "data" top: "conv" convolution_param {
  num_output: 3 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 } }
layers { name: "pool" type: POOLING3D bottom: "conv" top: "pool" pooling_param {
  kernel_size: 2 kernel_depth: 1 stride: 2 } }
layers { name: "prob" type: VOXEL_SOFTMAX bottom: "pool" top: "prob" }
"""


def test_v1_syntax() -> None:
    """VOXEL_SOFTMAX goes over the channels of each voxel (voxel_wise_softmax_layer.cpp)."""
    x, w, bias = normal(1, 3, 4, 6, 6), normal(3, 3, 3, 3, 3, seed=1), normal(3, seed=2)
    pooled = pool(
        convolve(x, w, bias, (1, 1, 1), (1, 1, 1)), (1, 2, 2), (1, 2, 2), (0, 0, 0), False
    )
    powers = np.exp(pooled - pooled.max(1, keepdims=True))
    graph = agree(
        C3D, {"data": x}, {"prob": powers / powers.sum(1, keepdims=True)}, {"conv": [w, bias]}
    )
    assert graph.inputs[0].shape == (1, 3, 4, 6, 6)


def test_c3ds_own_weights(tmp_path: Path) -> None:
    """A caffemodel as C3D 1.0 writes it: every blob 5-D, its numbers in field 6."""

    def stored(array: np.ndarray, *dims: int) -> bytes:
        sizes = b"".join(field(number, size) for number, size in enumerate(dims, 1))
        return field(6, sizes + field(6, array.astype("<f4").tobytes()))

    w, bias = normal(3, 3, 3, 3, 3, seed=1), normal(3, seed=2)
    path = tmp_path / "c3d.caffemodel"
    blobs = stored(w, *w.shape) + stored(bias, 1, 1, 1, 1, 3)
    path.write_bytes(field(2, field(4, b"conv") + field(5, 30) + blobs))
    graph = converters.convert(prototxt.parse_net(C3D), path).graph
    node = next(node for node in graph.nodes if node.name == "conv")
    assert np.array_equal(node.blobs[0], w) and np.array_equal(node.blobs[1].ravel(), bias)


def data(kind: str, fields: str, tops: str = "data label", syntax: str = "layer") -> str:
    ends = " ".join(f'top: "{top}"' for top in tops.split())
    read = 'layer { name: "p" type: "Power" bottom: "data" top: "y" }'
    if syntax == "layers":
        read = 'layers { name: "p" type: POWER bottom: "data" top: "y" }'
        return f'layers {{ name: "d" type: {kind} {ends} {fields} }}\n{read}'
    return f'layer {{ name: "d" type: "{kind}" {ends} {fields} }}\n{read}'


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (
            data(
                "VideoData",
                "transform_param { crop_size: 112 mean_value: 128 } video_data_param {"
                " new_length: 8 sampling_rate: 2 new_height: 128 new_width: 171 }",
            ),
            (1, 3, 8, 112, 112),
        ),
        (
            data(
                "VideoData",
                "transform_param { crop_size: 224 is_flow: true scale_ratios: [1, .875] }"
                " video_data_param { new_length: 5 num_segments: 3 modality: FLOW }",
            ),
            (1, 30, 224, 224),
        ),
        (
            data(
                "VideoData",
                "transform_param { crop_size: 224 } video_data_param { num_segments: 3"
                ' modality: RGB name_pattern: "img_%05d.jpg" }',
            ),
            (1, 9, 224, 224),
        ),
        (
            data(
                "VideoData",
                "transform_param { resize_param { prob: 1 resize_mode: WARP height: 300"
                " width: 300 } } data_param { batch_size: 1 }"
                " video_data_param { video_type: WEBCAM device_id: 0 }",
                "data",
            ),
            (1, 3, 300, 300),
        ),
        (
            data(
                "VIDEO_SEGMENTATION_DATA",
                "image_data_param { crop_size: 112 batch_size: 1 }",
                "data truth",
                "layers",
            ),
            (1, 3, 16, 112, 112),
        ),
        (
            data(
                "VIDEO_WITH_VOXEL_TRUTH_DATA",
                "image_data_param { crop_size: 112 num_truth_channels: 2 new_length: 4 }",
                "data truth",
                "layers",
            ),
            (1, 3, 4, 112, 112),
        ),
    ],
)
def test_films(text: str, shape: tuple[int, ...]) -> None:
    graph = build(text, open_dims=False)
    assert graph.inputs[0].shape == shape
    assert any("16 frames taken" in note for note in graph.notes) == (shape[2] == 16)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            inputs(x=(1, 2, 5, 5)) + layer("Pooling3D", "x"),
            "needs a 5-D input .N x C x frames x H x W., not 1x2x5x5",
        ),
        (
            inputs(x=(1, 2, 5, 5)) + layer("Convolution3D", "x", "convolution3d_param { }"),
            "needs a 5-D input",
        ),
        (
            inputs(x=(1, 2, 5, 5, 5))
            + layer("Pooling3D", "x", "pooling3d_param { kernel_size: 2 kernel_depth: 2 pad: 1 }"),
            "only AVE pooling may be padded",
        ),
        (
            inputs(x=(1, 2, 5, 5, 5))
            + layer("Pooling3D", "x", "pooling3d_param { kernel_size: 6 kernel_depth: 2 }"),
            "kernel 2x6x6 is larger than its 5x5x5 input padded by 0x0x0; give a larger shapes",
        ),
        (
            inputs(x=(1, 2, 5, 5, 5)) + layer("Pooling3D", "x", "pooling3d_param { stride: 2 }"),
            "kernel_size and kernel_depth must be above 0",
        ),
        (
            inputs(x=(1, 2, 5, 5, 5))
            + layer(
                "Convolution3D",
                "x",
                "convolution3d_param { num_output: 3 filter_group: 2 kernel_size: 1"
                " kernel_depth: 1 }",
            ),
            "num_output 3 is not divisible by filter_group 2",
        ),
        (
            inputs(x=(1, 2, 5, 5, 5))
            + layer("Pooling3D", "x", "pooling3d_param { pool: STOCHASTIC kernel_size: 1 }"),
            "STOCHASTIC pooling is not there in Caffe either, over frames",
        ),
    ],
)
def test_refused(text: str, match: str) -> None:
    refused(text, match)
