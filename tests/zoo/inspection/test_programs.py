"""The program that runs a model without this package: what it feeds is what a Feeder feeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import converters
import prototxt
import runtime
from prototxt.preprocessing import Preprocessing
from zoo.inspection.programs import snippet

NET = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: %d dim: 8 dim: 8 } } }
layer { name: "y" type: "Convolution" bottom: "data" top: "y"
        convolution_param { num_output: %d kernel_size: 1 weight_filler { type: "xavier" } } }
"""
POOLED = """
layer { name: "p" type: "Pooling" bottom: "y" top: "p"
        pooling_param { pool: AVE global_pooling: true } }
"""


def run(folder: Path, text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing("104,117,123"),
        Preprocessing("7", scale=0.25, channel_order="RGB"),
        Preprocessing("1,2,3", crop=(8, 8), resize=(11, 12)),
        Preprocessing(),
        Preprocessing(scale=0.5),
    ],
)
@pytest.mark.parametrize("extra", [{}, {"nhwc": True}, {"fold_preprocessing": True}])
def test_it_classifies_as_the_predictor_does(
    tmp_path: Path, how: Preprocessing, extra: dict[str, bool]
) -> None:
    if "fold_preprocessing" in extra and how.mean is None:
        pytest.skip("what is not known cannot be done in the model")
    labels = [f"class {number}" for number in range(6)]
    shapes = {"data": (1, 3, 8, 8)} if how.crop is None else None
    net = prototxt.parse_net(NET % (3, 6) + POOLED)
    made = converters.convert(net, labels=labels, preprocessing=how, shapes=shapes, **extra)
    check(tmp_path, made.to_onnx().SerializeToString())


def test_grey_images(tmp_path: Path) -> None:
    net = prototxt.parse_net(NET % (1, 6) + POOLED)
    made = converters.convert(
        net, preprocessing=Preprocessing("100"), shapes={"data": (1, 1, 8, 8)}
    )
    check(tmp_path, made.to_onnx().SerializeToString())


def check(folder: Path, content: bytes) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), image)
    (folder / "net.onnx").write_bytes(content)
    model = runtime.load(folder / "net.onnx", "cpu")
    predictor = runtime.Predictor(model)
    found = predictor.predict(runtime.read_image(folder / "photo.jpg"))
    assert isinstance(found, runtime.Classes)
    said = run(folder, snippet(model.metadata, model.inputs, model.outputs, "net.onnx"))
    lines = [line.partition(" ") for line in said.splitlines()]
    assert [name for _, _, name in lines] == [guess.label for guess in found.top]
    scores = [float(score) for score, _, _ in lines]
    np.testing.assert_allclose(scores, [guess.score for guess in found.top], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "how", [Preprocessing("0", scale=1 / 255, channel_order="RGB"), Preprocessing("9,8,7")]
)
def test_it_draws_the_picture_that_the_predictor_makes(tmp_path: Path, how: Preprocessing) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.jpg"), image)
    made = converters.convert(prototxt.parse_net(NET % (3, 3)), preprocessing=how)
    (tmp_path / "net.onnx").write_bytes(made.to_onnx().SerializeToString())
    model = runtime.load(tmp_path / "net.onnx", "cpu")
    found = runtime.Predictor(model).predict(runtime.read_image(tmp_path / "photo.jpg"))
    assert isinstance(found, runtime.Picture) and found.image.shape == (30, 20, 3)
    run(tmp_path, snippet(model.metadata, model.inputs, model.outputs, "net.onnx"))
    drawn = runtime.read_image(tmp_path / "result.png")
    assert np.abs(drawn.astype(int) - found.image).max() <= 1


def test_a_network_that_takes_no_image(tmp_path: Path) -> None:
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 5 } } }\n'
    text += 'layer { name: "r" type: "ReLU" bottom: "d" top: "r" }'
    made = converters.convert(prototxt.parse_net(text))
    (tmp_path / "net.onnx").write_bytes(made.to_onnx().SerializeToString())
    model = runtime.load(tmp_path / "net.onnx", "cpu")
    said = run(tmp_path, snippet(model.metadata, model.inputs, model.outputs, "net.onnx"))
    assert said == "r (1, 5) 0.0 0.0\n"
