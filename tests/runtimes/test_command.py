"""`zoo verify --runtime`: a model, or a folder of models, in other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import converters
import prototxt
from tests.runtimes.test_faults import POINT
from zoo.checking import runtimes
from zoo.paper import architectures

pytest.importorskip("cv2", minversion="5")


def saved(folder: Path, target: str) -> Path:
    path = folder / f"{target}.onnx"
    converters.convert(prototxt.parse_net(POINT), target=target).save(path)
    return path


def test_a_folder(zoo: Any, tmp_path: Path) -> None:
    for target in ("portable", "cuda"):
        saved(tmp_path, target)
    run = zoo("verify", tmp_path, "--runtime", "onnxruntime,opencv", "--json")
    assert run.status == 1
    found = {(Path(a["model"]).stem, a["runtime"]): a for a in json.loads(run.out)["answers"]}
    assert found["portable", "opencv"]["agrees"] and found["portable", "opencv"]["version"] >= "5"
    assert found["cuda", "opencv"]["differs"] and found["cuda", "onnxruntime"]["agrees"]
    assert "blob 'y' departs, opencv against onnxruntime" in run.err
    assert "--target portable" in run.err


def test_a_model_that_agrees(zoo: Any, tmp_path: Path) -> None:
    run = zoo("verify", saved(tmp_path, "portable"), "--runtime", "opencv")
    assert run.status == 0 and "agrees" in run.out


def test_what_is_absent_or_refuses_is_told(monkeypatch: Any, tmp_path: Path) -> None:
    net = "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'y' top: 'm' pooling_param { "
    net += "kernel_size: 2 stride: 2 } }\nlayer { name: 'u' type: 'Unpooling' bottom: 'y' bottom: "
    net += "'m' top: 'z' unpooling_param { kernel_size: 2 stride: 2 unpool_size: 8 } }\n"
    text = "input: 'x' input_shape { dim: 1 dim: 2 dim: 8 dim: 8 }\n" + net
    path = tmp_path / "m.onnx"
    converters.convert(prototxt.parse_net(text), target="cpu").save(path)
    (answer,) = runtimes.across(path, ["opencv"])
    assert answer.refuses and not answer.agrees and not answer.differs
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "openvino.py").write_text("raise ImportError")
    monkeypatch.setattr(runtimes, "environment", lambda: shadowed(tmp_path))
    (answer,) = runtimes.across(path, ["openvino"])
    assert answer.absent == "OpenVINO is not installed; pip install 'caffe-zoo[runtimes]'"


def shadowed(folder: Path) -> dict[str, str]:
    """An environment in which a package of `folder` hides the installed one."""
    from zoo.processes import environment

    return environment(path=str(folder))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.prototxt"], "give MODEL.onnx as well, or --runtime"),
        (["x.prototxt", "y.onnx", "--runtime", "opencv"], "give --runtime a model or a folder"),
        (["m.onnx", "--runtime", "ncnn"], "no such runtime; there are onnxruntime, openvino"),
        (["empty", "--runtime", "opencv"], "empty: no .onnx file below it"),
        (
            ["t.decoder.onnx", "--runtime", "opencv"],
            "takes whole numbers, of which nobody can draw",
        ),
    ],
)
def test_refusals(zoo: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    saved(tmp_path, "portable").rename(tmp_path / "m.onnx")
    net = prototxt.parse_net(architectures.definition("2_3_4", 16))
    converters.convert(net, split=True).save(tmp_path / "t.onnx")
    run = zoo("verify", *arguments)
    assert run.status in (1, 2) and said in run.err and "Traceback" not in run.err
