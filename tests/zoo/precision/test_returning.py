"""Which layers return from int8 to float32, and what `Cost` tells of what got worse."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import converters
import prototxt
import runtime
from zoo.precision import int8, returning, saving
from zoo.precision.cost import DEPARTURE, Comparison, Cost, Difference, Differences

MEAN = prototxt.Preprocessing("104,117,123", scale=1 / 64)

LAYER = """
layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}"
  convolution_param {{ num_output: 8 kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "{0}_relu" type: "ReLU" bottom: "{0}" top: "{0}" }}
"""
ENDS = """
layer { name: "boxes" type: "Convolution" bottom: "conv3" top: "boxes"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "scores" type: "Convolution" bottom: "conv3" top: "scores"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" }
layer { name: "both" type: "Concat" bottom: "boxes" bottom: "scores" top: "both" }
"""
DETECTOR = (
    'input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }'
    + LAYER.format("conv1", "data")
    + LAYER.format("conv2", "conv1")
    + LAYER.format("conv3", "conv2")
    + ENDS
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, image in runtime.sample_images():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(image, (24, 24)))
    return folder


def detector(spoilt: bool) -> converters.Conversion:
    """Two outputs of drawn weights.

    `spoilt` makes one channel of conv2 a thousand times as large and conv3 read it a thousandth:
    the network is the same, but one range for all channels leaves the others no digits.
    """
    conversion = converters.convert(prototxt.parse_net(DETECTOR), preprocessing=MEAN)
    if spoilt:
        blobs = {node.name: node.blobs for node in conversion.graph.nodes}
        for blob in blobs["conv2"]:
            blob[0] *= 1000
        blobs["conv3"][0][:, 0] /= 1000
    return conversion


def test_a_detector_in_int8_stays_near(photos: Path, tmp_path: Path) -> None:
    saved = saving.save(detector(spoilt=False), tmp_path / "m.onnx", "int8", photos)
    assert saved.cost is not None and saved.cost.kept == () and saved.cost.worse == ()
    assert max(output.departure for output in saved.cost.outputs) <= DEPARTURE


def test_the_layer_that_costs_most_returns(photos: Path, tmp_path: Path) -> None:
    conversion = detector(spoilt=True)
    model = conversion.to_onnx()
    loaded = runtime.load(model.SerializeToString(), "cpu")
    sample, _ = saving.sampled(conversion, loaded, photos)
    whole = runtime.load(int8.quantized(model, set(), sample.feeds).SerializeToString(), "cpu")
    assert Comparison(loaded, whole, sample).departure > DEPARTURE
    saved = saving.save(conversion, tmp_path / "m.onnx", "int8", photos)
    assert saved.cost is not None
    assert 0 < len(saved.cost.kept) < saved.cost.layers
    assert max(output.departure for output in saved.cost.outputs) <= DEPARTURE
    (note,) = (note for note in saved.notes if "int8 cost too much" in note)
    assert all(name in note for name in saved.cost.kept)


def test_what_stands_between_no_layers_in_int8_stays_float32(photos: Path) -> None:
    """A Concat of outputs would share one range among them."""
    model = detector(spoilt=False).to_onnx()
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert "Concat" in kinds.values()
    idle = int8.idle(model, set())
    assert {kinds[name] for name in idle} == {"Concat"}
    layers = int8.learned(model, set())
    relus = [name for name, kind in kinds.items() if kind == "Relu"]
    # Only conv3 in int8: the activations of the others are rounded for nobody.
    idle = int8.idle(model, {name for name in layers if name != "conv3"})
    assert len(set(relus) - idle) == 1


def test_zero_points_have_the_shape_of_their_scales(photos: Path) -> None:
    """That of a bias of one number, too."""
    net = DETECTOR.replace("num_output: 4", "num_output: 1")
    conversion = converters.convert(prototxt.parse_net(net), preprocessing=MEAN)
    loaded = runtime.load(conversion.to_onnx().SerializeToString(), "cpu")
    sample, _ = saving.sampled(conversion, loaded, photos)
    graph = int8.quantized(conversion.to_onnx(), set(), sample.feeds).graph
    dims = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    pairs = [node.input[1:3] for node in graph.node if node.op_type == "DequantizeLinear"]
    assert (1,) in {dims[scale] for scale, _ in pairs}
    assert all(dims[scale] == dims[zero] for scale, zero in pairs)


def test_sums_of_two_products_fit_16_bits(photos: Path) -> None:
    """As processors without VNNI add them: uint8 times int8, twice."""
    conversion = converters.convert(prototxt.parse_net(DETECTOR), preprocessing=MEAN)
    loaded = runtime.load(conversion.to_onnx().SerializeToString(), "cpu")
    sample, _ = saving.sampled(conversion, loaded, photos)
    graph = int8.quantized(conversion.to_onnx(), set(), sample.feeds).graph
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    weights = [array for array in arrays if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) >= 3
    largest = max(int(np.abs(array.astype(int)).max()) for array in weights)
    assert largest >= 60 and 2 * 255 * largest < 2**15


def test_layers_without_weights_stay_float32(photos: Path, tmp_path: Path) -> None:
    conversion = detector(spoilt=False)
    for node in conversion.graph.nodes:
        if node.name == "conv2":
            node.blobs = [0 * node.blobs[0], node.blobs[1] + 1]
    assert int8.weightless(conversion.to_onnx()) == {"conv2"}
    saved = saving.save(conversion, tmp_path / "m.onnx", "int8", photos)
    assert saved.cost is not None and saved.cost.kept == ("conv2",)


def test_a_classifier_keeps_all_in_int8(photos: Path) -> None:
    net = (
        DETECTOR.partition('layer { name: "boxes"')[0]
        + """
    layer { name: "fc" type: "InnerProduct" bottom: "conv3" top: "fc"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""
    )
    conversion = converters.convert(prototxt.parse_net(net), preprocessing=MEAN)
    loaded = runtime.load(conversion.to_onnx().SerializeToString(), "cpu")
    sample, _ = saving.sampled(conversion, loaded, photos)
    assert returning.criterion(loaded, sample) is None


def test_an_output_is_compared_batch_by_batch() -> None:
    one = Differences("y")
    one.add(np.array([0.0, 1.0], np.float32), np.array([0.25, 1.0], np.float32))
    one.add(np.array([0.4, 0.6], np.float32), np.array([0.6, 0.6], np.float32))
    one.add(np.zeros(3, np.float32), np.zeros(2, np.float32))
    found = one.found()
    wanted = np.array([0, 1, 0.4, 0.6])
    apart = np.array([0.25, 0, 0.2, 0])
    assert found.largest == 0.25 and found.magnitude == 1 and found.numbers == 4
    assert found.mean == pytest.approx(apart.mean())
    assert found.departure == pytest.approx(np.sqrt(np.square(apart).mean()) / wanted.std())
    assert found.crossed == 1 and found.reshaped == 1
    one.add(np.array([-2.0], np.float32), np.array([-2.0], np.float32))
    assert one.found().crossed is None


def cost(**changes: object) -> Cost:
    given = {
        "precision": "int8", "sample": "s", "images": 4, "outputs": (), "switches": 9, "flipped": 0,
        "rmse": None, "same_class": None, "top1": None, "bytes": (2, 1), "milliseconds": (2.0, 1.0),
        "provider": "cpu", "kept": (), "layers": 3,
    }  # fmt: skip
    return Cost(**{**given, **changes})


FAR = Difference("boxes", 2.0, 0.1, 10.0, 0.13, 100, None)
SCORES = Difference("scores", 0.44, 0.01, 1.0, 0.01, 100, 7)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (cost(outputs=(FAR,)), ["boxes departs by 13.0% of its standard deviation"]),
        (
            cost(outputs=(SCORES,)),
            ["probabilities of scores move by up to 0.44; 7 of 100 cross one half"],
        ),
        (
            cost(outputs=(FAR,), same_class=0.95),
            ["another class comes first in 5.0% of the images"],
        ),
        (cost(outputs=(FAR,), same_class=0.99), []),
        (cost(outputs=(FAR,), rmse=(0.1, 0.102)), ["the RMSE rises by 0.0020"]),
        (cost(flipped=2), ["2 of 9 switches flipped"]),
        (
            cost(outputs=(Difference("d", 0.0, 0.0, 1.0, 0.0, 5, None, 3),)),
            ["d has another shape on 3 of the images"],
        ),
    ],
)
def test_what_got_worse_is_told(found: Cost, said: list[str]) -> None:
    assert list(found.worse) == said == found.as_dict()["worse"]


@pytest.mark.slow
def test_a_published_detector(shared: Path) -> None:
    """Its first layers' channels share a range badly: eight of 52 are two thirds of the loss."""
    folder = shared / "caffe" / "trained" / "rfb"
    how = prototxt.Preprocessing("127,127,127", scale=1 / 128, channel_order="RGB")
    conversion = converters.convert(
        folder / "net.prototxt", folder / "net.caffemodel", preprocessing=how
    )
    model = conversion.to_onnx()
    loaded = runtime.load(model.SerializeToString(), "cpu")
    images = runtime.list_images(shared / "images" / "bsds" / "val")[::5]
    sample, _ = saving.sampled(conversion, loaded, images)

    def departs(wide: set[str]) -> float:
        proto = int8.quantized(model, wide, sample.feeds)
        lowered = runtime.load(proto.SerializeToString(), "cpu")
        return Comparison(loaded, lowered, sample).departure

    first = {"245", "248", "251", "254", "257", "260", "269", "272"}
    assert departs(set()) > 0.1
    assert departs(first) < 0.06
