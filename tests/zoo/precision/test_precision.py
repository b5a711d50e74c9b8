"""Models in float16 and int8: exact switches, float32 inputs and outputs, the cost as it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import converters
import prototxt
import runtime
from zoo.benchmarks import networks
from zoo.paper import architectures
from zoo.precision import half, kept, saving
from zoo.precision.cost import Sample, measure
from zoo.precision.int8 import quantized

FEWER = [name for name in saving.PRECISIONS if name != "float32"]
MEAN = prototxt.Preprocessing("104,117,123")

CLASSIFIER = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 24 dim: 24 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { alpha: 0.0001 } }
layer { name: "up" type: "Deconvolution" bottom: "norm1" top: "up"
  convolution_param { num_output: 4 kernel_size: 2 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "up" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, image in runtime.sample_images():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(image, (64, 64)))
    return folder


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> networks.Files:
    """The paper's 8_8_8 as it comes with the package, for images of 64×64."""
    return networks.tunnel("8_8_8", 64, tmp_path_factory.mktemp("tunnel"))


def converted(net: networks.Files, target: str = "portable") -> converters.Conversion:
    return converters.convert(net.net, net.caffemodel, target=target, preprocessing=MEAN)


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("precision", FEWER)
def test_switches_are_exact_and_the_image_is_close(precision, target, tunnel, photos, tmp_path):
    conversion = converted(tunnel, target)
    before = runtime.load(conversion.to_onnx().SerializeToString(), "cpu")
    saved = saving.save(converted(tunnel, target), tmp_path / "m.onnx", precision, photos)
    after = runtime.load(tmp_path / "m.onnx", "cpu")
    assert [i.dtype for i in after.inputs] == ["float32"]
    assert [(o.name, o.dtype) for o in after.outputs] == [(o.name, o.dtype) for o in before.outputs]
    stated = {"zoo.precision": precision, "zoo.cost": saved.cost.as_metadata()}
    assert after.metadata == {**before.metadata, **stated}
    assert saved.cost.bytes[1] == (tmp_path / "m.onnx").stat().st_size
    images = np.random.default_rng(0).normal(scale=64, size=(3, 3, 32, 48)).astype(np.float32)
    wanted, found = before.run({"data": images}), after.run({"data": images})
    for name, array in wanted.items():
        if array.dtype == np.int64:
            assert np.array_equal(found[name], array), name
    assert saved.cost is not None
    assert saved.cost.switches > 0 and saved.cost.flipped == 0
    assert saved.cost.rmse is not None
    assert abs(saved.cost.rmse[1] - saved.cost.rmse[0]) <= 0.0005
    (apart,) = saved.cost.outputs
    assert 0 < apart.mean < 0.02 * apart.magnitude
    encoder = {"conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"}
    assert encoder <= set(saved.cost.kept) and len(saved.cost.kept) < saved.cost.layers


@pytest.mark.parametrize("precision", FEWER)
def test_the_papers_network_rebuilds_as_well(precision, tunnel, tmp_path, photos):
    """On the photographs that come along, at the paper's size."""
    conversion = converted(tunnel)
    conversion.save(tmp_path / "float32.onnx")
    saving.save(conversion, tmp_path / "fewer.onnx", precision, photos)
    mean = runtime.read_mean("104,117,123")
    rmse = [
        runtime.evaluate(runtime.load(tmp_path / name, "cpu"), runtime.sample_images(), mean).rmse
        for name in ("float32.onnx", "fewer.onnx")
    ]
    assert abs(rmse[1] - rmse[0]) <= 0.0005


@pytest.mark.parametrize("nhwc", [False, True])
def test_the_rmse_is_that_of_zoo_eval(nhwc, tunnel, photos, tmp_path):
    conversion = converters.convert(tunnel.net, tunnel.caffemodel, preprocessing=MEAN, nhwc=nhwc)
    conversion.save(tmp_path / "float32.onnx")
    saved = saving.save(conversion, tmp_path / "fewer.onnx", "float16", photos)
    found = [
        runtime.evaluate(
            runtime.load(tmp_path / name, "cpu"), runtime.list_images(photos), None, (64, 64)
        ).rmse
        for name in ("float32.onnx", "fewer.onnx")
    ]
    assert saved.cost is not None and saved.cost.rmse == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("precision", FEWER)
def test_weights_are_in_fewer_bits(precision, photos, tmp_path):
    conversion = converters.convert(prototxt.parse_net(CLASSIFIER), preprocessing=MEAN)
    saved = saving.save(conversion, tmp_path / "m.onnx", precision, photos)
    stored = {t.name: t.data_type for t in onnx.load(tmp_path / "m.onnx").graph.initializer}
    kind = {"float16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision]
    ending = {"float16": "/half", "int8": "_quantized"}[precision]
    assert [stored[f"{layer}.weight{ending}"] for layer in ("conv1", "up", "fc")] == [kind] * 3
    cost = saved.cost
    assert cost is not None and cost.kept == () and cost.switches == 0 and cost.rmse is None
    assert cost.same_class is not None and cost.outputs[0].largest < 0.05
    assert cost.bytes[1] == (tmp_path / "m.onnx").stat().st_size
    assert min(cost.milliseconds) > 0


def test_without_images_float16_is_measured_on_photographs_or_drawn_numbers(tmp_path):
    net = prototxt.parse_net(CLASSIFIER)
    saved = saving.save(converters.convert(net), tmp_path / "m.onnx", "float16")
    assert saved.cost is not None and "sample photographs" in saved.cost.sample
    assert any("calibrate" in note for note in saved.notes)
    odd = prototxt.parse_net(CLASSIFIER.replace("dim: 3 dim: 24", "dim: 7 dim: 24"))
    saved = saving.save(converters.convert(odd), tmp_path / "m.onnx", "float16")
    assert saved.cost is not None and saved.cost.sample == "drawn input"


def test_what_leaves_float16s_range_stays_float32(tmp_path):
    """Left in float16, the sum of the squares would be infinite."""
    text = CLASSIFIER.replace('"xavier"', '"constant" value: 60', 1)
    conversion = converters.convert(prototxt.parse_net(text), preprocessing=MEAN)
    saved = saving.save(conversion, tmp_path / "m.onnx", "float16")
    assert saved.cost is not None and "conv1" in saved.cost.kept
    assert saved.cost.outputs[0].largest < 0.05


def test_pixels_may_come_in(photos, tmp_path):
    net = prototxt.parse_net(CLASSIFIER)
    for precision in FEWER:
        conversion = converters.convert(net, preprocessing=MEAN, fold_preprocessing=True)
        saved = saving.save(conversion, tmp_path / "m.onnx", precision, photos)
        assert runtime.load(tmp_path / "m.onnx", "cpu").inputs[0].dtype == "uint8"
        assert saved.cost is not None and saved.cost.outputs[0].largest < 0.05


def test_nothing_is_rounded_before_a_switch(tunnel):
    """Not even what the encoder hands both to a switch and to a layer in fewer bits."""
    model = converted(tunnel).to_onnx()
    masks = [value.name for value in model.graph.output if value.name.endswith("_mask")]
    wide = kept.kept(model, masks)
    feeds = [{"data": np.random.default_rng(1).normal(size=(1, 3, 64, 64)).astype(np.float32)}]
    for lowered in (half.halved(model, wide), quantized(model, wide, feeds)):
        onnx.checker.check_model(lowered, full_check=True)
        before = kept.depends_on(lowered, masks)
        made = {node.name: node for node in lowered.graph.node}
        assert not {"QuantizeLinear", "DequantizeLinear"} & {made[n].op_type for n in before}
        assert not any(name.endswith("/half") for n in before for name in made[n].input)


@pytest.mark.parametrize("precision", FEWER)
def test_grey_images_and_images_of_another_size(precision, photos, tmp_path):
    """A network of grey images that enlarges: no RMSE, and no mean where none is stated."""
    net = """
    layer { name: "data" type: "Input" top: "data"
      input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
    layer { name: "up" type: "Deconvolution" bottom: "data" top: "up"
      convolution_param { num_output: 1 kernel_size: 2 stride: 2
        weight_filler { type: "xavier" } } }
    """
    conversion = converters.convert(prototxt.parse_net(net))
    saved = saving.save(conversion, tmp_path / "m.onnx", precision, photos)
    assert saved.cost is not None and saved.cost.rmse is None and saved.cost.same_class is None
    assert "neither mean nor the model gives a mean; took none" in saved.notes


def test_what_has_another_shape_is_counted():
    """A detector that finds one box fewer is not passed over."""
    model, other = (
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 18]> g (float[1,3,8,8] x) => (float[n] y) '
            f"<int64[1] k = {{{rows}}}> {{ f = Flatten(x) s = Squeeze(f) y, i = TopK(s, k) }}"
        )
        for rows in (3, 2)
    )
    before, after = (runtime.load(m.SerializeToString(), "cpu") for m in (model, other))
    sample = Sample([{"x": np.ones((1, 3, 8, 8), np.float32)}], [], None, (8, 8), "ones")
    found = measure(before, after, sample, precision="int8", sizes=(1, 1), kept=[], layers=1)
    assert found.outputs[0].reshaped == 1


def test_a_network_of_switches_alone_is_refused(tmp_path):
    text = architectures.definition("2_3_4", 16)
    conversion = converters.convert(prototxt.parse_net(text), outputs=["pool3_mask"])
    with pytest.raises(converters.ConversionError, match="no layer can be written in float16"):
        saving.save(conversion, tmp_path / "m.onnx", "float16")
    assert not (tmp_path / "m.onnx").exists()


def test_an_unknown_precision_is_refused(tmp_path):
    conversion = converters.convert(prototxt.parse_net(CLASSIFIER))
    with pytest.raises(prototxt.UsageError, match="unknown precision 'int4'; one of float32"):
        saving.save(conversion, tmp_path / "m.onnx", "int4")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "points", "every"), [("float16", 0.1, 5), ("int8", 1.5, 2)])
def test_squeezenet_sees_as_much(precision, points, every, shared, tmp_path):
    """Calibrated on a fifth of the photographs, judged on 100 or 250 of them, beside float32."""
    folder, images = shared / "caffe" / "trained" / "squeezenet", shared / "images" / "imagenet-dev"
    labels = [line.split()[0] for line in (folder / "labels.txt").read_text().splitlines()]
    paths = list(runtime.list_images(images))
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    for path in paths[::5]:
        (chosen / path.name).symlink_to(path.resolve())
    how = prototxt.Preprocessing("104,117,123", crop=(227, 227), resize=(256, 256))
    conversion = converters.convert(
        folder / "net.prototxt", folder / "net.caffemodel", preprocessing=how
    )
    saved = saving.save(conversion, tmp_path / "m.onnx", precision, chosen)
    assert (
        saved.cost is not None
        and saved.cost.same_class is not None
        and saved.cost.same_class > 0.85
    )
    conversion.save(tmp_path / "float32.onnx")
    right = {}
    for name in ("m", "float32"):
        model = runtime.load(tmp_path / f"{name}.onnx", "cpu")
        feeder = runtime.Feeder(model, runtime.read_mean("104,117,123"), (256, 256))
        right[name] = 0
        for path in paths[::every]:
            scores = model.run({"data": feeder.feed(runtime.read_image(path))[None]})
            best = labels[int(scores["pool_final"].argmax())]
            right[name] += best == path.name.partition("_")[0]
    assert right["m"] >= right["float32"] - points / 100 * len(paths[::every]), right
