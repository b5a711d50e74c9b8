"""CONTRIBUTING's worked example, `docs/examples/crop_middle.py`, wherever a layer type counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
import prototxt
import runtime
from converters import registry
from tests.docs.blocks import ROOT

PLUGIN = ROOT / "docs/examples/crop_middle.py"
NET = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 2 dim: 9 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "crop" type: "CropMiddle" bottom: "conv" top: "crop" crop_middle_param {
        crop_size: 0 crop_size: 0 crop_size: 2 crop_size: 1 } }
"""


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The type, known for one test."""
    converters.layer_types()
    monkeypatch.setattr(registry, "_types", dict(registry._types))


def converted(folder: Path, **how: object) -> converters.Conversion:
    path = folder / "net.prototxt"
    path.write_text(NET)
    return converters.convert(path, plugins=[PLUGIN], **how)


@pytest.mark.parametrize("open_dims", [True, False])
@pytest.mark.parametrize("target", converters.FORMS)
def test_onnx_runtime_and_torch_cut_what_numpy_cuts(tmp_path, target, open_dims):
    import torch

    conversion = converted(tmp_path, target=target, open_dims=open_dims, outputs=["conv", "crop"])
    shape = (1, 2, 9, 8) if not open_dims else (2, 2, 13, 10)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = runtime.load(conversion.to_onnx().SerializeToString(), "cpu").run({"data": image})
    assert found["crop"].shape[2:] == (shape[2] - 6, shape[3] - 4)
    assert np.array_equal(found["crop"], found["conv"][:, :, 2:-2, 1:-1])
    again = conversion.to_torch()(torch.from_numpy(image))
    assert np.array_equal(again["crop"].detach(), again["conv"][:, :, 2:-2, 1:-1].detach())


@pytest.mark.parametrize("open_dims", [True, False])
def test_its_reverse_is_its_gradient(tmp_path, open_dims):
    import torch

    conversion = converted(tmp_path, open_dims=open_dims)
    reverse = converters.reverse(conversion.graph, "crop", "salinet")
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 2, 9, 8)).astype(np.float32)
    projection = rng.normal(size=(1, 3, 3, 4)).astype(np.float32)
    model = runtime.load(converters.to_onnx(reverse).SerializeToString(), "cpu")
    found = model.run({"data": image, "projection": projection})["visualisation"]
    x = torch.from_numpy(image).requires_grad_()
    (conversion.to_torch()(x)["crop"] * torch.from_numpy(projection)).sum().backward()
    np.testing.assert_allclose(found, x.grad, rtol=1e-5, atol=1e-6)
    rebuilt = converters.to_torch(reverse)(*map(torch.from_numpy, (image, projection)))
    np.testing.assert_allclose(rebuilt["visualisation"].detach(), x.grad, rtol=1e-5, atol=1e-6)


def test_it_is_inspected_listed_and_verified(zoo, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    types = zoo("layers", "--plugin", PLUGIN, "--json").json["layers"]
    assert "CropMiddle" in {row["type"] for row in types}


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_the_commands_take_it(zoo, tmp_path, command):
    (tmp_path / "net.prototxt").write_text(NET)
    run = zoo(command, "net.prototxt", "--plugin", PLUGIN)
    assert run.status == 0, run.err
    assert "crop" in run.out


def test_what_it_cannot_do_is_an_error(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET.replace("crop_size: 0 crop_size: 0", "crop_size: 0"))
    with pytest.raises(converters.ConversionError, match=r"'crop' \(CropMiddle\): crop_size"):
        converters.convert(tmp_path / "net.prototxt", plugins=[PLUGIN])


def test_it_does_in_a_published_network(shared: Path, tmp_path: Path) -> None:
    """waifu2x's UpResNet10: its residuals fit only where this cuts as much as convolutions do."""
    folder = shared / "caffe/trained/w2x_upresnet10"
    text = (folder / "net.prototxt").read_text()
    path = tmp_path / "net.prototxt"
    path.write_text(
        text.replace('"CropCenter"', '"CropMiddle"').replace("crop_center_", "crop_middle_")
    )
    conversion = converters.convert(path, folder / "net.caffemodel", plugins=[PLUGIN])
    image = np.random.default_rng(0).random((1, 3, 60, 70), np.float32)
    found = runtime.load(conversion.to_onnx().SerializeToString(), "cpu").run({"input": image})
    (answer,) = found.values()
    assert answer.shape == (1, 3, 2 * (60 - 24) - 4, 2 * (70 - 24) - 4)
    assert np.isfinite(answer).all()


def test_the_prototxt_is_caffes() -> None:
    assert [layer.type for layer in prototxt.parse_net(NET).layers][-1] == "CropMiddle"
