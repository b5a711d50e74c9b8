"""`batch`: fixed, or demanded to stay open; with and without shapes that are given."""

from __future__ import annotations

import numpy as np
import pytest

import converters
import prototxt
from converters import ConversionError
from prototxt.errors import UsageError
from tests.converters.checker import run_onnx

DATA = """name: "n"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 10 dim: 3 dim: 8 dim: 8 } } }
"""
POOL = DATA + (
    'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
    "pooling_param { kernel_size: 2 stride: 2 } }"
)
FLAT = DATA + (
    'layer { name: "r" type: "Reshape" bottom: "data" top: "r" '
    "reshape_param { shape { dim: 10 dim: 192 } } }"
)
ROIS = (
    DATA
    + """
layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 10 dim: 5 } } }
layer { name: "p" type: "ROIPooling" bottom: "data" bottom: "rois" top: "p"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 } }
"""
)


def shapes(text: str, **how: object) -> dict[str, tuple[int | str, ...]]:
    definition = prototxt.parse_net(text, "n.prototxt")
    conversion = converters.convert(definition, **how)  # type: ignore[arg-type]
    return {value.name: value.shape for value in conversion.graph.inputs}


def test_a_number_fixes_the_batch_and_nothing_else() -> None:
    assert shapes(POOL, batch=4) == {"data": (4, 3, "height", "width")}
    assert shapes(POOL, batch=4, open_dims=False) == {"data": (4, 3, 8, 8)}
    assert shapes(POOL, batch=4, shapes={"data": (4, 3, 6, 6)}) == {"data": (4, 3, 6, 6)}
    assert shapes(FLAT, batch=10)["data"][0] == 10
    model = converters.convert(prototxt.parse_net(POOL, "n.prototxt"), batch=4).to_onnx()
    (pooled, *_) = run_onnx(model, {"data": np.ones((4, 3, 6, 6), np.float32)})
    assert pooled.shape == (4, 3, 3, 3)


def test_open_keeps_it_open() -> None:
    assert shapes(POOL, batch="open") == {"data": ("batch", 3, "height", "width")}
    assert shapes(POOL, batch="open", open_dims=False) == {"data": ("batch", 3, 8, 8)}
    given = {"data": ("N", 3, 6, 6)}
    assert shapes(POOL, batch="open", shapes=given) == given


def test_regions_are_no_images() -> None:
    found = shapes(ROIS, batch=2)
    assert (found["data"][0], found["rois"]) == (2, ("rois_count", 5))


def test_a_layer_that_needs_another_batch_is_named() -> None:
    with pytest.raises(ConversionError) as failed:
        shapes(FLAT, batch="open")
    assert str(failed.value) == (
        "n.prototxt:4:1: layer 'r' (Reshape): needs to know batch, so the batch cannot stay open; "
        "give batch='N', or leave it out"
    )
    with pytest.raises(ConversionError, match=r"layer 'r' \(Reshape\): 4x3x8x8 cannot be reshaped"):
        shapes(FLAT, batch=4)


@pytest.mark.parametrize(("batch", "first"), [(4, 5), (4, "N"), ("open", 5)])
def test_what_contradicts_a_given_shape(batch: int | str, first: int | str) -> None:
    with pytest.raises(UsageError, match=r"contradicts shapes=.*; leave one of them out"):
        shapes(POOL, batch=batch, shapes={"data": (first, 3, 8, 8)})


@pytest.mark.parametrize("batch", [0, -1, "any"])
def test_what_is_no_batch(batch: int | str) -> None:
    with pytest.raises(UsageError, match="neither a number of images nor open"):
        shapes(POOL, batch=batch)


def test_a_known_networks_usual_size() -> None:
    from zoo.paper import architectures

    text = architectures.definition("2_2_2", classify=True)
    for batch, wanted in ((3, 3), ("open", "batch"), (None, "batch")):
        assert shapes(text, batch=batch)["data"] == (wanted, 3, 128, 128)
