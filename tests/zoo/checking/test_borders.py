"""`zoo verify` and `runtime` of models whose inputs and outputs are not as in the definition."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import runtime
from runtime import InferenceError

BOTH = ["--nhwc", "--input-name", "image", "--output-name", "deconv1_2=picture"]


@pytest.mark.parametrize(
    "flags",
    [BOTH[1:], BOTH, [*BOTH, "--split"], ["--fold-preprocessing", "--mean", "1,2,3", *BOTH[1:]]],
)
def test_it_is_compared_by_the_definitions_names(zoo, small, flags):
    assert zoo("convert", small, *flags).status == 0
    parts = [".encoder", ".decoder"] if "--split" in flags else [""]
    for part in parts:
        data = zoo("verify", small, f"small{part}.onnx", "--json").json
        assert data["ok"] is True
        assert "data" in data["feeds"] or part == ".decoder"
        blobs = {item["blob"] for item in data["comparisons"]}
        assert "picture" not in blobs and ("deconv1_2" in blobs or part == ".encoder")


def test_a_model_that_is_wrong_is_still_found(zoo, small):
    assert zoo("convert", small, *BOTH).status == 0
    model = onnx.load("small.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == "deconv2_1.weight")
    array = numpy_helper.to_array(tensor) * np.float32(1.5)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, "small.onnx")
    refusal = zoo("verify", small, "small.onnx").err
    assert "blob 'deconv2_1" in refusal


def test_given_blobs_go_by_the_definitions_names(zoo, small):
    assert zoo("convert", small, "-o", "plain.onnx").status == 0
    assert zoo("convert", small, *BOTH).status == 0
    x = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
    y = runtime.load("plain.onnx", "cpu").run({"data": x})["deconv1_2"]
    np.savez("io.npz", **{"in.data": x, "out.deconv1_2": y})
    assert zoo("verify", small, "small.onnx", "--inputs", "io.npz", "--json").json["ok"] is True


def test_images_are_fed_as_the_model_takes_them(zoo, small):
    for name, flags in (("plain", []), ("turned", BOTH)):
        assert (
            zoo("convert", small, "-o", f"{name}.onnx", "--mean", "104,117,123", *flags).status == 0
        )
    plain, turned = (runtime.load(f"{name}.onnx", "cpu") for name in ("plain", "turned"))
    assert runtime.image_shape(turned) == runtime.image_shape(plain)
    assert runtime.image_output(turned) == "picture"
    rng = np.random.default_rng(0)
    pictures = [(f"p{i}", rng.integers(0, 256, (16, 24, 3), np.uint8)) for i in range(3)]
    one, other = (runtime.evaluate(m, pictures, None, (16, 24)) for m in (plain, turned))
    assert one.rmse == pytest.approx(other.rmse, rel=1e-6)
    with pytest.raises(InferenceError, match="takes and gives N×H×W×C; convert it without nhwc"):
        runtime.load_encoder_decoder("turned.onnx", "cpu")
    assert zoo("publish", "turned.onnx", "--hub", "hub", "--version", "1.0").refusal == (
        "turned.onnx: takes or gives N×H×W×C, but pages and programs that use a hub feed N×C×H×W; "
        "convert it without --nhwc"
    )
