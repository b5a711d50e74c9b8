"""Sessions: what is asked, what is given, what does not fit."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import runtime
from runtime import InferenceError


def doubling(shape: list[int | str]) -> bytes:
    """y = x + x, z = the same as int64."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["y"]),
            helper.make_node("Cast", ["y"], ["z"], to=TensorProto.INT64),
        ],
        "g",
        [info("x", TensorProto.FLOAT, shape)],
        [info("y", TensorProto.FLOAT, shape), info("z", TensorProto.INT64, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"arch": "1_2_3"})
    return bytes(model.SerializeToString())


X = np.ones((1, 2), np.float32)


def test_what_a_model_says_of_itself() -> None:
    model = runtime.load(doubling(["n", 2]), "cpu")
    assert model.inputs == [runtime.IOSpec("x", ("n", 2), "float32")]
    assert [o.dtype for o in model.outputs] == ["float32", "int64"]
    assert model.metadata == {"arch": "1_2_3"}
    assert (model.provider, model.note) == ("cpu", "")


@pytest.mark.parametrize("name", [b"caf\xff.onnx", b"two\nlines.onnx", b"n" * 255])
def test_a_file_of_any_name(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(doubling(["n", 2]))
    assert runtime.load(path, "cpu").run({"x": X})["z"].tolist() == [[2, 2]]


def test_run() -> None:
    model = runtime.load(doubling(["n", 2]), "cpu")
    assert model.run({"x": X})["z"].tolist() == [[2, 2]]
    assert list(model.run({"x": X}, ["y"])) == ["y"]


@pytest.mark.parametrize(
    ("feeds", "outputs", "message"),
    [
        ({}, None, "model: input 'x' is not given"),
        ({"x": X, "q": X}, None, "model: no input 'q'; it takes x"),
        ({"x": X.astype(int)}, None, "model: input 'x' must be float32, not int64"),
        ({"x": X[0]}, None, "model: input 'x' must be nx2, not 2"),
        ({"x": np.ones((1, 3), np.float32)}, None, "model: input 'x' must be nx2, not 1x3"),
        ({"x": X}, ["q"], "model: no output 'q'; it has y, z"),
    ],
)
def test_what_does_not_fit(
    feeds: dict[str, np.ndarray], outputs: list[str] | None, message: str
) -> None:
    with pytest.raises(InferenceError) as caught:
        runtime.load(doubling(["n", 2]), "cpu").run(feeds, outputs)
    assert str(caught.value) == message


def test_auto_says_where_it_runs() -> None:
    model = runtime.load(doubling([1, 2]))
    assert (model.provider == "cuda") == (model.note == "")
    assert model.run({"x": X})["y"].tolist() == [[2, 2]]


def test_a_provider_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.session.device_is_there", lambda: False)
    with pytest.raises(InferenceError, match="cuda: the provider does not work here"):
        runtime.load(doubling([1, 2]), "cuda")
    assert runtime.load(doubling([1, 2])).note == "no usable CUDA device: running on the CPU"


def test_what_is_left_of_two_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without code, which Python imports as an empty package."""
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(InferenceError, match=r"^onnxruntime is installed in part only; pip uninst"):
        runtime.load(doubling([1, 2]))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    garbage = tmp_path / "m.onnx"
    garbage.write_bytes(b"nothing of the kind")
    for path, words in (
        (tmp_path / "gone.onnx", "no such file"),
        (tmp_path, "is a directory"),
        (garbage, "cannot be loaded"),
    ):
        with pytest.raises(InferenceError, match=words) as caught:
            runtime.load(path, "cpu")
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))


def test_a_model_that_fails_while_it_runs() -> None:
    info = helper.make_tensor_value_info
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", 1, ["n"]), info("s", 7, [1])],
        [info("y", 1, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    loaded = runtime.load(model.SerializeToString(), "cpu")
    with pytest.raises(InferenceError) as caught:
        loaded.run({"x": np.ones(3, np.float32), "s": np.array([4])})
    assert "\n" not in str(caught.value)
