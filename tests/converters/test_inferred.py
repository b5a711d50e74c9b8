"""Models of fixed sizes: ONNX's shape inference leaves no dimension unknown, as onnxsim has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import converters
from converters.registry import find
from tests.converters.checker import Case
from tests.converters.forks import build
from tests.converters.test_families import CASES as FAMILIES
from tests.converters.test_goldens import CASES, case_id

BY_THE_DATA = {"Filter", "Python:rpn.proposal_layer.ProposalLayer", "Proposal"}
"""Types besides those that make detections or regions whose rows are as many as the run finds."""

PUBLISHED = ["demosaic", "idn", "lenet", "mtcnn_det1", "mtcnn_det2", "nano", "rfb", "squeezenet"]
PUBLISHED += ["w2x_art", "w2x_upresnet10", "wq_sr", "wq_detect"]
DETECTORS = {"wq_detect": "detection_output"}
"""Networks whose last layer finds as many rows as there are, and that layer."""


def unknown(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """Tensors of which some dimension is not known, or nothing at all, and the node's name."""
    found = onnx.shape_inference.infer_shapes(model, True, True, True)
    graph = found.graph
    known = {
        info.name
        for info in (*graph.input, *graph.output, *graph.value_info)
        if info.type.tensor_type.HasField("shape")
        and all(dim.HasField("dim_value") for dim in info.type.tensor_type.shape.dim)
    }
    return [
        (name, node.name)
        for node in graph.node
        for name in node.output
        if name and name not in known
    ]


def by_the_data(graph: converters.Graph) -> bool:
    """Whether a layer gives as many rows as it finds."""
    kinds = [(node, find(node.type)) for node in graph.nodes]
    return any(
        node.type in BY_THE_DATA or (kind is not None and kind.gives_detections)
        for node, kind in kinds
    )


@pytest.mark.parametrize("target", converters.FORMS)
@pytest.mark.parametrize("path", CASES, ids=case_id)
def test_goldens(path: Path, target: str) -> None:
    graph = Case(path).graph(open_dims=False)
    if by_the_data(graph):
        pytest.skip("its rows are as many as the run finds")
    for opset in (13, 18):
        try:
            model = converters.to_onnx(converters.fold(graph), target=target, opset=opset)
        except converters.ConversionError as error:
            assert opset == 13 and "needs opset" in str(error)
            continue
        assert unknown(model) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    one = FAMILIES[name]()
    text, how = one.text, {"phase": one.phase, "outputs": one.outputs}
    taken = {value.name for value in build(text, **how, **one.options).inputs}  # type: ignore[arg-type]
    feeds = {blob: shape for blob, shape in one.feeds.items() if blob in taken}
    options = {"shapes": feeds, **one.options, "open_dims": False}
    graph: Any = build(text, **how, **options)  # type: ignore[arg-type]
    if by_the_data(graph):
        pytest.skip("its rows are as many as the run finds")
    assert unknown(converters.to_onnx(converters.fold(graph))) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_published(shared: Path, name: str) -> None:
    folder = shared / "caffe" / "trained" / name
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    model = converters.convert(net, weights, open_dims=False).to_onnx()
    layer = DETECTORS.get(name)
    left = unknown(model)
    assert bool(left) == bool(layer)
    assert all(node.partition("/")[0] == layer for _, node in left)
