"""Preprocessing as a model's input, against plain numpy written from data_transformer.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
import prototxt
import runtime
from converters import ConversionError, Graph
from prototxt import Preprocessing


def data_transformer(
    image: np.ndarray,
    *,
    crop: tuple[int, int] | None,
    mean: np.ndarray | None,
    scale: float,
) -> np.ndarray:
    """DataTransformer::Transform of the TEST phase: H×W×C uint8 in the network's order, element by
    element as there, with its float32 arithmetic.
    """
    height, width, channels = image.shape
    h, w = crop or (height, width)
    h_off, w_off = (height - h) // 2, (width - w) // 2
    out = np.empty((channels, h, w), np.float32)
    for c in range(channels):
        for y in range(h):
            for x in range(w):
                pixel = np.float32(image[h_off + y, w_off + x, c])
                if mean is not None:
                    whole = mean.shape[1:] != (1, 1)
                    pixel -= mean[c, h_off + y, w_off + x] if whole else mean[c, 0, 0]
                out[c, y, x] = pixel * np.float32(scale)
    return out


def network(channels: int, *plane: int | str) -> Graph:
    """A convolution with a switch pooling after it: what is off by a pixel shows in the mask."""
    text = f"""
    name: "net" input: "data" input_shape {{ dim: 1 dim: {channels} dim: 8 dim: 8 }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
      num_output: 4 kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" top: "mask"
      pooling_param {{ kernel_size: 2 stride: 2 }} }}
    """
    shape = ("batch", channels, *plane)
    return converters.build_graph(
        prototxt.parse_net(text).select("TEST"),
        shapes={"data": shape},
        outputs=["pool", "mask", "data"],
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Graph, Preprocessing, np.ndarray]:
    """A network, how it is fed, and images, N×H×W×C in the network's order of channels."""
    channels = draw(st.sampled_from([1, 3]))
    height, width = draw(st.integers(4, 11)), draw(st.integers(4, 11))
    crop = None
    if draw(st.booleans()):
        crop = draw(st.integers(4, height)), draw(st.integers(4, width))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["none", "one", "channels", "image"]))
    mean = {
        "none": None,
        "one": np.full((channels, 1, 1), rng.uniform(0, 255)),
        "channels": rng.uniform(0, 255, (channels, 1, 1)),
        "image": rng.uniform(0, 255, (channels, height, width)),
    }[kind]
    scale = draw(st.sampled_from([1.0, 0.00390625, 0.017, 2.5]))
    plane = crop or ((height, width) if kind == "image" else ("height", "width"))
    reverse = draw(st.booleans())
    pixels = Preprocessing(
        None if mean is None else mean.astype(np.float32),
        scale=scale,
        channel_order="BGR" if reverse else "RGB",
        crop=crop,
    )
    count = draw(st.integers(1, 3))
    images = rng.integers(0, 256, (count, height, width, channels), np.uint8)
    return network(channels, *plane), pixels, images


@settings(max_examples=60, deadline=None)
@given(cases())
def test_it_does_what_caffe_does(case: tuple[Graph, Preprocessing, np.ndarray]) -> None:
    graph, pixels, images = case
    data = np.stack(
        [
            data_transformer(image, crop=pixels.crop, mean=pixels.mean, scale=pixels.factor)
            for image in images
        ]
    )
    fed = images[..., ::-1] if pixels.reverses else images
    for target in converters.FORMS:
        plain = converters.to_onnx(graph, target)
        folded = converters.to_onnx(graph, target, preprocessing=pixels)
        wanted = runtime.load(plain.SerializeToString(), "cpu").run({"data": data})
        model = runtime.load(folded.SerializeToString(), "cpu")
        (spec,) = model.inputs
        assert (spec.name, spec.dtype, spec.shape[0]) == ("data", "uint8", "batch")
        found = model.run({"data": np.ascontiguousarray(fed)})
        np.testing.assert_array_equal(found["data/output"], data)
        np.testing.assert_array_equal(found["mask"], wanted["mask"])
        np.testing.assert_allclose(found["pool"], wanted["pool"], rtol=1e-6)


def test_one_model_takes_images_of_any_size() -> None:
    pixels = Preprocessing(np.array([104, 117, 123], np.float32).reshape(3, 1, 1), crop=(6, 6))
    for graph, how, smallest in [
        (network(3, "height", "width"), Preprocessing(pixels.mean), 4),
        (network(3, 6, 6), pixels, 6),
    ]:
        model = runtime.load(
            converters.to_onnx(graph, preprocessing=how).SerializeToString(), "cpu"
        )
        assert model.inputs[0].shape == ("batch", "height", "width", 3)
        for size in [(smallest, smallest), (9, 12), (12, 7)]:
            images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
            found = model.run({"data": images})["data/output"]
            for image, blob in zip(images, found, strict=True):
                wanted = data_transformer(
                    image[..., ::-1], crop=how.crop, mean=how.mean, scale=how.factor
                )
                np.testing.assert_array_equal(blob, wanted)


def test_an_image_smaller_than_the_crop_is_refused() -> None:
    model = converters.to_onnx(network(3, 6, 6), preprocessing=Preprocessing(crop=(6, 6)))
    session = runtime.load(model.SerializeToString(), "cpu")
    for size in [(5, 8), (8, 5), (1, 1)]:
        with pytest.raises(runtime.InferenceError):
            session.run({"data": np.zeros((1, *size, 3), np.uint8)})


MEAN = np.zeros((3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("graph", "pixels", "message"),
    [
        (network(2, 8, 8), Preprocessing(), "takes batchx2x8x8, not images of 1 or 3 channels"),
        (
            network(3, 8, 8),
            Preprocessing(crop=(6, 6)),
            "takes batchx3x8x8, which a crop to 6x6 does not give",
        ),
        (
            network(1, 8, 8),
            Preprocessing(MEAN),
            "takes 1 channels, but the mean is 3x8x8",
        ),
        (
            network(3, "height", "width"),
            Preprocessing(MEAN),
            "takes batchx3xheightxwidth, but the mean image is 8x8; "
            "fix it by shapes={'data': ('batch', 3, 8, 8)}, or give the mean as numbers",
        ),
        (
            network(3, 9, 9),
            Preprocessing(MEAN, crop=(9, 9)),
            "is cut to 9x9, but the mean image is 8x8; it must be of the image before",
        ),
    ],
)
def test_what_cannot_be_folded_is_refused(
    graph: Graph, pixels: Preprocessing, message: str
) -> None:
    with pytest.raises(ConversionError) as caught:
        converters.to_onnx(graph, preprocessing=pixels)
    assert str(caught.value) == f"input 'data': {message}"
